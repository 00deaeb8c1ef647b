//! Variables of roles and playbooks, in every way in which they can be given: typed, as text as `-e`, an inventory in INI and a
//! survey hand them over, and as what they must not be.

use crate::support::{MAKE, Single, contents, secrets, steps};
use anyhow::{Context, Result};
use e2e::{Play, can_simulate};
use serde_json::{Value, json};
use std::fs;

const BUILD: &str = "Build the requests";

/// Runs `provision.yml` for the trusted machine alone, with these variables over its own.
fn built(single: &Single, vars: &Value) -> Result<Play> {
    single.controller.playbook("provision.yml", &["--limit", "trusted", "--extra-vars", &vars.to_string()])
}

fn text(value: &Value) -> String {
    let words = value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
    words.unwrap_or_else(|| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[test]
fn what_is_built_from_text_is_what_is_built_from_lists_and_booleans() -> Result<()> {
    if !can_simulate("what_is_built_from_text_is_what_is_built_from_lists_and_booleans") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    let cck = single.world.path("cck");
    fs::write(&cck, [7; 32])?;
    fs::set_permissions(&cck, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let pki = |name: &str| single.world.path(&format!("pki/{name}"));
    let documents = json!([pki("machine1.crt"), pki("machine2.crt")]);
    let typed = json!({
        "provision_host_keys": documents,
        "provision_certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "provision_crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "provision_cck_file": cck,
        "provision_download_crls": false,
        "provision_lock": true,
    });
    let first = built(single, &typed)?;
    assert!(first.ok, "{}", first.output);
    // The requests are bound to the CCK: it was not ignored.
    let requests = &first.result("localhost", BUILD)?["requests"];
    assert!(!first.output.contains("its origin is not proved"), "{}", first.output);
    let hashes: Vec<&Value> =
        requests[0]["host_keys"].as_array().context("no keys")?.iter().map(|key| &key["hash"]).collect();

    let mut as_text: Value = typed
        .as_object()
        .context("no variables")?
        .iter()
        .map(|(name, value)| (name.clone(), text(value).into()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    as_text["provision_host_key_hashes"] = text(&json!(hashes)).into();
    let second = built(single, &as_text)?;
    assert!(second.ok, "{}", second.output);
    assert_eq!(second.changes(), Vec::<String>::new(), "text means something else");
    // And the hashes count: with those of another machine, nothing is built.
    as_text["provision_host_key_hashes"] = "ab".repeat(32).into();
    let refused = built(single, &as_text)?;
    assert!(
        !refused.ok && refused.result("localhost", BUILD)?["requests"][0]["error"]["code"] == "hkd.not_listed",
        "{}",
        refused.output
    );
    Ok(())
}

/// Runs the role `request` by itself, with these variables over its own.
fn role(single: &Single, vars: &Value) -> Result<Play> {
    let of = |name: &str| format!("{{{{ provision_{name} }}}}");
    let folder = |name: &str| single.world.path(&format!("trusted/{name}"));
    let usual = json!({"request_secrets": [{"name": "cluster key"}], "request_image": of("image"),
        "request_host_keys": of("host_keys"), "request_certificates": of("certificates"), "request_crls": of("crls"),
        "request_root_ca": of("root_ca"), "request_create_secret": true,
        "request_folder": folder("requests"), "request_secret_folder": folder("secrets")});
    let tasks =
        json!([{"name": "Build", "ansible.builtin.import_role": {"name": "seguest.pv.request"}, "vars": usual}]);
    single.controller.tasks("trusted", &tasks, &["--extra-vars", &vars.to_string()])
}

#[test]
fn variables_of_the_wrong_kind_are_named_and_nothing_is_built() -> Result<()> {
    if !can_simulate("variables_of_the_wrong_kind_are_named_and_nothing_is_built") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    for (variable, wrong) in [
        ("request_host_keys", json!({"a": 1})),
        ("request_certificates", json!({"a": 1})),
        ("request_crls", json!({"a": 1})),
        ("request_host_key_hashes", json!({"a": 1})),
        ("request_root_ca", json!(["a"])),
        ("request_history", json!({"a": 1})),
        ("request_held", json!("perhaps")),
        ("request_inputs_complete", json!("perhaps")),
        ("request_download_crls", json!("perhaps")),
        ("request_verify_host_keys", json!("perhaps")),
        ("request_cck_file", json!({"a": 1})),
        ("request_extension_secret_file", json!({"a": 1})),
        ("request_secret_recipients", json!({"a": 1})),
        ("request_secret_key_file", json!({"a": 1})),
        ("request_create_secret", json!("perhaps")),
        ("request_backup", json!("perhaps")),
        ("request_folder", json!({"a": 1})),
        ("request_secret_folder", json!({"a": 1})),
        ("request_image", json!({"a": 1})),
        ("request_secrets", json!("common")),
    ] {
        let play = role(single, &json!({variable: wrong}))?;
        assert!(!play.ok && play.output.contains(variable), "{variable}: {}", play.output);
        let made = single.world.path("trusted");
        assert!(!made.exists() || contents(&made)?.is_empty(), "{variable}");
    }
    let unclear = built(single, &json!({"provision_create_secrets": "perhaps"}))?;
    assert!(!unclear.ok && unclear.output.contains("provision_create_secrets"), "{}", unclear.output);
    assert!(role(single, &json!({}))?.ok, "what was refused is all that was wrong");
    Ok(())
}

#[test]
fn variables_of_provision_given_as_text_reach_the_guest_as_they_are_meant() -> Result<()> {
    if !can_simulate("variables_of_provision_given_as_text_reach_the_guest_as_they_are_meant") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    let run = |more: &[&str]| single.controller.playbook("provision.yml", more);
    let open = run(&["-e", "provision_lock=false", "-e", "provision_exclusive=no", "-e", "provision_serial=1"])?;
    assert!(open.ok, "{}", open.output);
    assert!(!steps(&open, "guest1")?.iter().any(|step| step.starts_with("lock")), "{}", open.output);
    assert_eq!((single.guest.state()?["locked"].as_bool(), secrets(&single.guest)?.len()), (Some(false), 2));
    // A list that is text, as JSON: the same queues.
    let queues = json!([{"mode": "accel"}]).to_string();
    let json_text = json!({"provision_queues": queues, "provision_lock": "False"}).to_string();
    let again = run(&["--extra-vars", &json_text])?;
    assert!(again.ok, "{}", again.output);
    assert_eq!(again.changes(), Vec::<String>::new());

    let state = single.guest.state()?;
    for (variable, wrong) in [
        ("provision_lock", json!("perhaps")),
        ("provision_exclusive", json!("perhaps")),
        ("provision_queues", json!("accel")),
        ("provision_queues", json!({"mode": "accel"})),
        ("provision_at_boot", json!("sometimes")),
    ] {
        for book in ["provision.yml", "compliance.yml"] {
            // The page is not about what runs at boot.
            if (book, variable) == ("compliance.yml", "provision_at_boot") {
                continue;
            }
            let vars = json!({variable: wrong, "compliance_folder": single.world.path("trusted")}).to_string();
            let play = single.controller.playbook(book, &["--extra-vars", &vars])?;
            assert!(!play.ok, "{book}, {variable}: {}", play.output);
            let error = &play.result("guest1", MAKE)?["error"];
            let detail = error["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(variable), "{book}, {variable}: {error}");
        }
    }
    assert_eq!(single.guest.state()?, state);

    let asked = single.guest.log()?.len();
    for variable in ["compliance_cached", "compliance_report_only"] {
        let play = single.controller.playbook("compliance.yml", &["-e", &format!("{variable}=perhaps")])?;
        assert!(!play.ok && play.output.contains(variable), "{variable}: {}", play.output);
    }
    assert_eq!(single.guest.log()?.len(), asked, "the guest was asked");
    Ok(())
}

#[test]
fn names_that_yaml_changed_are_refused_with_the_advice_to_quote_them() -> Result<()> {
    if !can_simulate("names_that_yaml_changed_are_refused_with_the_advice_to_quote_them") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    // As Ansible reads them: what was typed is gone before a module sees it.
    let book = single.world.path("names.yml");
    for typed in ["name: 1.10", "name: yes", "name: 0755"] {
        for task in [
            format!("seguest.pv.guest: {{secrets: [{{{typed}}}]}}"),
            format!("seguest.pv.secret_lock: {{require: [{{{typed}}}]}}"),
            format!("seguest.pv.secret_retrieve: {{{typed}, dest: /nonexistent/x}}"),
            format!("seguest.pv.ap_bind: {{entries: [{{mode: ep11, {typed}}}]}}"),
            "seguest.pv.ap_bind: {entries: [{mode: accel, apqn: 00.0005}]}".to_owned(),
        ] {
            fs::write(
                &book,
                format!("- hosts: guests\n  gather_facts: false\n  tasks:\n    - name: Task\n      {task}\n"),
            )?;
            let play = single.controller.playbook(book.to_str().context("not UTF-8")?, &[])?;
            let error = &play.result("guest1", "Task")?["error"];
            assert_eq!(error["code"], "args.quote_name", "{task}: {error}");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains("in quotes")), "{error}");
        }
    }
    let secret = json!({"provision_secrets": [{"name": 1.1}]}).to_string();
    let play = single.controller.playbook("provision.yml", &["--limit", "trusted", "--extra-vars", &secret])?;
    assert!(!play.ok && play.output.contains("[args.quote_name]"), "{}", play.output);
    Ok(())
}
