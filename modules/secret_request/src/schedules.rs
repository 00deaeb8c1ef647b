//! Random schedules of what can happen to the files of one request: runs that are killed before any of their writes, two runs
//! at once, and an operator who removes, replaces or damages files. A schedule that ends badly is shrunk to the fewest events
//! that do.
//!
//! The files are a model of this file's own. What is written in which order is `present.rs` and `apply.rs` again: secret,
//! manifest, request, id file. So is the refusal of `history.rs` where only an id file is left. The tests in `killed.rs` and
//! `at_once.rs` run the real program.

use crate::codes;
use crate::manifest::{Hidden, Inputs, Manifest, Recorded};
use crate::plan::{Desired, Observed, Plan, plan};
use durable::{Attributes, Found};
use fault::Code;
use openssl::sha::sha256;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pv_request::IdFile;
use pv_wire::{SecretId, SecretType, encode_hex, layout};
use std::cell::Cell;

const PATH: &str = "/r/request";
const ID_FILES: [&str; 2] = ["/r/n.yaml", "/r/other.yaml"];

/// One run of the module.
#[derive(Clone, Debug)]
struct Run {
    /// The image that the request is for, of two.
    image: bool,
    /// The id file's path, of two.
    other_id_file: bool,
    /// Mode of the request, of two.
    readable: bool,
    /// `replace_secret`.
    replaces: bool,
    /// It is killed before this write, if it has that many.
    breaks: Option<usize>,
}

/// A file of the request.
#[derive(Clone, Copy, Debug)]
enum Part {
    Secret,
    Manifest,
    Request,
    IdFile,
}

/// How far the first of two runs at once is when the second looks.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// It has looked at the request, and not yet at the secret. The second ends before the first goes on.
    RequestLookedAt,
    /// It has only looked.
    BothLookFirst,
    /// It has made the secret. The second ends before the first goes on.
    SecretFirst,
}

#[derive(Clone, Debug)]
enum Event {
    Run(Run),
    /// Two runs at once.
    AtOnce(Run, Run, Order),
    /// Somebody removes a file.
    Removed(Part),
    /// Somebody puts something else in its place; another secret, for the secret's file.
    Altered(Part),
}

fn run() -> impl Strategy<Value = Run> {
    let breaks = prop::option::weighted(0.6, 0..6_usize);
    (any::<[bool; 3]>(), prop::bool::weighted(0.2), breaks).prop_map(
        |([image, other_id_file, readable], replaces, breaks)| Run { image, other_id_file, readable, replaces, breaks },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let order = || prop_oneof![Just(Order::RequestLookedAt), Just(Order::BothLookFirst), Just(Order::SecretFirst)];
    let part = || prop_oneof![Just(Part::Secret), Just(Part::Manifest), Just(Part::Request), Just(Part::IdFile)];
    prop_oneof![
        4 => run().prop_map(Event::Run),
        2 => (run(), run(), order())
            .prop_map(|(one, other, order)| Event::AtOnce(one, other, order)),
        1 => part().prop_map(Event::Removed),
        1 => part().prop_map(Event::Altered),
    ]
}

/// The files, and what is known of them that no program is told.
#[derive(Debug)]
struct Files {
    /// The secret's file, by the number of the secret.
    secret: Option<u32>,
    manifest: Recorded,
    request: Option<(Vec<u8>, Attributes)>,
    /// In both places where one may be.
    id_files: [Option<Vec<u8>>; 2],
    /// Secrets and requests so far: no two are alike.
    made: u32,
    /// Whether anybody but the module has changed something.
    meddled: bool,
}

fn inputs(run: &Run) -> Inputs {
    Inputs {
        kind: "Association".into(),
        name: Some("n".into()),
        id: Some(SecretId::of_name("n").to_string()),
        image: run.image.to_string(),
        host_keys: vec!["22".into()],
        flags: Default::default(),
        cuid: None,
        user_data: None,
        extension_secret: "none".into(),
    }
}

fn hidden(secret: Option<u32>) -> Hidden {
    Hidden { secret: secret.map(|number| number.to_string()), ..Hidden::default() }
}

fn id_file() -> IdFile {
    IdFile { kind: SecretType::ASSOCIATION, name: "n".into(), id: SecretId::of_name("n") }
}

fn hash(request: &[u8]) -> String {
    encode_hex(&sha256(request))
}

impl Files {
    fn none() -> Self {
        Self {
            secret: None,
            manifest: Recorded::Absent,
            request: None,
            id_files: [None, None],
            made: 0,
            meddled: false,
        }
    }

    fn observe(&self, run: &Run) -> Observed {
        let found = |(bytes, attributes): &(Vec<u8>, Attributes)| Found {
            bytes: bytes.clone(),
            attributes: Attributes { uid: Some(0), gid: Some(0), ..*attributes },
        };
        Observed {
            request: self.request.as_ref().map(found),
            recorded: self.manifest.clone(),
            id_file: self.id_files[usize::from(run.other_id_file)].clone(),
        }
    }

    fn desire(&self, run: &Run) -> Desired {
        Desired {
            path: Some(PATH.into()),
            inputs: inputs(run),
            hidden: hidden(self.secret),
            create_secret: self.secret.is_none().then(|| "/r/secret".into()),
            replace_secret: run.replaces,
            attributes: Attributes::mode(if run.readable { 0o640 } else { 0o600 }),
            id_file: Some((ID_FILES[usize::from(run.other_id_file)].into(), id_file())),
        }
    }

    /// The plan of a run that looks now, and what it was made of. An id file without its request is found by `history.rs`.
    fn plan(&self, run: &Run) -> Result<Planned, Code> {
        self.plan_from(run, self.observe(run))
    }

    /// The same where the request was looked at before the secret.
    fn plan_from(&self, run: &Run, observed: Observed) -> Result<Planned, Code> {
        let desired = self.desire(run);
        let plan = plan(&desired, &observed).map_err(|fault| fault.code)?;
        let remembered = self.id_files.iter().flatten().any(|text| *text == id_file_text());
        if desired.create_secret.is_some() && !run.replaces && remembered {
            return Err(codes::SECRET_EXISTED);
        }
        Ok(Planned { desired, observed, plan })
    }

    /// Carries a plan out until the run is killed.
    fn carry_out(&mut self, run: &Run, planned: &Planned) {
        let begun = self.begin(run, planned);
        self.end(run, planned, begun);
    }

    /// The secret, which is made before anything is written.
    fn begin(&mut self, run: &Run, planned: &Planned) -> Begun {
        let Planned { desired, plan, .. } = planned;
        let mut begun = Begun { left: run.breaks.unwrap_or(usize::MAX), secret: desired.hidden.secret.clone() };
        if plan.build && desired.create_secret.is_some() && begun.lives() {
            self.make_secret(run);
            begun.secret = hidden(self.secret).secret;
        }
        begun
    }

    /// The rest. What the plan was made from may be the past by now.
    fn end(&mut self, run: &Run, planned: &Planned, mut begun: Begun) {
        let Planned { desired, observed, plan } = planned;
        if plan.build && desired.create_secret.is_some() && begun.secret.is_none() {
            return;
        }
        let secret = begun.secret.clone();
        let mut lives = || begun.lives();
        let own_id_file = ID_FILES[usize::from(run.other_id_file)].trim_start_matches("/r/");
        let manifest = |sha256: String, hidden: Hidden| {
            let manifest = Manifest::new(sha256, desired.inputs.clone(), hidden, Some(own_id_file.into()));
            Recorded::Trusted(Box::new(manifest))
        };
        if plan.build {
            let request = self.new_request(run, secret.as_deref());
            let hidden = Hidden { secret, ..Hidden::default() };
            if !self.made_meanwhile(observed, &desired.inputs, &hidden, own_id_file) {
                if !lives() {
                    return;
                }
                self.manifest = manifest(hash(&request), hidden);
                if !lives() {
                    return;
                }
                self.request = Some((request, desired.attributes));
            }
        } else if let (Recorded::Trusted(recorded), true) = (&observed.recorded, plan.record_id_file) {
            if !lives() {
                return;
            }
            self.manifest = manifest(recorded.sha256.clone(), recorded.hidden.clone());
        }
        if plan.set_attributes {
            if !lives() {
                return;
            }
            let before = observed.request.as_ref().map(|found| found.bytes.as_slice());
            match &mut self.request {
                Some((bytes, attributes)) if Some(bytes.as_slice()) == before => *attributes = desired.attributes,
                // Another file is there by now, which `durable::set_attributes` refuses.
                _ => return,
            }
        }
        if let (Some(text), true) = (&plan.write_id_file, lives()) {
            self.id_files[usize::from(run.other_id_file)] = Some(text.as_bytes().to_vec());
        }
    }

    /// By a link, which never replaces one that is there.
    fn make_secret(&mut self, run: &Run) {
        if self.secret.is_none() {
            let known = self.manifest.said().is_some() || self.request.is_some();
            assert!(run.replaces || !known, "a secret that was there once was made again: {self:?}");
            self.made += 1;
            self.secret = Some(self.made);
        }
    }

    /// Its bytes say what it was built of.
    fn new_request(&mut self, run: &Run, secret: Option<&str>) -> Vec<u8> {
        self.made += 1;
        let text = format!(" {} {} number {}", run.image, secret.unwrap_or("none"), self.made);
        [&layout::MAGIC, text.as_bytes()].concat()
    }

    fn made_meanwhile(&self, observed: &Observed, inputs: &Inputs, hidden: &Hidden, id_file: &str) -> bool {
        let Some((bytes, _)) = &self.request else { return false };
        let own = Manifest::new(hash(bytes), inputs.clone(), hidden.clone(), Some(id_file.into()));
        observed.request.as_ref().map(|found| &found.bytes) != Some(bytes) && self.manifest.trusted() == Some(&own)
    }

    fn remove(&mut self, part: Part) {
        self.meddled = true;
        match part {
            Part::Secret => self.secret = None,
            Part::Manifest => self.manifest = Recorded::Absent,
            Part::Request => self.request = None,
            Part::IdFile => self.id_files = [None, None],
        }
    }

    fn alter(&mut self, part: Part) {
        self.meddled = true;
        match part {
            Part::Secret => {
                self.made += 1;
                self.secret = Some(self.made);
            }
            Part::Manifest => self.manifest = Recorded::Untrusted(self.manifest.said().cloned().map(Box::new)),
            Part::Request => self.request.iter_mut().for_each(|(bytes, _)| bytes.push(b'!')),
            Part::IdFile => self.id_files.iter_mut().flatten().for_each(|text| text.push(b'!')),
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Run(run) => {
                if let Ok(planned) = self.plan(run) {
                    self.carry_out(run, &planned);
                }
            }
            Event::AtOnce(one, other, Order::RequestLookedAt) => {
                // That the module looks in this order is what `at_once.rs` shows; here, that this order is enough.
                let observed = self.observe(one);
                if let Ok(planned) = self.plan(other) {
                    self.carry_out(other, &planned);
                }
                let first = self.plan_from(one, observed);
                let lost = matches!(first, Err(codes::SECRET_MISSING));
                assert!(self.meddled || !lost, "a secret that was just made is taken for lost: {self:?}");
                if let Ok(planned) = first {
                    self.carry_out(one, &planned);
                }
            }
            Event::AtOnce(one, other, order) => {
                let first = self.plan(one);
                let begun = match (&first, order) {
                    (Ok(planned), Order::SecretFirst) => Some(self.begin(one, planned)),
                    _ => None,
                };
                let second = self.plan(other);
                if let (Ok(planned), Order::SecretFirst) = (&second, order) {
                    self.carry_out(other, planned);
                }
                if let Ok(planned) = &first {
                    let begun = begun.unwrap_or_else(|| self.begin(one, planned));
                    self.end(one, planned, begun);
                }
                if let (Ok(planned), Order::BothLookFirst) = (&second, order) {
                    self.carry_out(other, planned);
                }
            }
            Event::Removed(part) => self.remove(*part),
            Event::Altered(part) => self.alter(*part),
        }
        self.assert_no_manifest_lies();
    }

    /// A trusted manifest of the very request that is there says what that was built of.
    fn assert_no_manifest_lies(&self) {
        let (Some(manifest), Some((request, _))) = (self.manifest.trusted(), &self.request) else { return };
        if manifest.sha256 == hash(request) {
            self.assert_built_of(request, &manifest.inputs.image, manifest.hidden.secret.as_deref());
        }
    }

    fn assert_built_of(&self, request: &[u8], image: &str, secret: Option<&str>) {
        let text = format!(" {image} {} number ", secret.unwrap_or("none"));
        assert!(request[layout::MAGIC.len()..].starts_with(text.as_bytes()), "{self:?} is not of {text:?}");
    }
}

fn id_file_text() -> Vec<u8> {
    id_file().to_yaml().unwrap_or_default().into_bytes()
}

/// A run under way.
struct Begun {
    /// Writes until it is killed.
    left: usize,
    secret: Option<String>,
}

impl Begun {
    fn lives(&mut self) -> bool {
        let lives = self.left > 0;
        self.left = self.left.saturating_sub(1);
        lives
    }
}

struct Planned {
    desired: Desired,
    observed: Observed,
    plan: Plan,
}

/// What a run may be refused for after somebody else had a hand in it.
const REFUSALS: [Code; 5] =
    [codes::NOT_OURS, codes::ID_FILE_COLLISION, codes::SECRET_MISSING, codes::SECRET_CHANGED, codes::SECRET_EXISTED];

#[test]
fn whatever_happened_to_its_files_a_run_that_ends_well_leaves_nothing_to_do_and_no_secret_is_made_again() {
    let ended_well = Cell::new(0);
    let config = Config { failure_persistence: None, ..Config::default() };
    let cases = config.cases;
    let schedule = (prop::collection::vec(event(), 0..12), run());
    TestRunner::new(config)
        .run(&schedule, |(events, last)| {
            let mut files = Files::none();
            events.iter().for_each(|event| files.happens(event));
            let last = Run { breaks: None, ..last };
            let planned = match files.plan(&last) {
                Ok(planned) => planned,
                Err(code) => {
                    prop_assert!(files.meddled && REFUSALS.contains(&code), "{code:?} of {files:?}");
                    return Ok(());
                }
            };
            ended_well.set(ended_well.get() + 1);
            files.carry_out(&last, &planned);
            files.assert_no_manifest_lies();
            let again = files.plan(&last).map(|planned| planned.plan);
            prop_assert_eq!(again, Ok(Plan::default()), "{:?}", files);
            let (request, attributes) = files.request.as_ref().ok_or_else(|| TestCaseError::fail("no request"))?;
            files.assert_built_of(request, &last.image.to_string(), hidden(files.secret).secret.as_deref());
            let (id_file, _) = planned.desired.id_file.as_ref().ok_or_else(|| TestCaseError::fail("no id file"))?;
            let names = |manifest: &Manifest| manifest.names(id_file, PATH.as_ref());
            prop_assert!(files.manifest.trusted().is_some_and(names), "{:?} does not name {:?}", files, id_file);
            prop_assert_eq!(attributes, &planned.desired.attributes);
            Ok(())
        })
        .unwrap_or_else(|why| panic!("{why}"));
    assert!(ended_well.get() > cases / 4, "only {}", ended_well.get());
}
