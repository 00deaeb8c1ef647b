//! Add-secret requests.

use crate::choice;
use pv_request::{Signature, Signer, Source};
use pv_wire::{RequestView, layout};
use request_info::view::{Compared, report};
use std::sync::OnceLock;

/// Reading a request and telling of it.
pub fn request(data: &[u8]) {
    look(data);
    look(&whole(data));
}

fn look(bytes: &[u8]) {
    let told = report(bytes, &Compared::default());
    let Ok(view) = RequestView::parse(bytes) else {
        assert!(told.is_err(), "something is told of what is no request");
        return;
    };
    assert_eq!(view.bytes(), bytes);
    assert_eq!(view.image_tags().len(), layout::IMAGE_TAGS_LEN);
    assert_eq!(view.user_data().len() + view.behind_user_data().len(), layout::USER_DATA_LEN);
    assert_eq!(view.customer_key().len(), layout::CUSTOMER_KEY_LEN);
    assert_eq!((view.iv().len(), view.tag().len()), (layout::IV_LEN, layout::TAG_LEN));
    let slots = view.host_key_hashes().count();
    assert!((1..=layout::MAX_SLOTS).contains(&slots));
    let length = view.encrypted_size() + layout::SLOTS + slots * layout::SLOT_LEN + layout::TAG_LEN;
    assert!([layout::META_HEADER_LEN, layout::SECRET_HEADER_LEN].contains(&(bytes.len() - length)));
    assert!(told.is_ok_and(|told| told.size == Some(bytes.len()) && told.keyslots == Some(slots)));
}

/// The same with what every request begins with and its right length, which a fuzzer finds only slowly.
fn whole(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut put = |at: usize, part: &[u8]| {
        if let Some(to) = bytes.get_mut(at..at + part.len()) {
            to.copy_from_slice(part);
        }
    };
    put(0, &layout::MAGIC);
    put(layout::REQUEST_VERSION, &layout::VERSION.to_be_bytes());
    put(layout::LENGTH, &length.to_be_bytes());
    bytes
}

/// Checking signatures, by one certificate of each kind of key.
pub fn signature(data: &[u8]) {
    let (which, rest) = choice(data);
    let bytes = whole(rest);
    let Ok(view) = RequestView::parse(&bytes) else { return };
    let Some(signer) = signers().get(usize::from(which) % signers().len()) else { return };
    let found = Signature::check(&view, Some(signer));
    if view.user_data_type.number() < 2 {
        assert!(!matches!(found, Ok(Signature::Valid | Signature::Invalid)));
    }
    assert!(found != Ok(Signature::Unchecked));
}

fn signers() -> &'static [Signer] {
    static SIGNERS: OnceLock<Vec<Signer>> = OnceLock::new();
    SIGNERS.get_or_init(|| {
        let texts = [
            &include_bytes!("../keys/p521.crt")[..],
            include_bytes!("../keys/rsa2048.crt"),
            include_bytes!("../keys/rsa3072.crt"),
        ];
        let signer = |text: &&[u8]| Signer::parse(&Source { name: "signer.crt".into(), bytes: text.to_vec() });
        let signers: Vec<_> = texts.iter().filter_map(|text| signer(text).ok()).collect();
        assert_eq!(signers.len(), texts.len());
        signers
    })
}
