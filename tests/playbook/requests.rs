//! Requests are looked at before they are used: on the trusted machine, and in the guest that they are for.

use crate::support::{error, warned};
use anyhow::Result;
use e2e::{Controller, Guest, Host, World, can_simulate, fleet_cards, variables};
use serde_json::json;

#[test]
fn a_request_is_looked_at_where_it_was_built_and_where_it_goes() -> Result<()> {
    if !can_simulate("a_request_is_looked_at_where_it_was_built_and_where_it_goes") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    // The third is nobody's machine: its key signs, and its document is the certificate.
    let world = World::new(dir.path(), &["machine1", "machine2", "signer"])?;
    let guests = [("guest1", "machine1"), ("guest2", "machine2")]
        .map(|(name, machine)| Guest::start(&world, name, machine, &fleet_cards()).map(|guest| (name, guest)));
    let guests: Vec<_> = guests.into_iter().collect::<Result<_>>()?;
    let hosts: Vec<_> = guests.iter().map(|(name, guest)| Host::guest(name, guest)).collect::<Result<_>>()?;
    let controller = Controller::new(&world.path("controller"), &Host::controller(), &hosts, &variables(&world))?;
    std::fs::write(world.path("data"), "for machine1")?;
    std::fs::set_permissions(world.path("signer.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;

    let compare = json!({
        "path": world.path("request"), "image": "{{ provision_image }}", "host_keys": "{{ provision_host_keys }}",
        "user_cert": world.path("pki/signer.crt"),
    });
    let mut forged = compare.clone();
    forged["path"] = json!(world.path("forged"));
    let tasks = json!([
        {"name": "Build", "delegate_to": "localhost", "run_once": true, "register": "built",
         "seguest.pv.secret_request": {
             "host_keys": world.path("pki/machine1.crt"), "certificates": "{{ provision_certificates }}",
             "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": "{{ provision_image }}",
             "name": "my secret", "secret": "{{ ('x' * 32) | b64encode }}", "path": world.path("request"),
             "user_data_file": world.path("data"), "user_signing_key": world.path("signer.key"),
             "return_content": true}},
        {"name": "Look on the trusted machine", "delegate_to": "localhost", "run_once": true, "register": "seen",
         "seguest.pv.request_info": compare},
        {"name": "Stop unless it is as wanted", "run_once": true, "ansible.builtin.assert": {"that": [
            "seen.signature == 'valid'", "seen.fits.image", "not seen.fits.host_keys",
            "seen.host_keys | selectattr('fits') | map(attribute='file') | map('basename') == ['machine1.crt']",
            "(seen.user_data | b64decode).rstrip('\\0') == 'for machine1'",
            "seen.id == built.requests[0].id and seen.sha256 == built.requests[0].sha256",
            "seen.host_key_hashes | difference(seen.host_keys | map(attribute='hash')) | length == 0"]}},
        {"name": "Look in the guest", "seguest.pv.request_info": {"content": "{{ built.requests[0].content }}"}},
    ]);
    // In check mode nothing is built yet, and nothing fails because of that.
    let first: Vec<_> = tasks.as_array().unwrap().iter().take(2).collect();
    let check = controller.tasks("guests", &json!(first), &["--check"])?;
    assert!(check.ok, "{}", check.output);
    let unseen = check.result("guest1", "Look on the trusted machine")?;
    assert!(unseen["predicted"] == "partial" && warned(unseen, "file.missing"), "{unseen}");

    let play = controller.tasks("guests", &tasks, &[])?;
    assert!(play.ok, "{}", play.output);
    assert_eq!(play.changes(), ["guest1: Build"]);
    for (guest, ours) in [("guest1", true), ("guest2", false)] {
        let seen = play.result(guest, "Look in the guest")?;
        assert_eq!((&seen["fits"]["this_host"], &seen["signature"]), (&json!(ours), &json!("unchecked")), "{seen}");
        assert_eq!((&seen["name"], &seen["type"]), (&json!(null), &json!("association")));
    }

    // What was changed on its way shows, and what was cut off is an error.
    let mut bytes = std::fs::read(world.path("request"))?;
    bytes[0x108] ^= 1;
    std::fs::write(world.path("forged"), &bytes)?;
    let look =
        json!([{"name": "Look", "delegate_to": "localhost", "run_once": true, "seguest.pv.request_info": forged}]);
    let play = controller.tasks("guests", &look, &[])?;
    let seen = play.result("guest1", "Look")?;
    assert!(play.ok && seen["signature"] == "invalid" && warned(seen, "request.signature_invalid"), "{seen}");
    std::fs::write(world.path("forged"), &bytes[..1000])?;
    let play = controller.tasks("guests", &look, &[])?;
    assert_eq!(error(&play, "guest1", "Look")?["code"], "request.malformed", "{}", play.output);
    Ok(())
}

/// A lookup of the name and with the result of HashiCorp Vault's: the collection that has it and a server are not here.
const LOOKUP: &str = r#"
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **options):
        assert terms == ["hsm"] and options["url"].startswith("https://")
        return [{"secret": {"common": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="}}]
"#;

#[test]
fn a_secret_comes_from_an_ansible_vault_or_a_vault_servers_lookup_and_is_shown_nowhere() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let world = World::new(dir.path(), &["machine1", "machine2"])?;
    let controller = Controller::new(&world.path("controller"), &Host::controller(), &[], &variables(&world))?;
    let secret = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=";
    let (vault, password) = (world.path("hsm.yml"), world.path("password"));
    std::fs::write(&vault, format!("hsm_common: {secret}\n"))?;
    std::fs::write(&password, "correct horse")?;
    let mut encrypt = controller.program("ansible-vault")?;
    let encrypted = encrypt.arg("encrypt").arg("--vault-password-file").arg(&password).arg(&vault).output()?;
    assert!(encrypted.status.success() && !std::fs::read_to_string(&vault)?.contains(secret), "{encrypted:?}");
    // Collections beside a playbook are found.
    let stub = world.path("controller/collections/ansible_collections/community/hashi_vault/plugins/lookup");
    std::fs::create_dir_all(&stub)?;
    std::fs::write(stub.join("vault_kv2_get.py"), LOOKUP)?;

    let build = |name: &str, secret: &str| {
        json!({"name": name, "seguest.pv.secret_request": {
            "host_keys": "{{ provision_host_keys }}", "certificates": "{{ provision_certificates }}",
            "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": "{{ provision_image }}",
            "name": "my secret", "path": world.path("request"), "secret": secret}})
    };
    let lookup =
        "{{ lookup('community.hashi_vault.vault_kv2_get', 'hsm', url='https://vault.example.com').secret.common }}";
    let tasks = json!([
        {"name": "Open the vault", "no_log": true, "ansible.builtin.include_vars": vault},
        build("From ansible-vault", "{{ hsm_common }}"),
        build("From a vault server", lookup),
    ]);
    let password = password.display().to_string();
    let play = controller.tasks("trusted", &tasks, &["-vvv", "--diff", "--vault-password-file", &password])?;
    assert!(play.ok, "{}", play.output);
    // It is one secret, so the second task finds its request as wanted.
    assert_eq!(play.changes(), ["localhost: From ansible-vault"]);
    assert!(!play.output.contains(secret) && !play.output.contains(&"x".repeat(32)), "{}", play.output);
    Ok(())
}
