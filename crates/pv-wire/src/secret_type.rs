//! Types of secrets.

/// The type of a secret: the 16-bit number that a request and the secret list carry.
///
/// Numbers and kinds: s390-tools 2.43, `rust/pv_core/src/uvdevice/secret_list.rs`. Unknown numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretType(pub u16);

/// Number, the option's spelling, pvsecret's name for the kind.
const KNOWN: &[(u16, &str, &str)] = &[
    (0x01, "meta", "null"),
    (0x02, "association", "Association"),
    (0x03, "plaintext", "PLAINTEXT"),
    (0x04, "aes", "AES-128-KEY"),
    (0x05, "aes", "AES-192-KEY"),
    (0x06, "aes", "AES-256-KEY"),
    (0x07, "aes_xts", "AES-XTS-128-KEY"),
    (0x08, "aes_xts", "AES-XTS-256-KEY"),
    (0x09, "hmac_sha", "HMAC-SHA-256-KEY"),
    (0x0a, "hmac_sha", "HMAC-SHA-512-KEY"),
    (0x11, "ec", "EC-SECP256R1-PRIVATE-KEY"),
    (0x12, "ec", "EC-SECP384R1-PRIVATE-KEY"),
    (0x13, "ec", "EC-SECP521R1-PRIVATE-KEY"),
    (0x14, "ec", "EC-ED25519-PRIVATE-KEY"),
    (0x15, "ec", "EC-ED448-PRIVATE-KEY"),
    (0x16, "update_cck", "update-cck"),
];

impl SecretType {
    /// A request that carries no secret, only flags, user data or an extension secret.
    pub const META: Self = Self(0x01);
    /// 32 bytes that bind crypto queues to the guest.
    pub const ASSOCIATION: Self = Self(0x02);
    /// At most 8190 bytes of anything, which can be retrieved.
    pub const PLAINTEXT: Self = Self(0x03);
    /// Replaces the image's customer communication key.
    pub const UPDATE_CCK: Self = Self(0x16);

    /// The value of the option `type` that makes this type, or `unknown`.
    pub fn option(self) -> &'static str {
        self.known().map_or("unknown", |(_, option, _)| option)
    }

    /// pvsecret's name for it, or `UNKNOWN` and the number in hex.
    pub fn kind(self) -> String {
        self.known().map_or_else(|| format!("UNKNOWN-0x{:04x}", self.0), |(_, _, kind)| (*kind).to_owned())
    }

    /// Whether the ultravisor lists secrets of this type: meta and update-cck never appear.
    pub fn is_listed(self) -> bool {
        self != Self::META && self != Self::UPDATE_CCK
    }

    /// Whether secrets of this type are known to be retrievable.
    pub fn is_retrievable(self) -> bool {
        self.known().is_some() && self.is_listed() && self != Self::ASSOCIATION
    }

    fn known(self) -> Option<&'static (u16, &'static str, &'static str)> {
        KNOWN.iter().find(|(number, ..)| *number == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_options_spelling_and_pvsecrets_kind() {
        assert_eq!(
            (SecretType::ASSOCIATION.option(), SecretType::ASSOCIATION.kind().as_str()),
            ("association", "Association")
        );
        assert_eq!((SecretType(0x08).option(), SecretType(0x08).kind().as_str()), ("aes_xts", "AES-XTS-256-KEY"));
        assert_eq!((SecretType(0x0b).option(), SecretType(0x0b).kind().as_str()), ("unknown", "UNKNOWN-0x000b"));
    }

    #[test]
    fn plaintext_and_keys_are_retrievable_and_nothing_unknown_is() {
        let numbers: Vec<u16> = (0..=0x20).filter(|n| SecretType(*n).is_retrievable()).collect();
        assert_eq!(numbers, (3..=10).chain(17..=21).collect::<Vec<_>>());
    }

    #[test]
    fn meta_and_update_cck_are_never_listed() {
        assert!(!SecretType::META.is_listed() && !SecretType::UPDATE_CCK.is_listed());
        assert!(SecretType::ASSOCIATION.is_listed() && SecretType(0x15).is_listed());
    }
}
