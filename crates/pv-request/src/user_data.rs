//! Data of the user in a request: readable by everybody, protected like all else, signed if a key is given.

use crate::{codes, crypto::refused, secret::private_key};
use fault::{Fault, Result};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{HasPublic, Id, PKey, PKeyRef, Private},
    rsa::Padding,
    sign::Signer,
};
use pv_wire::{UserDataType, layout::USER_DATA};

/// Where the length of a DER encoded ECDSA signature is, within the user data.
pub(crate) const EC_LENGTH_AT: usize = 0x190;

/// User data and the key that signs it, if any.
#[derive(Clone)]
pub struct UserData {
    kind: UserDataType,
    data: Vec<u8>,
    key: Option<PKey<Private>>,
}

impl std::fmt::Debug for UserData {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserData").finish_non_exhaustive()
    }
}

impl Default for UserData {
    /// No user data.
    fn default() -> Self {
        Self { kind: UserDataType::None, data: Vec::new(), key: None }
    }
}

impl UserData {
    /// Unsigned data of at most 512 bytes; `name` is what messages call where they come from.
    ///
    /// # Errors
    /// [`codes::USER_DATA_SIZE`].
    pub fn unsigned(data: Vec<u8>, name: &str) -> Result<Self> {
        Self { kind: UserDataType::Unsigned, data, key: None }.checked(name)
    }

    /// Data signed by a private key in DER or PEM: on P-521 or RSA-2048 for at most 256 bytes, RSA-3072 for at most
    /// 128. `name` and `key_name` are what messages call the two.
    ///
    /// # Errors
    /// [`codes::SIGNING_KEY`] and [`codes::USER_DATA_SIZE`].
    pub fn signed(data: Vec<u8>, name: &str, key: &[u8], key_name: &str) -> Result<Self> {
        let unusable = |what: &str| {
            Fault::new(codes::SIGNING_KEY, format!("{key_name} holds {what}."))
                .hint("Give a private key on P-521, RSA-2048 or RSA-3072, in DER or in unencrypted PEM.")
        };
        let key = private_key(key).ok_or_else(|| unusable("no readable private key"))?;
        let kind = kind_of(&key).ok_or_else(|| unusable("a private key that cannot sign user data"))?;
        Self { kind, data, key: Some(key) }.checked(name)
    }

    fn checked(self, name: &str) -> Result<Self> {
        let most = self.kind.data_len();
        if self.data.len() > most {
            return Err(Fault::new(
                codes::USER_DATA_SIZE,
                format!("{name} holds {} bytes; user data of this kind has at most {most}.", self.data.len()),
            )
            .hint("Give less data, or a digest of them."));
        }
        Ok(self)
    }

    /// The number of its layout in the request.
    pub(crate) fn number(&self) -> u16 {
        self.kind.number()
    }

    /// The data, as the request holds them before they are signed.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// What belongs where in the request once `message`, all of it but its tag, is signed: nothing without a key.
    pub(crate) fn signature(&self, message: &[u8]) -> Result<Vec<(usize, Vec<u8>)>> {
        let Some(key) = &self.key else { return Ok(Vec::new()) };
        let signature = sign(key, message).map_err(refused("sign the user data"))?;
        let length = u16::try_from(signature.len()).unwrap_or(u16::MAX);
        let mut parts = vec![(USER_DATA + self.kind.data_len(), signature)];
        if self.kind == UserDataType::EcP521 {
            parts.push((USER_DATA + EC_LENGTH_AT, length.to_be_bytes().to_vec()));
        }
        Ok(parts)
    }
}

/// The kind of user data that this key, or the private one to it, signs.
pub(crate) fn kind_of<T: HasPublic>(key: &PKeyRef<T>) -> Option<UserDataType> {
    match (key.id(), key.ec_key(), key.rsa()) {
        (Id::EC, Ok(ec), _) if ec.group().curve_name() == Some(Nid::SECP521R1) => Some(UserDataType::EcP521),
        (Id::RSA, _, Ok(rsa)) if rsa.n().num_bits() == 2048 => Some(UserDataType::Rsa2048),
        (Id::RSA, _, Ok(rsa)) if rsa.n().num_bits() == 3072 => Some(UserDataType::Rsa3072),
        _ => None,
    }
}

/// ECDSA, or RSASSA-PSS with OpenSSL's own salt length; SHA-512 in both.
fn sign(key: &PKeyRef<Private>, message: &[u8]) -> std::result::Result<Vec<u8>, ErrorStack> {
    let mut signer = Signer::new(MessageDigest::sha512(), key)?;
    if key.rsa().is_ok() {
        signer.set_rsa_padding(Padding::PKCS1_PSS)?;
        signer.set_rsa_mgf1_md(MessageDigest::sha512())?;
    }
    signer.sign_oneshot_to_vec(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::{
        ec::{EcGroup, EcKey},
        rsa::Rsa,
    };

    fn rsa(bits: u32) -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
    }

    fn on(curve: Nid) -> PKey<Private> {
        PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
    }

    fn signed(key: &PKey<Private>, len: usize) -> std::result::Result<u16, &'static str> {
        let pem = key.private_key_to_pem_pkcs8().unwrap();
        let of_der = UserData::signed(vec![1; len], "data", &key.private_key_to_der().unwrap(), "key");
        let of_pem = UserData::signed(vec![1; len], "data", &pem, "key");
        let codes = [of_der, of_pem].map(|data| data.map(|data| data.number()).map_err(|fault| fault.code.name));
        assert_eq!(codes[0], codes[1], "DER and PEM");
        codes[0]
    }

    #[test]
    fn each_kind_of_key_has_its_number_and_its_room_and_no_byte_more() {
        for (key, number, room) in [(on(Nid::SECP521R1), 2, 256), (rsa(2048), 3, 256), (rsa(3072), 4, 128)] {
            assert_eq!([0, room].map(|len| signed(&key, len)), [Ok(number); 2]);
            assert_eq!(signed(&key, room + 1), Err("request.user_data_size"));
        }
        let unsigned = |len| UserData::unsigned(vec![1; len], "data").map(|data| data.number());
        assert_eq!([unsigned(0).unwrap(), unsigned(512).unwrap()], [1; 2]);
        let fault = unsigned(513).unwrap_err();
        assert_eq!(fault.code, codes::USER_DATA_SIZE);
        assert!(fault.detail.contains("513 bytes") && fault.detail.contains("512"), "{fault}");
    }

    #[test]
    fn other_keys_sign_nothing() {
        let others = [rsa(1024), rsa(4096), on(Nid::SECP256K1), on(Nid::SECP384R1), PKey::generate_ed25519().unwrap()];
        for key in others {
            assert_eq!(signed(&key, 1), Err("request.user_signing_key"), "{:?}", key.id());
        }
        assert_eq!(UserData::signed(vec![1], "data", b"noise", "key").err().unwrap().code, codes::SIGNING_KEY);
    }
}
