//! The first files of a kernel that is booted in an emulated machine.

/// An archive in the form in which a kernel takes its first files (`cpio`, `newc`): for each file a header of fixed
/// length in hexadecimal digits, the name and the content, each filled up to a multiple of four bytes.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: usize,
}

impl Archive {
    /// Adds a folder. Those above it come first.
    pub fn folder(&mut self, name: &str) {
        self.add(name, 0o040_755, &[]);
    }

    /// Adds a file that belongs to root.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.add(name, 0o100_000 | mode, content);
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        let (number, size, name_size) = (self.files, content.len(), name.len() + 1);
        // Number, mode, owner, group, links, time, size, four numbers of devices, size of the name, checksum.
        let header = format!(
            "070701{number:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0, 1
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.fill_up();
        self.bytes.extend_from_slice(content);
        self.fill_up();
    }

    fn fill_up(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The archive, closed.
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_headers_of_110_digits_and_everything_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("bin/one", 0o755, b"12345");
        let bytes = archive.finish();
        let text = |from: usize, to: usize| std::str::from_utf8(&bytes[from..to]).unwrap();
        assert_eq!(
            text(0, 22),
            "0707010000000100" /* the first file */
                .to_owned()
                + "0041ed"
        );
        assert_eq!(&bytes[110..116], b"bin\0\0\0"); // 116 bytes
        assert_eq!(text(116, 138), "07070100000002000081ed");
        assert_eq!(text(116 + 54, 116 + 62), "00000005");
        assert_eq!(text(116 + 94, 116 + 102), "00000008");
        assert_eq!(&bytes[226..236], b"bin/one\0\0\0");
        assert_eq!(&bytes[236..244], b"12345\0\0\0");
        assert!(bytes.len() % 4 == 0 && text(244, bytes.len()).contains("TRAILER!!!"));
    }
}
