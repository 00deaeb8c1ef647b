//! Guests that were asked: what every test begins with.

use crate::ultravisor::Guest;
use crate::world::{World, with};
use ansible_contract::{Context, Module as _};
use attest_request::AttestRequest;
use pv_wire::attestation::Claims;
use serde_json::{Value, json};
use std::fs;
use std::ops::Deref;

/// A world in which requests were made for guests.
pub struct Fleet {
    world: World,
}

impl Deref for Fleet {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// Claims of a guest.
pub const BOOT_ID: &str = "0d3a1f6e-2b4c-4d5e-8f90-123456789abc";

/// The SSH host key of a guest, by its number.
pub fn ssh_host_key(number: u8) -> String {
    let blob = [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &[number; 32]].concat();
    format!("ssh-ed25519 {}", openssl::base64::encode_block(&blob))
}

/// What a guest says about itself.
pub fn claims(number: u8, boot_id: &str, added: &[[u8; 32]]) -> Claims {
    let claims = Claims::default().with_added_requests(added.to_vec()).unwrap();
    claims.with_boot_id(boot_id).unwrap().with_ssh_host_keys(vec![ssh_host_key(number).parse().unwrap()]).unwrap()
}

impl Fleet {
    /// One guest is asked, `g1`.
    pub fn new() -> Self {
        let fleet = Self { world: World::new(env!("CARGO_BIN_EXE_attest_verify")) };
        fleet.ask(&["g1"]);
        fleet
    }

    /// Makes requests for guests of these names.
    pub fn ask(&self, names: &[&str]) {
        self.ask_with(names, json!({}));
    }

    /// The same with more options for all of them.
    pub fn ask_with(&self, names: &[&str], more: Value) {
        let requests: Vec<_> = names.iter().map(|name| json!({"path": self.text(name)})).collect();
        let mut options = self.request("", with(json!({ "requests": requests }), more));
        options.as_object_mut().unwrap().remove("path");
        let made = AttestRequest::run(serde_json::from_value(options).unwrap(), &Context::default()).unwrap();
        assert_eq!(made.report.requests.len(), names.len());
    }

    pub fn guest(&self, number: u8) -> Guest {
        Guest::new(&self.host, number)
    }

    /// The answer of a guest to the request of this name.
    pub fn answer(&self, name: &str, guest: &Guest) -> Vec<u8> {
        guest.answer(&self.host, &fs::read(self.path(name)).unwrap())
    }

    /// Options by which this answer to the request of this name is judged: the image, and `more`.
    pub fn options(&self, name: &str, answer: &[u8], more: Value) -> Value {
        let content = openssl::base64::encode_block(answer);
        let own = json!({"label": name, "content": content, "request": self.text(name), "image": self.text("header")});
        with(own, more)
    }

    /// Judges the answer of a guest to the request `g1`. The key is kept, so that others can be judged by it.
    pub fn judge(&self, guest: &Guest, more: Value) -> Value {
        let answer = self.answer("g1", guest);
        self.run(&self.options("g1", &answer, with(json!({"remove_key": false}), more)))
    }
}

/// A check of the first answer in a result, by its name.
pub fn check<'a>(result: &'a Value, name: &str) -> &'a Value {
    let checks = result["responses"][0]["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}
