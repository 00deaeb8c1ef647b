//! Which secret is meant, and what is to be done with the file: pure functions.

use durable::Attributes;
use fault::{Fault, Result};
use pv_guest::codes as uv;
use pv_guest::uv::{Secret, SecretList};
use pv_wire::SecretId;

pub mod codes {
    //! Codes of this module's own.
    fault::codes! {
        AMBIGUOUS = "uv.secret_ambiguous", "Several retrievable secrets have the requested id.";
        DEST_NOT_A_FILE = "file.not_regular", "The path of the file is a link, a folder or a device; it is left as it is.";
        CONTENT_UNKNOWN = "file.content_unknown", "Check mode retrieves no secret, so it is not known whether the file holds it.";
        NOT_REMEMBERED = "file.not_remembered", "What was written could not be recorded under /run, so check mode cannot know that the file is as it should be.";
    }
}

/// The secret that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Of this name.
    Name(String),
    /// Of this id.
    Id(SecretId),
    /// At this place.
    Index(u16),
}

impl Wanted {
    fn is(&self, secret: &Secret) -> bool {
        match self {
            Self::Name(name) => secret.id.is_of(name),
            Self::Id(id) => secret.id == *id,
            Self::Index(index) => secret.index == *index,
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "name {name}"),
            Self::Id(id) => write!(f, "id {id}"),
            Self::Index(index) => write!(f, "index {index}"),
        }
    }
}

/// The one secret that is meant. That it is there, that there is no other, and that there is none is concluded only
/// from what is seen: a name or an id from a complete list alone.
///
/// # Errors
/// `uv.secret_ambiguous`, `uv.list_incomplete`, `uv.not_retrievable`, `uv.store_empty`, `uv.no_such_index`,
/// `uv.secret_missing`.
pub fn choose(wanted: &Wanted, list: &SecretList) -> Result<Secret> {
    let (fitting, others): (Vec<&Secret>, Vec<&Secret>) =
        list.secrets.iter().filter(|secret| wanted.is(secret)).partition(|secret| secret.secret_type.is_retrievable());
    let by_index = matches!(wanted, Wanted::Index(_));
    match (fitting.as_slice(), others.first()) {
        ([_, _, ..], _) => {
            let indices: Vec<_> = fitting.iter().map(|secret| secret.index.to_string()).collect();
            return Err(Fault::new(
                codes::AMBIGUOUS,
                format!(
                    "{} retrievable secrets match the {wanted}: those of index {}.",
                    fitting.len(),
                    indices.join(", ")
                ),
            )
            .hint("Give the option index instead."));
        }
        ([only], _) if by_index || list.is_complete() => return Ok(**only),
        ([], Some(other)) if by_index || list.is_complete() => {
            return Err(Fault::new(
                uv::NOT_RETRIEVABLE,
                format!(
                    "The secret of {wanted} (index {}) is of type {}, which cannot be retrieved.",
                    other.index,
                    other.secret_type.kind()
                ),
            )
            .hint(
                "Only plaintext secrets and keys can be retrieved; an association secret never leaves the ultravisor.",
            ));
        }
        _ => {}
    }
    if !list.is_complete() {
        let (shown, total) = (list.secrets.len(), list.total);
        return Err(Fault::new(
            uv::LIST_INCOMPLETE,
            format!(
                "The kernel shows {shown} of the store's {total} secrets, and one of {wanted} may be among the others."
            ),
        )
        .hint("Use a kernel whose uvdevice lists more than one page of secrets; or name a listed one by its index."));
    }
    Err(if list.total == 0 {
        Fault::new(uv::STORE_EMPTY, format!("The secret store is empty, so there is no secret of {wanted} in it."))
            .hint("The store is empty after each boot: add the secret first (seguest.pv.secret_add).")
    } else if by_index {
        Fault::new(uv::NO_SUCH_INDEX, format!("The secret store holds {} secrets, and none of {wanted}.", list.total))
            .hint("Indices follow the order of adding and belong to one boot; name the secret by name or id.")
    } else {
        Fault::new(uv::SECRET_MISSING, format!("The secret store holds {} secrets, and none of {wanted}.", list.total))
            .hint("Add it first (seguest.pv.secret_add); if the store is locked, reboot the guest and add it before the lock.")
    })
}

/// Whether an earlier task of the play may still mend this, so that check mode only warns.
pub fn may_come(fault: &Fault) -> bool {
    [uv::SECRET_MISSING, uv::STORE_EMPTY, uv::NO_SUCH_INDEX].contains(&fault.code)
}

/// What is to be done with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it is as it should be.
    Leave,
    /// Its mode or owner is to be set.
    SetAttributes,
    /// It is to be written.
    Write,
}

/// What is to be done with a file of these attributes (`None`: there is none) that does or does not hold the secret.
pub fn plan(found: Option<&Attributes>, holds_it: bool, wanted: &Attributes) -> Plan {
    match found {
        Some(found) if holds_it && wanted.met_by(found) => Plan::Leave,
        Some(_) if holds_it => Plan::SetAttributes,
        _ => Plan::Write,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_wire::SecretType;

    fn store(secrets: &[(u16, SecretId)]) -> SecretList {
        let secret = |(index, (number, id)): (u16, &(u16, SecretId))| Secret {
            index,
            secret_type: SecretType(*number),
            length: 16,
            id: *id,
        };
        SecretList { total: secrets.len() as u16, secrets: (0..).zip(secrets).map(secret).collect() }
    }

    fn named(name: &str, list: &SecretList) -> std::result::Result<u16, &'static str> {
        choose(&Wanted::Name(name.into()), list).map(|secret| secret.index).map_err(|fault| fault.code.name)
    }

    #[test]
    fn a_name_is_found_by_hash_and_by_its_first_bytes_among_what_can_be_retrieved() {
        let list =
            store(&[(2, SecretId::of_name("a")), (3, SecretId::of_name("a")), (4, SecretId::from_name_bytes("b"))]);
        assert_eq!((named("a", &list), named("b", &list)), (Ok(1), Ok(2)));
        let id = Wanted::Id(SecretId::of_name("a"));
        assert_eq!(choose(&id, &list).unwrap().index, 1);
    }

    #[test]
    fn several_that_can_be_retrieved_are_named_by_their_indices() {
        let list = store(&[(3, SecretId::of_name("a")), (4, SecretId::from_name_bytes("a"))]);
        let fault = choose(&Wanted::Name("a".into()), &list).unwrap_err();
        assert_eq!(fault.code, codes::AMBIGUOUS);
        assert!(fault.detail.contains("index 0, 1"), "{fault}");
        assert_eq!(choose(&Wanted::Index(1), &list).unwrap().index, 1);
    }

    #[test]
    fn what_is_not_there_or_cannot_be_retrieved_is_told_apart() {
        let list = store(&[(2, SecretId::of_name("a")), (0x0b, SecretId::of_name("b"))]);
        assert_eq!(named("a", &list), Err("uv.not_retrievable"));
        assert_eq!(named("b", &list), Err("uv.not_retrievable"));
        assert_eq!(named("c", &list), Err("uv.secret_missing"));
        assert_eq!(named("c", &store(&[])), Err("uv.store_empty"));
        assert_eq!(choose(&Wanted::Index(0), &list).unwrap_err().code.name, "uv.not_retrievable");
        assert_eq!(choose(&Wanted::Index(2), &list).unwrap_err().code.name, "uv.no_such_index");
    }

    #[test]
    fn nothing_is_concluded_from_an_incomplete_list() {
        let mut list = store(&[(3, SecretId::of_name("a")), (2, SecretId::of_name("b"))]);
        list.total = 100;
        // Another of the same id may be among those that are not shown.
        for name in ["a", "b", "c"] {
            assert_eq!(named(name, &list), Err("uv.list_incomplete"), "{name}");
        }
        assert_eq!(choose(&Wanted::Index(0), &list).unwrap().index, 0);
        assert_eq!(choose(&Wanted::Index(1), &list).unwrap_err().code.name, "uv.not_retrievable");
        assert_eq!(choose(&Wanted::Index(50), &list).unwrap_err().code.name, "uv.list_incomplete");
    }

    #[test]
    fn a_file_that_holds_the_secret_is_left_or_only_gets_its_attributes() {
        let (private, open) = (Attributes::mode(0o600), Attributes::mode(0o644));
        assert_eq!(plan(Some(&private), true, &private), Plan::Leave);
        assert_eq!(plan(Some(&open), true, &private), Plan::SetAttributes);
        assert_eq!(plan(Some(&private), false, &private), Plan::Write);
        assert_eq!(plan(None, false, &private), Plan::Write);
    }
}
