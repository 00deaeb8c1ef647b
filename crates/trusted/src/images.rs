//! The images of a task.

use fault::Result;
use pv_request::ImageTags;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The images of a task, each read once.
#[derive(Debug, Default)]
pub struct KnownImages(HashMap<PathBuf, Result<ImageTags>>);

impl KnownImages {
    /// What an image, or the Secure Execution header cut out of it, is known by.
    ///
    /// # Errors
    /// The `file.*` and `image.*` codes.
    pub fn get(&mut self, path: &Path) -> Result<ImageTags> {
        if let Some(known) = self.0.get(path) {
            return known.clone();
        }
        let read = ImageTags::read(path);
        self.0.insert(path.to_owned(), read.clone());
        read
    }
}
