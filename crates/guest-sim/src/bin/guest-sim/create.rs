//! `new-host` and `new-image`: the keys and images that scenarios are made of.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use guest_sim::crypto::HostKey;
use guest_sim::image::Image;
use zeroize::Zeroizing;

/// Writes a new private host key to PREFIX.key and its public half to PREFIX.pub.
pub fn host(prefix: &Path) -> Result<()> {
    let key = HostKey::generate();
    write(&with_suffix(prefix, "key"), 0o600, key.to_pem()?.as_bytes())?;
    write(&with_suffix(prefix, "pub"), 0o644, key.public_pem()?.as_bytes())
}

/// What an image may be given.
pub struct ImageOptions {
    pub prefix: PathBuf,
    pub cck: Option<PathBuf>,
    pub enforce_extension_secret: bool,
    pub allow_cck_update: bool,
}

/// Writes a new SE header to PREFIX.hdr and what the simulator knows of that image to PREFIX.sim.
pub fn image(options: &ImageOptions) -> Result<()> {
    let cck = match &options.cck {
        Some(path) => {
            let bytes = Zeroizing::new(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
            Some(bytes.as_slice().try_into().with_context(|| format!("{} is not 32 bytes long", path.display()))?)
        }
        None => None,
    };
    let mut image = Image::generate(cck);
    image.enforce_extension_secret = options.enforce_extension_secret;
    image.allow_cck_update = options.allow_cck_update;
    write(&with_suffix(&options.prefix, "hdr"), 0o644, &image.header()?)?;
    write(&with_suffix(&options.prefix, "sim"), 0o600, image.to_yaml()?.as_bytes())
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(bytes);
    open().with_context(|| format!("cannot write the new file {}", path.display()))
}
