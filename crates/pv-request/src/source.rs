//! Bytes together with the name that messages call them by.

use crate::codes;
use fault::{Fault, Result};
use std::{fs::File, io, io::Read as _, path::Path};

/// What a public input file held, and what to call it in messages. Not for secrets: it is neither wiped nor hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path, as the user wrote it.
    pub name: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Source {
    /// The most that is read of a file: certificate bundles of today's systems are a quarter of a megabyte.
    pub const LIMIT: u64 = 16 << 20;

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`codes::FILE_MISSING`], [`codes::FILE_UNREADABLE`] and [`codes::FILE_TOO_LARGE`].
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| unreadable(&name, &e))?;
        let mut bytes = Vec::new();
        file.take(Self::LIMIT + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&name, &e))?;
        if bytes.len() as u64 > Self::LIMIT {
            return Err(Fault::new(
                codes::FILE_TOO_LARGE,
                format!("{name} is larger than {} MiB and was not read.", Self::LIMIT >> 20),
            )
            .hint("Name the certificate, revocation list or bundle itself."));
        }
        Ok(Self { name, bytes })
    }
}

pub(crate) fn unreadable(name: &str, error: &io::Error) -> Fault {
    let fault = if error.kind() == io::ErrorKind::NotFound {
        Fault::new(codes::FILE_MISSING, format!("{name} does not exist."))
    } else {
        Fault::new(codes::FILE_UNREADABLE, format!("{name} could not be read: {error}."))
    };
    match error.raw_os_error() {
        Some(errno) => fault.errno(errno),
        None => fault,
    }
}
