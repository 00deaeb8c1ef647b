//! Putting an add-secret request together.

use crate::{
    HostKey, ImageTags, RequestKeys, Secret, UserData, codes,
    crypto::{self, Key},
    envelope::{Envelope, Form, put},
};
use fault::{Fault, Result};
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
        let envelope = Envelope::new(hosts, keys)?;
        let plain = self.plain()?;
        let mut head = vec![0; layout::SLOTS];
        put(&mut head, 0, &layout::MAGIC);
        put(&mut head, layout::USER_DATA_TYPE, &self.user_data.number().to_be_bytes());
        put(&mut head, layout::FLAGS, &self.flags.to_be_bytes());
        put(&mut head, layout::IMAGE_TAGS, &self.image.0);
        put(&mut head, layout::CUID, &self.cuid.unwrap_or_default());
        put(&mut head, layout::USER_DATA, self.user_data.data());
        let form = Form {
            head,
            version: layout::VERSION,
            customer_key_at: layout::CUSTOMER_KEY,
            behind_slots: &self.secret.header(),
            plain: &plain,
        };
        envelope.close(form, |request| self.user_data.signature(request))
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
