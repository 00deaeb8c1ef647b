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

#[test]
fn a_host_key_that_is_named_twice_has_one_slot_and_is_told() {
    let world = World::new();
    std::fs::copy(world.path("host1.crt"), world.path("copy.crt")).unwrap();
    let files = |names: &[&str]| names.iter().map(|name| world.text(name)).collect::<Vec<_>>();
    let once = world.options("request", json!({"host_keys": files(&["host1.crt", "host2.crt"])}));
    let made = world.run(&once);
    assert!(made["changed"] == true && !warns(&made, "hkd.same_key"), "{made}");
    // The same request is wanted, so nothing is built; but one of the names may be a mistake.
    for (names, said) in [
        (["host1.crt", "host2.crt", "host1.crt"], "is named twice"),
        (["host1.crt", "copy.crt", "host2.crt"], "contain the same host key"),
    ] {
        let again = world.run(&world.options("request", json!({"host_keys": files(&names)})));
        assert!(again["changed"] == false && warns(&again, "hkd.same_key"), "{again}");
        assert!(again["warnings"].to_string().contains(said), "{again}");
        assert_eq!(again["requests"][0]["host_keys"].as_array().unwrap().len(), 3, "one for each document");
    }
    let twice = json!({"host_keys": files(&["host1.crt", "copy.crt"])});
    assert_eq!(world.run(&world.options("request", twice))["changed"], true);
    let bytes = std::fs::read(world.path("request")).unwrap();
    assert_eq!(pv_wire::RequestView::parse(&bytes).unwrap().host_key_hashes().count(), 1);
    assert_eq!(world.secret_in(&world.path("request")), std::fs::read(world.path("secret")).unwrap());
}
