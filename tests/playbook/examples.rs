//! Every YAML example of the documentation is run. A new one without a test fails here.

use crate::support::{Single, associated, secrets};
use anyhow::{Context, Result, ensure};
use e2e::{Controller, Host, Play, can_simulate, place};
use openssl::pkey::PKey;
use pv_request::HostKey;
use pv_request::attest::{Challenge, ChallengeKeys};
use pv_wire::attestation::Item;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The examples that ansible-doc shows, by their names, and what comes of them on a fresh guest in check mode: all is
/// well, or a failure that is not about how it is written.
const OF_MODULES: [(&str, &str); 23] = [
    ("One EP11 queue under a certain master key, and one accelerator", "ok"),
    ("Apply a configuration of pvapconfig that is on the guest", "ok"),
    ("Release every queue", "ok"),
    ("Gather everything", "ok"),
    ("Only the secret store, and whether it is locked", "ok"),
    // It says what is the matter.
    ("Fail where the store is not locked", "failed"),
    ("Look at a request", "ok"),
    // It was not looked at.
    ("Stop unless it is signed, for this image, and for these machines and no others", "failed"),
    ("Show what was written into the request for everybody to read, without the zeros behind it", "skipped"),
    ("Add a secret from a request that the controller has", "ok"),
    ("Add two secrets in this order, without a file on the guest", "ok"),
    ("Lock the store once both secrets are in it", "ok"),
    ("Lock the store only if nothing else is in it", "ok"),
    ("Two secrets, a locked store, and a queue for each secret", "ok"),
    // The guest is fresh, so it is not.
    ("Is the guest still what it is to be?", "uv.secret_missing"),
    ("The same secrets, and an answer to an attestation request once they are there", "uv.secret_missing"),
    ("Let the guest answer", "ok"),
    ("Answer a request that lies on the controller, and bind the host keys and the boot only", "ok"),
    ("Bind something of your own", "ok"),
    ("Take away what the guest runs at each boot", "ok"),
    // For a trusted machine; what it does there, the roles show.
    ("Build a request for an association secret, and make the secret if there is none", "request.on_guest"),
    ("Put a password where only its service reads it", "uv.retrieve_unsupported"),
    ("Retrieve one of two secrets of the same id", "uv.retrieve_unsupported"),
];

/// The pages with examples, how many each has, and the test that runs them.
const OF_PAGES: [(&str, usize, &str); 6] = [
    ("collection/README.md", 3, "tests/playbook/examples.rs: the_examples_of_the_pages_do_what_they_say"),
    ("collection/roles/request/README.md", 1, "tests/playbook/examples.rs: the_examples_of_the_pages_do_what_they_say"),
    ("collection/roles/guest/README.md", 1, "tests/playbook/examples.rs: the_examples_of_the_pages_do_what_they_say"),
    // The first by modules/secret_request/tests/module/sealed.rs, with the same options.
    (
        "collection/docs/secrets-at-rest.md",
        3,
        "tests/playbook/requests.rs: a_secret_comes_from_an_ansible_vault_or_a_vault_servers_lookup_and_is_shown_nowhere",
    ),
    ("crates/guest-sim/README.md", 1, "crates/guest-sim/src/scenario.rs: the_example_of_the_readme_is_a_scenario"),
    ("README.md", 0, ""),
];

/// The blocks of YAML in a page.
fn blocks(page: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(place::repository().join(page)).with_context(|| page.to_owned())?;
    let parts = text.split("```yaml\n").skip(1);
    Ok(parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect())
}

#[test]
fn every_page_with_examples_names_the_test_that_runs_them() -> Result<()> {
    let mut pages = vec!["README.md".to_owned()];
    let mut folders = vec![place::repository().join("collection"), place::repository().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(place::repository())?.display().to_string());
            }
        }
    }
    // Pages of modules show what ansible-doc shows.
    for page in pages.iter().filter(|page| !page.starts_with("collection/docs/modules/")) {
        let known = OF_PAGES.iter().find(|(name, ..)| name == page).map_or(0, |known| known.1);
        assert_eq!(blocks(page)?.len(), known, "examples of {page} that no test is named for");
    }
    for (page, _, test) in OF_PAGES.iter().filter(|known| !known.2.is_empty()) {
        let (file, name) = test.split_once(": ").context("no name")?;
        let text = fs::read_to_string(place::repository().join(file))?;
        assert!(text.contains(&format!("fn {name}(")), "{page}: {test} does not exist");
    }
    Ok(())
}

#[test]
fn the_examples_of_the_modules_are_understood() -> Result<()> {
    if !can_simulate("the_examples_of_the_modules_are_understood") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    let output = single.controller.program("ansible-doc")?.args(["--list", "--json", "seguest.pv"]).output()?;
    let modules: Value = serde_json::from_slice(&output.stdout)?;
    let modules: Vec<_> = modules.as_object().context("no list")?.keys().cloned().collect();
    let output = single.controller.program("ansible-doc")?.arg("--json").args(&modules).output()?;
    let documented: Value = serde_json::from_slice(&output.stdout)?;
    let mut tasks = Vec::new();
    for module in &modules {
        let examples: Value = serde_yaml::from_str(documented[module]["examples"].as_str().context("no examples")?)?;
        tasks.extend(examples.as_array().context("no list of tasks")?.clone());
    }
    for task in &mut tasks {
        task["ignore_errors"] = json!(true);
        // Not Ansible's own machine: what is there is none of the test's business.
        task.as_object_mut().context("no task")?.remove("delegate_to");
    }
    let folder = single.world.path("controller");
    fs::create_dir_all(folder.join("requests"))?;
    let request = built(single, "hsm-common")?;
    fs::copy(&request, folder.join("requests/hsm-key.req"))?;
    fs::copy(&request, folder.join("cluster_key.request"))?;
    fs::copy(built(single, "key of guest1")?, folder.join("requests/guest1.request"))?;
    let content = openssl::base64::encode_block(&fs::read(built(single, "cluster key")?)?);
    let challenge = challenge(single)?;
    fs::create_dir_all(folder.join("attestation"))?;
    fs::write(folder.join("attestation/guest1.request"), &challenge)?;
    let challenge = json!({"content": openssl::base64::encode_block(&challenge)});
    let built = json!({"built": {"requests": [{"content": content}]}, "challenge": challenge}).to_string();
    let play = single.controller.tasks("guests", &json!(tasks), &["--check", "--diff", "--extra-vars", &built])?;
    let names: Vec<_> = tasks.iter().map(|task| task["name"].as_str().unwrap_or_default()).collect();
    let mut came = Vec::new();
    for name in &names {
        let record = play.record("guest1", name)?;
        let code = record.result["error"]["code"].as_str().unwrap_or(&record.status);
        assert!(!code.starts_with("args."), "{name}: {}", record.result);
        came.push((*name, code));
    }
    came.sort_unstable();
    let mut expected = OF_MODULES;
    expected.sort_unstable();
    assert_eq!(came, expected);
    Ok(())
}

/// An attestation request for the guest's machine.
fn challenge(single: &Single) -> Result<Vec<u8>> {
    let pem = fs::read(single.world.path("machine1.pub"))?;
    let host = HostKey::new(PKey::public_key_from_pem(&pem)?, "machine1")?;
    let challenge = Challenge::build(Item::ALL.into_iter().collect(), [&host], ChallengeKeys::generate()?)?;
    Ok(challenge.exchange_file()?)
}

/// Builds a request for a secret of this name with `secret_request`; returns its path.
fn built(single: &Single, name: &str) -> Result<std::path::PathBuf> {
    let path = single.world.path(&format!("{}.request", name.replace(' ', "-")));
    let tasks = json!([{"name": "Build", "seguest.pv.secret_request": {
        "host_keys": "{{ provision_host_keys }}", "certificates": "{{ provision_certificates }}",
        "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": "{{ provision_image }}",
        "name": name, "secret": "{{ ('x' * 32) | b64encode }}", "path": path}}]);
    ok(&single.controller.tasks("trusted", &tasks, &[])?)?;
    Ok(path)
}

fn ok(play: &Play) -> Result<()> {
    ensure!(play.ok, "{}", play.output);
    Ok(())
}

/// Runs a playbook of this text in the folder of the controller.
fn book(single: &Single, text: &str, arguments: &[&str]) -> Result<Play> {
    let path = single.world.path("controller/example.yml");
    fs::write(&path, text)?;
    single.controller.playbook(path.to_str().context("not UTF-8")?, arguments)
}

#[test]
fn ansible_knows_every_setting_of_the_page_on_scale() -> Result<()> {
    let page = fs::read_to_string(place::repository().join("collection/docs/scale.md"))?;
    let settings = page.split("```ini\n").nth(1).and_then(|part| part.split("```").next()).context("no settings")?;
    let dir = tempfile::tempdir()?;
    let controller = Controller::new(dir.path(), &Host::controller(), &[], &json!({}))?;
    let config = dir.path().join("scale.cfg");
    for (text, known) in [(settings.to_owned(), true), (settings.replace("forks", "branches"), false)] {
        fs::write(&config, text)?;
        let mut command = controller.program("ansible-config")?;
        let output = command.env("ANSIBLE_CONFIG", &config).args(["validate", "--type", "all"]).output()?;
        assert_eq!(
            output.status.success(),
            known,
            "{}",
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        );
    }
    Ok(())
}

#[test]
fn the_examples_of_the_pages_do_what_they_say() -> Result<()> {
    if !can_simulate("the_examples_of_the_pages_do_what_they_say") {
        return Ok(());
    }
    let single = &Single::new(json!({}))?;
    let folder = single.world.path("controller");
    let [provision, defaults, rescue] = &blocks("collection/README.md")?[..] else { anyhow::bail!("three blocks") };
    fs::copy(built(single, "my secret")?, folder.join("my-secret.request"))?;
    ok(&book(single, provision, &[])?)?;
    assert_eq!((secrets(&single.guest)?.len(), single.guest.state()?["locked"].as_bool()), (1, Some(true)));

    // The two fragments in a play of their own, in which the store is locked.
    fs::copy(built(single, "another")?, folder.join("another.request"))?;
    let play = format!(
        "- hosts: guests\n  gather_facts: false\n{defaults}  tasks:\n    - name: Bind\n      seguest.pv.ap_bind:\n        \
         entries: [{{mode: accel}}]\n    - block:\n        - name: Add\n          seguest.pv.secret_add:\n            \
         src: another.request\n{rescue}"
    );
    let play = book(single, &play, &[])?;
    ok(&play)?;
    assert_eq!(play.result("guest1", "Bind")?["invocation"]["module_args"]["timeout"], 120);
    assert_eq!(play.result("guest1", "Add")?["error"]["code"], "uv.store_locked");
    assert_eq!(play.record("guest1", "A locked store is expected here")?.status, "skipped");

    single.guest.reboot()?;
    let request = &blocks("collection/roles/request/README.md")?[0];
    let there = |path: &str| single.world.path(path).display().to_string();
    let files = [
        ("/etc/seguest/guest.img", there("image.hdr")),
        ("/etc/seguest/HKD-8561-0123456.crt", there("pki/machine1.crt")),
        ("/etc/seguest/ibm-z-host-key-signing.crt", there("pki/ibm.crt")),
        ("/etc/seguest/DigiCertCA.crt", there("pki/inter_ca.crt")),
        ("/etc/seguest/ibm-z-host-key.crl", there("pki/ibm.crl")),
        ("/etc/seguest/DigiCertCA.crl", there("pki/inter_ca.crl")),
        ("/etc/seguest/DigiCertRoot.crl", there("pki/root_ca.crl")),
    ];
    let request = files.iter().fold(request.clone(), |text, (path, there)| text.replace(path, there));
    assert!(!request.contains("/etc/seguest"), "{request}");
    let rest = json!({"request_root_ca": there("pki/root_ca.crt"), "request_create_secret": true,
                      "request_folder": there("requests"), "request_secret_folder": there("secrets")});
    ok(&book(single, &request, &["--extra-vars", &rest.to_string()])?)?;
    let made = |name: &str| Path::new(&there("requests")).join(format!("{name}.request"));
    assert!(made("guest1").exists());
    fs::copy(made("cluster_key"), folder.join("cluster_key.request"))?;
    ok(&book(single, &blocks("collection/roles/guest/README.md")?[0], &[])?)?;
    assert_eq!(associated(&single.guest)?, secrets(&single.guest)?);
    assert_eq!(associated(&single.guest)?.len(), 1);
    Ok(())
}
