//! A second HSM domain, with a master key of its own, is added to a guest that is in use.

use crate::support::{Single, associated, effects, error};
use anyhow::Result;
use e2e::{Controller, OTHER_KEY, Play, WANTED_KEY, can_simulate};
use serde_json::{Value, json};

const ADD: &str = "Add the secrets";

/// Builds and adds these secrets, locks the store with nothing else in it, and serves these entries. For one guest;
/// provision.yml has just two secrets a guest.
fn provide(controller: &Controller, secrets: &[&str], entries: &[Value]) -> Result<Play> {
    let request = |name: &&str| {
        json!({"name": name, "label": name, "path": format!("{{{{ provision_output }}}}/{name}.request"),
               "secret_file": format!("{{{{ provision_output }}}}/{name}.secret")})
    };
    let requests: Vec<_> = secrets.iter().map(request).collect();
    let required: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
    let added: Vec<_> =
        (0..secrets.len()).map(|at| json!({"content": format!("{{{{ built.requests[{at}].content }}}}")})).collect();
    let tasks = json!([
        {"name": "Make the folder", "delegate_to": "localhost",
         "ansible.builtin.file": {"path": "{{ provision_output }}", "state": "directory", "mode": "0700"}},
        {"name": "Build the requests", "delegate_to": "localhost", "register": "built",
         "seguest.pv.secret_request": {
             "host_keys": "{{ provision_host_keys }}", "certificates": "{{ provision_certificates }}",
             "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": "{{ provision_image }}",
             "create_secret": true, "return_content": true, "requests": requests}},
        {"name": ADD, "seguest.pv.secret_add": {"requests": added}},
        {"name": "Lock the store", "seguest.pv.secret_lock": {"require": required, "exact": true}},
        {"name": "Serve the entries", "seguest.pv.ap_bind": {"entries": entries}},
    ]);
    controller.tasks("guests", &tasks, &[])
}

fn entry(name: &str, mkvp: &str) -> Value {
    json!({"name": name, "mode": "ep11", "mkvp": mkvp})
}

#[test]
fn a_second_domain_needs_no_reboot_with_the_same_secret_and_one_with_a_new_secret() -> Result<()> {
    if !can_simulate("a_second_domain_needs_no_reboot_with_the_same_secret_and_one_with_a_new_secret") {
        return Ok(());
    }
    let Single { guest, controller, .. } = &Single::new(json!({}))?;
    let first_domain = entry("old", WANTED_KEY);
    let first = provide(controller, &["old"], std::slice::from_ref(&first_domain))?;
    assert!(first.ok, "{}", first.output);
    assert_eq!((guest.state()?["locked"].as_bool(), associated(guest)?.len()), (Some(true), 1));

    // The store is locked, and that does not matter.
    let same_secret = [first_domain.clone(), entry("old", OTHER_KEY)];
    let second = provide(controller, &["old"], &same_secret)?;
    assert!(second.ok, "{}", second.output);
    assert_eq!(second.changes(), ["guest1: Serve the entries"]);
    assert_eq!(associated(guest)?.len(), 2);

    let new_secret = [first_domain, entry("old", OTHER_KEY), entry("new", OTHER_KEY)];
    let (state, log) = (guest.state()?, effects(guest)?);
    let locked = provide(controller, &["old", "new"], &new_secret)?;
    assert!(!locked.ok);
    assert_eq!(error(&locked, "guest1", ADD)?["code"], "uv.store_locked", "{}", locked.output);
    assert_eq!(locked.result("guest1", ADD)?["reboot_required"], true);
    assert_eq!((guest.state()?, effects(guest)?), (state, log), "what served before is as it was");

    guest.reboot()?;
    let served = provide(controller, &["old", "new"], &new_secret)?;
    assert!(served.ok, "{}", served.output);
    assert_eq!((guest.state()?["locked"].as_bool(), associated(guest)?.len()), (Some(true), 3));
    Ok(())
}
