//! What happens in a guest: from nothing to a locked store with queues in service, each step twice.

use crate::evidence::Challenged;
use crate::new_folder;
use anyhow::{Context, Result, ensure};
use e2e::lab::{Lab, Outcome, Step, simulate};
use e2e::{Guest, WANTED_KEY, World, fleet_cards, place};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Name of the simulated machine whose host key the requests are for.
pub const MACHINE: &str = "m1";

/// The id that the machine gives the guest at its start.
pub const CUID: &str = "00112233445566778899aabbccddeeff";

/// A boot of a kernel with what came of it, and the same steps in a simulated guest.
#[derive(Debug)]
pub struct Run {
    /// The world that both are in.
    pub world: World,
    /// The attestation request that the guest was given.
    pub challenged: Challenged,
    /// What was done.
    pub steps: Vec<(&'static str, Step)>,
    /// What came of it on the real kernel.
    pub real: Vec<Outcome>,
    /// And in the simulated guest.
    pub simulated: Vec<Outcome>,
    /// The machine behind the real kernel after the last step.
    pub state: Value,
}

impl Run {
    /// Boots the kernel and does everything.
    pub fn make(lab: &Lab, kernel: &str) -> Result<Self> {
        let world = World::new(&new_folder(), &[MACHINE])?;
        let challenged = Challenged::new(&world)?;
        let steps = steps(&requests(&world)?, &challenged)?;
        let plain: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
        let scenario = format!("ultravisor: {{cuid: \"{CUID}\"}}\n{}", fleet_cards());
        let machine = Guest::start_machine(&world, "real", MACHINE, "image", &scenario)?;
        let real = lab.run(kernel, &machine, &plain)?;
        let state = machine.state()?;
        let simulated =
            simulate(&world, "simulated", MACHINE, "image", &format!("{}\n{scenario}", kernel_of(kernel)), &plain)?;
        Ok(Self { world, challenged, steps, real, simulated, state })
    }

    /// What came of the step of this name on the real kernel.
    pub fn of(&self, name: &str) -> &Outcome {
        let at = self.steps.iter().position(|(found, _)| *found == name);
        &self.real[at.expect(name)]
    }
}

/// What the simulator is told of a kernel. Linux 6.12 does not show the hashes of host keys, and of the capacities one number:
/// that of association secrets.
pub fn kernel_of(kernel: &str) -> &'static str {
    match kernel {
        "6.12" => {
            "kernel: {retrieve: false, failed_queue: removed, asks_refused_queue: true}
absent: [/sys/firmware/uv/keys, /sys/firmware/uv/query/max_assoc_secrets, /sys/firmware/uv/query/max_retr_secrets]
attributes: {/sys/firmware/uv/query/max_secrets: \"30\\n\"}"
        }
        _ => "kernel: {retrieve: true, list_pages: 2, failed_queue: removed}",
    }
}

/// Scenarios in which things take time, are refused or fail, each with the same steps. `WANTED` stands for the key of the
/// entries. What a card says of its own state is what its first queue says, so no card has queues in several states here.
pub const FURTHER: [(&str, &str); 5] = [
    ("slow firmware", "delays: {bind_ms: 150, associate_ms: 150, reset_ms: 150}\nswitches: {slow_bind_is_eio: true}"),
    ("a queue that is never bound", "faults: [{on: bind, target: \"00.0005\", ap_rc: 0x33, times: 0}]"),
    ("an association that never ends", "faults: [{on: associate, target: \"00.0005\", stuck: true, times: 0}]"),
    (
        "cards that are deconfigured or checkstopped, and a queue that cannot be bound",
        "\
cards:
  \"00\": {type: CEX8P, config: false, queues: {\"0005\": {mkvp: \"WANTED\"}}}
  \"01\": {type: CEX8P, chkstop: true, queues: {\"0005\": {mkvp: \"WANTED\"}}}
  \"02\":
    type: CEX8P
    queues: {\"0005\": {mkvp: \"WANTED\", unusable: true}, \"0006\": {mkvp: \"WANTED\"}, \"0007\": {new_key: \"committed 0x11\"}}
",
    ),
    ("an association that is refused", "faults: [{on: associate, target: \"00.0005\", ap_rc: 0x34, times: 0}]"),
];

/// A boot for one of [`FURTHER`], and the same in a simulated guest.
#[derive(Debug)]
pub struct Further {
    /// What was done.
    pub steps: Vec<(&'static str, Step)>,
    /// What came of it on the real kernel.
    pub real: Vec<Outcome>,
    /// And in the simulated guest.
    pub simulated: Vec<Outcome>,
}

impl Further {
    /// Boots the kernel and does everything.
    pub fn make(lab: &Lab, kernel: &str, scenario: &str) -> Result<Self> {
        let world = World::new(&new_folder(), &[MACHINE])?;
        let requests = requests(&world)?;
        let add =
            json!({"requests": requests[..2].iter().map(|content| json!({"content": content})).collect::<Vec<_>>()});
        let queues = json!({"entries": [entry("first"), entry("second")], "timeout": 10});
        let steps = vec![
            ("add", Step::Module("secret_add", add)),
            ("bind", Step::Module("ap_bind", queues.clone())),
            ("bind, again", Step::Module("ap_bind", queues)),
            ("facts", Step::Module("facts", json!({}))),
            ("release", Step::Module("ap_bind", json!({"state": "unbound", "all": true}))),
        ];
        let plain: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
        let scenario = scenario.replace("WANTED", WANTED_KEY);
        let cards = if scenario.contains("cards:") { String::new() } else { fleet_cards() };
        let scenario = format!("ultravisor: {{cuid: \"{CUID}\"}}\n{scenario}\n{cards}");
        let machine = Guest::start_machine(&world, "real", MACHINE, "image", &scenario)?;
        let real = lab.run(kernel, &machine, &plain)?;
        let simulated =
            simulate(&world, "simulated", MACHINE, "image", &format!("{}\n{scenario}", kernel_of(kernel)), &plain)?;
        Ok(Self { steps, real, simulated })
    }
}

/// An entry for a queue with the wanted key, to be associated with the secret of this name.
pub fn entry(name: &str) -> Value {
    json!({"name": name, "mode": "ep11", "mkvp": format!("0x{WANTED_KEY}")})
}

/// Requests as `content`: two association secrets, one to be retrieved, and a fourth that comes too late.
pub fn requests(world: &World) -> Result<Vec<Value>> {
    let pki = |name: &str| world.path("pki").join(name);
    let association = |name: &str| json!({"name": name, "secret_file": world.path(name), "create_secret": true});
    let arguments = json!({
        "host_keys": [pki(&format!("{MACHINE}.crt"))],
        "certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "root_ca": pki("root_ca.crt"),
        "image": world.path("image.hdr"),
        "return_content": true,
        "requests": [
            association("first"),
            association("second"),
            {"name": "text", "type": "plaintext", "secret": "dG8gYmUgcmVhZCBhZ2Fpbg=="},
            association("late"),
        ],
    });
    let mut command = Command::new(place::binary("secret_request")?);
    command.arg("-").env("XDG_STATE_HOME", world.path("state"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(arguments.to_string().as_bytes())?;
    let answer: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    let requests = answer["requests"].as_array().with_context(|| format!("no requests were built: {answer}"))?;
    let contents: Vec<_> = requests.iter().map(|request| request["content"].clone()).collect();
    ensure!(contents.len() == 4 && contents.iter().all(Value::is_string), "not all were built: {answer}");
    Ok(contents)
}

/// Steps by names, with something to do and with nothing to do, in check mode, and refused.
fn steps(requests: &[Value], challenged: &Challenged) -> Result<Vec<(&'static str, Step)>> {
    let [first, second, text, late] = requests else { anyhow::bail!("four requests are needed") };
    let module = |name: &'static str, arguments: &Value| Step::Module(name, arguments.clone());
    let check = |name: &'static str, arguments: &Value| {
        let mut arguments = arguments.clone();
        arguments["_ansible_check_mode"] = true.into();
        Step::Module(name, arguments)
    };
    let some = json!({"requests": [{"content": first}, {"content": second}, {"content": text}]});
    let queues = json!({"entries": [entry("first"), entry("second"), {"mode": "accel"}]});
    let lock = json!({"require": ["first", "second", "text"], "exact": true});
    let release = json!({"state": "unbound", "all": true});
    let whole = json!({"queues": queues["entries"], "gather_subset": ["min"]});
    let retrieve = json!({"name": "text", "dest": "/run/text.bin", "format": "bin"});
    let read = |path: &str| Step::Read(path.to_owned());
    let mut steps = vec![
        ("facts, empty", module("facts", &json!({}))),
        ("lock, too early", module("secret_lock", &lock)),
        ("add, in check mode", check("secret_add", &some)),
        ("add", module("secret_add", &some)),
        ("add, again", module("secret_add", &some)),
        ("attest, open", module("attest", &challenged.content)),
        ("bind, in check mode", check("ap_bind", &queues)),
        ("bind", module("ap_bind", &queues)),
        ("bind, again", module("ap_bind", &queues)),
        ("retrieve", module("secret_retrieve", &retrieve)),
        ("lock, in check mode", check("secret_lock", &lock)),
        ("lock", module("secret_lock", &lock)),
        ("lock, again", module("secret_lock", &lock)),
        ("add, too late", module("secret_add", &json!({"content": late}))),
        ("attest, locked", module("attest", &challenged.content)),
        ("facts, served", module("facts", &json!({"probe_lock": true}))),
        ("bound mkvps", read("/sys/devices/ap/card00/00.0005/mkvps")),
        ("bound serialnr", read("/sys/devices/ap/card00/serialnr")),
        ("release", module("ap_bind", &release)),
        ("release, again", module("ap_bind", &release)),
        ("facts, released", module("facts", &json!({}))),
        ("whole", module("guest", &whole)),
        ("whole, again", module("guest", &whole)),
    ];
    for name in QUERY {
        steps.push((name, read(&format!("/sys/firmware/uv/query/{name}"))));
    }
    for path in SYSFS {
        steps.push((path, read(path)));
    }
    Ok(steps)
}

/// Files of `/sys/firmware/uv/query`.
const QUERY: [&str; 15] = [
    "facilities",
    "feature_indications",
    "max_address",
    "max_assoc_secrets",
    "max_cpus",
    "max_guests",
    "max_retr_secrets",
    "max_secrets",
    "supp_add_secret_pcf",
    "supp_add_secret_req_ver",
    "supp_att_pflags",
    "supp_att_req_hdr_ver",
    "supp_se_hdr_pcf",
    "supp_se_hdr_ver",
    "supp_secret_types",
];

/// Other files that the modules read.
const SYSFS: [&str; 14] = [
    "/sys/firmware/uv/prot_virt_guest",
    "/sys/firmware/uv/prot_virt_host",
    "/sys/bus/ap/features",
    "/sys/bus/ap/bindings",
    "/sys/devices/ap/card00/type",
    "/sys/devices/ap/card00/hwtype",
    "/sys/devices/ap/card00/ap_functions",
    "/sys/devices/ap/card00/op_modes",
    "/sys/devices/ap/card00/API_ordinalnr",
    "/sys/devices/ap/card00/FW_version",
    "/sys/devices/ap/card00/00.0005/se_bind",
    "/sys/devices/ap/card00/00.0005/se_associate",
    "/sys/devices/ap/card00/00.0005/reset",
    "/sys/devices/ap/card00/00.0005/ap_functions",
];
