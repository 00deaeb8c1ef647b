//! Keys that take long to make, made once for all tests: they are kept below cargo's target folder.
//!
//! Nothing is secret about them. A thread gets another one each time that it asks; two threads, or two processes, get the
//! same ones. So a test that wants two hierarchies that do not trust each other makes both in one thread.

use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    rsa::Rsa,
};
use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Those that this process has met, by their number.
static MET: LazyLock<Mutex<HashMap<usize, PKey<Private>>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// Each test has a thread of its own and begins with the first key.
    static NEXT: Cell<usize> = const { Cell::new(0) };
}

/// A key for an authority, another one each time that a thread asks. RSA-2048 passes OpenSSL's security level 2.
///
/// # Errors
/// What OpenSSL answers.
pub fn rsa_key() -> Result<PKey<Private>, ErrorStack> {
    let number = NEXT.replace(NEXT.get() + 1);
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = met.get(&number) {
        return Ok(key.clone());
    }
    let key = folder().map_or_else(generate, |folder| kept(&folder.join(format!("{number}.pem"))))?;
    met.insert(number, key.clone());
    Ok(key)
}

fn generate() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_rsa(Rsa::generate(2048)?)
}

/// The key in a file. If there is none, a new one, which is put there unless another process was quicker. A file that holds
/// no key is replaced.
fn kept(path: &Path) -> Result<PKey<Private>, ErrorStack> {
    let read = || PKey::private_key_from_pem(&fs::read(path).ok()?).ok();
    if let Some(key) = read() {
        return Ok(key);
    }
    let key = generate()?;
    let whole = path.with_extension(format!("{}.new", std::process::id()));
    // Where nothing can be written, the next process makes a key, too.
    let is_damaged = path.exists();
    let place = |()| if is_damaged { fs::rename(&whole, path) } else { fs::hard_link(&whole, path) };
    let put = fs::write(&whole, key.private_key_to_pem_pkcs8()?).and_then(place);
    let _ = fs::remove_file(&whole);
    Ok(if put.is_ok() { key } else { read().unwrap_or(key) })
}

/// A folder for them in cargo's target folder, if this program runs from there.
fn folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
    let folder = target.join("test-keys");
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_different_keys_and_the_next_one_the_same() {
        let two = || std::thread::spawn(|| [rsa_key().unwrap(), rsa_key().unwrap()]).join().unwrap();
        let ([a, b], [c, d]) = (two(), two());
        assert!(!a.public_eq(&b) && a.public_eq(&c) && b.public_eq(&d));
    }

    #[test]
    fn a_key_is_kept_and_a_damaged_file_gives_another() {
        let path = std::env::temp_dir().join(format!("seguest-key-{}.pem", std::process::id()));
        let key = kept(&path).unwrap();
        assert!(kept(&path).unwrap().public_eq(&key));
        fs::write(&path, "no key").unwrap();
        let other = kept(&path).unwrap();
        assert!(!other.public_eq(&key) && kept(&path).unwrap().public_eq(&other));
        fs::remove_file(&path).unwrap();
    }
}
