//! Putting a request together.

use crate::{
    HostKey, ImageTags, Secret, UserData, codes,
    crypto::{self, Key, refused},
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
use pv_wire::layout;
use std::fmt;
use zeroize::Zeroizing;

/// What proves to the ultravisor that the request comes from the image's owner: 32 bytes at the end of the
/// encrypted part. Whether an image asks for one, and of which kind, is set when it is built.
#[derive(Clone, Default)]
pub enum Extension {
    /// Zeros: the origin of the request is not proved.
    #[default]
    None,
    /// The extension secret itself.
    Simple(Zeroizing<[u8; 32]>),
    /// A customer communication key, from which OpenSSL derives the extension secret for this image.
    Derived(Zeroizing<[u8; 32]>),
}

impl Extension {
    /// A simple extension secret from the bytes of its file; `name` is what messages call the file.
    ///
    /// # Errors
    /// [`codes::EXTENSION_SIZE`] unless it is 32 bytes long.
    pub fn simple(bytes: &[u8], name: &str) -> Result<Self> {
        key(bytes, name, "extension secret").map(Self::Simple)
    }

    /// A derived extension secret from the bytes of the file that holds the customer communication key.
    ///
    /// # Errors
    /// [`codes::EXTENSION_SIZE`] unless it is 32 bytes long.
    pub fn derived(cck: &[u8], name: &str) -> Result<Self> {
        key(cck, name, "customer communication key").map(Self::Derived)
    }

    fn secret(&self, image: &ImageTags) -> Result<Key> {
        match self {
            Self::None => Ok(Zeroizing::new([0; 32])),
            Self::Simple(secret) => Ok(secret.clone()),
            Self::Derived(cck) => crypto::derived_extension(cck, image.header_tag()),
        }
    }
}

/// Which kind; never the secret.
impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Simple(_) => "Simple",
            Self::Derived(_) => "Derived",
        })
    }
}

fn key(bytes: &[u8], name: &str, what: &str) -> Result<Key> {
    bytes.try_into().map(Zeroizing::new).map_err(|_| {
        Fault::new(codes::EXTENSION_SIZE, format!("{name} holds {} bytes; the {what} has 32.", bytes.len()))
            .hint(crate::secret::HINT_RAW_FILE)
    })
}

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

/// A request to be built: what it carries and what it is bound to.
#[derive(Clone)]
pub struct AddSecret {
    /// The image whose guests take the request.
    pub image: ImageTags,
    /// The secret.
    pub secret: Secret,
    /// The proof of origin.
    pub extension: Extension,
    /// Binds the request to one start of one guest.
    pub cuid: Option<[u8; 16]>,
    /// `layout::FLAG_*`, most significant bit first.
    pub flags: u64,
    /// Data that anybody can read.
    pub user_data: UserData,
}

impl std::fmt::Debug for AddSecret {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddSecret").finish_non_exhaustive()
    }
}

impl AddSecret {
    /// The bytes of the request, which each of `hosts` can open. Slots come in the order of `hosts`.
    ///
    /// # Errors
    /// [`codes::NO_HOST_KEY`], [`codes::TOO_MANY_HOST_KEYS`] and [`codes::CRYPTO`].
    pub fn build<'a>(&self, hosts: impl IntoIterator<Item = &'a HostKey>, keys: RequestKeys) -> Result<Vec<u8>> {
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
                    format!("{} host keys were given; a request has room for {}.", hosts.len(), layout::MAX_SLOTS),
                )
                .hint("Build several requests."));
            }
        };
        let slots = hosts.into_iter().map(|host| keyslot(host, &keys)).collect::<Result<Vec<_>>>()?;
        let plain = self.plain()?;
        let header = self.secret.header();
        let length = layout::SLOTS + slots.len() * layout::SLOT_LEN + header.len() + plain.len() + layout::TAG_LEN;

        let mut request = vec![0; layout::SLOTS];
        request.reserve_exact(length - layout::SLOTS);
        put(&mut request, 0, &layout::MAGIC);
        put(&mut request, layout::USER_DATA_TYPE, &self.user_data.number().to_be_bytes());
        put(&mut request, layout::REQUEST_VERSION, &layout::VERSION.to_be_bytes());
        put(&mut request, layout::LENGTH, &size(length));
        put(&mut request, layout::IV, &keys.iv);
        put(&mut request, layout::SLOT_COUNT, &[slot_count]);
        put(&mut request, layout::ENCRYPTED_SIZE, &size(plain.len()));
        put(&mut request, layout::FLAGS, &self.flags.to_be_bytes());
        put(&mut request, layout::IMAGE_TAGS, &self.image.0);
        put(&mut request, layout::CUID, &self.cuid.unwrap_or_default());
        put(&mut request, layout::USER_DATA, self.user_data.data());
        put(&mut request, layout::CUSTOMER_KEY, &customer_point(&keys.customer)?);
        request.extend(slots.iter().flatten());
        request.extend(header);

        let clear = request.len();
        let (sealed, unsigned_tag) = crypto::seal(&keys.request, keys.iv, &request, &plain)?;
        request.extend(sealed);
        let signature = self.user_data.signature(&request)?;
        let tag = if signature.is_empty() {
            unsigned_tag
        } else {
            // What is encrypted stays the same, but the tag covers the signature too. The first tag must not get
            // out: two tags under one key and IV would help a forger.
            signature.iter().for_each(|(at, bytes)| put(&mut request, *at, bytes));
            crypto::seal(&keys.request, keys.iv, request.get(..clear).unwrap_or_default(), &plain)?.1
        };
        request.extend(tag);
        Ok(request)
    }

    /// What will be encrypted: the secret, then the extension secret.
    fn plain(&self) -> Result<Zeroizing<Vec<u8>>> {
        let (secret, extension) = (self.secret.payload(), self.extension.secret(&self.image)?);
        let mut plain = Zeroizing::new(Vec::with_capacity(secret.len() + extension.len()));
        plain.extend_from_slice(secret);
        plain.extend_from_slice(extension.as_slice());
        Ok(plain)
    }
}

/// The request key, wrapped for one host.
fn keyslot(host: &HostKey, keys: &RequestKeys) -> Result<Vec<u8>> {
    let wrapping = crypto::wrapping_key(&keys.customer, &host.key)?;
    // Each wrapping key is used once, so its IV may be constant.
    let (wrapped, tag) = crypto::seal(&wrapping, [0; 12], &[], keys.request.as_slice())?;
    let mut slot = Vec::with_capacity(layout::SLOT_LEN);
    slot.extend(host.hash());
    slot.extend(wrapped);
    slot.extend(tag);
    Ok(slot)
}

fn put(request: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in request.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// A length field. 255 slots and the longest secret stay far below 4 GiB.
fn size(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}
