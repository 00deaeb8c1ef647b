//! A retrievable secret on its way from the trusted machine into a file of the guest.

use crate::support::{Single, warned};
use anyhow::Result;
use e2e::can_simulate;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

const RETRIEVE: &str = "Retrieve";
const SECRET: &str = "correct horse battery staple";

#[test]
fn a_password_gets_from_the_trusted_machine_into_a_file_and_into_no_output() -> Result<()> {
    if !can_simulate("a_password_gets_from_the_trusted_machine_into_a_file_and_into_no_output") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    guest.set("kernel: {retrieve: true}")?;
    let (source, dest) = (world.path("password"), world.path("retrieved"));
    std::fs::write(&source, SECRET)?;
    std::fs::set_permissions(&source, PermissionsExt::from_mode(0o600))?;
    let tasks = json!([
        {"name": "Build", "delegate_to": "localhost", "register": "built",
         "seguest.pv.secret_request": {
             "host_keys": "{{ provision_host_keys }}", "certificates": "{{ provision_certificates }}",
             "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": "{{ provision_image }}",
             "name": "password", "type": "plaintext", "secret_file": source, "path": world.path("password.request"),
             "return_content": true}},
        {"name": "Add", "seguest.pv.secret_add": {"content": "{{ built.requests[0].content | default('') }}"},
         "when": "not ansible_check_mode"},
        {"name": RETRIEVE, "seguest.pv.secret_retrieve": {"name": "password", "dest": dest, "format": "bin", "mode": "0440"}},
    ]);
    let check = controller.tasks("guests", &tasks, &["--check", "--diff"])?;
    assert!(check.ok, "{}", check.output);
    let predicted = check.result("guest1", RETRIEVE)?;
    assert!(predicted["predicted"] == "partial" && warned(predicted, "uv.store_empty"), "{predicted}");
    assert!(!dest.exists());

    let first = controller.tasks("guests", &tasks, &["--diff", "-vvv"])?;
    assert!(first.ok, "{}", first.output);
    assert_eq!(std::fs::read_to_string(&dest)?, SECRET);
    assert_eq!(std::fs::metadata(&dest)?.permissions().mode() & 0o7777, 0o440);
    let second = controller.tasks("guests", &tasks, &["--diff", "-vvv"])?;
    assert!(second.ok && second.changes().is_empty(), "{}", second.output);
    let third = controller.tasks("guests", &tasks, &["--check"])?;
    let known = third.result("guest1", RETRIEVE)?;
    assert!(known["changed"] == false && known.get("predicted").is_none(), "{known}");
    for play in [&check, &first, &second, &third] {
        assert!(!play.output.contains("correct horse") && !play.output.contains("Y29ycmVjdCBob3Jz"));
    }
    Ok(())
}
