//! A run over a fleet in which something is wrong: each guest is its own row, and nothing is lost by a typing error.

use crate::support::{MAKE, Single, associated, contents, error, fleet, secrets};
use anyhow::{Context, Result};
use e2e::{Controller, Guest, Host, OWN_SECRET, WANTED_KEY, can_simulate, fleet_cards, request_of, variables};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_typing_error_in_the_output_folder_makes_no_new_secret() -> Result<()> {
    if !can_simulate("a_typing_error_in_the_output_folder_makes_no_new_secret") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    assert!(fleet.controller.playbook("provision.yml", &[])?.ok);
    let states = (fleet.first.state()?, fleet.second.state()?);
    let typed = format!("provision_output={}", fleet.world.path("trsted").display());
    let play = fleet.controller.playbook("provision.yml", &["-e", &typed])?;
    assert!(!play.ok);
    for host in ["guest1", "guest2"] {
        let error = error(&play, host, MAKE)?;
        assert_eq!(error["code"], "request.secret_held", "{}", play.output);
        assert!(error["hint"].as_str().is_some_and(|hint| hint.starts_with("Do not reboot the guest")), "{error}");
    }
    assert!(play.output.contains("2 guests: 0 changed, 0 unchanged, 2 failed"), "{}", play.output);
    assert!(!fleet.world.path("trsted").exists());
    assert_eq!((fleet.first.state()?, fleet.second.state()?), states);
    Ok(())
}

#[test]
fn one_guests_lost_secret_does_not_keep_another_from_being_repaired() -> Result<()> {
    if !can_simulate("one_guests_lost_secret_does_not_keep_another_from_being_repaired") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    assert!(fleet.controller.playbook("provision.yml", &[])?.ok);
    let before = associated(&fleet.second)?;
    fs::remove_file(fleet.world.path("trusted/secrets/key_of_guest1"))?;
    fleet.second.reboot()?;
    let summary = fleet.world.path("summary.json");
    let play =
        fleet.controller.playbook("provision.yml", &["-e", &format!("provision_summary={}", summary.display())])?;
    assert!(!play.ok, "{}", play.output);
    assert_eq!(error(&play, "guest1", MAKE)?["code"], "request.secret_missing");
    assert_eq!(associated(&fleet.second)?, before);
    let told: Value = serde_json::from_slice(&fs::read(summary)?)?;
    assert_eq!(told["counts"], json!({"guests": 2, "changed": 1, "unchanged": 0, "failed": 1, "not_begun": 0}));
    assert_eq!((&told["changed"], &told["failed"][0]["hosts"]), (&json!(["guest2"]), &json!(["guest1"])));
    assert_eq!(told["failed"][0]["code"], "request.secret_missing");
    Ok(())
}

#[test]
fn a_wrong_value_in_one_guests_description_is_its_row_and_the_others_get_theirs() -> Result<()> {
    if !can_simulate("a_wrong_value_in_one_guests_description_is_its_row_and_the_others_get_theirs") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let hosts = |own: Value| {
        Ok::<_, anyhow::Error>([Host::guest("guest1", &fleet.first)?.with(own), Host::guest("guest2", &fleet.second)?])
    };
    let vars = variables(&fleet.world);
    let own_key = "key of {{ inventory_hostname }}";
    for (at, (own, said)) in [
        (json!({"provision_secrets": [{"name": own_key, "type": "aess"}]}), "type must be one of association"),
        (json!({"provision_secrets": [{"name": own_key, "flags": ["dump"]}]}), "flags[0] must be one of "),
        (json!({"provision_download_crls": "perhaps"}), "download_crls must be a boolean"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = fleet.world.path(&format!("wrong{at}"));
        let controller = Controller::new(&folder, &Host::controller(), &hosts(own)?, &vars)?;
        for check in [&["--check"][..], &[]] {
            let play = controller.playbook("provision.yml", check)?;
            assert!(!play.ok, "{}", play.output);
            let error = error(&play, "guest1", MAKE)?;
            assert_eq!(error["code"], "args.invalid", "{error}");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{error}");
            assert!(play.output.contains("FAILED args.invalid, 1: guest1"), "{}", play.output);
        }
        assert_eq!(associated(&fleet.second)?, secrets(&fleet.second)?);
        assert!(!secrets(&fleet.second)?.is_empty() && secrets(&fleet.first)?.is_empty());
    }
    Ok(())
}

#[test]
fn secrets_are_made_only_where_that_is_said() -> Result<()> {
    if !can_simulate("secrets_are_made_only_where_that_is_said") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    for arguments in
        [&["-e", "provision_create_secrets=false", "--check"][..], &["-e", "provision_create_secrets=false"]]
    {
        let play = controller.playbook("provision.yml", arguments)?;
        let error = error(&play, "guest1", MAKE)?;
        assert_eq!(error["code"], "request.secret_missing", "{}", play.output);
        assert!(!play.ok && error.to_string().contains("provision_create_secrets"), "{error}");
        assert!(secrets(guest)?.is_empty());
    }
    assert!(!world.path("trusted").exists());
    let first = controller.playbook("provision.yml", &["-e", "provision_create_secrets=true"])?;
    assert!(first.ok, "{}", first.output);
    let again = controller.playbook("provision.yml", &[])?;
    assert!(again.ok && again.changes().is_empty(), "{}", again.output);
    Ok(())
}

#[test]
fn check_mode_fails_where_the_run_would_for_what_can_be_seen() -> Result<()> {
    if !can_simulate("check_mode_fails_where_the_run_would_for_what_can_be_seen") {
        return Ok(());
    }
    let Single { world, controller, .. } = &Single::new(json!({}))?;
    for missing in ["provision_certificates", "provision_image", "provision_host_keys"] {
        let name = if missing == "provision_image" { json!("/nonexistent/x") } else { json!(["/nonexistent/x"]) };
        let play = controller.playbook("provision.yml", &["--check", "-e", &json!({missing: name}).to_string()])?;
        assert!(!play.ok, "{missing}: {}", play.output);
        assert_eq!(error(&play, "guest1", MAKE)?["code"], "file.missing", "{missing}");
    }
    assert!(!world.path("trusted").exists());
    Ok(())
}

#[test]
fn check_mode_is_silent_where_all_is_well() -> Result<()> {
    if !can_simulate("check_mode_is_silent_where_all_is_well") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let fresh = fleet.controller.playbook("provision.yml", &["--check"])?;
    assert!(fresh.ok && fresh.output.contains("2 guests: 2 would change, 0 unchanged, 0 failed"), "{}", fresh.output);
    assert!(!fresh.output.contains("Back it up") && !fresh.output.contains("does not exist yet"), "{}", fresh.output);
    assert!(fleet.controller.playbook("provision.yml", &[])?.ok);
    let good = fleet.controller.playbook("provision.yml", &["--check"])?;
    assert!(good.ok && good.output.contains("2 guests: 0 would change, 2 unchanged, 0 failed"), "{}", good.output);
    assert!(!good.output.contains("WARNING"), "{}", good.output);
    Ok(())
}

#[test]
fn a_run_that_cannot_be_meant_is_refused_with_what_to_do() -> Result<()> {
    if !can_simulate("a_run_that_cannot_be_meant_is_refused_with_what_to_do") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    let books = ["provision.yml", "rotate.yml", "retire.yml"];
    let all = [&books[..], &["inventory.yml"]].concat();
    for book in &all {
        let play = controller.playbook(book, &["-e", "provision_imge=/x"])?;
        assert!(!play.ok, "{book}");
        assert!(
            play.output.contains("There is no variable provision_imge: did you mean provision_image?"),
            "{}",
            play.output
        );
    }
    let nobody = Controller::new(&world.path("nobody"), &Host::controller(), &[], &variables(world))?;
    for book in &all {
        let play = nobody.playbook(book, &[])?;
        assert!(!play.ok && play.output.contains("no host in the group guests"), "{book}: {}", play.output);
    }
    fs::write(nobody.inventory(), "{}")?;
    for book in books {
        let play = nobody.playbook(book, &[])?;
        assert!(!play.ok && play.output.contains("no host in the group trusted"), "{book}: {}", play.output);
        assert!(!play.output.contains("Traceback"), "{}", play.output);
    }
    assert!(secrets(guest)?.is_empty() && !world.path("trusted").exists());
    Ok(())
}

#[test]
fn guests_of_one_inventory_differ_in_secrets_and_proof_of_origin() -> Result<()> {
    if !can_simulate("guests_of_one_inventory_differ_in_secrets_and_proof_of_origin") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    let world = &single.world;
    let cck = world.path("cck");
    fs::write(&cck, [7; 32])?;
    fs::set_permissions(&cck, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let other = Guest::start(world, "guest2", "machine2", &fleet_cards())?;
    let own = json!({"provision_cck_file": cck, "provision_secrets": [{"name": "only here"}, {"name": "cluster key"}],
                     "provision_queues": [{"name": "only here", "mode": "ep11", "mkvp": WANTED_KEY}]});
    let hosts = [Host::guest("guest1", &single.guest)?, Host::guest("guest2", &other)?.with(own)];
    let controller = Controller::new(&world.path("two"), &Host::controller(), &hosts, &variables(world))?;
    let play = controller.playbook("provision.yml", &["--limit", "trusted"])?;
    assert!(play.ok, "{}", play.output);
    let requests = contents(&world.path("trusted/requests"))?;
    let names = |of: &str| requests.iter().filter(|(path, _)| path.ends_with(of)).count();
    // Those with a CCK are others than those without, in a folder of their own.
    assert_eq!((names("cluster_key.request"), names("key_of_guest1.request"), names("only_here.request")), (2, 1, 1));
    assert_eq!(contents(&world.path("trusted/secrets"))?.len(), 3);
    let folder = requests.iter().find(|(path, _)| path.ends_with("only_here.request.manifest.json"));
    let manifest = String::from_utf8_lossy(&folder.context("no manifest")?.1).into_owned();
    assert!(manifest.contains("\"extension_secret\": \"derived\""), "{manifest}");
    Ok(())
}

#[test]
fn two_secrets_of_one_file_are_an_error_that_names_both() -> Result<()> {
    if !can_simulate("two_secrets_of_one_file_are_an_error_that_names_both") {
        return Ok(());
    }
    let Single { world, controller, .. } =
        &Single::new(json!({"provision_secrets": [{"name": "a b"}, {"name": "a_b"}]}))?;
    let play = controller.playbook("provision.yml", &[])?;
    assert!(!play.ok && play.output.contains("'a b'") && play.output.contains("'a_b'"), "{}", play.output);
    assert!(!world.path("trusted").exists());
    Ok(())
}

#[test]
fn encrypted_secrets_serve_a_fleet_and_its_second_run() -> Result<()> {
    if !can_simulate("encrypted_secrets_serve_a_fleet_and_its_second_run") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    let (certificate, key) = (world.path("keeper.crt"), world.path("keeper.key"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=keeper", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()?;
    assert!(made.status.success());
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let vars = json!({"provision_secret_recipients": [certificate], "provision_secret_key_file": key}).to_string();
    let first = controller.playbook("provision.yml", &["-e", &vars])?;
    assert!(first.ok, "{}", first.output);
    let secret = fs::read_to_string(world.path("trusted/secrets/cluster_key"))?;
    assert!(secret.starts_with("-----BEGIN CMS-----"), "{secret}");
    assert_eq!(associated(guest)?, secrets(guest)?);
    let second = controller.playbook("provision.yml", &["-e", &vars])?;
    assert!(second.ok && second.changes().is_empty(), "{}", second.output);
    Ok(())
}

#[test]
fn names_that_no_file_can_have_are_kept_under_their_ids() -> Result<()> {
    if !can_simulate("names_that_no_file_can_have_are_kept_under_their_ids") {
        return Ok(());
    }
    let name = "../key of {{ inventory_hostname }}";
    let own = json!({"provision_secrets": [{"name": name}, {"name": OWN_SECRET}],
                     "provision_queues": [{"name": name, "mode": "ep11", "mkvp": WANTED_KEY}]});
    let Single { world, guest, controller, .. } = &Single::new(own)?;
    let play = controller.playbook("provision.yml", &[])?;
    assert!(play.ok, "{}", play.output);
    let id = pv_wire::encode_hex(&pv_wire::SecretId::of_name("../key of guest1").0);
    assert!(world.path(&format!("trusted/secrets/{id}")).exists());
    request_of(world, "image.hdr", &id)?;
    assert_eq!(associated(guest)?, [id]);
    Ok(())
}

#[test]
fn a_fleet_of_which_nobody_answers_is_summed_up_too() -> Result<()> {
    if !can_simulate("a_fleet_of_which_nobody_answers_is_summed_up_too") {
        return Ok(());
    }
    let Single { world, guest, .. } = &Single::new(json!({}))?;
    let gone = json!({"ansible_guest_sim_bin": "/nonexistent/guest-sim"});
    let hosts = [Host::guest("guest1", guest)?.with(gone.clone()), Host::guest("guest2", guest)?.with(gone)];
    let controller = Controller::new(&world.path("gone"), &Host::controller(), &hosts, &variables(world))?;
    let summary = world.path("summary.json");
    let named = format!("provision_summary={}", summary.display());
    let play = controller.playbook("provision.yml", &["-e", &named])?;
    assert!(!play.ok && play.output.contains("FAILED unreachable, 2: guest1, guest2"), "{}", play.output);
    let told: Value = serde_json::from_slice(&fs::read(summary)?)?;
    assert_eq!(told["counts"]["failed"], 2);
    Ok(())
}

#[test]
fn of_many_guests_each_is_a_row_and_equal_causes_are_told_once() -> Result<()> {
    if !can_simulate("of_many_guests_each_is_a_row_and_equal_causes_are_told_once") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let gone = |name: &str| {
        Ok::<_, anyhow::Error>(
            Host::guest(name, &fleet.first)?.with(json!({"ansible_guest_sim_bin": "/nonexistent/guest-sim"})),
        )
    };
    let broken = json!({"provision_queues": [{"mode": "ep11", "name": "nobody's", "mkvp": WANTED_KEY}]});
    let undefined = json!({"provision_secrets": [{"name": "{{ nothing }}"}]});
    let hosts = [
        Host::guest("guest1", &fleet.first)?,
        Host::guest("guest2", &fleet.second)?.with(broken),
        gone("guest3")?,
        gone("guest4")?,
        gone("guest5")?.with(undefined),
    ];
    let vars = variables(&fleet.world);
    let controller = Controller::new(&fleet.world.path("many"), &Host::controller(), &hosts, &vars)?;
    let play = controller.playbook("provision.yml", &[])?;
    assert!(!play.ok);
    assert_eq!(associated(&fleet.first)?, secrets(&fleet.first)?, "{}", play.output);
    for told in [
        "5 guests: 1 changed, 0 unchanged, 4 failed",
        "FAILED unreachable, 2: guest3, guest4",
        "FAILED args.invalid, 1: guest5",
    ] {
        assert!(play.output.contains(told), "{told}: {}", play.output);
    }
    assert!(
        play.output.lines().filter(|line| line.starts_with("        \"")).all(|line| line.len() <= 80),
        "{}",
        play.output
    );
    Ok(())
}
