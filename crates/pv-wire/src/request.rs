//! Reading an add-secret request back.

use crate::{
    SecretId, SecretType,
    bytes::{array_at, size_at, u16_at, u32_at},
    codes, layout,
};
use fault::{Fault, Result};

/// How the 512 bytes of user data are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserDataType {
    /// No user data.
    None,
    /// Up to 512 bytes, unsigned.
    Unsigned,
    /// Up to 256 bytes and an ECDSA signature by a key on P-521.
    EcP521,
    /// Up to 256 bytes and an RSA-2048 signature.
    Rsa2048,
    /// Up to 128 bytes and an RSA-3072 signature.
    Rsa3072,
}

impl UserDataType {
    /// All of them, each at the place of its number.
    const ALL: [Self; 5] = [Self::None, Self::Unsigned, Self::EcP521, Self::Rsa2048, Self::Rsa3072];

    /// From the number in the request.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number in the request.
    pub fn number(self) -> u16 {
        (0..).zip(Self::ALL).find(|(_, kind)| *kind == self).map_or(0, |(number, _)| number)
    }

    /// For how many bytes of data there is room. Behind them, in the rest of the 512 bytes, is the signature.
    pub fn data_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Unsigned => layout::USER_DATA_LEN,
            Self::EcP521 | Self::Rsa2048 => 256,
            Self::Rsa3072 => 128,
        }
    }
}

/// What can be seen of a request without any key, checked for consistency: every length agrees with every other.
///
/// Reserved fields are not looked at. Nothing here proves that the request was not tampered with: only the
/// ultravisor can check the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView<'a> {
    bytes: &'a [u8],
    header_at: usize,
    /// Layout of the user data.
    pub user_data_type: UserDataType,
    /// Type of the secret.
    pub secret_type: SecretType,
    /// Id of the secret; `None` for types that are never listed.
    pub id: Option<SecretId>,
    /// Size of the secret in bytes, without the extension secret.
    pub secret_size: u32,
    /// Flags, most significant bit first.
    pub flags: u64,
}

impl<'a> RequestView<'a> {
    /// Reads a request. The bytes must be one whole request and nothing behind it.
    ///
    /// # Errors
    /// [`codes::NOT_A_REQUEST`] and [`codes::UNSUPPORTED_VERSION`], with what is wrong about the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let malformed = |what: String| {
            Fault::new(codes::NOT_A_REQUEST, what)
                .hint("Build the request again, or copy it again if the original is good.")
        };
        if !bytes.starts_with(&layout::MAGIC) {
            return Err(malformed(format!(
                "These {} bytes are not an add-secret request: they do not begin with its magic.",
                bytes.len()
            )));
        }
        let truncated = || {
            malformed(format!("The add-secret request is truncated: {} bytes are too few for its header.", bytes.len()))
        };
        let version = u32_at(bytes, layout::REQUEST_VERSION).ok_or_else(truncated)?;
        if version != layout::VERSION {
            return Err(Fault::new(
                codes::UNSUPPORTED_VERSION,
                format!("The add-secret request has version 0x{version:04x}; only 0x0100 is known."),
            )
            .hint("Build it with a tool for this version."));
        }
        let length = size_at(bytes, layout::LENGTH).ok_or_else(truncated)?;
        if length != bytes.len() {
            return Err(malformed(format!(
                "The add-secret request says that it is {length} bytes long, but {} bytes are there.",
                bytes.len()
            ))
            .hint("Copy it again: it was truncated or something was appended."));
        }
        if length > layout::MAX_REQUEST_LEN {
            return Err(malformed(format!(
                "The add-secret request is {length} bytes long; the kernel takes at most {}.",
                layout::MAX_REQUEST_LEN
            )));
        }
        let user_data_number = u16_at(bytes, layout::USER_DATA_TYPE).ok_or_else(truncated)?;
        let user_data_type = UserDataType::from_number(user_data_number).ok_or_else(|| {
            malformed(format!("The add-secret request has user data of the unknown type 0x{user_data_number:04x}."))
        })?;
        let slots = usize::from(*bytes.get(layout::SLOT_COUNT).ok_or_else(truncated)?);
        if slots == 0 {
            return Err(malformed("The add-secret request has no keyslot, so no host can open it.".into()));
        }
        let encrypted = size_at(bytes, layout::ENCRYPTED_SIZE).ok_or_else(truncated)?;
        let header_at = layout::SLOTS + slots * layout::SLOT_LEN;
        let header_len = length
            .checked_sub(layout::TAG_LEN)
            .and_then(|rest| rest.checked_sub(encrypted))
            .and_then(|rest| rest.checked_sub(header_at))
            .filter(|len| [layout::META_HEADER_LEN, layout::SECRET_HEADER_LEN].contains(len))
            .ok_or_else(|| malformed(format!("The add-secret request's lengths do not fit each other: {length} bytes in all, {slots} keyslots, {encrypted} bytes encrypted.")))?;
        let secret_type = SecretType(u16_at(bytes, header_at + 2).ok_or_else(truncated)?);
        let secret_size = u32_at(bytes, header_at + 4).ok_or_else(truncated)?;
        let is_meta = secret_type == SecretType::META;
        if is_meta != (header_len == layout::META_HEADER_LEN) {
            return Err(malformed(format!(
                "The add-secret request's secret header of {header_len} bytes does not belong to a secret of type {}.",
                secret_type.kind()
            )));
        }
        if usize::try_from(secret_size).ok().and_then(|size| size.checked_add(layout::EXTENSION_SECRET_LEN))
            != Some(encrypted)
        {
            return Err(malformed(format!(
                "The add-secret request's secret of {secret_size} bytes does not fit its encrypted area of {encrypted}."
            )));
        }
        let id = secret_type.is_listed().then(|| array_at(bytes, header_at + 16)).flatten().map(SecretId);
        let flags = array_at(bytes, layout::FLAGS).map(u64::from_be_bytes).ok_or_else(truncated)?;
        Ok(Self { bytes, header_at, user_data_type, secret_type, id, secret_size, flags })
    }

    /// The whole request.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The 208 bytes that bind the request to one image.
    pub fn image_tags(&self) -> &'a [u8] {
        self.slice(layout::IMAGE_TAGS, layout::IMAGE_TAGS_LEN)
    }

    /// The configuration unique id, or `None` if the request is not bound to one start of a guest.
    pub fn cuid(&self) -> Option<[u8; 16]> {
        array_at(self.bytes, layout::CUID).filter(|cuid| *cuid != [0; 16])
    }

    /// The initialisation vector of the request.
    pub fn iv(&self) -> &'a [u8] {
        self.slice(layout::IV, layout::IV_LEN)
    }

    /// The user data without any signature, padded with zeros to [`UserDataType::data_len`]: what `pvsecret verify`
    /// puts out.
    pub fn user_data(&self) -> &'a [u8] {
        self.slice(layout::USER_DATA, self.user_data_type.data_len())
    }

    /// What follows the user data in their 512 bytes: a signature, or zeros.
    pub fn behind_user_data(&self) -> &'a [u8] {
        let len = self.user_data_type.data_len();
        self.slice(layout::USER_DATA + len, layout::USER_DATA_LEN - len)
    }

    /// The customer's public key on P-521: x, then y, each left padded to 80 bytes. Nobody has checked that the point
    /// is on the curve.
    pub fn customer_key(&self) -> &'a [u8] {
        self.slice(layout::CUSTOMER_KEY, layout::CUSTOMER_KEY_LEN)
    }

    /// SHA-256 of each host's public key that can open the request, in the order of the slots.
    pub fn host_key_hashes(&self) -> impl Iterator<Item = [u8; 32]> + use<'a> {
        let slots = self.slice(layout::SLOTS, self.header_at - layout::SLOTS);
        slots.chunks_exact(layout::SLOT_LEN).filter_map(|slot| array_at(slot, 0))
    }

    /// Size of the encrypted part: the secret and the extension secret.
    pub fn encrypted_size(&self) -> usize {
        // `parse` has seen that this is what lies between the secret header and the tag.
        self.secret_size as usize + layout::EXTENSION_SECRET_LEN
    }

    /// The request's GCM tag: its last 16 bytes. It identifies the request, but anybody can copy it onto another.
    pub fn tag(&self) -> &'a [u8] {
        self.slice(self.bytes.len() - layout::TAG_LEN, layout::TAG_LEN)
    }

    /// `parse` has checked that the fixed part and the slots are there.
    fn slice(&self, at: usize, len: usize) -> &'a [u8] {
        self.bytes.get(at..at + len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An association request with two keyslots, typed from the layout table; only what is read is filled.
    fn association() -> Vec<u8> {
        let mut bytes = vec![0; 0x4b8 + 2 * 80 + 48 + 32 + 32 + 16];
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..6].copy_from_slice(b"asrcbM");
        bytes[0x008..0x00c].copy_from_slice(&[0, 0, 1, 0]);
        bytes[0x00c..0x010].copy_from_slice(&length.to_be_bytes());
        bytes[0x027] = 2;
        bytes[0x02c..0x030].copy_from_slice(&[0, 0, 0, 64]);
        bytes[0x030] = 0x80;
        bytes[0x010..0x01c].fill(0x55);
        bytes[0x0f8..0x108].fill(4);
        bytes[0x418..0x468].fill(0xc1);
        bytes[0x468..0x4b8].fill(0xc2);
        bytes[0x108..0x118].fill(0x42);
        bytes[0x4b8..0x4b8 + 32].fill(0xa1);
        bytes[0x508..0x508 + 32].fill(0xa2);
        bytes[0x558..0x560].copy_from_slice(&[0, 0, 0, 2, 0, 0, 0, 32]);
        bytes[0x568..0x588].fill(0x1d);
        let end = bytes.len();
        bytes[end - 16..].fill(0x7a);
        bytes
    }

    #[test]
    fn every_visible_field_of_a_request_is_read() {
        let bytes = association();
        let view = RequestView::parse(&bytes).unwrap();
        assert_eq!(view.secret_type, SecretType::ASSOCIATION);
        assert_eq!(view.id, Some(SecretId([0x1d; 32])));
        assert_eq!(view.secret_size, 32);
        assert_eq!(view.flags, layout::FLAG_DISABLE_DUMP);
        assert_eq!(view.cuid(), Some([0x42; 16]));
        assert_eq!(view.image_tags()[192..], [4; 16]);
        assert_eq!(view.host_key_hashes().collect::<Vec<_>>(), [[0xa1; 32], [0xa2; 32]]);
        assert_eq!(view.tag(), [0x7a; 16]);
        assert_eq!(view.user_data_type, UserDataType::None);
        assert_eq!(view.iv(), [0x55; 12]);
        assert_eq!(view.customer_key(), [[0xc1; 80], [0xc2; 80]].concat());
        assert_eq!((view.bytes(), view.encrypted_size()), (bytes.as_slice(), 64));
    }

    #[test]
    fn a_request_may_be_as_long_as_the_kernel_takes_and_no_longer() {
        let too_long = |len: usize| {
            let mut bytes = association();
            bytes.resize(len, 0);
            bytes[0x00c..0x010].copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
            RequestView::parse(&bytes).unwrap_err().detail.contains("at most 1048576")
        };
        assert_eq!((too_long(0x10_0000), too_long(0x10_0001)), (false, true));
    }

    #[test]
    fn user_data_and_signature_are_told_apart_by_the_type() {
        let mut bytes = association();
        for (at, byte) in bytes[0x218..0x418].iter_mut().enumerate() {
            *byte = u8::try_from(at / 128).unwrap();
        }
        for (number, len) in [(0_u8, 0), (1, 512), (2, 256), (3, 256), (4, 128)] {
            bytes[7] = number;
            let view = RequestView::parse(&bytes).unwrap();
            assert_eq!((view.user_data_type.number(), view.user_data().len()), (u16::from(number), len));
            assert_eq!([view.user_data(), view.behind_user_data()].concat(), bytes[0x218..0x418]);
        }
        bytes[7] = 5;
        let fault = RequestView::parse(&bytes).unwrap_err();
        assert!(fault.code == codes::NOT_A_REQUEST && fault.detail.contains("0x0005"), "{fault}");
    }

    #[test]
    fn a_zero_cuid_means_that_the_request_is_not_bound_to_a_start() {
        let mut bytes = association();
        bytes[0x108..0x118].fill(0);
        assert_eq!(RequestView::parse(&bytes).unwrap().cuid(), None);
    }

    #[test]
    fn every_cut_and_every_appended_byte_is_refused() {
        let mut bytes = association();
        for len in 0..bytes.len() {
            assert_eq!(RequestView::parse(&bytes[..len]).unwrap_err().code, codes::NOT_A_REQUEST, "cut to {len}");
        }
        bytes.push(0);
        assert_eq!(RequestView::parse(&bytes).unwrap_err().code, codes::NOT_A_REQUEST);
    }

    #[test]
    fn every_single_changed_byte_is_read_or_refused_but_never_panics() {
        let good = association();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = RequestView::parse(&bytes).map(|view| (view.tag().len(), view.host_key_hashes().count()));
            }
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = association();
        bytes[0x00a] = 2;
        let fault = RequestView::parse(&bytes).unwrap_err();
        assert_eq!(fault.code, codes::UNSUPPORTED_VERSION);
        assert!(fault.detail.contains("0x0200"));
    }
}
