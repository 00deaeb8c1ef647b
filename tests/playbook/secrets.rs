//! What becomes of secrets: lost files, new images, requests for other machines.

use crate::support::{MAKE, Single, associated, contents, error, secrets};
use anyhow::Result;
use e2e::{Controller, Guest, Host, can_simulate, fleet_cards, request_of, variables};
use serde_json::json;

#[test]
fn a_lost_secret_is_reported_and_never_made_anew() -> Result<()> {
    if !can_simulate("a_lost_secret_is_reported_and_never_made_anew") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    let first = controller.playbook("provision.yml", &[])?;
    assert!(first.ok, "{}", first.output);
    std::fs::remove_file(world.path("trusted/secrets/cluster_key"))?;
    let (files, state) = (contents(&world.path("trusted"))?, guest.state()?);

    // Even where secrets may be made.
    for create in ["provision_create_secrets=true", "provision_create_secrets=false"] {
        let second = controller.playbook("provision.yml", &["-e", create])?;
        assert!(!second.ok);
        let error = error(&second, "guest1", MAKE)?;
        assert_eq!(error["code"], "request.secret_missing", "{}", second.output);
        let told = format!("{} {}", error["detail"], error["hint"]);
        assert!(told.contains("secrets/cluster_key") && told.contains("backup"), "{told}");
        assert!(second.output.contains("FAILED request.secret_missing, 1: guest1"), "{}", second.output);
        assert_eq!(second.changes(), Vec::<String>::new());
        // No new secret, the requests as they were, and the guest as it was.
        assert_eq!(contents(&world.path("trusted"))?, files);
        assert_eq!(guest.state()?, state);
    }
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
    let request = std::fs::read(request_of(world, "image.hdr", "cluster_key")?)?;
    let state = old.state()?;

    world.image("image2", &[])?;
    let new = &Guest::start_image(world, "guest2", "machine2", "image2", &fleet_cards())?;
    // Each by its own image, in one inventory.
    let image2 = json!({"provision_image": world.path("image2.hdr")});
    let hosts = [Host::guest("guest1", old)?, Host::guest("guest2", new)?.with(image2)];
    let controller = Controller::new(&world.path("controller"), &Host::controller(), &hosts, &variables(world))?;
    let second = controller.playbook("provision.yml", &[])?;
    assert!(second.ok, "{}", second.output);

    assert_ne!(std::fs::read(request_of(world, "image2.hdr", "cluster_key")?)?, request, "it was not built for image2");
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
