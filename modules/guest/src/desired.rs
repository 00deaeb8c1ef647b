//! What the options ask for, checked before anything is looked at.

use crate::options::{Options, Secret};
use ansible_contract::{HexText, NameText, codes as args, to_base64};
use fault::{Fault, Result};
use guest_state::boot_files::{self, Installed};
use guest_state::lock::Guard;
use guest_state::queues::{self, Aim, Entry, Freedom, Source};
use guest_state::store::{self, Given, Request, Requirement, Wanted};
use guest_state::whole::{Desired, Queues};
use guest_state::{evidence, facts};
use pv_guest::ap::steps::{Manner, WhenBusy};
use serde::Serialize;
use std::time::Duration;

/// What the options ask for. Every request and every entry is read and checked here.
///
/// # Errors
/// `args.*`, `config.*`, `request.*`, `file.*`, `boot.not_repeatable`.
pub fn desired(options: Options, check_mode: bool) -> Result<Desired> {
    if !options.variables_from.is_empty() {
        return Err(Fault::new(
            args::SRC_NEEDS_COLLECTION,
            "The option variables_from names variables of the controller, which the module on the guest does not know.",
        )
        .hint(
            "Call the module by its full name, seguest.pv.guest, so that the collection's action plugin looks them up.",
        ));
    }
    let mut secrets = Vec::new();
    for (at, secret) in options.secrets.iter().cloned().enumerate() {
        let who = format!("secrets[{at}]");
        let Secret { name, id, path, content, src, label, error, force, pending } = secret;
        if error.is_some() {
            return Err(Fault::new(args::SRC_NEEDS_COLLECTION, format!("{who} has no request, only the error from building it."))
                .hint("Call the module by its full name, seguest.pv.guest, so that the collection's action plugin reports it."));
        }
        let known_as = Requirement::of(&who, name, id)?;
        let request = Request { path, content, src, label, pending };
        secrets.push(store::load(&who, request, known_as, force, check_mode)?);
    }
    each_once(&secrets)?;
    let guard = (options.lock && !secrets.is_empty())
        .then(|| Guard::new(secrets.iter().filter_map(Wanted::requirement).collect(), options.lock_exact, 0));
    let timeout = Duration::from_secs(options.timeout);
    let (entries, queues) = queues(&options, timeout, check_mode)?;
    let boot_files = match options.at_boot {
        None => None,
        Some(true) if !secrets.is_empty() || !matches!(queues, Queues::Any) => {
            Some(boot_files::Desired::Installed(installed(&options, &secrets, &entries, &queues)?))
        }
        // With nothing to do there is nothing to run.
        Some(_) => Some(boot_files::Desired::Removed),
    };
    let facts = if options.gather_subset.is_empty() { None } else { Some(facts::parts(&options.gather_subset)?) };
    let machines =
        options.host_key_hashes.iter().enumerate().map(|(at, hash)| key_hash(at, hash)).collect::<Result<_>>()?;
    let attest = options.attest.clone().map(|challenge| evidence::load("attest", challenge, check_mode)).transpose()?;
    let proved_only = options.proved_only;
    Ok(Desired { machines, secrets, proved_only, guard, queues, boot_files, attest, facts, timeout })
}

/// That no secret is asked for twice by what it is known as: its second request would be added to no purpose.
fn each_once(secrets: &[Wanted]) -> Result<()> {
    for (at, secret) in secrets.iter().enumerate() {
        let twin = |other: &Wanted| !secret.force && other.known_as.is_some() && other.known_as == secret.known_as;
        if let Some(first) = secrets.iter().take(at).position(twin) {
            return Err(Fault::new(
                args::CONFLICT,
                format!("secrets[{first}] and secrets[{at}] are the same secret by name or id."),
            )
            .hint("Name each secret once; with force a second request of it is added."));
        }
    }
    Ok(())
}

fn key_hash(at: usize, hash: &HexText<64, 64>) -> Result<[u8; 32]> {
    let bytes = pv_wire::decode_hex(hash.0.trim()).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Fault::new(args::INVALID, format!("The option host_key_hashes[{at}] must be 64 hex digits."))
            .hint("A machine shows the hash of its host key in /sys/firmware/uv/keys. Write it in quotes.")
    })
}

fn queues(options: &Options, timeout: Duration, check_mode: bool) -> Result<(Vec<Entry>, Queues)> {
    let source = Source {
        // An empty list asks for nothing, like none.
        entries: options.queues.clone().filter(|list| !list.is_empty()),
        config: options.queues_config.clone(),
        src: options.queues_src.clone(),
        config_content: options.config_content.clone(),
    };
    let entries = match source.entries(["queues", "queues_config", "queues_src"]) {
        Err(fault) if check_mode && queues::codes::is_missing(&fault) => return Ok((Vec::new(), Queues::Later(fault))),
        given => given?.unwrap_or_default(),
    };
    if entries.is_empty() {
        if options.exclusive {
            return Err(Fault::new(
                queues::codes::EMPTY_EXCLUSIVE,
                "The list of queues is empty, and exclusive would release every queue that the guest holds.",
            )
            .hint("To release all queues, use seguest.pv.ap_bind with state=unbound and all=true."));
        }
        return Ok((entries, Queues::Any));
    }
    let wanted = queues::check("queues", &entries)?;
    queues::each_its_own(&wanted)?;
    let Options { exclusive, rebalance, strict, when_busy, .. } = *options;
    let aim = Aim::Serve(Freedom { exclusive, rebalance });
    let manner = Manner { timeout, when_busy };
    Ok((entries, Queues::Wanted(queues::Desired { wanted, aim, strict, manner })))
}

/// What the guest is to run at each boot: this very task, with all that it needs.
fn installed(options: &Options, secrets: &[Wanted], entries: &[Entry], queues: &Queues) -> Result<Installed> {
    let before: Vec<String> = options.at_boot_before.iter().map(|name| name.trim().to_owned()).collect();
    boot_files::check_units("at_boot_before", &before)?;
    if let Some(at) = secrets.iter().position(|secret| secret.request == Given::None) {
        let detail = format!("secrets[{at}] has no request, and at each boot the secret store is empty.");
        return Err(Fault::new(boot_files::codes::NOT_REPEATABLE, detail)
            .hint("Give its request (path, content or src), or leave at_boot out."));
    }
    let is_known = secrets.iter().all(|secret| secret.loaded().is_some()) && !matches!(queues, Queues::Later(_));
    let arguments = is_known.then(|| arguments(options, secrets, entries));
    Ok(Installed { program: boot_files::this_program()?, arguments, before })
}

/// This task as a module's arguments, without what only concerns how it was called.
fn arguments(options: &Options, secrets: &[Wanted], entries: &[Entry]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        secrets: Vec<Kept<'a>>,
        lock: bool,
        lock_exact: bool,
        proved_only: bool,
        queues: &'a [Entry],
        exclusive: bool,
        rebalance: bool,
        strict: bool,
        when_busy: WhenBusy,
        timeout: u64,
        host_key_hashes: &'a [HexText<64, 64>],
    }
    #[derive(Serialize)]
    struct Kept<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a NameText>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a HexText<64, 64>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<&'a str>,
        force: bool,
        content: String,
    }
    let secrets = options.secrets.iter().zip(secrets).map(|(given, wanted)| Kept {
        name: given.name.as_ref(),
        id: given.id.as_ref(),
        label: given.label.as_deref(),
        force: given.force,
        content: wanted.loaded().map(|loaded| to_base64(&loaded.bytes)).unwrap_or_default(),
    });
    let Options { lock, lock_exact, proved_only, exclusive, rebalance, strict, when_busy, timeout, .. } = *options;
    let arguments = Arguments {
        secrets: secrets.collect(),
        lock,
        lock_exact,
        proved_only,
        queues: entries,
        exclusive,
        rebalance,
        strict,
        when_busy,
        timeout,
        host_key_hashes: &options.host_key_hashes,
    };
    // Nothing in it can fail to be JSON.
    let mut text = serde_json::to_vec_pretty(&arguments).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> Result<Desired> {
        desired(serde_json::from_str(json).unwrap(), false)
    }

    fn code(json: &str) -> &'static str {
        asked(json).unwrap_err().code.name
    }

    #[test]
    fn nothing_is_asked_for_by_default() {
        let nothing = asked("{}").unwrap();
        assert!(nothing.secrets.is_empty() && nothing.guard.is_none() && nothing.boot_files.is_none());
        assert!(matches!(nothing.queues, Queues::Any));
        assert!(matches!(asked(r#"{"queues": []}"#).unwrap().queues, Queues::Any));
    }

    #[test]
    fn the_lock_is_only_for_secrets_and_can_be_left_out() {
        assert!(asked(r#"{"secrets": [{"name": "a"}]}"#).unwrap().guard.is_some());
        assert!(asked(r#"{"secrets": [{"name": "a"}], "lock": false}"#).unwrap().guard.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_anything_is_looked_at() {
        assert_eq!(code(r#"{"secrets": [{}]}"#), "args.missing");
        assert_eq!(code(r#"{"secrets": [{"name": "a"}, {"name": "a"}]}"#), "args.conflict");
        assert_eq!(code(r#"{"variables_from": ["guest_"]}"#), "args.src_needs_collection");
        assert_eq!(code(r#"{"exclusive": true}"#), "args.empty_exclusive");
        assert_eq!(
            code(r#"{"queues": [{"mode": "accel", "apqn": "00.0005"}, {"mode": "accel", "apqn": "00.0005"}]}"#),
            "config.queue_twice"
        );
        assert_eq!(code(r#"{"queues": [{"mode": "accel"}], "queues_config": "/x"}"#), "args.conflict");
        assert_eq!(code(r#"{"queues": [{"mode": "accel", "mingen": "8"}]}"#), "config.invalid_entry");
        assert_eq!(code(r#"{"host_key_hashes": ["12"]}"#), "args.invalid");
        assert_eq!(code(r#"{"attest": {}}"#), "args.missing");
        assert_eq!(code(r#"{"attest": {"content": "AAAA"}}"#), "attest.malformed");
        assert_eq!(code(r#"{"gather_subset": ["everything"]}"#), "args.invalid");
        assert_eq!(code(r#"{"secrets": [{"name": "a"}], "at_boot": true}"#), "boot.not_repeatable");
        assert_eq!(
            code(r#"{"queues": [{"mode": "accel"}], "at_boot": true, "at_boot_before": ["x"]}"#),
            "args.invalid"
        );
    }

    #[test]
    fn what_runs_at_boot_asks_for_the_same() {
        let json =
            r#"{"queues": [{"mode": "accel", "mingen": "cex8"}], "at_boot": true, "exclusive": true, "timeout": 7}"#;
        let now = asked(json).unwrap();
        let Some(boot_files::Desired::Installed(installed)) = now.boot_files else { panic!("not installed") };
        let kept: Options = serde_json::from_slice(&installed.arguments.unwrap()).unwrap();
        let then = desired(kept, false).unwrap();
        assert!(then.boot_files.is_none());
        let (Queues::Wanted(now), Queues::Wanted(then)) = (now.queues, then.queues) else { panic!("no queues") };
        assert_eq!((now.wanted, now.aim, now.manner.timeout), (then.wanted, then.aim, then.manner.timeout));
    }
}
