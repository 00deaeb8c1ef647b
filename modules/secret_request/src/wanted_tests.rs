use super::*;

const GOOD: &str =
    r#""path": "/r/req", "name": "n", "secret_file": "/s", "image": "/i", "host_keys": ["/h"], "certificates": ["/c"]"#;

fn wanted(json: &str) -> Result<Wanted> {
    // Of two equal keys a map takes the last.
    let map: serde_json::Value = serde_json::from_str(json).unwrap();
    Wanted::from_options(&serde_json::from_value(map).unwrap())
}

fn with(more: &str) -> Result<Present> {
    match wanted(&format!("{{{GOOD}{more}}}"))? {
        Wanted::Present(present) => Ok(*present),
        Wanted::Absent(_) => panic!("absent"),
    }
}

#[test]
fn the_usual_options_give_an_association_request_with_an_id_file_beside_it() {
    let present = with("").unwrap();
    assert_eq!(present.id_file.as_deref(), Some(Path::new("/r/n.yaml")));
    assert_eq!(present.id, Some(SecretId::of_name("n")));
    assert!(present.host_keys.trust.is_some_and(|trust| !trust.download_crls) && present.flags.is_empty());
}

#[test]
fn each_required_option_is_named_when_it_is_missing() {
    for name in ["path", "name", "secret_file", "image", "host_keys", "certificates"] {
        let parts = GOOD.split(", ").filter(|part| !part.starts_with(&format!("\"{name}\"")));
        let fault = wanted(&format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))).err().unwrap();
        assert_eq!(fault.code, args::MISSING, "{name}");
        assert!(fault.detail.starts_with(&format!("The option {name} ")), "{fault}");
    }
    assert_eq!(with(r#", "host_keys": []"#).err().unwrap().code, args::MISSING);
}

#[test]
fn options_that_would_be_ignored_are_refused() {
    for more in [
        r#", "secret": "AAAA""#,
        r#", "secret": "AAAA", "secret_file": null, "create_secret": true"#,
        r#", "extension_secret_file": "/e", "cck_file": "/k""#,
        r#", "cuid": "0x0102030405060708090a0b0c0d0e0f10", "cuid_file": "/u""#,
        r#", "verify_host_keys": false"#,
        r#", "verify_host_keys": false, "certificates": [], "crls": ["/l"]"#,
        r#", "verify_host_keys": false, "certificates": [], "root_ca": "/l""#,
        r#", "verify_host_keys": false, "certificates": [], "download_crls": true"#,
        r#", "type": "meta""#,
        r#", "type": "meta", "name": null"#,
        r#", "type": "update_cck""#,
        r#", "type": "update_cck", "name": null, "use_name": true"#,
        r#", "type": "aes", "create_secret": true"#,
        r#", "secret": "AAAA", "secret_file": null, "secret_recipients": ["/c"]"#,
        r#", "secret": "AAAA", "secret_file": null, "secret_key_file": "/k""#,
        r#", "path": null, "return_content": true, "mode": "0600""#,
        r#", "path": null, "return_content": true, "backup": true"#,
    ] {
        let fault = with(more).err().unwrap();
        assert_eq!(fault.code, args::CONFLICT, "{more}: {fault}");
    }
}

#[test]
fn a_passphrase_needs_its_key_and_is_never_quoted() {
    let fault = with(r#", "secret_key_passphrase": "s3cret""#).err().unwrap();
    assert_eq!(fault.code, args::MISSING);
    assert!(fault.detail.contains("secret_key_file") && !fault.to_string().contains("s3cret"), "{fault}");
    let present = with(r#", "secret_recipients": ["/c1", "/c2"], "secret_key_file": "/k""#).unwrap();
    assert_eq!(present.sealing().unwrap().recipients.len(), 2);
    let over = with(r#", "secret_key_file": "/r/req""#).err().unwrap();
    assert_eq!(over.code, args::CONFLICT);
}

#[test]
fn a_name_that_gives_no_file_name_needs_an_id_file() {
    for name in [".hidden", "dir/x", ".."] {
        let json = GOOD.replace("\"name\": \"n\"", &format!("\"name\": \"{name}\""));
        assert_eq!(wanted(&format!("{{{json}}}")).err().unwrap().code, args::MISSING, "{name}");
        assert!(wanted(&format!("{{{json}, \"id_file\": \"/r/x.yaml\"}}")).is_ok());
    }
}

#[test]
fn a_name_too_long_for_id_file_and_manifest_is_refused() {
    let named = |len| {
        let json = GOOD.replace("\"name\": \"n\"", &format!("\"name\": \"{}\"", "n".repeat(len)));
        wanted(&format!("{{{json}, \"id_file\": \"/r/x.yaml\"}}")).err().map(|fault| fault.code)
    };
    assert_eq!((named(4096), named(4097)), (None, Some(args::INVALID)));
    let json = GOOD.replace("\"name\": \"n\"", &format!("\"name\": \"{}\"", "n".repeat(216)));
    assert!(wanted(&format!("{{{json}}}")).err().unwrap().detail.contains("longer than 215 bytes"));
}

#[test]
fn nothing_is_written_over_another_file_of_the_task() {
    for (path, id_file) in [
        ("/s", "/y"),
        ("/r/../i", "/y"),
        ("/h", "/y"),
        ("/r/a", "/r/a"),
        ("/r/a", "/s"),
        ("/r/a", "/r/./a.manifest.json"),
    ] {
        let json = GOOD.replace("/r/req", path).replace("/r/../i", "//i");
        let fault = wanted(&format!("{{{json}, \"id_file\": \"{id_file}\"}}")).err().unwrap();
        assert_eq!(fault.code, args::CONFLICT, "{path} {id_file}");
    }
}

#[test]
fn a_secret_that_is_no_base64_is_not_quoted() {
    let json = GOOD.replace("\"secret_file\": \"/s\"", "\"secret\": \"s3cret!\"");
    let fault = wanted(&format!("{{{json}}}")).err().unwrap();
    assert_eq!(fault.code, args::INVALID);
    assert!(!fault.to_string().contains("s3cret"));
    // What is expected, and how it is made.
    assert!(
        fault.hint.contains("base64 of the raw secret") && fault.hint.contains("{{ value | b64encode }}"),
        "{fault}"
    );
}

#[test]
fn an_empty_secret_option_is_refused_whatever_the_type() {
    let json = GOOD.replace("\"secret_file\": \"/s\"", "\"type\": \"plaintext\", \"secret\": \" \"");
    let fault = wanted(&format!("{{{json}}}")).err().unwrap();
    assert_eq!((fault.code, fault.detail.as_str()), (args::INVALID, "The option secret is empty."));
}

#[test]
fn owners_are_names_or_numbers() {
    let present = with(r#", "owner": "root", "group": "0""#).unwrap();
    assert_eq!(present.ownership().unwrap(), (Some(0), Some(0)));
    for name in ["no such user", "4294967295", "4294967296", "-1", "+0", ""] {
        let nobody = with(&format!(", \"owner\": \"{name}\"")).unwrap();
        assert_eq!(nobody.ownership().unwrap_err().code, fault::file::NO_SUCH_OWNER, "{name}");
    }
}
