//! Runs the guests' programs for s390x as they ship in a simulated guest on Debian's kernel for s390x, and those for this
//! machine in a simulated guest here, with requests that `secret_request` for s390x built. Step by step both must say
//! the same, and in the end leave the same behind. So ioctls, attributes and files are tried in either byte order; only
//! the simulator's answers, not those of an ultravisor or of crypto cards.

use super::kernel::Kernel;
use super::programs::Built;
use super::toolchain::Toolchain;
use super::trial::{answer, find, forget};
use anyhow::{Context, Result, ensure};
use e2e::{Archive, Guest, WANTED_KEY, World, fleet_cards};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const MACHINE: &str = "machine1";
const SCENARIO: &str = "trial";

/// What happens in a guest.
#[derive(Debug)]
enum Step {
    /// A module is run with these arguments.
    Module(&'static str, Value),
    /// The guest is booted anew.
    Reboot,
}

/// Compares them.
///
/// # Errors
/// Naming the step at which they differ, with both answers.
pub fn compare(tools: &Toolchain, kernel: &Kernel, simulator: &Path, built: &[Built]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let world = World::new(&dir.path().join("world"), &[MACHINE])?;
    let steps = steps(&requests(tools, &world, built)?)?;
    let here = here(&world, built, &steps)?;
    let there = there(kernel, simulator, &world, built, &steps)?;
    for ((step, here), there) in steps.iter().map(name).chain(["state", "log"]).zip(&here).zip(&there) {
        ensure!(here == there, "{step}: for s390x and for this machine the outcomes differ:\n{there}\n{here}");
    }
    ensure!(here.len() == there.len(), "{} outcomes for s390x, {} for this machine", there.len(), here.len());
    Ok(())
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Module(module, _) => module,
        Step::Reboot => "reboot",
    }
}

/// Requests as `content`: two association secrets, one to be retrieved, and a fourth that comes too late.
fn requests(tools: &Toolchain, world: &World, built: &[Built]) -> Result<Vec<Value>> {
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
    let mut command = tools.emulator("s390x");
    command.arg(&find(built, "s390x", "secret_request")?.path).env("XDG_STATE_HOME", world.path("state"));
    let answer = answer(&mut command, &arguments)?;
    let requests = answer["answer"]["requests"].as_array().context("secret_request for s390x built no requests")?;
    let contents: Vec<_> = requests.iter().map(|request| request["content"].clone()).collect();
    ensure!(contents.len() == 4 && contents.iter().all(Value::is_string), "not all were built: {answer}");
    Ok(contents)
}

fn scenario() -> String {
    let cuid = "00112233445566778899aabbccddeeff";
    format!("kernel: {{retrieve: true}}\nultravisor: {{cuid: \"{cuid}\"}}\n{}", fleet_cards())
}

/// Each module with something to do and with nothing to do, in check mode, refused, and after a boot.
fn steps(requests: &[Value]) -> Result<Vec<Step>> {
    use Step::{Module, Reboot};
    let [first, second, text, late] = requests else { anyhow::bail!("four requests are needed") };
    let some = json!({"requests": [{"content": first}, {"content": second}, {"content": text}]});
    let with = |arguments: &Value, mode: &str| {
        let mut arguments = arguments.clone();
        arguments[mode] = true.into();
        arguments
    };
    let entry = |name: &str| json!({"name": name, "mode": "ep11", "mkvp": format!("0x{WANTED_KEY}")});
    let queues = json!({"entries": [entry("first"), entry("second"), {"mode": "accel"}]});
    let lock = json!({"require": ["first", "second", "text"], "exact": true});
    let whole = json!({
        "secrets": [{"name": "first", "content": first}, {"name": "second", "content": second}],
        "queues": queues["entries"], "gather_subset": ["min"],
    });
    let retrieve = |format: &str| json!({"name": "text", "dest": format!("/run/text.{format}"), "format": format});
    Ok(vec![
        Module("facts", json!({})),
        Module("secret_lock", lock.clone()),
        Module("secret_add", with(&some, "_ansible_check_mode")),
        Module("secret_add", with(&some, "_ansible_diff")),
        Module("secret_add", some.clone()),
        Module("facts", json!({"bind_to_inspect": true})),
        Module("ap_bind", with(&queues, "_ansible_check_mode")),
        Module("ap_bind", with(&queues, "_ansible_diff")),
        Module("ap_bind", queues.clone()),
        Module("secret_retrieve", retrieve("bin")),
        Module("secret_retrieve", retrieve("bin")),
        Module("secret_retrieve", retrieve("pem")),
        Module("secret_lock", with(&lock, "_ansible_check_mode")),
        Module("secret_lock", lock.clone()),
        Module("secret_lock", lock),
        Module("secret_add", json!({"content": late})),
        Module("facts", json!({"probe_lock": true})),
        Reboot,
        Module("facts", json!({})),
        Module("secret_add", some),
        Module("ap_bind", queues),
        Module("ap_bind", json!({"state": "unbound", "all": true})),
        Reboot,
        Module("guest", with(&whole, "_ansible_check_mode")),
        Module("guest", with(&whole, "_ansible_diff")),
        Module("guest", whole.clone()),
        Module("guest", with(&whole, "_ansible_check_mode")),
    ])
}

fn here(world: &World, built: &[Built], steps: &[Step]) -> Result<Vec<Value>> {
    let guest = Guest::start(world, SCENARIO, MACHINE, &scenario())?;
    let outcome = |step: &Step| match step {
        Step::Module(module, arguments) => {
            let module = &find(built, "x86_64", module)?.path;
            let output = guest.run(module, &["-"], arguments.to_string().as_bytes())?;
            outcome(output.status.code(), &String::from_utf8_lossy(&output.stdout))
        }
        Step::Reboot => guest.reboot().map(|()| Value::Null),
    };
    let mut outcomes = steps.iter().map(outcome).collect::<Result<Vec<_>>>()?;
    // In the emulated machine time enough goes by for that.
    outcomes.push(timeless(guest.until_reset()?));
    outcomes.push(events(guest.log()?));
    Ok(outcomes)
}

fn there(kernel: &Kernel, simulator: &Path, world: &World, built: &[Built], steps: &[Step]) -> Result<Vec<Value>> {
    let mut files = Archive::default();
    for folder in ["bin", "dev", "proc", "run", "sys", "tmp", "trial"] {
        files.folder(folder);
    }
    files.file("bin/guest-sim", 0o755, &fs::read(simulator)?);
    for one in built.iter().filter(|one| one.machine == "s390x" && one.found.glibc.is_none()) {
        files.file(&format!("bin/{}", one.module), 0o755, &fs::read(&one.path)?);
    }
    for name in [format!("{SCENARIO}.yaml"), format!("{MACHINE}.key"), "image.sim".into()] {
        files.file(&format!("trial/{name}"), 0o600, &fs::read(world.path(&name))?);
    }
    // One line for each outcome, however long.
    let mut script = String::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Module(module, arguments) => {
                files.file(&format!("trial/{at}"), 0o600, arguments.to_string().as_bytes());
                writeln!(script, "said=$({module} - < {at}); echo \"@@ outcome $? $said\"")?;
            }
            Step::Reboot => writeln!(script, "guest-sim reboot --dir /tmp/guest; echo \"@@ outcome $? null\"")?,
        }
    }
    files.file("trial/inside", 0o600, script.as_bytes());
    let printed = kernel.run(
        files,
        &format!(
            "guest-sim run --scenario {SCENARIO}.yaml --dir /tmp/guest --name {SCENARIO} -- sh inside\n\
             echo \"@@ state $(guest-sim state --dir /tmp/guest)\"\n\
             guest-sim log --dir /tmp/guest | sed 's/^/@@ log /'\n"
        ),
    )?;
    let told = |what: &'static str| {
        let said = printed.iter().filter_map(|line| line.strip_prefix("@@ "));
        said.filter_map(move |line| line.strip_prefix(what)?.strip_prefix(' '))
    };
    let mut outcomes = Vec::new();
    for line in told("outcome") {
        let (code, said) = line.split_once(' ').context("an outcome without a code")?;
        outcomes.push(if said == "null" { Value::Null } else { outcome(code.parse().ok(), said)? });
    }
    let state = told("state").next().context("the simulator in the emulated machine told no state")?;
    outcomes.push(timeless(serde_json::from_str(state)?));
    outcomes.push(events(told("log").map(serde_json::from_str).collect::<Result<_, _>>()?));
    Ok(outcomes)
}

fn outcome(code: Option<i32>, said: &str) -> Result<Value> {
    let answer = serde_json::from_str(said).with_context(|| format!("a module ended with {code:?} and said {said}"))?;
    Ok(json!({"code": code, "answer": timeless(answer)}))
}

fn timeless(mut value: Value) -> Value {
    forget(&mut value);
    value
}

/// What the simulator was asked, less what is of the moment. Queues are served at once, so in no order.
fn events(log: Vec<Value>) -> Value {
    let of_interest =
        |event: Value| json!([event["what"], event["name"], event["value"], event["uv_rc"], event["errno"]]);
    // A boot's value is the new boot id.
    let asked = log.into_iter().filter(|event| event["what"] != "reboot");
    let mut events: Vec<_> = asked.map(|event| of_interest(event).to_string()).collect();
    events.sort();
    events.into()
}
