//! What is told of a request, what it fits, and what is refused.

use crate::world::{World, code, warnings};
use openssl::base64::encode_block;
use openssl::sha::sha256;
use pv_request::UserData;
use pv_wire::encode_hex;
use serde_json::{Value, json};
use std::fs;

#[test]
fn every_visible_field_is_told_from_a_file_and_from_content_alike() {
    let world = World::new();
    let bytes = world.ours(UserData::unsigned(b"for everybody".to_vec(), "data").unwrap());
    let path = world.write("request", &bytes);
    let hashes: Vec<_> = world.hosts().iter().map(|host| encode_hex(&host.hash())).collect();
    let hex = |range: std::ops::Range<usize>| encode_hex(&bytes[range]);
    let mut user_data = b"for everybody".to_vec();
    user_data.resize(512, 0);

    let mut result = world.run(&json!({"path": path}));
    let known = json!({
        "changed": false,
        "msg": result["msg"],
        "invocation": {"module_args": {"path": path, "image": null, "host_keys": null, "user_cert": null}},
        "path": path,
        "size": bytes.len(),
        "sha256": encode_hex(&sha256(&bytes)),
        "tag": hex(bytes.len() - 16..bytes.len()),
        "version": "0x0100",
        "iv": hex(0x010..0x01c),
        "type": "association",
        "kind": "Association",
        "id": format!("0x{}{}", encode_hex(b"my secret"), "00".repeat(23)),
        "name": "my secret",
        "secret_size": 32,
        "encrypted_size": 64,
        "flags": ["disable_dump"],
        "flags_hex": "0x8000000000000000",
        "image": {"pld": "51".repeat(64), "ald": "51".repeat(64), "tld": "51".repeat(64), "tag": "51".repeat(16)},
        "cuid": format!("0x{}", "42".repeat(16)),
        "keyslots": 2,
        "host_key_hashes": hashes,
        "customer_key": hex(0x418..0x4b8),
        "host_keys": [],
        "fits": {"image": null, "host_keys": null, "this_host": result["fits"]["this_host"]},
        "user_data_type": "unsigned",
        "user_data": encode_block(&user_data),
        "signature": "none",
    });
    assert_eq!(result, known);
    assert!(result["msg"].as_str().unwrap().contains("Association"), "{result}");

    let mut given = world.run(&json!({"content": encode_block(&bytes)}));
    assert_eq!((&given["path"], given["invocation"]["module_args"].get("content")), (&Value::Null, None));
    for part in ["path", "invocation"] {
        given.as_object_mut().unwrap().remove(part);
        result.as_object_mut().unwrap().remove(part);
    }
    assert_eq!(given, result);
}

#[test]
fn what_fits_and_what_does_not_is_told_for_each_document() {
    let world = World::new();
    let request = world.write("request", &world.ours(UserData::default()));
    let documents = |numbers: &[u8]| numbers.iter().map(|n| world.text(&format!("host{n}.crt"))).collect::<Vec<_>>();
    for (image, numbers, fits_image, fits_keys) in [
        ("header", &[0, 1][..], true, true),
        ("header", &[1], true, true),
        ("other_header", &[0, 2], false, false),
        ("header", &[2], true, false),
    ] {
        let keys = documents(numbers);
        let result = world.run(&json!({"path": request, "image": world.text(image), "host_keys": keys}));
        assert_eq!((&result["fits"]["image"], &result["fits"]["host_keys"]), (&json!(fits_image), &json!(fits_keys)));
        for ((entry, file), number) in result["host_keys"].as_array().unwrap().iter().zip(&keys).zip(numbers) {
            assert_eq!((&entry["file"], &entry["fits"]), (&json!(file), &json!(*number < 2)), "{result}");
            let slots = result["host_key_hashes"].as_array().unwrap();
            assert_eq!(slots.contains(&entry["hash"]), *number < 2);
        }
    }
    // One path where a list is meant, as on the command line.
    let one = world.run(&json!({"path": request, "host_keys": world.text("host0.crt")}));
    assert_eq!(one["fits"]["host_keys"], true);
}

#[test]
fn check_mode_tells_the_same() {
    let world = World::new();
    let path = world.write("request", &world.ours(UserData::default()));
    let mut options = json!({"path": path, "image": world.text("header"), "host_keys": [world.text("host0.crt")]});
    let result = world.run(&options);
    options["_ansible_check_mode"] = true.into();
    assert_eq!(world.run(&options), result);
    options["_ansible_diff"] = true.into();
    assert_eq!(world.run(&options)["diff"], json!([]));
}

#[test]
fn what_an_earlier_task_may_still_make_is_unknown_in_check_mode_and_an_error_otherwise() {
    let world = World::new();
    let request = world.write("request", &world.ours(UserData::default()));
    let nothing = world.text("nothing");
    for options in [
        json!({"path": nothing}),
        json!({"path": request, "image": nothing}),
        json!({"path": request, "host_keys": [world.text("host0.crt"), nothing]}),
        json!({"path": request, "user_cert": nothing}),
    ] {
        let failed = world.run(&options);
        assert_eq!(code(&failed), "file.missing", "{failed}");
        assert!(failed["msg"].as_str().unwrap().contains(&nothing));
        let mut checking = options.clone();
        checking["_ansible_check_mode"] = true.into();
        let result = world.run(&checking);
        assert_eq!(result["predicted"], "partial", "{result}");
        assert!(warnings(&result)[0].ends_with("[file.missing]"), "{result}");
        assert_eq!(result["sha256"].is_null(), options["path"] == nothing.as_str());
        assert_eq!((&result["fits"]["image"], &result["fits"]["host_keys"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn what_is_no_request_is_refused_with_what_was_found() {
    let world = World::new();
    let good = world.ours(UserData::default());
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let length = good.len();
    let cases = [
        (
            good[..length - 1].to_vec(),
            "request.malformed",
            format!("says that it is {length} bytes long, but {}", length - 1),
        ),
        (good[..40].to_vec(), "request.malformed", "40 bytes are there".into()),
        ([good.as_slice(), &[0]].concat(), "request.malformed", format!("but {} bytes are there", length + 1)),
        (changed(0x00a, 2), "request.unsupported_version", "0x0200".into()),
        (changed(0x007, 5), "request.malformed", "0x0005".into()),
        (changed(0x027, 0), "request.malformed", "no keyslot".into()),
        (changed(0x02f, 65), "request.malformed", "do not fit each other".into()),
        (Vec::new(), "request.malformed", "These 0 bytes".into()),
    ];
    for (bytes, wanted, found) in cases {
        let path = world.write("bad", &bytes);
        let result = world.run(&json!({"path": path}));
        assert_eq!(code(&result), wanted, "{result}");
        let msg = result["msg"].as_str().unwrap();
        assert!(msg.starts_with(&path) && msg.contains(&found), "{msg}");
        let result = world.run(&json!({"content": encode_block(&bytes)}));
        assert!(code(&result) == wanted && result["msg"].as_str().unwrap().starts_with("content: "), "{result}");
    }
}

#[test]
fn options_that_name_no_request_or_no_usable_file_are_refused() {
    let world = World::new();
    let request = world.write("request", &world.ours(UserData::default()));
    fs::File::create(world.path("huge")).unwrap().set_len(1 << 30).unwrap();
    for (options, wanted) in [
        (json!({}), "args.missing"),
        (json!({"path": request, "content": "AA=="}), "args.conflict"),
        (json!({"content": "no base64!"}), "args.invalid"),
        (json!({"paht": request}), "args.unknown_option"),
        (json!({"path": "/dev/zero"}), "file.unreadable"),
        (json!({"path": "/"}), "file.unreadable"),
        (json!({"path": world.text("huge")}), "file.too_large"),
        (json!({"path": request, "image": request}), "image.no_header"),
        (json!({"path": request, "host_keys": [request]}), "hkd.not_a_certificate"),
        (json!({"path": request, "user_cert": request}), "hkd.not_a_certificate"),
    ] {
        let result = world.run(&options);
        assert_eq!(code(&result), wanted, "{result}");
    }
}

#[test]
fn the_reference_requests_are_read_as_s390_tools_made_them() {
    let Some(dir) = std::env::var_os("SEGUEST_VECTORS") else {
        println!("skipped: SEGUEST_VECTORS does not name the folder with s390-tools' test assets");
        return;
    };
    let dir = std::path::Path::new(&dir);
    let world = World::new();
    let mut read = 0;
    for entry in fs::read_dir(dir.join("asrcb")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let host = dir.join("keys/host.pem.crt");
        let result = world.run(&json!({"path": path, "host_keys": [host], "image": dir.join("secure_guest.hdr")}));
        let association = name.starts_with("assoc");
        assert_eq!(result["type"], if association { "association" } else { "meta" }, "{name}: {result}");
        let id = "0x70dc758d711fef605b1b1b1774a2a4ab701020ea4b2cb399ebbdd5a3971c76a9";
        assert_eq!(result["id"], if association { json!(id) } else { Value::Null });
        assert_eq!(result["cuid"].is_null(), name.contains("ncuid"));
        assert_eq!(result["flags"], if name.contains("dump") { json!(["disable_dump"]) } else { json!([]) });
        assert_eq!(result["keyslots"], if name.contains("seven") { 7 } else { 1 });
        assert_eq!(result["iv"], "55".repeat(12));
        assert_eq!(result["image"]["tag"], "04".repeat(16));
        assert_eq!((&result["fits"]["host_keys"], &result["fits"]["image"]), (&json!(true), &json!(false)));
        assert_eq!(result["signature"], "none");
        let customer = pv_wire::decode_hex(result["customer_key"].as_str().unwrap()).unwrap();
        assert_eq!(encode_hex(&sha256(&customer)), "5ee905a9be70366815a45641afae00973b1f45292f43bcd7638ee2a73fd7c45e");
        read += 1;
    }
    assert_eq!(read, 9);
}
