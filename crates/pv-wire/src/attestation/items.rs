//! What an ultravisor may be asked to add to its measurement.

use super::layout;
use std::fmt;

/// One piece of additional data. The order is that in which the ultravisor returns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// Hash of the host key that opened the guest's image.
    ImageHostKey,
    /// Hash of the host key that opened the attestation request.
    AttestationHostKey,
    /// Hash over the tags of all requests added since boot, and whether the store is locked.
    SecretStore,
    /// State of the machine's firmware, which only IBM's service can judge.
    FirmwareState,
}

impl Item {
    /// All of them, in the order in which they are returned.
    pub const ALL: [Self; 4] = [Self::ImageHostKey, Self::AttestationHostKey, Self::SecretStore, Self::FirmwareState];

    /// The option's spelling.
    pub fn option(self) -> &'static str {
        match self {
            Self::ImageHostKey => "image_host_key",
            Self::AttestationHostKey => "attestation_host_key",
            Self::SecretStore => "secret_store",
            Self::FirmwareState => "firmware_state",
        }
    }

    /// The number of its flag, most significant bit first: as in a request's flags and in
    /// `/sys/firmware/uv/query/supp_att_pflags`.
    pub fn bit(self) -> u32 {
        match self {
            Self::ImageHostKey => 2,
            Self::AttestationHostKey => 3,
            Self::SecretStore => 4,
            Self::FirmwareState => 5,
        }
    }

    /// Its size in the additional data, in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::ImageHostKey | Self::AttestationHostKey => layout::HOST_KEY_HASH_LEN,
            Self::SecretStore => layout::STORE_HASH_LEN,
            Self::FirmwareState => layout::FIRMWARE_STATE_LEN,
        }
    }

    fn flag(self) -> u64 {
        1 << (63 - self.bit())
    }
}

/// A set of [`Item`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Items(u64);

impl Items {
    /// The set that flags of a request name, and the flags that mean no item: the nonce's, and unknown ones.
    pub fn from_flags(flags: u64) -> (Self, u64) {
        let known = Item::ALL.into_iter().collect::<Self>().0;
        (Self(flags & known), flags & !known)
    }

    /// The flags of a request, most significant bit first; that of the nonce is not among them.
    pub fn flags(self) -> u64 {
        self.0
    }

    /// Whether `item` is in it.
    pub fn contains(self, item: Item) -> bool {
        self.0 & item.flag() != 0
    }

    /// Those in it, in the order in which they are returned.
    pub fn iter(self) -> impl Iterator<Item = Item> {
        Item::ALL.into_iter().filter(move |item| self.contains(*item))
    }

    /// The size of the additional data that hold exactly these, in bytes.
    pub fn size(self) -> usize {
        self.iter().map(Item::size).sum()
    }
}

impl FromIterator<Item> for Items {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        Self(items.into_iter().fold(0, |flags, item| flags | item.flag()))
    }
}

/// The options' spelling of those in it.
impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Item::option)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_sizes_are_those_of_the_specification() {
        let of = |items: &[Item]| items.iter().copied().collect::<Items>();
        assert_eq!(of(&[]).flags(), 0);
        assert_eq!(of(&Item::ALL).flags(), 0x3c00_0000_0000_0000);
        assert_eq!((of(&Item::ALL).size(), of(&[]).size()), (448, 0));
        assert_eq!(of(&[Item::SecretStore, Item::ImageHostKey, Item::SecretStore]).flags(), 0x2800_0000_0000_0000);
        let (items, rest) = Items::from_flags(0x5200_0000_0000_0001);
        assert_eq!((items, rest), (of(&[Item::AttestationHostKey]), 0x4200_0000_0000_0001));
        assert_eq!(format!("{items:?}"), "{\"attestation_host_key\"}");
    }
}
