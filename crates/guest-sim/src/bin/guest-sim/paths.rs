//! Paths by inode number and the reverse, and what the kernel remembers of them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{INodeNo, Notifier};

use crate::shared::Shared;

/// All paths that the kernel was told of. Numbers start with the root's, 1, and are never given again.
pub struct Paths {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_number: Vec<Arc<str>>,
    by_path: HashMap<Arc<str>, u64>,
}

impl Paths {
    pub fn new() -> Self {
        let paths = Self { known: Mutex::default() };
        paths.number("/");
        paths
    }

    pub fn number(&self, path: &str) -> u64 {
        let known = &mut *self.known();
        if let Some(number) = known.by_path.get(path) {
            return *number;
        }
        let path: Arc<str> = path.into();
        known.by_number.push(Arc::clone(&path));
        let number = known.by_number.len() as u64;
        known.by_path.insert(path, number);
        number
    }

    pub fn path(&self, number: u64) -> Option<Arc<str>> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.known().by_number.get(index).cloned()
    }

    /// Makes the kernel forget what is no longer there, and what may go by itself: whoever hears that the guest was
    /// changed finds none of it.
    pub fn forget(&self, shared: &Shared, kernel: &Notifier) -> io::Result<()> {
        let paths = self.known().by_number.clone();
        let stale = shared.with(|guest, now| {
            let (mut stale, others): (Vec<_>, Vec<_>) =
                paths.into_iter().partition(|path| guest.may_go_by_itself(path));
            let tree = guest.tree(now);
            stale.extend(others.into_iter().filter(|path| tree.node(path).is_none()));
            stale
        });
        for path in stale {
            let Some((parent, name)) = path.rsplit_once('/') else { continue };
            let parent = self.number(if parent.is_empty() { "/" } else { parent });
            kernel.inval_entry(INodeNo(parent), OsStr::new(name))?;
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
