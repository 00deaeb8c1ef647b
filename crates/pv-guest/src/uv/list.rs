//! The list of secrets.

use super::device::{Device, List, Pages, RC_MORE_DATA};
use crate::codes;
use fault::{Fault, Result};
use nix::errno::Errno;
use pv_wire::{SecretId, SecretType};

/// What to do about an answer that cannot be right.
pub(super) const HINT_CORRUPT: &str =
    "This is a bug in the kernel or the firmware: report it to the distributor, with the versions of both.";

/// Header: u16 entries in this answer, u16 entries in the store, 12 bytes not needed here; big endian.
const HEADER_LEN: usize = 16;
/// Entry: u16 index, u16 type, u32 length, 8 reserved, 32 bytes id; big endian.
const ENTRY_LEN: usize = 48;
/// Entries behind the header of one page.
const ENTRIES_PER_PAGE: u16 = ((Pages::PAGE_LEN - HEADER_LEN) / ENTRY_LEN) as u16;

/// One secret in the store. Its value is never shown by the ultravisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its place in the store, in order of adding: what a queue is associated with.
    pub index: u16,
    /// Its type.
    pub secret_type: SecretType,
    /// How many bytes it has when it is retrieved.
    pub length: u32,
    /// Its id, chosen by who built the request; nothing keeps two secrets from having the same.
    pub id: SecretId,
}

/// A secret as results show it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct SecretInfo {
    /// Index in the store, in the order of adding, as C(se_associate) takes it.
    pub index: u16,
    /// Type, as the option O(seguest.pv.secret_request#module:type) spells it.
    #[serde(rename = "type")]
    pub option: String,
    /// Type, as pvsecret names it.
    pub kind: String,
    /// Id, C(0x) and 64 hex digits. Whoever built the request chose it; it proves nothing.
    pub id: String,
    /// The id as a name, if it is one in printable ASCII.
    pub name: Option<String>,
}

impl From<&Secret> for SecretInfo {
    fn from(secret: &Secret) -> Self {
        Self {
            index: secret.index,
            option: secret.secret_type.option().into(),
            kind: secret.secret_type.kind(),
            id: secret.id.to_string(),
            name: secret.id.printable_name(),
        }
    }
}

/// The secrets in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretList {
    /// How many there are.
    pub total: u16,
    /// Those that the kernel shows.
    pub secrets: Vec<Secret>,
}

impl SecretList {
    /// Whether all secrets are shown: only then can a secret's absence be concluded.
    pub fn is_complete(&self) -> bool {
        self.secrets.len() == usize::from(self.total)
    }

    /// The secrets as results show them.
    pub fn infos(&self) -> Vec<SecretInfo> {
        self.secrets.iter().map(SecretInfo::from).collect()
    }

    /// The error for who must conclude an absence from a list that is not complete.
    pub fn incomplete(&self) -> Fault {
        let (shown, total) = (self.secrets.len(), self.total);
        Fault::new(codes::LIST_INCOMPLETE, format!("The kernel shows {shown} of the store's {total} secrets, and the wanted one is not among them; it may be among the others."))
            .hint("Use a kernel whose uvdevice lists more than one page of secrets, or add fewer secrets.")
    }

    /// Reads the list: one page, and if there is more, all of it where the kernel takes a longer buffer.
    ///
    /// # Errors
    /// Codes of the kernel's and the ultravisor's answers, [`codes::LIST_MALFORMED`].
    pub fn read(device: &Device) -> Result<Self> {
        let mut page = Pages::new(1);
        let answer = device.call::<List>(&mut page)?;
        let first = Self::parse(page.bytes())?;
        if answer.rc != RC_MORE_DATA {
            return Ok(first);
        }
        let mut pages = Pages::new(pages_for(first.total));
        match device.ask::<List>(&mut pages) {
            // Kernels before the longer list answer EINVAL: the page that was read is all there is to see.
            Err(Errno::EINVAL) => Ok(first),
            // Anything else says nothing of the kernel's age: half a list would only hide it.
            answer => Device::succeeded::<List>(answer).and_then(|_| Self::parse(pages.bytes())),
        }
    }

    /// Reads what the ultravisor wrote: a header, then the entries that it says are there. What follows does not count.
    ///
    /// # Errors
    /// [`codes::LIST_MALFORMED`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed = |what: String| {
            Fault::new(
                codes::LIST_MALFORMED,
                format!("The list of secrets from the ultravisor contradicts itself: {what}."),
            )
            .hint(HINT_CORRUPT)
        };
        let (header, body) = bytes.split_at_checked(HEADER_LEN).ok_or_else(|| malformed("no header".into()))?;
        let stored = usize::from(be16(header, 0));
        let total = be16(header, 2);
        let entries = body
            .get(..stored * ENTRY_LEN)
            .ok_or_else(|| malformed(format!("{stored} entries do not fit into {} bytes", bytes.len())))?;
        if stored > usize::from(total) {
            return Err(malformed(format!("{stored} entries are shown, but there are {total} in total")));
        }
        let secrets = entries.chunks_exact(ENTRY_LEN).filter_map(|entry| {
            let id = SecretId(entry.get(16..48)?.try_into().ok()?);
            let length = u32::from_be_bytes(entry.get(4..8)?.try_into().ok()?);
            Some(Secret { index: be16(entry, 0), secret_type: SecretType(be16(entry, 2)), length, id })
        });
        Ok(Self { total, secrets: secrets.collect() })
    }
}

/// Pages for so many entries. The kernel asks the ultravisor for a page of them at a time, and only while a whole one
/// still fits: room for fewer at the end stays empty, be it for enough entries (Linux `uvio_get_list`).
fn pages_for(total: u16) -> u16 {
    total.div_ceil(ENTRIES_PER_PAGE).max(1)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a real kernel 6.12 printed it for the first association secret of an empty store.
    fn one_secret() -> Vec<u8> {
        let mut page = vec![0; 0x1000];
        page[..4].copy_from_slice(&[0, 1, 0, 1]);
        page[16..24].copy_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0x20]);
        page[32..64].fill(0x70);
        page
    }

    #[test]
    fn entries_are_read_big_endian_behind_their_header() {
        let list = SecretList::parse(&one_secret()).unwrap();
        assert_eq!(
            list.secrets,
            [Secret { index: 0, secret_type: SecretType::ASSOCIATION, length: 32, id: SecretId([0x70; 32]) }]
        );
        assert!(list.is_complete());
    }

    #[test]
    fn a_list_that_shows_less_than_the_total_is_not_complete() {
        let mut page = one_secret();
        page[3] = 2;
        let list = SecretList::parse(&page).unwrap();
        assert!(!list.is_complete());
        assert_eq!(list.incomplete().code, codes::LIST_INCOMPLETE);
    }

    #[test]
    fn counts_that_do_not_fit_are_refused() {
        for (stored, total) in [([0, 86], [0, 86]), ([0xff, 0xff], [0xff, 0xff]), ([0, 2], [0, 1])] {
            let mut page = one_secret();
            page[..2].copy_from_slice(&stored);
            page[2..4].copy_from_slice(&total);
            assert_eq!(SecretList::parse(&page).unwrap_err().code, codes::LIST_MALFORMED);
        }
        assert!(SecretList::parse(&[0; 15]).is_err());
    }

    #[test]
    fn a_list_gets_a_page_for_every_85_entries() {
        let pages = [0, 1, 85, 86, 170, 171, 340, 341].map(pages_for);
        assert_eq!(pages, [1, 1, 1, 2, 2, 3, 4, 5]);
        assert_eq!(pages_for(u16::MAX), 771);
    }

    #[test]
    fn a_page_holds_85_entries() {
        let mut page = one_secret();
        page[..4].copy_from_slice(&[0, 85, 0, 85]);
        assert_eq!(SecretList::parse(&page).unwrap().secrets.len(), 85);
    }
}
