//! Finding and reading the Secure Execution header of an image.

use crate::{
    codes,
    source::{open, unreadable},
};
use fault::{Fault, Result};
use pv_wire::layout::IMAGE_TAGS_LEN;
use std::{
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Where an image built by current tools says where its header is.
const METADATA_AT: u64 = 0xc000;
const METADATA_MAGIC: &[u8; 8] = b"SeImgLnx";
const PAGE: u64 = 0x1000;
/// Without that, the header begins at one of the first pages; older tools put it at page 0x14.
const LAST_PAGE: u64 = 0x14;

const HEADER_MAGIC: &[u8; 8] = b"IBMSecEx";
const HEADER_VERSION: u32 = 0x0100;
/// The part before the keyslots.
const HEAD_LEN: usize = 0x1a0;
const SLOT_LEN: u64 = 80;
const TAG_LEN: u64 = 16;
/// Page list, address list and tweak list digest: 192 bytes at the end of the head.
const DIGESTS_AT: usize = 0x0e0;

/// The 208 bytes that bind a request to one image: page list, address list and tweak list digest (64 bytes each)
/// and the tag of the Secure Execution header (16 bytes), in the order in which a request holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageTags(pub [u8; IMAGE_TAGS_LEN]);

impl ImageTags {
    /// Reads the tags from a file: a whole image or a header that was cut out of one.
    ///
    /// # Errors
    /// The `file.*` and `image.*` codes; see [`ImageTags::find`].
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        Self::find(&mut open(path, &name)?, &name)
    }

    /// Finds the header in `image` and reads its tags. `name` is what messages call the image.
    ///
    /// The header's sizes must fit each other: a wrong size would yield the wrong tag, and then a request that no
    /// guest accepts. Layout: s390-tools 2.43, `rust/pv/src/brcb.rs`.
    ///
    /// # Errors
    /// [`codes::IMAGE_NO_HEADER`], [`codes::IMAGE_MALFORMED`], [`codes::IMAGE_VERSION`], and
    /// [`fault::file::UNREADABLE`] for what the reader answers.
    pub fn find(image: &mut (impl Read + Seek), name: &str) -> Result<Self> {
        let read = |e| unreadable(name, &e);
        let start = locate(image).map_err(read)?.ok_or_else(|| {
            Fault::new(codes::IMAGE_NO_HEADER, format!("{name} contains no Secure Execution header."))
                .hint("Name the image that genprotimg or pvimg made, or the header extracted from it.")
        })?;
        let malformed = |what: String| {
            Fault::new(codes::IMAGE_MALFORMED, format!("The Secure Execution header in {name} {what}."))
                .hint("Copy the image again, or build it again.")
        };

        let head: [u8; HEAD_LEN] =
            read_at(image, start).map_err(read)?.ok_or_else(|| malformed("is cut off".into()))?;
        let version = u32::from_be_bytes(part(&head, 0x008));
        if version != HEADER_VERSION {
            return Err(Fault::new(
                codes::IMAGE_VERSION,
                format!("The Secure Execution header in {name} has version 0x{version:04x}; only 0x0100 is known."),
            )
            .hint("Build the image with a genprotimg that writes version 0x0100, or use a release of this collection that knows the other."));
        }
        let size = u64::from(u32::from_be_bytes(part(&head, 0x00c)));
        let slots = u64::from_be_bytes(part(&head, 0x020));
        let encrypted = u64::from_be_bytes(part(&head, 0x028));
        let needed = slots
            .checked_mul(SLOT_LEN)
            .and_then(|len| len.checked_add(encrypted))
            .and_then(|len| len.checked_add(HEAD_LEN as u64 + TAG_LEN));
        if needed.is_none_or(|needed| size < needed) {
            return Err(malformed(format!(
                "contradicts itself: {size} bytes cannot hold {slots} keyslots and {encrypted} encrypted bytes"
            )));
        }
        let tag: [u8; TAG_LEN as usize] = start
            .checked_add(size - TAG_LEN)
            .map_or(Ok(None), |at| read_at(image, at))
            .map_err(read)?
            .ok_or_else(|| malformed(format!("is truncated: it should be {size} bytes long")))?;

        let (digests, tail) = (&head[DIGESTS_AT..], &tag);
        let mut tags = [0; IMAGE_TAGS_LEN];
        for (to, from) in tags.iter_mut().zip(digests.iter().chain(tail)) {
            *to = *from;
        }
        Ok(Self(tags))
    }

    /// The tag of the image's header: the salt of a derived extension secret.
    pub fn header_tag(&self) -> [u8; 16] {
        part(&self.0, IMAGE_TAGS_LEN - 16)
    }
}

/// The position of the header's magic.
fn locate(image: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    let candidates = match read_at::<16>(image, METADATA_AT)? {
        // The image says where its header is: then it is there or nowhere. Of what version that says so does not matter
        // as long as a header is there; pvsecret only warns.
        Some(metadata) if metadata.starts_with(METADATA_MAGIC) => vec![u64::from_be_bytes(part(&metadata, 8))],
        _ => (0..=LAST_PAGE).map(|page| page * PAGE).collect(),
    };
    for at in candidates {
        if read_at(image, at)? == Some(*HEADER_MAGIC) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// `N` bytes from position `at`, or `None` where the image ends before.
fn read_at<const N: usize>(image: &mut (impl Read + Seek), at: u64) -> io::Result<Option<[u8; N]>> {
    // Positions beyond i64 are refused by the kernel as invalid; they are merely beyond the end.
    if i64::try_from(at).is_err() {
        return Ok(None);
    }
    image.seek(SeekFrom::Start(at))?;
    let mut bytes = [0; N];
    match image.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

/// `N` bytes of a buffer whose length is known to reach there.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A header with one keyslot and 0x80 encrypted bytes, typed from the layout: digests of 1, 2 and 3, tag of 4.
    fn header() -> Vec<u8> {
        let mut bytes = vec![0xee; 0x280];
        bytes[..8].copy_from_slice(b"IBMSecEx");
        bytes[0x008..0x010].copy_from_slice(&[0, 0, 1, 0, 0, 0, 2, 0x80]);
        bytes[0x020..0x030].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x80]);
        bytes[0x0e0..0x120].fill(1);
        bytes[0x120..0x160].fill(2);
        bytes[0x160..0x1a0].fill(3);
        bytes[0x270..].fill(4);
        bytes
    }

    fn tags() -> ImageTags {
        let mut tags = [4; 208];
        tags[..64].fill(1);
        tags[64..128].fill(2);
        tags[128..192].fill(3);
        ImageTags(tags)
    }

    fn placed(at: usize) -> Vec<u8> {
        let mut image = vec![0; at];
        image.extend(header());
        image.resize(image.len().max(0x20000), 0);
        image
    }

    fn find(bytes: Vec<u8>) -> Result<ImageTags> {
        ImageTags::find(&mut Cursor::new(bytes), "image")
    }

    #[test]
    fn a_header_is_found_alone_and_on_any_of_the_first_21_pages() {
        assert_eq!(find(header()), Ok(tags()));
        assert_eq!(tags().header_tag(), [4; 16]);
        for page in 0..=0x14 {
            assert_eq!(find(placed(page * 0x1000)), Ok(tags()), "page {page}");
        }
        for at in [8, 0x1008, 0x15000] {
            assert_eq!(find(placed(at)).unwrap_err().code, codes::IMAGE_NO_HEADER, "at {at:#x}");
        }
    }

    #[test]
    fn an_image_that_says_where_its_header_is_is_believed_alone() {
        let mut image = placed(0x1e000);
        image[0xc000..0xc010].copy_from_slice(b"SeImgLnx\x00\x00\x00\x00\x00\x01\xe0\x00");
        assert_eq!(find(image.clone()), Ok(tags()));
        let mut elsewhere = placed(0x1000);
        elsewhere[0xc000..0xc010].copy_from_slice(b"SeImgLnx\x00\x00\x00\x00\x00\x01\xe0\x00");
        assert_eq!(find(elsewhere).unwrap_err().code, codes::IMAGE_NO_HEADER);
        for offset in [u64::MAX, i64::MAX as u64, 0x1_0000_0000] {
            image[0xc008..0xc010].copy_from_slice(&offset.to_be_bytes());
            assert_eq!(find(image.clone()).unwrap_err().code, codes::IMAGE_NO_HEADER);
        }
    }

    #[test]
    fn metadata_of_another_version_still_say_where_the_header_is() {
        for version in [0_u32, 1, 2, u32::MAX] {
            let mut image = placed(0x1e000);
            image[0xc000..0xc010].copy_from_slice(b"SeImgLnx\x00\x00\x00\x00\x00\x01\xe0\x00");
            image[0xc010..0xc014].copy_from_slice(&version.to_be_bytes());
            assert_eq!(find(image.clone()), Ok(tags()), "{version}");
            image[0x1e000] = b'X';
            assert_eq!(find(image).unwrap_err().code, codes::IMAGE_NO_HEADER, "{version}");
        }
    }

    #[test]
    fn sizes_that_contradict_each_other_are_refused() {
        for size in [0_u32, 0xf, 0x1a0, 0x1b0, 0x27f, 0x281, u32::MAX] {
            let mut bytes = header();
            bytes[0x00c..0x010].copy_from_slice(&size.to_be_bytes());
            assert_eq!(find(bytes).unwrap_err().code, codes::IMAGE_MALFORMED, "{size:#x}");
        }
        for (field, value) in [(0x020, 2), (0x020, u64::MAX), (0x028, 0x81), (0x028, u64::MAX), (0x020, 1 << 60)] {
            let mut bytes = header();
            bytes[field..field + 8].copy_from_slice(&value.to_be_bytes());
            assert_eq!(find(bytes).unwrap_err().code, codes::IMAGE_MALFORMED, "{field:#x}: {value:#x}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = header();
        bytes[0x00a] = 2;
        let fault = find(bytes).unwrap_err();
        assert_eq!(fault.code, codes::IMAGE_VERSION);
        assert!(fault.detail.contains("image") && fault.detail.contains("0x0200"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_read_or_refused_but_never_panics() {
        let good = header();
        for len in 0..good.len() {
            assert!(find(good[..len].to_vec()).is_err(), "cut to {len}");
        }
        for at in 0..good.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = find(bytes);
            }
        }
    }
}
