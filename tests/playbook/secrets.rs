//! What becomes of secrets: lost files, new images, requests for other machines.

use crate::support::{MAKE, Single, associated, contents, error, secrets};
use anyhow::Result;
use e2e::{Controller, Guest, Host, can_simulate, fleet_cards, variables};
use serde_json::json;

const BUILD: &str = "Build the requests";

#[test]
fn a_lost_secret_is_reported_and_never_made_anew() -> Result<()> {
    if !can_simulate("a_lost_secret_is_reported_and_never_made_anew") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    let first = controller.playbook("provision.yml", &[])?;
    assert!(first.ok, "{}", first.output);
    std::fs::remove_file(world.path("trusted/secrets/common"))?;
    let (files, state, log) = (contents(&world.path("trusted"))?, guest.state()?, guest.log()?.len());

    // The playbook sets create_secret.
    let second = controller.playbook("provision.yml", &[])?;
    assert!(!second.ok);
    let error = error(&second, "localhost", BUILD)?;
    assert_eq!(error["code"], "request.secret_missing", "{}", second.output);
    let told = format!("{} {}", error["detail"], error["hint"]);
    assert!(told.contains("secrets/common") && told.contains("backup"), "{told}");
    assert_eq!(second.changes(), Vec::<String>::new());
    // No new secret, the requests as they were, and the guest was not even asked.
    assert_eq!(contents(&world.path("trusted"))?, files);
    assert_eq!((guest.state()?, guest.log()?.len()), (state, log));
    Ok(())
}

#[test]
fn a_new_image_gets_the_same_secrets_and_old_guests_stay_as_they_are() -> Result<()> {
    if !can_simulate("a_new_image_gets_the_same_secrets_and_old_guests_stay_as_they_are") {
        return Ok(());
    }
    let Single { world, guest: old, controller, .. } = &Single::new(json!({}))?;
    let first = controller.playbook("provision.yml", &[])?;
    assert!(first.ok, "{}", first.output);
    let kept = contents(&world.path("trusted/secrets"))?;
    let request = std::fs::read(world.path("trusted/requests/common.request"))?;
    let state = old.state()?;

    world.image("image2", &[])?;
    let new = &Guest::start_image(world, "guest2", "machine2", "image2", &fleet_cards())?;
    let mut vars = variables(world);
    vars["provision_image"] = json!(world.path("image2.hdr"));
    let hosts = [Host::guest("guest1", old)?, Host::guest("guest2", new)?];
    let controller = Controller::new(&world.path("controller"), &Host::controller(), &hosts, &vars)?;
    let second = controller.playbook("provision.yml", &[])?;
    assert!(second.ok, "{}", second.output);

    assert_ne!(std::fs::read(world.path("trusted/requests/common.request"))?, request, "it was not built for image2");
    let secrets_now = contents(&world.path("trusted/secrets"))?;
    assert!(kept.iter().all(|file| secrets_now.contains(file)), "a secret was replaced");
    assert_eq!(associated(new)?, secrets(new)?);
    assert_eq!((new.state()?["locked"].as_bool(), secrets(new)?.len()), (Some(true), 2));
    let common = secrets(new)?.into_iter().filter(|id| secrets(old).is_ok_and(|ids| ids.contains(id)));
    assert_eq!(common.count(), 1);
    assert_eq!(old.state()?, state);
    assert!(second.changes().iter().all(|change| !change.starts_with("guest1: ")), "{:?}", second.changes());
    Ok(())
}

#[test]
fn a_request_for_another_machine_is_refused_and_nothing_is_bound() -> Result<()> {
    if !can_simulate("a_request_for_another_machine_is_refused_and_nothing_is_bound") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    let only_machine2 = json!({"provision_host_keys": [world.path("pki/machine2.crt")]}).to_string();
    let play = controller.playbook("provision.yml", &["--extra-vars", &only_machine2])?;
    assert!(!play.ok);
    let error = error(&play, "guest1", MAKE)?;
    assert_eq!(error["code"], "uv.request_not_for_this_guest", "{}", play.output);
    assert_eq!(error["uv_rc"], 0x0108);
    assert!(error["hint"].as_str().unwrap().contains("no slot for this host's key"), "{error}");
    assert_eq!(play.result("guest1", MAKE)?["host_key_match"], false);
    let state = guest.state()?;
    assert_eq!((&state["locked"], &state["secrets"]), (&json!(false), &json!([])));
    assert!(state["queues"].as_array().unwrap().iter().all(|queue| queue["state"] == "unbound"), "{state}");
    Ok(())
}
