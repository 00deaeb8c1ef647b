//! Owner and mode of a file.

use fault::{Fault, Result};
use nix::unistd::{Group, User};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-user-id and the like, 12 bits.
    pub mode: u32,
    /// Owner; `None`: whoever it is.
    pub uid: Option<u32>,
    /// Group; `None`: whichever it is.
    pub gid: Option<u32>,
}

impl Attributes {
    /// Of a file that is there.
    pub fn of(metadata: &Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777, uid: Some(metadata.uid()), gid: Some(metadata.gid()) }
    }

    /// Only a mode.
    pub fn mode(mode: u32) -> Self {
        Self { mode, uid: None, gid: None }
    }

    /// Whether a file that is as `actual` says needs no change.
    pub fn met_by(&self, actual: &Self) -> bool {
        let same = |wanted: Option<u32>, actual| wanted.is_none() || wanted == actual;
        self.mode == actual.mode && same(self.uid, actual.uid) && same(self.gid, actual.gid)
    }

    /// Lines of a diff: the mode, and owner and group where they are `asked` for.
    pub fn lines(&self, asked: &Self) -> String {
        let mut lines = format!("mode: {:04o}\n", self.mode);
        for (key, asked, number) in [("owner", asked.uid, self.uid), ("group", asked.gid, self.gid)] {
            if let (Some(_), Some(number)) = (asked, number) {
                lines += &format!("{key}: {number}\n");
            }
        }
        lines
    }

    /// Sets them on an open file: the owner first, for that may clear mode bits.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply(&self, file: &File) -> io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            std::os::unix::fs::fchown(file, self.uid, self.gid)?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))
    }
}

/// The numbers of owner and group, each a name or a number, where they are given.
///
/// # Errors
/// `file.no_such_owner`.
pub fn owner_and_group(owner: Option<&str>, group: Option<&str>) -> Result<(Option<u32>, Option<u32>)> {
    let user_of = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    let group_of = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    Ok((number(owner, "user", user_of)?, number(group, "group", group_of)?))
}

fn number(name: Option<&str>, what: &str, find: impl Fn(&str) -> Option<u32>) -> Result<Option<u32>> {
    name.map(|name| {
        // The kernel takes the largest number for "leave it as it is".
        let given = || name.parse().ok().filter(|id| *id != u32::MAX && !name.starts_with('+'));
        find(name).or_else(given).ok_or_else(|| {
            Fault::new(fault::file::NO_SUCH_OWNER, format!("There is no {what} {name} on this machine."))
                .hint("Make it first.")
        })
    })
    .transpose()
}
