//! The additional data of a response.

use super::{Item, Items, codes, layout};
use crate::bytes::array_at;
use fault::{Fault, Result};

/// Additional data, split by what the request asked for. Nothing here proves that an ultravisor wrote them: only the
/// measurement does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdditionalData {
    /// SHA-256 of the public host key that opened the guest's image.
    pub image_host_key: Option<[u8; layout::HOST_KEY_HASH_LEN]>,
    /// SHA-256 of the public host key that opened the attestation request.
    pub attestation_host_key: Option<[u8; layout::HOST_KEY_HASH_LEN]>,
    /// SHA-512 over the tags of the requests added since boot and the lock byte.
    pub secret_store: Option<[u8; layout::STORE_HASH_LEN]>,
    /// Opaque state of the firmware. It is long, and most answers do not have it, so it is kept apart.
    pub firmware_state: Option<Box<[u8; layout::FIRMWARE_STATE_LEN]>>,
}

impl AdditionalData {
    /// Splits `bytes`, which must be exactly what `items` name, without gaps and in their order.
    ///
    /// # Errors
    /// [`codes::ADDITIONAL_INCOMPLETE`] and [`codes::ADDITIONAL_EXCESS`].
    pub fn split(items: Items, bytes: &[u8]) -> Result<Self> {
        let mut at = 0;
        for item in items.iter() {
            at += item.size();
            if bytes.len() < at {
                let detail = format!(
                    "The response's additional data end within or before {}: {} bytes are there, the request asks for {}.",
                    item.option(),
                    bytes.len(),
                    items.size()
                );
                return Err(Fault::new(codes::ADDITIONAL_INCOMPLETE, detail)
                    .hint("Answer a new request with a program that asks the ultravisor for the whole length."));
            }
        }
        if bytes.len() > at {
            let detail =
                format!("The response has {} bytes of additional data; the request asks for {at}.", bytes.len());
            return Err(Fault::new(codes::ADDITIONAL_EXCESS, detail)
                .hint("Answer a new request with a program that asks the ultravisor for exactly this length."));
        }
        Ok(Self {
            image_host_key: piece(items, Item::ImageHostKey, bytes),
            attestation_host_key: piece(items, Item::AttestationHostKey, bytes),
            secret_store: piece(items, Item::SecretStore, bytes),
            firmware_state: piece(items, Item::FirmwareState, bytes).map(Box::new),
        })
    }
}

/// One piece, where it was asked for.
fn piece<const N: usize>(items: Items, wanted: Item, bytes: &[u8]) -> Option<[u8; N]> {
    let before = items.iter().take_while(|item| *item < wanted).map(Item::size).sum();
    items.contains(wanted).then(|| array_at(bytes, before)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 448 bytes: each piece filled with its place.
    fn all() -> Vec<u8> {
        [vec![1; 32], vec![2; 32], vec![3; 64], vec![4; 320]].concat()
    }

    #[test]
    fn pieces_follow_each_other_in_the_order_of_their_flags() {
        let split = AdditionalData::split(Item::ALL.into_iter().collect(), &all()).unwrap();
        assert_eq!((split.image_host_key, split.attestation_host_key), (Some([1; 32]), Some([2; 32])));
        assert_eq!((split.secret_store, split.firmware_state), (Some([3; 64]), Some(Box::new([4; 320]))));
        let two = [Item::FirmwareState, Item::AttestationHostKey].into_iter().collect();
        let split = AdditionalData::split(two, &[vec![2; 32], vec![4; 320]].concat()).unwrap();
        assert_eq!((split.image_host_key, split.attestation_host_key), (None, Some([2; 32])));
        assert_eq!((split.secret_store, split.firmware_state), (None, Some(Box::new([4; 320]))));
        assert_eq!(AdditionalData::split(Items::default(), &[]), Ok(AdditionalData::default()));
    }

    #[test]
    fn one_byte_less_or_more_than_the_flags_say_is_refused_and_what_is_missing_is_named() {
        let items = Item::ALL.into_iter().collect();
        for (len, name) in
            [(0, "image_host_key"), (33, "attestation_host_key"), (127, "secret_store"), (447, "firmware")]
        {
            let fault = AdditionalData::split(items, &all()[..len]).unwrap_err();
            assert_eq!(fault.code, codes::ADDITIONAL_INCOMPLETE);
            assert!(fault.detail.contains(name), "{fault}");
        }
        let more = [all(), vec![0]].concat();
        assert_eq!(AdditionalData::split(items, &more).unwrap_err().code, codes::ADDITIONAL_EXCESS);
        assert_eq!(AdditionalData::split(Items::default(), &[0]).unwrap_err().code, codes::ADDITIONAL_EXCESS);
    }
}
