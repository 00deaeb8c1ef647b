//! A host and an image, for the unit tests of two crates that take this file in.

use zeroize::Zeroizing;

use super::build;
use crate::crypto::HostKey;
use crate::image::Image;
use crate::uv::Ultravisor;

/// A machine with its two key halves.
#[derive(Debug)]
pub struct Host {
    pub public: p521::PublicKey,
    pem: Zeroizing<String>,
}

impl Host {
    pub fn new() -> Self {
        let key = HostKey::generate();
        Self { public: build::public_key(&key.public_pem().unwrap()), pem: key.to_pem().unwrap() }
    }

    pub fn key(&self) -> HostKey {
        HostKey::from_pem(&self.pem).unwrap()
    }

    pub fn uv(&self, image: Image) -> Ultravisor {
        Ultravisor::new(Default::default(), Default::default(), self.key(), image).unwrap()
    }
}

/// The image that the reference requests are for: digests of 0x01, 0x02, 0x03, tag of 0x04, CCK of zeros.
pub fn reference_image(more: &str) -> Image {
    let digits = |byte: &str, len: usize| byte.repeat(len);
    let yaml = format!(
        "pld: \"{}\"\nald: \"{}\"\ntld: \"{}\"\ntag: \"{}\"\ncck: \"{}\"\n{more}",
        digits("01", 64),
        digits("02", 64),
        digits("03", 64),
        digits("04", 16),
        digits("00", 32)
    );
    Image::from_yaml(&yaml).unwrap()
}
