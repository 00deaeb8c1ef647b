//! User data and their signature, in requests of ours and of IBM's library.

use crate::world::{World, code, p521, public, rsa, warnings};
use openssl::base64::{decode_block, encode_block};
use pv_request::UserData;
use s390_pv::secret::verify_asrcb_and_get_user_data;
use serde_json::{Value, json};

#[test]
fn a_signed_request_is_valid_or_invalid_whoever_made_it() {
    let world = World::new();
    for (key, layout, room) in [(p521(), "ec_p521", 256), (rsa(2048), "rsa_2048", 256), (rsa(3072), "rsa_3072", 128)] {
        let certificate = world.certificate("signer.crt", &key);
        let pem = key.private_key_to_pem_pkcs8().unwrap();
        let signed = UserData::signed(b"who and when".to_vec(), "data", &pem, "key").unwrap();
        for (request, kind) in [(world.theirs(b"who and when", &key), "null"), (world.ours(signed), "Association")] {
            let content = encode_block(&request);
            let unchecked = world.run(&json!({"content": content}));
            assert_eq!((&unchecked["signature"], &unchecked["user_data_type"]), (&json!("unchecked"), &json!(layout)));
            assert_eq!(unchecked["kind"], kind);

            let valid = world.run(&json!({"content": content, "user_cert": certificate}));
            assert_eq!((&valid["signature"], valid.get("warnings")), (&json!("valid"), None), "{valid}");
            let data = decode_block(valid["user_data"].as_str().unwrap()).unwrap();
            let theirs = verify_asrcb_and_get_user_data(request.clone(), Some(public(&key))).unwrap().unwrap();
            assert_eq!((&data, data.len()), (&theirs, room));
            assert_eq!(valid["user_data"], unchecked["user_data"]);

            // Another flag, so another request: a result, but one that nobody overlooks.
            let mut forged = request;
            forged[0x037] ^= 1;
            let invalid = world.run(&json!({"content": encode_block(&forged), "user_cert": certificate}));
            assert_eq!((&invalid["signature"], &invalid["user_data"]), (&json!("invalid"), &Value::Null));
            assert_eq!(invalid.get("failed"), None);
            assert!(warnings(&invalid)[0].ends_with("[request.signature_invalid]"), "{invalid}");
            assert!(verify_asrcb_and_get_user_data(forged, Some(public(&key))).is_err());
        }
    }
}

#[test]
fn a_certificate_of_another_kind_of_key_is_an_error() {
    let world = World::new();
    let (ec, rsa) = (p521(), rsa(2048));
    let certificate = world.certificate("rsa.crt", &rsa);
    let unsigned = UserData::unsigned(b"data".to_vec(), "data").unwrap();
    for (request, what) in [(world.theirs(b"data", &ec), "P-521"), (world.ours(unsigned), "not signed")] {
        let result = world.run(&json!({"content": encode_block(&request), "user_cert": certificate}));
        assert_eq!(code(&result), "request.user_cert_mismatch", "{result}");
        let msg = result["msg"].as_str().unwrap();
        assert!(msg.contains("rsa.crt") && msg.contains("2048") && msg.contains(what), "{msg}");
    }
}

#[test]
fn without_user_data_a_certificate_changes_nothing() {
    let world = World::new();
    let certificate = world.certificate("rsa.crt", &rsa(2048));
    let content = encode_block(&world.ours(UserData::default()));
    let result = world.run(&json!({"content": content, "user_cert": certificate}));
    assert_eq!((&result["signature"], &result["user_data"]), (&json!("none"), &Value::Null));
    assert_eq!(result["user_data_type"], "none");
}
