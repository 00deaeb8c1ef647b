//! Small files of sysfs and procfs: read whole, with a bound, as text.

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// No attribute of sysfs is longer than a page.
const MAX_LEN: usize = 4096;
/// Nearly all are shorter than this: a page would be cleared for each.
const SHORT: usize = 256;

/// What an attribute holds, without trailing white space.
///
/// # Errors
/// The kernel's; `InvalidData` if it is not text or longer than a page.
pub fn read(path: &Path) -> io::Result<String> {
    text(File::open(path)?)
}

/// What an attribute holds, or `None` where there is no such file.
///
/// # Errors
/// As [`read`], but for a file that does not exist.
pub fn read_optional(path: &Path) -> io::Result<Option<String>> {
    optional(read(path))
}

/// A folder of attributes that is looked up once for all that is read of it now. What is the matter with it shows when
/// something of it is read.
#[derive(Debug)]
pub struct Folder(nix::Result<OwnedFd>);

impl Folder {
    /// The folder that is there now: of one that vanishes and comes back, what comes back is another one.
    pub fn at(path: &Path) -> Self {
        Self(open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
    }

    /// What an attribute in it holds, as [`read`].
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self, name: &str) -> io::Result<String> {
        text(self.open(name)?)
    }

    /// An attribute in it, to be read with [`text`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let folder = self.0.as_ref().map_err(|errno| io::Error::from(*errno))?;
        Ok(openat(folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    /// The same, or `None` where there is no such file or folder.
    ///
    /// # Errors
    /// As [`read_optional`].
    pub fn read_optional(&self, name: &str) -> io::Result<Option<String>> {
        optional(self.read(name))
    }
}

/// What an attribute holds that was just opened, as [`read`]. The kernel makes the text for a read from the beginning, keeps
/// it for the next one, and hands over as much of it as there is room for: one read is enough for a short one. Only what
/// takes [too long](crate::limited) is interrupted, and it is not tried again.
///
/// # Errors
/// As [`read`].
pub fn text(mut file: File) -> io::Result<String> {
    let mut bytes = vec![0; SHORT];
    let mut len = file.read(&mut bytes)?;
    if len == SHORT {
        bytes.resize(MAX_LEN + 1, 0);
        len += file.read(bytes.get_mut(SHORT..).unwrap_or_default())?;
    }
    bytes.truncate(len);
    if bytes.len() > MAX_LEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than a page"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text"))?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

fn optional(read: io::Result<String>) -> io::Result<Option<String>> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes an attribute in one write(2), as the kernel expects.
///
/// # Errors
/// The kernel's.
pub fn write(path: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// The id of this boot, by which everything under /run that belongs to another one is told apart.
///
/// # Errors
/// The kernel's.
pub fn boot_id() -> io::Result<String> {
    read(Path::new("/proc/sys/kernel/random/boot_id"))
}

/// The bits that are set in words of hex digits, one a line, counted from the most significant bit of the first.
///
/// The kernel prints each word without leading zeros: each is padded to its 64 bits before counting.
/// `None` for anything that is not such a word.
pub fn bits(text: &str) -> Option<Vec<u32>> {
    let words = text.split_whitespace().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    let words = words.collect::<Option<Vec<u64>>>()?;
    let set = |(at, word): (u32, u64)| (0..64).filter(move |bit| word << bit >> 63 == 1).map(move |bit| at * 64 + bit);
    Some((0..).zip(words).flat_map(set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_leading_zeros_are_padded_before_bits_are_counted() {
        assert_eq!(bits("8000000000000000"), Some(vec![0]));
        assert_eq!(bits("1"), Some(vec![63]));
        assert_eq!(bits("0\n4000000000000000\n0\n3"), Some(vec![65, 254, 255]));
        assert_eq!(bits("0x1"), Some(vec![63]));
        assert_eq!(bits("xyz"), None);
    }

    #[test]
    fn a_file_is_read_without_its_line_end_and_a_missing_one_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("online");
        assert_eq!(read_optional(&path).unwrap(), None);
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(read_optional(&path).unwrap().as_deref(), Some("1"));
    }

    #[test]
    fn a_text_of_any_length_up_to_a_page_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, MAX_LEN] {
            std::fs::write(&path, "a".repeat(len)).unwrap();
            assert_eq!(read(&path).unwrap().len(), len);
        }
        std::fs::write(&path, "a".repeat(MAX_LEN + 1)).unwrap();
        read(&path).unwrap_err();
    }

    #[test]
    fn what_is_not_text_or_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::write(&path, [b'a'; 5000]).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
