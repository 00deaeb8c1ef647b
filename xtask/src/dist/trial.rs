//! Runs the programs for other machines in an emulator, and the same ones of this machine on the same arguments: both
//! must say the same. It shows that they start, and, on s390x, that whatever reads and writes bytes does so in either
//! byte order; an emulator of user programs has no ultravisor and no crypto cards, so it shows nothing of those.

use super::programs::Built;
use super::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use e2e::place;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What of a result is of the moment and not of the arguments.
const OF_THE_MOMENT: [&str; 2] = ["boot_id", "gathered_at"];

/// Compares those for a machine.
///
/// # Errors
/// Naming the module that says something else, with both answers.
pub fn compare(tools: &Toolchain, machine: &str, built: &[Built]) -> Result<()> {
    for foreign in built.iter().filter(|one| one.machine == machine) {
        let native = find(built, "x86_64", foreign.module)?;
        for arguments in arguments(foreign.module)? {
            let mut emulated = tools.emulator(machine);
            emulated.arg(&foreign.path);
            let here = answer(&mut Command::new(&native.path), &arguments)?;
            let there = answer(&mut emulated, &arguments)?;
            ensure!(
                here == there,
                "{} for {machine} and for this machine differ on {arguments}:\n{there}\n{here}",
                foreign.module
            );
        }
    }
    Ok(())
}

/// The program of a module for a machine.
///
/// # Errors
/// If it was not built.
pub fn find<'a>(built: &'a [Built], machine: &str, module: &str) -> Result<&'a Built> {
    let found = built.iter().find(|one| one.machine == machine && one.module == module);
    found.with_context(|| format!("there is no {module} for {machine}"))
}

/// What a module is asked: nothing that changes anything.
fn arguments(module: &str) -> Result<Vec<Value>> {
    let text = |folder: &str| -> Result<Vec<String>> {
        let files = files(&place::repository().join("tests/fuzz/corpus").join(folder))?;
        Ok(files.into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect())
    };
    let requests = || -> Result<Vec<String>> {
        Ok(files(&place::repository().join("tests/fuzz/corpus/request"))?.into_iter().map(|(path, _)| path).collect())
    };
    let mut all = match module {
        "facts" => vec![json!({})],
        "guest" => text("queue_config")?.into_iter().map(|text| json!({"config_content": text})).collect(),
        "secret_lock" => vec![json!({"require": [{"name": "my secret"}]})],
        "secret_retrieve" => vec![json!({"name": "my secret", "dest": "/nonexistent/secret"})],
        "attest" => vec![json!({"content": "cHZhdHRlc3Q="})],
        "secret_add" => requests()?.into_iter().map(|path| json!({"path": path})).collect(),
        "ap_bind" => text("queue_config")?.into_iter().map(|text| json!({"config_content": text})).collect(),
        "request_info" => requests()?.into_iter().map(|path| json!({"path": path})).collect(),
        "secret_request" => vec![json!({"name": "my secret", "path": "/nonexistent/request"})],
        "attest_request" => vec![json!({"path": "/nonexistent/request", "host_keys": ["/nonexistent/host.crt"]})],
        "attest_verify" => vec![
            json!({"path": "/nonexistent/answer", "request": "/nonexistent/request", "image": "/nonexistent/image"}),
        ],
        other => bail!("nothing is known to ask {other}"),
    };
    all.push(json!({"no_such_option": 1}));
    for arguments in &mut all {
        for mode in ["_ansible_check_mode", "_ansible_diff"] {
            arguments[mode] = true.into();
        }
    }
    Ok(all)
}

fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        files.push((path.to_string_lossy().into_owned(), fs::read(&path)?));
    }
    files.sort();
    Ok(files)
}

/// What a module says to arguments on its standard input, with its exit code, less what is of the moment.
///
/// # Errors
/// If it does not answer in JSON, with all that it said.
pub fn answer(command: &mut Command, arguments: &Value) -> Result<Value> {
    let mut child = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(arguments.to_string().as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let mut answer: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{command:?} ended with {} and said {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    forget(&mut answer);
    Ok(json!({"code": output.status.code(), "answer": answer}))
}

/// Removes what is of the moment.
pub fn forget(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in OF_THE_MOMENT {
                map.remove(key);
            }
            map.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}
