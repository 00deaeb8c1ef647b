//! From a request and what it is compared with to what is told of it: a pure function.

use crate::options::{Fits, HostKey, Image, Report};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fault::Result;
use pv_request::{ImageTags, Signature, Signer};
use pv_wire::{RequestView, UserDataType, encode_hex, layout};
use sha2::{Digest as _, Sha256};

/// What a request is compared with. What was not asked for or could not be read is `None`.
#[derive(Debug, Default)]
pub struct Compared {
    /// The image.
    pub image: Option<ImageTags>,
    /// The host key documents: name, hash of the key.
    pub host_keys: Vec<(String, Option<[u8; 32]>)>,
    /// The certificate.
    pub signer: Option<Signer>,
    /// Hashes of this host's keys.
    pub this_host: Option<Vec<[u8; 32]>>,
}

/// All that can be told of a request.
///
/// # Errors
/// `request.malformed`, `request.unsupported_version`, `request.user_cert_mismatch`, `request.crypto`.
pub fn report(bytes: &[u8], compared: &Compared) -> Result<Report> {
    let view = RequestView::parse(bytes)?;
    let signature = Signature::check(&view, compared.signer.as_ref())?;
    let slots: Vec<_> = view.host_key_hashes().collect();
    let host_keys: Vec<_> = compared.host_keys.iter().map(|(file, hash)| host_key(file, *hash, &slots)).collect();
    let has_user_data = view.user_data_type != UserDataType::None && signature != Signature::Invalid;
    Ok(Report {
        path: None,
        size: Some(bytes.len()),
        sha256: Some(encode_hex(&Sha256::digest(bytes))),
        tag: Some(encode_hex(view.tag())),
        version: Some(format!("0x{:04x}", layout::VERSION)),
        iv: Some(encode_hex(view.iv())),
        option: Some(view.secret_type.option().to_owned()),
        kind: Some(view.secret_type.kind()),
        id: view.id.map(|id| id.to_string()),
        name: view.id.and_then(|id| id.printable_name()),
        secret_size: Some(view.secret_size),
        encrypted_size: Some(view.encrypted_size()),
        flags: Some(flags(view.flags)),
        flags_hex: Some(format!("0x{:016x}", view.flags)),
        image: Some(image(&view)),
        cuid: view.cuid().map(|cuid| format!("0x{}", encode_hex(&cuid))),
        keyslots: Some(slots.len()),
        host_key_hashes: Some(slots.iter().map(|hash| encode_hex(hash)).collect()),
        customer_key: Some(encode_hex(view.customer_key())),
        fits: Fits {
            image: compared.image.map(|tags| tags.0 == view.image_tags()),
            host_keys: all(&host_keys),
            this_host: compared.this_host.as_ref().map(|ours| slots.iter().any(|slot| ours.contains(slot))),
        },
        host_keys,
        user_data_type: Some(layout_name(view.user_data_type).to_owned()),
        user_data: has_user_data.then(|| STANDARD.encode(view.user_data())),
        signature: Some(signature_name(signature).to_owned()),
    })
}

fn host_key(file: &str, hash: Option<[u8; 32]>, slots: &[[u8; 32]]) -> HostKey {
    HostKey {
        file: file.to_owned(),
        hash: hash.map(|hash| encode_hex(&hash)),
        fits: hash.map(|hash| slots.contains(&hash)),
    }
}

/// Whether all fit: one that does not decides, else one that is not known.
fn all(host_keys: &[HostKey]) -> Option<bool> {
    if host_keys.iter().any(|key| key.fits == Some(false)) {
        return Some(false);
    }
    (!host_keys.is_empty() && host_keys.iter().all(|key| key.fits.is_some())).then_some(true)
}

/// Names of the flags that are set, bit 0 the most significant.
fn flags(flags: u64) -> Vec<String> {
    let name = |bit: u32| match 1 << (63 - bit) {
        layout::FLAG_DISABLE_DUMP => "disable_dump".to_owned(),
        _ => format!("bit_{bit}"),
    };
    (0..64).filter(|bit| flags << bit >> 63 == 1).map(name).collect()
}

fn image(view: &RequestView<'_>) -> Image {
    let tags = view.image_tags();
    let part = |at: usize, len: usize| encode_hex(tags.get(at..at + len).unwrap_or_default());
    Image { pld: part(0, 64), ald: part(64, 64), tld: part(128, 64), tag: part(192, 16) }
}

fn layout_name(kind: UserDataType) -> &'static str {
    match kind {
        UserDataType::None => "none",
        UserDataType::Unsigned => "unsigned",
        UserDataType::EcP521 => "ec_p521",
        UserDataType::Rsa2048 => "rsa_2048",
        UserDataType::Rsa3072 => "rsa_3072",
    }
}

fn signature_name(signature: Signature) -> &'static str {
    match signature {
        Signature::None => "none",
        Signature::Unchecked => "unchecked",
        Signature::Valid => "valid",
        Signature::Invalid => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(fits: &[Option<bool>]) -> Option<bool> {
        let key = |fits: &Option<bool>| HostKey { file: String::new(), hash: None, fits: *fits };
        all(&fits.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn all_documents_fit_or_one_does_not_or_it_is_not_known() {
        assert_eq!(fitting(&[]), None);
        assert_eq!(fitting(&[Some(true), Some(true)]), Some(true));
        assert_eq!(fitting(&[Some(true), None]), None);
        assert_eq!(fitting(&[None, Some(false)]), Some(false));
    }

    #[test]
    fn no_flag_goes_unnamed() {
        assert_eq!(flags(0), Vec::<String>::new());
        assert_eq!(flags(layout::FLAG_DISABLE_DUMP), ["disable_dump"]);
        assert_eq!(flags(0x4000_0000_0000_0001), ["bit_1", "bit_63"]);
    }

    #[test]
    fn nothing_is_told_of_what_is_no_request() {
        for bytes in [&b""[..], b"asrcbM", &[0; 2000]] {
            assert_eq!(report(bytes, &Compared::default()).unwrap_err().code.name, "request.malformed");
        }
    }
}
