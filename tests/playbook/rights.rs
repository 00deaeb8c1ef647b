//! Nightly runs as a user who has no rights in the guest: they tell what they can and change nothing.

use crate::support::{MAKE, Single, asked, error};
use anyhow::Result;
use e2e::can_simulate;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const BIND: &str = "Bind";
const FACTS: &str = "Gather the guest's facts";
const LOCK: &str = "Lock";

#[test]
fn a_user_without_rights_gets_facts_and_clear_refusals_and_changes_nothing() -> Result<()> {
    const TEST: &str = "a_user_without_rights_gets_facts_and_clear_refusals_and_changes_nothing";
    if !can_simulate(TEST) {
        return Ok(());
    }
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        println!("skipped: {TEST}: in a simulated guest only root can become another user");
        return Ok(());
    }
    let host = json!({"ansible_become": true, "ansible_become_method": "su", "ansible_become_user": "nobody",
                      "ansible_become_flags": "-s /bin/sh"});
    let Single { guest, controller, .. } = &Single::new(host)?;
    let as_root = controller.playbook("provision.yml", &["--extra-vars", "ansible_become=false"])?;
    assert!(as_root.ok, "{}", as_root.output);
    // The binaries of a user without a home go to /tmp; this one ends with the guest.
    guest.own_folder(Path::new("/tmp"))?;
    assert!(guest.run(Path::new("/bin/chmod"), &["1777", "/tmp"], b"")?.status.success());
    let (state, log) = (guest.state()?, guest.log()?.len());

    let nightly = controller.playbook("provision.yml", &["--check", "--diff"])?;
    assert!(!nightly.ok);
    assert_eq!(error(&nightly, "guest1", MAKE)?["code"], "uv.not_permitted");

    let tasks = json!([
        {"name": FACTS, "seguest.pv.facts": {}},
        {"name": LOCK, "seguest.pv.secret_lock": {"minimum_secrets": 1}, "ignore_errors": true},
        {"name": BIND, "seguest.pv.ap_bind": {"entries": "{{ provision_queues }}"}, "ignore_errors": true},
    ]);
    for arguments in [&["--check"][..], &[]] {
        let play = controller.tasks("guests", &tasks, arguments)?;
        let facts = &play.result("guest1", FACTS)?["ansible_facts"]["ansible_secure_execution"];
        assert_eq!(facts["role"], "guest", "{}", play.output);
        // The lock is on record for everybody; what is in the store is not.
        assert_eq!((&facts["secrets"]["locked"], &facts["secrets"]["list"]), (&json!(true), &Value::Null), "{facts}");
        let codes: Vec<_> = facts["problems"].as_array().unwrap().iter().map(|problem| &problem["code"]).collect();
        assert_eq!(codes, ["uv.not_permitted"]);
        // What everybody may read is there all the same.
        assert_eq!(facts["ap"]["queues"].as_array().unwrap().len(), 5, "{facts}");
        // Check mode binds nothing, but needs the store.
        let no_binding = if arguments.is_empty() { "ap.not_permitted" } else { "uv.not_permitted" };
        for (task, code) in [(LOCK, "uv.not_permitted"), (BIND, no_binding)] {
            let error = error(&play, "guest1", task)?;
            assert_eq!(error["code"], code, "{task}: {error}");
            assert!(error["hint"].as_str().unwrap().contains("become"), "{error}");
        }
        assert_eq!(play.changes(), Vec::<String>::new());
    }
    assert_eq!((guest.state()?, asked(guest, log)?), (state, BTreeSet::new()));
    Ok(())
}
