//! Verification of host key documents.

use crate::world::{World, code, warns};
use serde_json::json;

#[test]
fn verification_runs_every_time() {
    let world = World::new();
    world.document("expired", Some(test_pki::Flaw::Expired));
    world.document("forged", Some(test_pki::Flaw::ForgedSignature));
    for (document, wanted) in [("expired", "hkd.expired"), ("forged", "hkd.signature")] {
        let result =
            world.run(&world.options("request", json!({"host_keys": [world.text(&format!("{document}.crt"))]})));
        assert_eq!(code(&result), wanted);
        assert!(!world.path("secret").exists() && !world.path("request").exists());
    }
    let pinned = json!({"host_key_hashes": ["11".repeat(32)]});
    assert_eq!(code(&world.run(&world.options("request", pinned))), "hkd.not_listed");

    // Made without verification, the request is there; what is only too old is a warning then, what is forged is not.
    for (document, failed) in [("expired", false), ("forged", true)] {
        let keys = json!([world.text(&format!("{document}.crt"))]);
        let mut unverified = world.options(document, json!({"host_keys": keys, "verify_host_keys": false}));
        for option in ["certificates", "crls", "root_ca"] {
            unverified[option] = json!(null);
        }
        let made = world.run(&unverified);
        assert!(made["changed"] == true && warns(&made, "hkd.unverified"), "{made}");
        assert!(warns(&world.run(&unverified), "hkd.unverified"));
        let verified = world.run(&world.options(document, json!({"host_keys": keys})));
        assert_eq!((verified["failed"] == true, verified["changed"].as_bool()), (failed, Some(false)), "{verified}");
        assert!(failed || warns(&verified, "hkd.expired"));
    }
}
