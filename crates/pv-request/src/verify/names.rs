//! Distinguished names: recognising IBM's signing key, and telling when two names mean it.

use openssl::{
    nid::Nid,
    x509::{X509NameRef, X509Ref},
};
use std::cmp::Ordering;

const IBM: &str = "International Business Machines Corporation";
/// IBM's signing keys moved from the one place to the other; documents and lists of the first name may be issued
/// by a key of the second.
const LOCALITIES: [&str; 2] = ["Poughkeepsie", "Armonk"];
const UNIT_ENDING: &str = "Key Signing Service";

/// Whether this is the subject of an IBM host key signing key (IBM Secure Execution documentation, "Verifying the
/// host key document").
pub(super) fn is_signing_key(subject: &X509NameRef) -> bool {
    let is = |attribute, value| entry(subject, attribute).as_deref() == Some(value);
    subject.entries().count() == 6
        && is(Nid::COUNTRYNAME, "US")
        && is(Nid::STATEORPROVINCENAME, "New York")
        && entry(subject, Nid::LOCALITYNAME).is_some_and(|place| LOCALITIES.contains(&place.as_str()))
        && is(Nid::ORGANIZATIONNAME, IBM)
        && is(Nid::COMMONNAME, IBM)
        && entry(subject, Nid::ORGANIZATIONALUNITNAME).is_some_and(|unit| unit.ends_with(UNIT_ENDING))
}

/// Whether two names mean the same: equal, or both an IBM signing key's with the same entries in any order, where
/// its two localities count as one.
pub(super) fn same_name(one: &X509NameRef, other: &X509NameRef) -> bool {
    one.try_cmp(other).is_ok_and(Ordering::is_eq)
        || (is_signing_key(one)
            && is_signing_key(other)
            && entry(one, Nid::ORGANIZATIONALUNITNAME) == entry(other, Nid::ORGANIZATIONALUNITNAME))
}

/// The first entry of an attribute, as text.
fn entry(name: &X509NameRef, attribute: Nid) -> Option<String> {
    name.entries_by_nid(attribute).next()?.data().to_string().ok()
}

/// A name for messages, with nothing in it that could act on a terminal.
pub(super) fn shown(name: &X509NameRef) -> String {
    let entries = name.entries().map(|entry| {
        let attribute = entry.object().nid().short_name().unwrap_or("?").to_owned();
        let value = entry.data().to_string().unwrap_or_default();
        format!("{attribute}={}", value.escape_debug())
    });
    entries.collect::<Vec<_>>().join(", ")
}

/// Where a certificate says that its issuer's revocation list is.
pub(super) fn crl_uris(certificate: &X509Ref) -> Vec<String> {
    let points = certificate.crl_distribution_points();
    let names = points.iter().flatten().filter_map(|point| point.distpoint()).filter_map(|point| point.fullname());
    let uris = names.flatten().filter_map(|name| name.uri());
    uris.filter(|uri| uri.chars().all(|c| c.is_ascii_graphic())).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::x509::X509Name;

    fn name(entries: &[(&str, &str)]) -> X509Name {
        let mut name = X509Name::builder().unwrap();
        for (attribute, value) in entries {
            name.append_entry_by_text(attribute, value).unwrap();
        }
        name.build()
    }

    fn signing(locality: &str, unit: &str) -> X509Name {
        name(&[("C", "US"), ("ST", "New York"), ("L", locality), ("O", IBM), ("OU", unit), ("CN", IBM)])
    }

    #[test]
    fn ibms_signing_key_is_known_by_its_six_entries_in_any_order() {
        assert!(is_signing_key(&signing("Armonk", "IBM Z Host Key Signing Service")));
        assert!(is_signing_key(&signing("Poughkeepsie", "Key Signing Service")));
        let reordered =
            [("CN", IBM), ("O", IBM), ("OU", "Key Signing Service"), ("L", "Armonk"), ("ST", "New York"), ("C", "US")];
        assert!(is_signing_key(&name(&reordered)));
        assert!(!is_signing_key(&name(&reordered[1..])));
        assert!(!is_signing_key(&name(&[&reordered[..], &[("OU", "more")]].concat())));
        assert!(!is_signing_key(&signing("Armonk", "Key Signing Service Invalid")));
        assert!(!is_signing_key(&signing("Endicott", "Key Signing Service")));
    }

    #[test]
    fn order_and_the_two_localities_make_no_difference_but_the_unit_does() {
        let armonk = signing("Armonk", "A Key Signing Service");
        let reordered = name(&[
            ("C", "US"),
            ("O", IBM),
            ("OU", "A Key Signing Service"),
            ("L", "Poughkeepsie"),
            ("ST", "New York"),
            ("CN", IBM),
        ]);
        assert!(same_name(&armonk, &reordered) && same_name(&reordered, &armonk));
        assert!(!same_name(&armonk, &signing("Armonk", "B Key Signing Service")));
        let others = [("C", "US"), ("O", "Example")];
        assert!(same_name(&name(&others), &name(&others)));
        assert!(!same_name(&name(&others), &name(&[("O", "Example"), ("C", "US")])));
    }

    #[test]
    fn what_a_name_could_do_to_a_terminal_is_escaped() {
        assert_eq!(shown(&name(&[("C", "US"), ("CN", "a\u{1b}[2J")])), "C=US, CN=a\\u{1b}[2J");
    }
}
