//! What an ultravisor measures.

use super::Opened;
use crate::{ImageTags, crypto::refused};
use fault::Result;
use openssl::{error::ErrorStack, hash::MessageDigest, pkey::PKey, sign::Signer};
use pv_wire::attestation::layout;

/// What is measured, beside what the request's encrypted part holds.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The image that the guest was started from.
    pub image: &'a ImageTags,
    /// The configuration unique id of this start of the guest.
    pub cuid: [u8; layout::CUID_LEN],
    /// User data, at most 256 bytes.
    pub user_data: &'a [u8],
    /// Additional data.
    pub additional: &'a [u8],
}

impl Measured<'_> {
    /// The measurement: HMAC with SHA-512 over image, configuration unique id, the lengths of user data (u16, then two
    /// zero bytes) and additional data (u32), user data, nonce, additional data.
    ///
    /// # Errors
    /// [`crate::codes::CRYPTO`].
    pub fn measure(&self, opened: &Opened) -> Result<[u8; layout::MEASUREMENT_LEN]> {
        self.hmac(opened).map_err(refused("compute the measurement"))
    }

    fn hmac(&self, opened: &Opened) -> std::result::Result<[u8; layout::MEASUREMENT_LEN], ErrorStack> {
        // Both lengths were bounded by the reader of the response, far below these types' ends.
        let user_len = u16::try_from(self.user_data.len()).unwrap_or(u16::MAX);
        let additional_len = u32::try_from(self.additional.len()).unwrap_or(u32::MAX);
        let (user_len, additional_len) = (user_len.to_be_bytes(), additional_len.to_be_bytes());
        let head = [&self.image.0[..], &self.cuid, &user_len, &[0; 2], &additional_len].concat();
        let key = PKey::hmac(opened.measurement_key.as_slice())?;
        let mut hmac = Signer::new(MessageDigest::sha512(), &key)?;
        hmac.update(&head)?;
        hmac.update(self.user_data)?;
        hmac.update(opened.nonce.as_ref().map_or(&[], |nonce| nonce.as_slice()))?;
        hmac.update(self.additional)?;
        let mut measurement = [0; layout::MEASUREMENT_LEN];
        hmac.sign(&mut measurement)?;
        Ok(measurement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_wire::encode_hex;
    use zeroize::Zeroizing;

    /// s390-tools 2.43, `rust/pv/src/uvattest/attest.rs`: user data, nonce and additional data there or not.
    const REFERENCES: [(bool, bool, bool, &str); 4] = [
        (
            true,
            true,
            true,
            "88794c62cce7bcf26216deb3f48f13fea6374b6d7e35bcc5c2ce68121db6f45dfc8c171856463549408bf8e7d1aca11efad0a878af97dc9e21a1fc2a32f3a675",
        ),
        (
            true,
            false,
            true,
            "fbd4f738a390edd947cd4f11af3a2f3bab2fdf8bf89bf81beb495117f4382cf42f0730c8c7d9e3ca27fb25adfceb21224f57fdb398dcf41a83c146e6a23db760",
        ),
        (
            false,
            false,
            true,
            "63671fbf295036eb1023ea71f7182e7d6343dc7b2da584e824d0a7d198ab9cded756c93b39050ffb764555b01f88cb82017a6a15c7e0bafc6005f1e4f78aa124",
        ),
        (
            false,
            false,
            false,
            "c5c34c93835d1ec23f5c2d778dfa20129b11b305601742cb2f38e0ed9894dcdb73fc8695ab6a8dbad0744073ddc81a5eaafa52e4a15af8deb8d761091922847f",
        ),
    ];

    #[test]
    fn measurements_are_those_of_the_reference() {
        let mut tags = [4; 208];
        for (part, byte) in tags.chunks_mut(64).zip([1, 2, 3]) {
            part.fill(byte);
        }
        for (user, nonce, additional, expected) in REFERENCES {
            let opened =
                Opened { measurement_key: Zeroizing::new([0x41; 64]), nonce: nonce.then_some(Zeroizing::new([8; 16])) };
            let measured = Measured {
                image: &ImageTags(tags),
                cuid: [5; 16],
                user_data: if user { &[7; 256] } else { &[] },
                additional: if additional { &[9; 128] } else { &[] },
            };
            assert_eq!(encode_hex(&measured.measure(&opened).unwrap()), expected);
        }
    }
}
