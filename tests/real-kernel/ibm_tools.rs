//! IBM's own pvsecret and pvapconfig in the same guests, where the environment names a folder with them.

use crate::scenario::{CUID, MACHINE, entry, requests};
use crate::{laboratory, new_folder};
use anyhow::{Context, Result, bail};
use e2e::lab::{Equipment, Outcome, Step};
use e2e::{Guest, World, fleet_cards};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Names a folder with `pvsecret` and `pvapconfig` for s390x, linked statically.
const TOOLS: &str = "SEGUEST_IBM_TOOLS";

const NAMES: [&str; 2] = ["pvsecret", "pvapconfig"];

/// Has the shell say how long a command took, in hundredths of a second since the boot.
fn timed(command: &str) -> String {
    format!(
        "read from rest < /proc/uptime; {command}; code=$?; read to rest < /proc/uptime; echo \"took $from $to\"; (exit $code)"
    )
}

fn steps(requests: &[Value]) -> Result<Vec<(&'static str, Step)>> {
    let [first, second, _, late] = requests else { bail!("four requests are needed") };
    let raw = |request: &Value| vec![("request.b64", request.clone())];
    let pvsecret = "base64 -d < request.b64 > request && ";
    let shell = |commands: &str, files| Step::Shell(commands.to_owned(), files);
    let entries = json!([entry("first"), entry("second"), {"mode": "accel"}]);
    // What is JSON is YAML, and no key of theirs is unknown to the other.
    let config = || vec![("config", entries.to_string().into())];
    let ours = |entries: &Value| Step::Module("ap_bind", json!({"config_content": entries.to_string(), "timeout": 20}));
    let release = || Step::Module("ap_bind", json!({"state": "unbound", "all": true}));
    let ours_timed = |program: &str, arguments: Value| {
        shell(&timed(&format!("{program} - < arguments")), vec![("arguments", arguments)])
    };
    Ok(vec![
        ("our add", ours_timed("secret_add", json!({"content": first}))),
        ("their add", shell(&format!("{pvsecret}{}", timed("pvsecret add request")), raw(second))),
        ("our list", Step::Module("facts", json!({"gather_subset": ["secrets"]}))),
        ("their list", shell("pvsecret list", Vec::new())),
        ("our add of what they added", Step::Module("secret_add", json!({"content": second}))),
        ("their binding", shell(&timed("pvapconfig --config config"), config())),
        ("state by them", Step::State),
        ("our binding after theirs", ours(&entries)),
        ("our nothing", ours_timed("ap_bind", json!({"config_content": entries.to_string()}))),
        ("their nothing", shell(&timed("pvapconfig --config config"), config())),
        ("release", release()),
        ("our binding", ours_timed("ap_bind", json!({"config_content": entries.to_string(), "timeout": 20}))),
        ("state by us", Step::State),
        ("their binding after ours", shell("pvapconfig --config config", config())),
        ("state after theirs", Step::State),
        // Whoever comes while the other one is at work leaves the queues alone.
        ("slow firmware", Step::Set("delays: {bind_ms: 500}".into())),
        ("release again", release()),
        (
            "both at once",
            shell(
                "pvapconfig --config config > theirs 2>&1 & p=$!; \
                 for i in $(seq 200); do [ -e /run/lock/pvapconfig.lock ] && break; usleep 10000; done; \
                 ap_bind - < arguments; wait $p || cat theirs",
                [config(), vec![("arguments", json!({"config_content": entries.to_string(), "timeout": 20}))]].concat(),
            ),
        ),
        ("fast firmware", Step::Set("delays: {bind_ms: 2}".into())),
        ("their lock", shell(&timed("pvsecret lock"), Vec::new())),
        ("our lock after theirs", Step::Module("secret_lock", json!({"require": ["first", "second"]}))),
        ("our add after their lock", Step::Module("secret_add", json!({"content": late}))),
        ("state, locked", Step::State),
    ])
}

/// Milliseconds that a step says it took.
fn took(outcome: &Outcome) -> Option<f64> {
    let (_, times) = outcome.said.as_str()?.split_once("took ")?;
    let (from, to) = times.lines().next()?.split_once(' ')?;
    Some((to.parse::<f64>().ok()? - from.parse::<f64>().ok()?) * 1e3)
}

fn beside_ibms_tools(kernel: &str) -> Result<()> {
    let Some(folder) = std::env::var_os(TOOLS).map(PathBuf::from) else {
        println!(
            "skipped: NOTHING WAS COMPARED WITH IBM'S TOOLS on kernel {kernel}: {TOOLS} names no folder with pvsecret and pvapconfig for s390x"
        );
        return Ok(());
    };
    let Some(lab) = laboratory(kernel) else { return Ok(()) };
    let world = World::new(&new_folder(), &[MACHINE])?;
    let steps = steps(&requests(&world)?)?;
    let plain: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
    let scenario = format!("ultravisor: {{cuid: \"{CUID}\"}}\n{}", fleet_cards());
    let machine = Guest::start_machine(&world, "real", MACHINE, "image", &scenario)?;
    let read = |name: &str| -> Result<_> {
        let path = folder.join(name);
        Ok((format!("bin/{name}"), 0o755, std::fs::read(&path).with_context(|| path.display().to_string())?))
    };
    let before = "mkdir -p /run/lock\n".to_owned();
    let equipment =
        Equipment { files: NAMES.into_iter().map(read).collect::<Result<_>>()?, before, ..Equipment::default() };
    let outcomes = lab.run_with(kernel, &machine, &plain, &equipment, |_| bail!("nothing is done from outside"))?;
    let of = |name: &str| {
        let at = steps.iter().position(|(found, _)| *found == name);
        &outcomes[at.expect(name)]
    };
    for name in ["our add", "their add", "their list", "their binding", "their nothing", "our binding", "their lock"] {
        assert_eq!(of(name).code, 0, "{name}: {}", of(name).said);
    }

    let ours = &of("our list").said["ansible_facts"]["ansible_secure_execution"]["secrets"]["list"];
    let theirs = of("their list").said.as_str().unwrap_or_default();
    let ids: Vec<_> = ours.as_array().into_iter().flatten().filter_map(|secret| secret["id"].as_str()).collect();
    assert_eq!(ids.len(), 2, "{ours}");
    assert!(
        theirs.contains("Total number of secrets: 2") && ids.iter().all(|id| theirs.contains(id)),
        "{ids:?} {theirs}"
    );
    assert_eq!(of("our add of what they added").said["changed"], false);

    let queues = |step: &str| {
        let queues = of(step).said["queues"].as_array().cloned().unwrap_or_default();
        let count = |state: &str| queues.iter().filter(|queue| queue["state"] == state).count();
        (count("associated"), count("bound"))
    };
    for step in ["state by them", "state by us", "state after theirs", "state, locked"] {
        assert_eq!(queues(step), (2, 1), "{step}");
    }
    assert_eq!(of("our binding after theirs").said["changed"], false, "{}", of("our binding after theirs").said);
    assert_eq!(of("state after theirs").said["queues"], of("state by us").said["queues"]);
    let both = of("both at once").said.as_str().unwrap_or_default();
    assert!(both.contains("ap.in_use_by_another"), "{both}");

    assert_eq!(of("our lock after theirs").said["changed"], false);
    assert_eq!(of("our add after their lock").said["error"]["code"], "uv.store_locked");

    for (what, ours, theirs) in [
        ("add", "our add", "their add"),
        ("bind 3 queues", "our binding", "their binding"),
        ("nothing to do", "our nothing", "their nothing"),
    ] {
        let (ours, theirs) = (took(of(ours)).context("no time")?, took(of(theirs)).context("no time")?);
        println!("kernel {kernel}, {what}: ours {ours:.0} ms, IBM's {theirs:.0} ms");
    }
    Ok(())
}

#[test]
fn ibms_tools_and_ours_work_on_the_same_guest_with_kernel_6_12() -> Result<()> {
    beside_ibms_tools("6.12")
}

#[test]
fn ibms_tools_and_ours_work_on_the_same_guest_with_kernel_7_2() -> Result<()> {
    beside_ibms_tools("7.2")
}
