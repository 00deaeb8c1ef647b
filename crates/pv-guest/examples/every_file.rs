//! The bare loops that `cargo xtask bench facts` and `cargo xtask bench bind` compare modules with. It opens, reads and
//! closes every file that `facts` reads of cards and queues, and makes nothing of it. Prints how many files and bytes
//! they were. With a word it then does with all queues, which must be free, what must be done at the least:
//!
//! - `serve`: binds them, reads the key of each, and associates the first with the first secret and so on.
//! - `look`: binds them, one of a card at a time, reads the key of each and releases it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What `facts` reads of an EP11 card.
const OF_CARD: [&str; 5] = ["type", "online", "config", "chkstop", "serialnr"];
/// What it reads of a queue that is associated.
const OF_QUEUE: [&str; 7] = ["ap_functions", "se_bind", "se_associate", "mkvps", "online", "config", "chkstop"];

fn main() -> io::Result<()> {
    let (mut files, mut bytes) = (0_u64, 0_usize);
    let mut count = |path: &Path| -> io::Result<()> {
        bytes += read(path)?.len();
        files += 1;
        Ok(())
    };
    let mut cards: Vec<Vec<PathBuf>> = Vec::new();
    for card in fs::read_dir("/sys/devices/ap")? {
        let card = card?.path();
        for name in OF_CARD {
            count(&card.join(name))?;
        }
        let mut queues = Vec::new();
        for queue in fs::read_dir(&card)? {
            let queue = queue?;
            if queue.file_type()?.is_dir() {
                let queue = queue.path();
                for name in OF_QUEUE {
                    count(&queue.join(name))?;
                }
                queues.push(queue);
            }
        }
        cards.push(queues);
    }
    println!("{files} files, {bytes} bytes");
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(&cards.concat()),
        Some("look") => look(&cards),
        _ => Ok(()),
    }
}

/// An attribute is no longer than a page and is told in one read.
fn read(path: &Path) -> io::Result<String> {
    let mut page = [0; 4096];
    let len = File::open(path)?.read(&mut page)?;
    Ok(String::from_utf8_lossy(page.get(..len).unwrap_or_default()).into_owned())
}

fn bind(queue: &Path) -> io::Result<()> {
    fs::write(queue.join("se_bind"), "1")
}

/// Waits until an attribute begins with a word.
fn wait_for(path: &Path, word: &str) -> io::Result<()> {
    while !read(path)?.starts_with(word) {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn key(queue: &Path) -> io::Result<()> {
    wait_for(&queue.join("se_bind"), "bound")?;
    read(&queue.join("mkvps")).map(|_| ())
}

fn serve(queues: &[PathBuf]) -> io::Result<()> {
    queues.iter().try_for_each(|queue| bind(queue))?;
    queues.iter().try_for_each(|queue| key(queue))?;
    for (index, queue) in queues.iter().enumerate() {
        fs::write(queue.join("se_associate"), index.to_string())?;
    }
    queues.iter().try_for_each(|queue| wait_for(&queue.join("se_associate"), "associated"))
}

fn look(cards: &[Vec<PathBuf>]) -> io::Result<()> {
    let most = cards.iter().map(Vec::len).max().unwrap_or_default();
    for at in 0..most {
        let now: Vec<&PathBuf> = cards.iter().filter_map(|queues| queues.get(at)).collect();
        now.iter().try_for_each(|queue| bind(queue))?;
        for queue in now {
            key(queue)?;
            fs::write(queue.join("se_bind"), "0")?;
        }
    }
    Ok(())
}
