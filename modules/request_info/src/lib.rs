//! `request_info`: what an add-secret request says of itself, and what it fits. It changes nothing.

pub mod codes;
pub mod options;
pub mod view;

use ansible_contract::{Context, Failure, Module, Outcome, PathText, codes as args, from_base64, warning};
use fault::{Code, Fault, Result};
use options::{Options, Report};
use pv_guest::firmware;
use pv_request::{HostKeyDocument, ImageTags, Signer, Source};
use view::{Compared, report};

/// The module.
#[derive(Debug)]
pub struct RequestInfo;

impl Module for RequestInfo {
    const NAME: &'static str = "request_info";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_request::codes::ALL, pv_wire::codes::ALL];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> std::result::Result<Outcome<Report>, Failure<Report>> {
        let mut reader = Reader { check_mode: context.check_mode, warnings: Vec::new() };
        let request = reader.request(&options)?;
        let compared = reader.compared(&options)?;

        let partial = !reader.warnings.is_empty();
        let report = match &request {
            Some(Source { name, bytes }) => report(bytes, &compared).map_err(|fault| of_file(name, fault))?,
            None => Report::default(),
        };
        Ok(reader.outcome(report, partial, options.path))
    }
}

/// Reads what the options name. In check mode a file that is not there yet is a warning.
struct Reader {
    check_mode: bool,
    warnings: Vec<String>,
}

impl Reader {
    fn request(&mut self, options: &Options) -> Result<Option<Source>> {
        match (&options.path, &options.content) {
            (None, None) => {
                Err(Fault::new(args::MISSING, "One of the options path and content must give the request.").hint("Give path for a file where the module runs, or content for what secret_request returned."))
            }
            (Some(_), Some(_)) => Err(Fault::new(
                args::CONFLICT,
                "The options path and content are both given; only one can be the request.",
            ).hint("Leave one of them out.")),
            (Some(path), None) => self.unless_missing(Source::read(path.as_path())),
            (None, Some(content)) => match from_base64(content) {
                Some(bytes) => Ok(Some(Source { name: "content".into(), bytes: bytes.to_vec() })),
                None => Err(Fault::new(args::INVALID, "The option content is not base64.")
                    .hint("It must be the base64 of a whole request, as secret_request returns it with return_content: true. For a file use path.")),
            },
        }
    }

    fn compared(&mut self, options: &Options) -> Result<Compared> {
        let image = options.image.as_ref().map(|path| self.unless_missing(ImageTags::read(path.as_path())));
        let documents = options.host_keys.iter().flatten();
        let host_keys = documents.map(|path| Ok((path.to_string(), self.host_key(path)?))).collect::<Result<_>>()?;
        let certificate = options.user_cert.as_ref().map(|path| self.unless_missing(Source::read(path.as_path())));
        Ok(Compared {
            image: image.transpose()?.flatten(),
            host_keys,
            signer: certificate.transpose()?.flatten().map(|source| Signer::parse(&source)).transpose()?,
            this_host: firmware::host_key_hashes().ok().flatten(),
        })
    }

    fn host_key(&mut self, path: &PathText) -> Result<Option<[u8; 32]>> {
        let document = self.unless_missing(HostKeyDocument::read(path.as_path()))?;
        Ok(document.map(|document| document.key.hash()))
    }

    fn unless_missing<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Err(fault) if self.check_mode && fault.code == fault::file::MISSING => {
                self.warnings.push(warning(&fault.hint("An earlier task may still create it.")));
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn outcome(mut self, mut report: Report, partial: bool, path: Option<PathText>) -> Outcome<Report> {
        let msg = match (&report.kind, &report.id, report.signature.as_deref()) {
            (Some(kind), id, Some(signature)) => {
                let id = id.as_ref().map(|id| format!(" with the id {id}")).unwrap_or_default();
                format!("The request is well-formed: {kind}{id}, signature: {signature}.")
            }
            _ => "The request does not exist yet.".into(),
        };
        if report.signature.as_deref() == Some("invalid") {
            let detail = "The request's user data are not signed by the key of user_cert, or the request was changed afterwards.";
            self.warnings.push(warning(
                &Fault::new(codes::SIGNATURE_INVALID, detail)
                    .hint("Do not add the request unless you know where it comes from."),
            ));
        }
        report.path = path.map(|path| path.to_string());
        Outcome { changed: false, msg, warnings: self.warnings, diff: Vec::new(), predicted_partial: partial, report }
    }
}

fn of_file(name: &str, mut fault: Fault) -> Fault {
    fault.detail = format!("{name}: {}", fault.detail);
    fault
}
