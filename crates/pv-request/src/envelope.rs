//! What every kind of request to an ultravisor has in common: slots in which each host finds the request's key, the
//! customer's point that they are agreed on with, and a sealed end.

use crate::{
    HostKey, codes,
    crypto::{self, refused},
    host_key::customer_point,
};
use fault::{Fault, Result};
use openssl::{
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    nid::Nid,
    pkey::{PKey, Private},
    rand::rand_bytes,
};
use pv_wire::{
    attestation,
    layout::{ENCRYPTED_SIZE, IV, LENGTH, MAX_SLOTS, REQUEST_VERSION, SLOT_COUNT, SLOT_LEN, TAG_LEN},
};
use zeroize::Zeroizing;

// Both kinds begin alike, so the fields that are filled here need no form.
const _: () = {
    use attestation::layout as other;
    assert!(REQUEST_VERSION == other::REQUEST_VERSION && LENGTH == other::LENGTH && IV == other::IV);
    assert!(SLOT_COUNT == other::SLOT_COUNT && ENCRYPTED_SIZE == other::ENCRYPTED_SIZE);
};

/// Everything random about one request. Building uses it up: the same key and IV for two requests would give both
/// away.
pub struct RequestKeys {
    /// The customer key: a fresh key on P-521.
    pub customer: PKey<Private>,
    /// The AES-256 key that protects the request.
    pub request: Zeroizing<[u8; 32]>,
    /// The IV of the request.
    pub iv: [u8; 12],
}

impl std::fmt::Debug for RequestKeys {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestKeys").finish_non_exhaustive()
    }
}

impl RequestKeys {
    /// Fresh ones from OpenSSL's random numbers.
    ///
    /// # Errors
    /// [`codes::CRYPTO`].
    pub fn generate() -> Result<Self> {
        let failed = refused("make random keys");
        let (mut request, mut iv) = (Zeroizing::new([0; 32]), [0; 12]);
        rand_bytes(request.as_mut_slice()).map_err(&failed)?;
        rand_bytes(&mut iv).map_err(&failed)?;
        Ok(Self { customer: customer_key().map_err(&failed)?, request, iv })
    }
}

fn customer_key() -> std::result::Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::SECP521R1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// What a kind of request puts into its envelope.
pub(crate) struct Form<'a> {
    /// Everything before the slots, with the fields of this kind filled in.
    pub head: Vec<u8>,
    /// The version of the request.
    pub version: u32,
    /// Where in the head the customer's point belongs.
    pub customer_key_at: usize,
    /// What follows the slots in the clear.
    pub behind_slots: &'a [u8],
    /// What is encrypted.
    pub plain: &'a [u8],
}

/// The slots of one request, and the keys that close it.
pub(crate) struct Envelope {
    keys: RequestKeys,
    slots: Vec<u8>,
    slot_count: u8,
}

impl Envelope {
    /// An envelope that each of `hosts` can open. Slots come in their order.
    ///
    /// # Errors
    /// [`codes::NO_HOST_KEY`], [`codes::TOO_MANY_HOST_KEYS`] and [`codes::CRYPTO`].
    pub(crate) fn new<'a>(hosts: impl IntoIterator<Item = &'a HostKey>, keys: RequestKeys) -> Result<Self> {
        let hosts: Vec<_> = hosts.into_iter().collect();
        let slot_count = match u8::try_from(hosts.len()) {
            Ok(0) => {
                return Err(Fault::new(
                    codes::NO_HOST_KEY,
                    "No host key was given, so no machine could open the request.",
                )
                .hint("Name at least one host key document in host_keys."));
            }
            Ok(count) => count,
            Err(_) => {
                return Err(Fault::new(
                    codes::TOO_MANY_HOST_KEYS,
                    format!("{} host keys were given; a request has room for {MAX_SLOTS}.", hosts.len()),
                )
                .hint("Build several requests."));
            }
        };
        let mut slots = Vec::with_capacity(hosts.len() * SLOT_LEN);
        for host in hosts {
            add_slot(&mut slots, host, &keys)?;
        }
        Ok(Self { keys, slots, slot_count })
    }

    /// The whole request. `sign` is given all of it but its tag, and says what is to be put where before the tag is
    /// made; nothing, if it signs nothing.
    ///
    /// # Errors
    /// [`codes::CRYPTO`], and what `sign` fails with.
    pub(crate) fn close(
        self,
        form: Form<'_>,
        sign: impl FnOnce(&[u8]) -> Result<Vec<(usize, Vec<u8>)>>,
    ) -> Result<Vec<u8>> {
        let Self { keys, slots, slot_count } = self;
        let mut request = form.head;
        let length = request.len() + slots.len() + form.behind_slots.len() + form.plain.len() + TAG_LEN;
        request.reserve_exact(length - request.len());
        put(&mut request, REQUEST_VERSION, &form.version.to_be_bytes());
        put(&mut request, LENGTH, &size(length));
        put(&mut request, IV, &keys.iv);
        put(&mut request, SLOT_COUNT, &[slot_count]);
        put(&mut request, ENCRYPTED_SIZE, &size(form.plain.len()));
        put(&mut request, form.customer_key_at, &customer_point(&keys.customer)?);
        request.extend(slots);
        request.extend(form.behind_slots);

        let clear = request.len();
        let (sealed, unsigned_tag) = crypto::seal(&keys.request, keys.iv, &request, form.plain)?;
        request.extend(sealed);
        let signature = sign(&request)?;
        let tag = if signature.is_empty() {
            unsigned_tag
        } else {
            // What is encrypted stays the same, but the tag covers the signature too. The first tag must not get
            // out: two tags under one key and IV would help a forger.
            signature.iter().for_each(|(at, bytes)| put(&mut request, *at, bytes));
            crypto::seal(&keys.request, keys.iv, request.get(..clear).unwrap_or_default(), form.plain)?.1
        };
        request.extend(tag);
        Ok(request)
    }
}

/// The request key, wrapped for one host.
fn add_slot(slots: &mut Vec<u8>, host: &HostKey, keys: &RequestKeys) -> Result<()> {
    let wrapping = crypto::wrapping_key(&keys.customer, &host.key)?;
    // Each wrapping key is used once, so its IV may be constant.
    let (wrapped, tag) = crypto::seal(&wrapping, [0; 12], &[], keys.request.as_slice())?;
    slots.extend(host.hash());
    slots.extend(wrapped);
    slots.extend(tag);
    Ok(())
}

/// Writes a field of the head.
pub(crate) fn put(request: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in request.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// A length field. 255 slots and the longest secret stay far below 4 GiB.
fn size(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}
