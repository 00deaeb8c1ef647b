use super::*;

/// Public keys made by `ssh-keygen` for this; nobody has the private ones.
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINtOaNa/a2hcojDLrN8TEN3clL2Qwtv95xewdu2aAqhf";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBBmgkwo0DRET3hMf2IICZs1Qx9zhjDBy4t70FVTfNCrUp+vgeoXeBuzV8GASHu5OAGt5eATd9zjQfe53NvxRdAA=";
/// `guest1` and `[10.0.0.7]:2222`, hashed by `ssh-keygen -H`.
const HASHED_NAME: &str = "|1|MRG6YtFmTn0S7x+ipJToCKxAZg8=|wDZ0gOLrXdemWHv5ucoczh+N7hY=";
const HASHED_ADDRESS: &str = "|1|0nSTamOpbNvccNqg0Z2sWBn2zgw=|+RNdaMSjBjjSQ662o7bHGae/jiU=";

/// What is known of a host: its keys, those that are revoked, and whether there is more.
fn known(text: &str, host: &str, port: u16) -> (Vec<String>, Vec<String>, bool) {
    let found = SshKnownHosts::parse(text.as_bytes()).host(host, port);
    let texts = |keys: Vec<SshHostKey>| keys.iter().map(ToString::to_string).collect();
    (texts(found.keys), texts(found.revoked), found.otherwise)
}

fn keys(text: &str, host: &str, port: u16) -> Vec<String> {
    known(text, host, port).0
}

#[test]
fn a_host_has_the_keys_of_all_lines_that_name_it_in_either_form() {
    let text = format!(
        "# a comment\n\n  {HASHED_NAME} {ED25519} c\r\nother,Guest1 \t{ECDSA} with a comment\n{HASHED_ADDRESS} {ECDSA}\n"
    );
    assert_eq!(keys(&text, "guest1", 22), [ECDSA, ED25519]);
    assert_eq!(keys(&text, "GUEST1", 22), [ECDSA, ED25519]);
    assert_eq!(keys(&text, "10.0.0.7", 2222), [ECDSA]);
    for (host, port) in [("10.0.0.7", 22), ("10.0.0.7", 2223), ("guest11", 22), ("", 22), ("#", 22)] {
        assert_eq!(known(&text, host, port), (vec![], vec![], false), "{host}:{port}");
    }
}

#[test]
fn a_name_without_the_port_may_be_another_host_and_gives_no_key() {
    let text = format!("g1 {ECDSA}\n[g1]:2222 {ED25519}\n");
    assert_eq!(keys(&text, "g1", 2222), [ED25519]);
    assert_eq!(known(&text, "g1", 2223), (vec![], vec![], true));
    assert_eq!(keys(&text, "g1", 22), [ECDSA]);
    let named = |host: &str, port: u16| SshKnownHosts::default().host(host, port).name;
    assert_eq!((named("G1", 22), named("fe80::1", 2222)), ("g1".into(), "[fe80::1]:2222".into()));
    // What is revoked counts under both names.
    let revoked = format!("g1,[g1]:2222 {ED25519}\n@revoked g1 {ED25519}\n");
    assert_eq!(known(&revoked, "g1", 2222), (vec![], vec![ED25519.into()], false));
}

#[test]
fn wildcards_and_authorities_say_that_there_is_more_but_give_no_key() {
    for line in [
        format!("*.example.com {ED25519}"),
        format!("other,g?.EXAMPLE.com {ED25519}"),
        format!("@cert-authority *.example.com {ED25519}"),
        format!("@cert-authority g1.example.com {ED25519}"),
    ] {
        assert_eq!(known(&line, "g1.example.com", 22), (vec![], vec![], true), "{line}");
        assert_eq!(known(&line, "g1.example.org", 22), (vec![], vec![], false), "{line}");
    }
    let both = format!("g1.example.com,*.example.com {ED25519}\n");
    assert_eq!(keys(&both, "g1.example.com", 22), [ED25519]);
    for line in [format!("!g1,* {ED25519}"), format!("g1,!g* {ED25519}")] {
        assert_eq!(known(&line, "g1", 22), (vec![], vec![], false), "{line}");
    }
}

#[test]
fn a_revoked_key_is_none_by_which_a_host_is_trusted() {
    let text = format!("g1 {ED25519}\ng1 {ECDSA}\n@revoked * {ED25519}\n");
    assert_eq!(known(&text, "g1", 22), (vec![ECDSA.into()], vec![ED25519.into()], false));
}

#[test]
fn lines_that_cannot_be_understood_count_for_nothing_and_keep_none_from_counting() {
    let (kind, base64) = ED25519.split_once(' ').unwrap();
    let text = format!(
        "g1\ng1 {kind}\ng1 1024 35 1234567890\ng1 ssh-rsa {base64}\ng1 {kind} {}\n@other g1 {ED25519}\n@revoked\n\
         |1|AAAA|AAAA {ED25519}\n|2|x|y {ED25519}\n{} {ED25519}\ng1 {ECDSA}\n",
        &base64[1..],
        "x".repeat(MAX_PATTERN),
    );
    assert_eq!(known(&text, "g1", 22), (vec![ECDSA.into()], vec![], false));
    let binary = [b"\xff\xfe g1\n".as_slice(), format!("g1 {ECDSA}").as_bytes()].concat();
    assert_eq!(SshKnownHosts::parse(&binary).host("g1", 22).keys.len(), 1);
}

#[test]
fn lines_count_whatever_their_comments_are_encoded_in_and_however_long_they_are() {
    let latin = |line: &str| [line.as_bytes(), b" admin@b\xfcro\n"].concat();
    let text = [
        latin(&format!("g1 {ED25519}")),
        latin(&format!("g1 {ECDSA}")),
        latin(&format!("@revoked g1 {ED25519}")),
        [b"b\xfcro,g2 ".as_slice(), ED25519.as_bytes(), b"\n"].concat(),
        format!("{}g3 {ED25519} {}\n", "a,".repeat(40_000), "x".repeat(1 << 20)).into_bytes(),
    ];
    let known = SshKnownHosts::parse(&text.concat());
    let texts = |keys: Vec<SshHostKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let g1 = known.host("g1", 22);
    assert_eq!((texts(g1.keys), texts(g1.revoked)), (vec![ECDSA.into()], vec![ED25519.into()]));
    assert_eq!(
        (texts(known.host("g2", 22).keys), texts(known.host("g3", 22).keys)),
        (vec![ED25519.into()], vec![ED25519.into()])
    );
}

#[test]
fn a_line_with_a_pattern_that_is_too_long_for_openssh_counts_for_nothing() {
    for (begin, len, counts) in [("", 1022, true), ("", 1023, false), ("!", 1022, true), ("!", 1023, false)] {
        let line = format!("g1,{begin}{} {ED25519}", "x".repeat(len));
        assert_eq!(keys(&line, "g1", 22).len(), usize::from(counts), "{begin} {len}");
    }
}

#[test]
fn one_key_is_read_from_a_line_of_either_form_and_nothing_else_is_a_key() {
    let (kind, base64) = ED25519.split_once(' ').unwrap();
    let of = |line: &str| ssh_host_key(line).map(|key| key.to_string());
    for line in [
        ED25519.into(),
        format!(" {ED25519} root@g1"),
        format!("g1,192.0.2.1\t{ED25519}\r"),
        format!("{HASHED_NAME} {ED25519} c"),
    ] {
        assert_eq!(of(&line).as_deref(), Some(ED25519), "{line}");
    }
    for line in [
        "".into(),
        kind.into(),
        format!("g1 {kind}"),
        format!("ssh-rsa {base64}"),
        format!("g1 ssh-rsa {base64}"),
        format!("@revoked g1 {ED25519}"),
        format!("@revoked {ED25519}"),
        format!("# {ED25519}"),
        format!("a b {ED25519}"),
    ] {
        assert_eq!(of(&line), None, "{line}");
    }
}

#[test]
fn patterns_match_as_a_shell_would_and_in_little_time() {
    for (pattern, name, expected) in [
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("?", "", false),
        ("a*b*c", "aXbXbXc", true),
        ("a*b*c", "aXbXbX", false),
        ("**a", "bba", true),
        ("a?", "ab", true),
        ("a?", "abc", false),
    ] {
        assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }
    assert!(!matches("*a".repeat(400).as_bytes(), "a".repeat(399).as_bytes()));
}

#[test]
fn a_line_with_a_marker_that_nobody_knows_names_no_host() {
    assert_eq!(known(&format!("@other {ED25519}"), "@other", 22), (vec![], vec![], false));
}
