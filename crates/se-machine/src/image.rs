//! Boot images as the simulator knows them: what an SE header shows, and what only the firmware gets to read of it.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto;
use crate::hex;

/// Bytes of an SE header before its keyslots.
const HEAD_LEN: usize = 0x1a0;
/// Bytes of the encrypted part that this simulator writes.
const ENCRYPTED_LEN: usize = 0x80;

/// An image of a simulated guest: the values a request is bound to, and the secrets of its header's encrypted part.
///
/// Kept as a YAML file of mode 0600; the digests and keys are hex digits.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Page list digest, 64 bytes.
    pld: String,
    /// Address list digest, 64 bytes.
    ald: String,
    /// Tweak list digest, 64 bytes.
    tld: String,
    /// Tag of the SE header, 16 bytes.
    tag: String,
    /// Customer communication key, 32 bytes.
    cck: Zeroizing<String>,
    /// Secret control flag bit 1: only extension secrets derived from the CCK are taken.
    #[serde(default)]
    pub enforce_extension_secret: bool,
    /// Secret control flag bit 2: a request may bring another CCK.
    #[serde(default)]
    pub allow_cck_update: bool,
}

impl std::fmt::Debug for Image {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").finish_non_exhaustive()
    }
}

impl Image {
    /// A new image with random digests. Without `cck` that key is random too.
    pub fn generate(cck: Option<[u8; 32]>) -> Self {
        let cck = Zeroizing::new(cck.unwrap_or_else(crypto::random));
        Self {
            pld: hex::encode(&crypto::random::<64>()),
            ald: hex::encode(&crypto::random::<64>()),
            tld: hex::encode(&crypto::random::<64>()),
            tag: hex::encode(&crypto::random::<16>()),
            cck: Zeroizing::new(hex::encode(cck.as_slice())),
            enforce_extension_secret: false,
            allow_cck_update: false,
        }
    }

    /// Reads the YAML form and checks every length.
    pub fn from_yaml(text: &str) -> Result<Self> {
        let image: Self = serde_yaml::from_str(text).context("not an image description of this simulator")?;
        image.binding()?;
        image.cck()?;
        Ok(image)
    }

    /// The YAML form.
    pub fn to_yaml(&self) -> Result<Zeroizing<String>> {
        Ok(Zeroizing::new(serde_yaml::to_string(self).context("cannot write the image description")?))
    }

    /// The 208 bytes that a request names its image by: pld, ald, tld, header tag.
    pub fn binding(&self) -> Result<[u8; 208]> {
        let mut bytes = [0; 208];
        for (at, digest, name) in [(0, &self.pld, "pld"), (64, &self.ald, "ald"), (128, &self.tld, "tld")] {
            let digest = hex::decode::<64>(digest).with_context(|| format!("{name} is not 128 hex digits"))?;
            bytes[at..at + 64].copy_from_slice(&digest);
        }
        bytes[192..].copy_from_slice(&self.tag()?);
        Ok(bytes)
    }

    /// The tag of the SE header.
    pub fn tag(&self) -> Result<[u8; 16]> {
        hex::decode(&self.tag).context("tag is not 32 hex digits")
    }

    /// The customer communication key.
    pub fn cck(&self) -> Result<Zeroizing<[u8; 32]>> {
        hex::decode(&self.cck).map(Zeroizing::new).context("cck is not 64 hex digits")
    }

    /// An SE header of version 0x0100 that carries this image's digests and tag, for whoever builds requests for it.
    /// Its one keyslot and its encrypted part are random bytes: the simulator takes their content from this struct.
    pub fn header(&self) -> Result<Vec<u8>> {
        let binding = self.binding()?;
        let size = HEAD_LEN + crypto::SLOT_LEN + ENCRYPTED_LEN + 16;
        let mut header = Vec::with_capacity(size);
        header.extend_from_slice(b"IBMSecEx");
        header.extend_from_slice(&0x100_u32.to_be_bytes());
        header.extend_from_slice(&u32::try_from(size)?.to_be_bytes());
        header.extend_from_slice(&crypto::random::<12>());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&1_u64.to_be_bytes());
        header.extend_from_slice(&u64::try_from(ENCRYPTED_LEN)?.to_be_bytes());
        header.extend_from_slice(&1_u64.to_be_bytes());
        header.extend_from_slice(&0_u64.to_be_bytes());
        header.extend_from_slice(&crypto::random_public_key());
        header.extend_from_slice(&binding[..192]);
        ensure!(header.len() == HEAD_LEN, "the head of an SE header is {HEAD_LEN} bytes");
        header.extend_from_slice(&crypto::random::<{ crypto::SLOT_LEN }>());
        header.extend_from_slice(&crypto::random::<ENCRYPTED_LEN>());
        header.extend_from_slice(&binding[192..]);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_shows_the_digests_at_their_documented_offsets() {
        let image = Image::generate(Some([7; 32]));
        let header = image.header().unwrap();
        let binding = image.binding().unwrap();
        assert_eq!(header.len(), 0x1a0 + 80 + 0x80 + 16);
        assert_eq!(&header[..12], b"IBMSecEx\x00\x00\x01\x00");
        assert_eq!(header[0xc..0x10], u32::try_from(header.len()).unwrap().to_be_bytes());
        assert_eq!(header[0x20..0x30], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x80]);
        assert_eq!(header[0xe0..0x1a0], binding[..192]);
        assert_eq!(header[header.len() - 16..], binding[192..]);
    }

    #[test]
    fn an_image_survives_its_yaml_form_and_a_short_digest_is_named() {
        let text = Image::generate(None).to_yaml().unwrap();
        let image = Image::from_yaml(&text).unwrap();
        assert_eq!(*image.to_yaml().unwrap(), *text);
        let broken = text.replacen("tag: ", "tag: 0x", 1).replacen("pld: ", "pld: ab", 1);
        assert!(Image::from_yaml(&broken).err().unwrap().to_string().contains("pld"));
    }
}
