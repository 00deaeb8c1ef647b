//! What is typed on the command line in the folder `playbooks`, with its own `ansible.cfg`.

use crate::support::{Single, associated, warned};
use anyhow::Result;
use e2e::{Controller, Host, Play, can_simulate, place};
use serde_json::{Value, json};
use std::fmt::Write;

/// The sample of the IBM documentation, as a configuration file has it: hex and serial number without quotes.
const SAMPLE: &str = "\
- name: my secret
  description: EP11 secure keys
  mode: EP11
  mkvp: 0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93
  serialnr: 93AADFK719460083
  mingen: CEX8
";

/// The one result of a module that was run on `guest1`.
fn result(play: &Play) -> &Value {
    assert_eq!(play.records.len(), 1, "{}", play.output);
    &play.records[0].result
}

/// Runs a module that must succeed.
fn ok(controller: &Controller, module: &str, arguments: &str) -> Result<Value> {
    let play = controller.ad_hoc(module, arguments)?;
    assert!(play.ok, "{module} {arguments}: {}", play.output);
    Ok(result(&play).clone())
}

/// Puts one association secret into the guest, as the sample names it.
fn with_secret() -> Result<Single> {
    let single = Single::new(json!({}))?;
    let tasks = json!([
        {"name": "Build", "delegate_to": "localhost", "register": "built",
         "seguest.pv.secret_request": {
             "host_keys": "{{ provision_host_keys }}", "certificates": "{{ provision_certificates }}",
             "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": "{{ provision_image }}",
             "name": "my secret", "secret": "{{ ('x' * 32) | b64encode }}", "return_content": true}},
        {"name": "Add", "seguest.pv.secret_add": {"content": "{{ built.requests[0].content }}"}},
    ]);
    let play = single.controller.tasks("guests", &tasks, &[])?;
    assert!(play.ok, "{}", play.output);
    Ok(single)
}

#[test]
fn short_names_and_the_books_sample_work_on_the_command_line() -> Result<()> {
    const TEST: &str = "short_names_and_the_books_sample_work_on_the_command_line";
    if !can_simulate(TEST) {
        return Ok(());
    }
    if place::target()? != place::repository().join("target") {
        println!("skipped: {TEST}: ansible.cfg looks for the collection in ../target, and cargo's folder is elsewhere");
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &with_secret()?;
    let serves = |result: &Value| {
        assert_eq!(result["entries"][0]["status"], "served", "{result}");
        assert_eq!(result["entries"][0]["apqn"], "00.0005");
    };

    // From a file on the controller, and from one on the guest, which here has the same files.
    let config = world.path("queues.yaml");
    std::fs::write(&config, SAMPLE)?;
    let bound = ok(controller, "ap_bind", &format!("src={}", config.display()))?;
    serves(&bound);
    assert_eq!(bound["changed"], true);
    assert_eq!(associated(guest)?.len(), 1);
    let again = ok(controller, "seguest.pv.ap_bind", &format!("config={}", config.display()))?;
    serves(&again);
    assert_eq!(again["changed"], false);

    // As a play's YAML, where 0x and no quotes make a number of the pattern.
    let mut book = "- hosts: guests\n  gather_facts: false\n  tasks:\n  - name: Bind\n".to_owned();
    book.push_str("    seguest.pv.ap_bind:\n      entries:\n");
    SAMPLE.lines().try_for_each(|line| writeln!(book, "      {line}"))?;
    let path = world.path("book.yml");
    std::fs::write(&path, book)?;
    let play = controller.playbook(path.to_str().unwrap(), &[])?;
    serves(play.result("guest1", "Bind")?);

    // On the command line Ansible takes JSON, where hex has to be in quotes.
    let sample = r#"{"entries": [{"name": "my secret", "description": "EP11 secure keys", "mode": "EP11",
        "mkvp": "0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93", "serialnr": "93AADFK719460083", "mingen": "CEX8"}]}"#;
    let inline = ok(controller, "ap_bind", sample)?;
    serves(&inline);
    assert_eq!(inline["changed"], false);

    let unquoted =
        controller.ad_hoc("ap_bind", r#"entries='[{"name": "my secret", "mode": "EP11", "mkvp": 0xdb}]'"#)?;
    let error = &result(&unquoted)["error"];
    assert_eq!(error["code"], "args.invalid");
    assert!(error["detail"].as_str().unwrap().contains("hex values in double quotes"), "{error}");

    let nothing = ok(controller, "ap_bind", r#"{"entries": []}"#)?;
    assert!(warned(&nothing, "config.no_entries"), "{nothing}");
    assert_eq!((&nothing["changed"], associated(guest)?.len()), (&json!(false), 1));

    let facts = ok(controller, "facts", "gather_subset=secrets")?;
    assert_eq!(facts["ansible_facts"]["ansible_secure_execution"]["secrets"]["total"], 1, "{facts}");

    let locked = ok(controller, "seguest.pv.secret_lock", "minimum_secrets=1")?;
    assert_eq!((&locked["changed"], guest.state()?["locked"].as_bool()), (&json!(true), Some(true)));
    Ok(())
}

#[test]
fn every_module_has_documentation_that_ansible_doc_shows() -> Result<()> {
    if !can_simulate("every_module_has_documentation_that_ansible_doc_shows") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let controller = Controller::new(dir.path(), &Host::controller(), &[], &json!({}))?;
    let doc = |arguments: &[&str]| -> Result<String> {
        let output = controller.program("ansible-doc")?.args(["-t", "module"]).args(arguments).output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {stderr}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let listed: Value = serde_json::from_str(&doc(&["--list", "--json", "seguest.pv"])?)?;
    let modules: Vec<_> = listed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(modules.len(), 11, "{modules:?}");
    let shown = doc(&modules)?;
    for part in ["\nOPTIONS ", "\nATTRIBUTES:", "\nEXAMPLES:", "\nRETURN VALUES:"] {
        assert_eq!(shown.matches(part).count(), modules.len(), "{part:?} in {shown}");
    }
    // The marks of Ansible's documentation language are all turned into text.
    for mark in ["V(", "O(", "C(", "M("] {
        assert!(!shown.contains(mark), "{mark} in {shown}");
    }
    Ok(())
}
