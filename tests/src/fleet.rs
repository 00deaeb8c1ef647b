//! Two guests of one image on two machines, and a controller that can provision them.

use crate::{Controller, Guest, Host, World};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The master key that the entries ask for.
pub const WANTED_KEY: &str = "db3c3b3c3f097dd55ec7eb0e7fdbcb93";
/// What each guest's own secret is called, as a template.
pub const OWN_SECRET: &str = "key of {{ inventory_hostname }}";
/// Another one, which half of the queues have.
pub const OTHER_KEY: &str = "00112233445566778899aabbccddeeff";

/// What `playbooks/provision.yml` works on.
#[derive(Debug)]
pub struct Fleet {
    /// Machines `machine1` and `machine2`, and the image `image`.
    pub world: World,
    /// `guest1`, on machine1.
    pub first: Guest,
    /// `guest2`, on machine2.
    pub second: Guest,
    /// Knows both, and the playbook's variables.
    pub controller: Controller,
}

impl Fleet {
    /// Starts all of it in a folder. Guests end with the thread that starts them.
    ///
    /// # Errors
    /// If a part does not come up.
    pub fn new(dir: &Path) -> Result<Self> {
        let world = World::new(dir, &["machine1", "machine2"])?;
        let first = Guest::start(&world, "guest1", "machine1", &fleet_cards())?;
        let second = Guest::start(&world, "guest2", "machine2", &fleet_cards())?;
        let guests = [Host::guest("guest1", &first)?, Host::guest("guest2", &second)?];
        let controller = Controller::new(&dir.join("controller"), &Host::controller(), &guests, &variables(&world))?;
        Ok(Self { world, first, second, controller })
    }
}

/// Where `provision.yml` has put the request of this name for guests of this image, given by the name of its file.
///
/// # Errors
/// If there is none, or more than one.
pub fn request_of(world: &World, image: &str, name: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(world.path("trusted/requests"))? {
        let folder = folder?;
        let of_image = folder.file_name().to_str().is_some_and(|of| of.starts_with(&format!("{image}-")));
        let request = folder.path().join(format!("{name}.request"));
        found.extend((of_image && request.is_file()).then_some(request));
    }
    match found.as_slice() {
        [request] => Ok(request.clone()),
        _ => bail!("requests {name} for {image}: {found:?}"),
    }
}

/// Two EP11 cards, each with a queue of the wanted master key and one of another, and an accelerator.
pub fn fleet_cards() -> String {
    format!(
        r#"cards:
  "00":
    type: CEX8P
    serialnr: 93AADFK719460083
    queues:
      "0005": {{mkvp: "{WANTED_KEY}"}}
      "0006": {{mkvp: "{OTHER_KEY}"}}
  "01":
    type: CEX8P
    serialnr: 93AADFK719460084
    queues:
      "0005": {{mkvp: "{WANTED_KEY}"}}
      "0006": {{mkvp: "{OTHER_KEY}"}}
  "02":
    type: CEX8A
    queues:
      "0005": {{}}
"#
    )
}

/// What `playbooks/provision.yml` needs to know, for guests of the world's image on any of the two machines.
pub fn variables(world: &World) -> Value {
    let pki = |name: &str| world.path(&format!("pki/{name}"));
    let entry = |name: &str| json!({"name": name, "mode": "ep11", "mkvp": format!("0x{WANTED_KEY}"), "mingen": "cex8"});
    json!({
        "provision_host_keys": [pki("machine1.crt"), pki("machine2.crt")],
        "provision_certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "provision_crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "provision_root_ca": pki("root_ca.crt"),
        "provision_image": world.path("image.hdr"),
        "provision_output": world.path("trusted"),
        "provision_create_secrets": true,
        "provision_secrets": [{"name": "cluster key"}, {"name": OWN_SECRET}],
        "provision_queues": [
            entry("cluster key"),
            entry(OWN_SECRET),
            {"mode": "accel", "description": "for clear keys, so without a secret"},
        ],
    })
}
