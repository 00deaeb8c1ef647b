//! The roles by themselves, beyond what `playbooks/provision.yml` does with them.

use crate::support::{MAKE, Single, asked, associated, secrets, steps};
use anyhow::Result;
use e2e::{Play, can_simulate, request_of};
use serde_json::{Value, json};

/// The role `guest` with these variables, in a play of its own.
fn role(single: &Single, vars: &Value, arguments: &[&str]) -> Result<Play> {
    let tasks = json!([{"name": "Include", "ansible.builtin.import_role": {"name": "seguest.pv.guest"}, "vars": vars}]);
    single.controller.tasks("guests", &tasks, arguments)
}

/// What the role is given by `provision.yml`, with the requests as files on the controller.
fn provisioned(single: &Single) -> Value {
    let request = |name: &str| {
        request_of(&single.world, "image.hdr", name).map(|path| path.display().to_string()).unwrap_or_default()
    };
    json!({"guest_secrets": [{"name": "cluster key", "src": request("cluster_key")},
                             {"name": "key of guest1", "src": request("key_of_guest1")}],
           "guest_queues": "{{ provision_queues }}"})
}

/// Builds the requests only.
fn built() -> Result<Single> {
    let single = Single::new(json!({}))?;
    let play = single.controller.playbook("provision.yml", &["--limit", "trusted"])?;
    assert!(play.ok, "{}", play.output);
    Ok(single)
}

fn with(mut vars: Value, more: Value) -> Value {
    if let (Value::Object(all), Value::Object(more)) = (&mut vars, more) {
        all.extend(more);
    }
    vars
}

#[test]
fn nothing_is_locked_where_no_secrets_are_named_or_no_lock_is_wanted() -> Result<()> {
    if !can_simulate("nothing_is_locked_where_no_secrets_are_named_or_no_lock_is_wanted") {
        return Ok(());
    }
    let single = &built()?;
    let none = role(single, &json!({"guest_queues": [{"mode": "accel"}]}), &[])?;
    assert!(none.ok, "{}", none.output);
    assert_eq!(steps(&none, "guest1")?, ["machine unchanged", "bind changed"]);
    let open = role(single, &with(provisioned(single), json!({"guest_lock": false})), &[])?;
    assert!(open.ok, "{}", open.output);
    assert_eq!((single.guest.state()?["locked"].as_bool(), secrets(&single.guest)?.len()), (Some(false), 2));
    Ok(())
}

/// As `-e`, an inventory in INI and a survey hand variables over: all of them as text, which is true as long as it is not
/// empty.
#[test]
fn variables_given_as_text_mean_what_they_say() -> Result<()> {
    if !can_simulate("variables_given_as_text_mean_what_they_say") {
        return Ok(());
    }
    let single = &built()?;
    let vars = provisioned(single);
    let on_the_command_line = ["-e", "guest_lock=false", "-e", "guest_proved_only=no", "-e", "guest_exclusive=false"];
    let open = role(single, &vars, &on_the_command_line)?;
    assert!(open.ok, "{}", open.output);
    assert_eq!((single.guest.state()?["locked"].as_bool(), secrets(&single.guest)?.len()), (Some(false), 2));

    // The record of this boot is gone, so only ids are known; that is to be borne.
    let removed = single.guest.run(std::path::Path::new("/bin/rm"), &["-r", "/run/seguest-pv"], b"")?;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    let inventory = json!({"guest_lock": "False", "guest_lock_exact": "yes", "guest_proved_only": "false",
                           "guest_exclusive": "off", "guest_at_boot": "no", "guest_strict": "1", "guest_rebalance": "0",
                           "guest_timeout": "60", "guest_when_busy": "fail", "guest_gather_subset": "min",
                           "guest_host_key_hashes": "", "guest_at_boot_before": "a.service, b.service"});
    let still_open = role(single, &with(vars.clone(), inventory), &[])?;
    assert!(still_open.ok, "{}", still_open.output);
    assert_eq!(single.guest.state()?["locked"], false);

    let locked = role(single, &vars, &["-e", "guest_lock=yes", "-e", "guest_lock_exact=true"])?;
    assert!(locked.ok, "{}", locked.output);
    assert_eq!(single.guest.state()?["locked"], true);
    Ok(())
}

#[test]
fn a_request_of_another_secret_than_its_name_says_is_refused_and_nothing_is_added() -> Result<()> {
    if !can_simulate("a_request_of_another_secret_than_its_name_says_is_refused_and_nothing_is_added") {
        return Ok(());
    }
    let single = &built()?;
    let mut vars = provisioned(single);
    vars["guest_secrets"][1]["name"] = json!("another name");
    for arguments in [&["--check"][..], &[]] {
        let play = role(single, &vars, arguments)?;
        assert!(!play.ok);
        let error = &play.result("guest1", MAKE)?["error"];
        assert_eq!(error["code"], "request.other_secret");
        assert!(error["detail"].to_string().contains("not for another name"), "{error}");
    }
    assert!(secrets(&single.guest)?.is_empty() && associated(&single.guest)?.is_empty());
    Ok(())
}

/// What the verdict rests on: check mode knows what the run will do.
#[test]
fn check_mode_is_the_verdict_before_and_after() -> Result<()> {
    if !can_simulate("check_mode_is_the_verdict_before_and_after") {
        return Ok(());
    }
    let single = &built()?;
    let vars = provisioned(single);
    let before = role(single, &vars, &["--check"])?;
    assert!(before.ok, "{}", before.output);
    let would = ["machine unchanged", "add would_change", "verify unchanged", "lock would_change", "bind would_change"];
    assert_eq!(steps(&before, "guest1")?, would);
    let run = role(single, &vars, &[])?;
    assert!(run.ok, "{}", run.output);
    assert_eq!(steps(&run, "guest1")?, would.map(|step| step.replace("would_change", "changed")));
    let after = role(single, &vars, &["--check"])?;
    assert!(after.ok && after.changes().is_empty(), "{}", after.output);
    let result = after.result("guest1", MAKE)?;
    assert!(result["steps"].as_array().is_some_and(|steps| steps.iter().all(|step| step["right"] == true)), "{result}");
    assert!(result.get("warnings").is_none(), "{result}");
    Ok(())
}

#[test]
fn a_secret_known_by_its_id_only_can_be_refused() -> Result<()> {
    if !can_simulate("a_secret_known_by_its_id_only_can_be_refused") {
        return Ok(());
    }
    let single = &built()?;
    let vars = with(provisioned(single), json!({"guest_proved_only": true}));
    let proved = role(single, &vars, &[])?;
    assert!(proved.ok, "{}", proved.output);
    // The record of this boot is gone, as if something else had added them.
    let removed = single.guest.run(std::path::Path::new("/bin/rm"), &["-r", "/run/seguest-pv"], b"")?;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    let unproved = role(single, &vars, &[])?;
    assert!(!unproved.ok && unproved.output.contains("nothing shows that they come from these"), "{}", unproved.output);
    assert_eq!(unproved.result("guest1", MAKE)?["error"]["code"], "uv.secret_not_proved");
    assert_eq!(unproved.result("guest1", MAKE)?["requests"][0]["evidence"], "id_only");
    Ok(())
}

#[test]
fn wrong_variables_are_refused_before_the_guest_is_asked() -> Result<()> {
    if !can_simulate("wrong_variables_are_refused_before_the_guest_is_asked") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    for (variable, wrong) in [
        ("guest_lock", json!("perhaps")),
        ("guest_lock_exact", json!("2")),
        ("guest_proved_only", json!([true, false])),
        ("guest_exclusive", json!({"yes": true})),
        ("guest_at_boot", json!("sometimes")),
        ("guest_at_boot_before", json!({"a.service": true})),
        ("guest_secrets", json!("cluster key")),
        ("guest_queues", json!("accel")),
        ("guest_rebalance", json!("2")),
        ("guest_strict", json!(["true"])),
        ("guest_when_busy", json!("never")),
        ("guest_timeout", json!("soon")),
        ("guest_host_key_hashes", json!({"a": 1})),
        ("guest_gather_subset", json!({"all": true})),
        ("guest_attest", json!("a challenge")),
        ("guest_attest", json!({"content": "AAAA", "bind": "everything"})),
    ] {
        let play = role(single, &json!({variable: wrong}), &[])?;
        assert!(!play.ok, "{variable}: {}", play.output);
        let error = &play.result("guest1", MAKE)?["error"];
        assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(variable)), "{variable}: {error}");
        assert!(asked(&single.guest, 0)?.is_empty(), "{variable}");
    }
    Ok(())
}

#[test]
fn defaults_of_the_collections_group_reach_every_module() -> Result<()> {
    if !can_simulate("defaults_of_the_collections_group_reach_every_module") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    let book = single.world.path("defaults.yml");
    let tasks = json!([{"name": "Facts", "seguest.pv.facts": {}}, {"name": "Bind", "seguest.pv.ap_bind": {"entries": [{"mode": "accel"}]}}]);
    let play = json!([{"hosts": "guests", "gather_facts": false, "tasks": tasks,
                       "module_defaults": {"group/seguest.pv.all": {"timeout": 17}}}]);
    std::fs::write(&book, play.to_string())?;
    let play = single.controller.playbook(book.to_str().unwrap_or_default(), &[])?;
    assert!(play.ok, "{}", play.output);
    for task in ["Facts", "Bind"] {
        assert_eq!(play.result("guest1", task)?["invocation"]["module_args"]["timeout"], 17, "{task}");
    }
    Ok(())
}
