//! Files that others made: images, certificates, keys, YAML and JSON.

use crate::choice;
use guest_state::queues;
use pv_request::verify::{Outdated, Trust, Verifier};
use pv_request::{HostKeyDocument, IdFile, ImageTags, Secret, SecretClass, Signer, Source, UserData};
use pv_wire::SecretId;
use secret_request::manifest::{Manifest, Recorded};
use std::io::Cursor;

/// The first of the two places where an image says where its header is.
const METADATA_AT: usize = 0xc000;
/// Within the life of the certificates in `keys/`: the first day of 2027.
const NOW: i64 = 1_798_761_600;

fn source(data: &[u8]) -> Source {
    Source { name: "file".into(), bytes: data.to_vec() }
}

/// Finding the header of an image; in half of the cases at the place where whole images have its position.
pub fn image(data: &[u8]) {
    let (which, rest) = choice(data);
    let image = if which % 2 == 0 { rest.to_vec() } else { [&vec![0; METADATA_AT], rest].concat() };
    if let Ok(tags) = ImageTags::find(&mut Cursor::new(&image), "image") {
        let holds = |part: &[u8]| image.windows(part.len()).any(|window| window == part);
        assert!(holds(&tags.0[..192]) && holds(&tags.header_tag()), "tags that are not in the image");
    }
}

/// Host key documents, certificates of authorities and of signers.
pub fn certificates(data: &[u8]) {
    let given = source(data);
    let document = HostKeyDocument::parse(&given);
    let signer = Signer::parse(&given);
    if let Ok(document) = document {
        assert!(signer.is_ok());
        if let Ok(verifier) = verifier(Vec::new(), Vec::new()) {
            let _ = verifier.verify(&document).map(|verified| assert_eq!(verified.hash, document.key.hash()));
        }
    }
    let _ = verifier(vec![given], Vec::new());
}

/// Revocation lists beside a good chain, and a document that they may be about.
pub fn revocation_lists(data: &[u8]) {
    let Ok(verifier) = verifier(Vec::new(), vec![source(data)]) else { return };
    let document = HostKeyDocument::parse(&source(include_bytes!("../keys/host.crt")));
    let _ = document.and_then(|document| verifier.verify(&document));
}

/// The verifier of the good chain in `keys/`, with more certificates and revocation lists.
fn verifier(mut certificates: Vec<Source>, mut crls: Vec<Source>) -> fault::Result<Verifier> {
    certificates.push(source(include_bytes!("../keys/ibm.crt")));
    certificates.push(source(include_bytes!("../keys/inter_ca.crt")));
    for list in [
        &include_bytes!("../keys/ibm.crl")[..],
        include_bytes!("../keys/inter_ca.crl"),
        include_bytes!("../keys/root_ca.crl"),
    ] {
        crls.push(source(list));
    }
    let root = source(include_bytes!("../keys/root_ca.crt"));
    Verifier::new(&Trust { certificates, crls, root }, NOW, Outdated::Report)
}

/// The YAML file that names a secret.
pub fn id_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(read) = IdFile::parse(&text, "file") else { return };
    let written = read.to_yaml();
    assert!(written.is_ok_and(|written| IdFile::parse(&written, "file") == Ok(read)), "not read back as written");
}

/// A file with a configuration unique id.
pub fn cuid_file(data: &[u8]) {
    let cuid = trusted::cuid::from_source(&source(data));
    assert!(cuid.is_ok_and(|cuid| cuid != [0; 16]) || data != [7; 16]);
}

/// Secrets of every type.
pub fn secret(data: &[u8]) {
    use SecretClass::{Aes, AesXts, Association, Ec, HmacSha, Plaintext, UpdateCck};
    let (which, rest) = choice(data);
    let class = match which % 13 {
        0 => Association,
        1 => Plaintext,
        2 => Aes,
        3 => AesXts,
        4 => HmacSha,
        5 => UpdateCck,
        // The only one that is parsed.
        _ => Ec,
    };
    if let Ok(secret) = Secret::new(class, SecretId([7; 32]), rest, "file") {
        assert_eq!(secret.id().is_some(), class != UpdateCck);
        assert_ne!(secret.kind().option(), "unknown");
    }
}

/// Private keys that are to sign user data.
pub fn signing_key(data: &[u8]) {
    let _ = UserData::signed(vec![7; 100], "data", data, "file");
}

/// The manifest beside a request.
pub fn manifest(data: &[u8]) {
    let Ok(recorded) = Manifest::parse(data, None) else { panic!("without a key nothing can fail") };
    assert!(recorded.trusted().is_none(), "trusted without a key");
    if let Recorded::Untrusted(Some(manifest)) = &recorded {
        let request = std::path::Path::new("/folder/request");
        let _ = (manifest.inputs.lines(), manifest.id_file_of(request));
        assert!(manifest.hidden.differing(&manifest.hidden).is_empty());
    }
}

/// pvapconfig's configuration of queues.
pub fn queue_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(entries) = queues::parse_config("file", &text) else { return };
    if let Ok(wanted) = queues::check("entries", &entries) {
        assert_eq!(wanted.len(), entries.len());
    }
}

/// What a proxy answers to a GET.
pub fn proxy_answer(data: &[u8]) {
    const LIMIT: u64 = 1000;
    if let Ok(answer) = pv_request::read_proxy_answer(data, LIMIT) {
        assert!(answer.content.len() as u64 <= LIMIT && (answer.status == 200 || answer.content.is_empty()));
    }
}
