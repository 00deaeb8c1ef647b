use super::*;
use crate::manifest::Manifest;
use pv_wire::SecretId;

const PATH: &str = "/r/request";

fn inputs() -> Inputs {
    Inputs {
        kind: "Association".into(),
        name: Some("n".into()),
        id: Some(SecretId::of_name("n").to_string()),
        image: "11".into(),
        host_keys: vec!["22".into()],
        flags: Default::default(),
        cuid: None,
        user_data: None,
        extension_secret: "none".into(),
    }
}

fn hidden(secret: &str) -> Hidden {
    Hidden { secret: Some(secret.into()), ..Hidden::default() }
}

fn id_file(name: &str, kind: SecretType) -> IdFile {
    IdFile { kind, name: name.into(), id: SecretId::of_name(name) }
}

fn desired() -> Desired {
    Desired {
        path: Some(PATH.into()),
        inputs: inputs(),
        hidden: hidden("aa"),
        create_secret: None,
        replace_secret: false,
        attributes: Attributes::mode(0o600),
        id_file: Some(("/r/n.yaml".into(), id_file("n", SecretType::ASSOCIATION))),
    }
}

fn request() -> Found {
    Found { bytes: b"asrcbM...".to_vec(), attributes: Attributes { mode: 0o600, uid: Some(7), gid: Some(8) } }
}

/// Everything is as `desired` wants it.
fn settled() -> Observed {
    let manifest = Manifest::new(encode_hex(&sha256(b"asrcbM...")), inputs(), hidden("aa"), Some("n.yaml".into()));
    Observed {
        request: Some(request()),
        recorded: Recorded::Trusted(Box::new(manifest)),
        id_file: Some(id_file("n", SecretType::ASSOCIATION).to_yaml().unwrap().into_bytes()),
    }
}

fn untrusted(recorded: Recorded) -> Recorded {
    Recorded::Untrusted(recorded.said().cloned().map(Box::new))
}

#[test]
fn nothing_is_done_where_everything_is_as_wanted() {
    assert_eq!(plan(&desired(), &settled()).unwrap(), Plan::default());
}

#[test]
fn where_nothing_is_everything_is_made() {
    let observed = Observed { request: None, recorded: Recorded::Absent, id_file: None };
    let planned = plan(&Desired { create_secret: Some("/r/secret".into()), ..desired() }, &observed).unwrap();
    assert!(planned.build && planned.write_id_file.is_some() && planned.warnings.is_empty());
}

#[test]
fn mode_and_owner_alone_do_not_make_the_request_again() {
    for attributes in [
        Attributes::mode(0o640),
        Attributes { mode: 0o600, uid: Some(0), gid: None },
        Attributes { mode: 0o600, uid: Some(7), gid: Some(0) },
    ] {
        let planned = plan(&Desired { attributes, ..desired() }, &settled()).unwrap();
        assert!(planned.set_attributes && !planned.build, "{attributes:?}");
    }
    let same = Attributes { mode: 0o600, uid: Some(7), gid: Some(8) };
    assert_eq!(plan(&Desired { attributes: same, ..desired() }, &settled()).unwrap(), Plan::default());
}

#[test]
fn unchanged_needs_a_trusted_manifest_with_equal_inputs_and_the_very_request() {
    let mut other_inputs = desired();
    other_inputs.inputs.flags.insert(crate::options::Flag::DisableDump);
    assert!(plan(&other_inputs, &settled()).unwrap().build);
    let mut other_proof = desired();
    other_proof.hidden.cck = Some("cc".into());
    assert!(plan(&other_proof, &settled()).unwrap().build);

    let mut other_request = settled();
    other_request.request.as_mut().unwrap().bytes.push(0);
    let no_manifest = Observed { recorded: Recorded::Absent, ..settled() };
    let distrusted = Observed { recorded: untrusted(settled().recorded), ..settled() };
    for (observed, code) in
        [(other_request, codes::ALTERED), (no_manifest, codes::NO_MANIFEST), (distrusted, codes::UNTRUSTED_MANIFEST)]
    {
        let planned = plan(&desired(), &observed).unwrap();
        assert_eq!((planned.build, planned.warnings[0].code), (true, code));
    }
}

#[test]
fn another_secret_needs_leave_where_the_former_is_known() {
    let other = |replace_secret| Desired { hidden: hidden("bb"), replace_secret, ..desired() };
    assert_eq!(plan(&other(false), &settled()).unwrap_err().code, codes::SECRET_CHANGED);
    assert!(plan(&other(true), &settled()).unwrap().build);
    let distrusted = Observed { recorded: untrusted(settled().recorded), ..settled() };
    assert!(plan(&other(false), &distrusted).unwrap().build);
}

#[test]
fn a_lost_secret_is_not_made_anew_without_leave() {
    let create = |replace_secret| Desired {
        create_secret: Some("/r/secret".into()),
        hidden: Hidden::default(),
        replace_secret,
        ..desired()
    };
    for observed in [
        settled(),
        Observed { request: None, ..settled() },
        Observed { recorded: untrusted(settled().recorded), ..settled() },
        Observed { recorded: Recorded::Absent, ..settled() },
    ] {
        let fault = plan(&create(false), &observed).unwrap_err();
        assert_eq!(fault.code, codes::SECRET_MISSING);
        assert!(fault.detail.contains("/r/secret,") && fault.detail.contains(PATH), "{}", fault.detail);
        assert!(plan(&create(true), &observed).unwrap().build);
    }
}

#[test]
fn something_else_in_the_requests_place_is_left_unless_our_manifest_says_that_it_was_a_request() {
    let mut observed = settled();
    observed.request.as_mut().unwrap().bytes = b"diary".to_vec();
    assert!(plan(&desired(), &observed).unwrap().build);
    for recorded in [Recorded::Absent, untrusted(settled().recorded)] {
        observed.recorded = recorded;
        assert_eq!(plan(&desired(), &observed).unwrap_err().code, codes::NOT_OURS);
    }
}

#[test]
fn a_missing_id_file_is_written_and_a_foreign_one_is_a_collision() {
    let with = |text: Option<String>| Observed { id_file: text.map(String::into_bytes), ..settled() };
    let planned = plan(&desired(), &with(None)).unwrap();
    assert!(!planned.build && planned.write_id_file.is_some());
    for text in [id_file("other", SecretType::ASSOCIATION).to_yaml().unwrap(), "diary".into(), String::new()] {
        assert_eq!(plan(&desired(), &with(Some(text))).unwrap_err().code, codes::ID_FILE_COLLISION);
    }
}

#[test]
fn an_id_file_of_the_same_name_but_another_type_is_replaced_only_if_this_request_wrote_it() {
    let aes = id_file("n", SecretType(4)).to_yaml().unwrap().into_bytes();
    let mut observed = Observed { id_file: Some(aes), ..settled() };
    assert!(plan(&desired(), &observed).unwrap().write_id_file.is_some());
    observed.request = None;
    assert!(plan(&desired(), &observed).unwrap().write_id_file.is_some());
    observed.recorded = Recorded::Absent;
    assert_eq!(plan(&desired(), &observed).unwrap_err().code, codes::ID_FILE_COLLISION);
}
