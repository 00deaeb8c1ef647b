//! The bare loop that `cargo xtask bench facts` compares the module with: opens, reads and closes every file that
//! `facts` reads of cards and queues, and makes nothing of it. Prints how many files and bytes they were.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// What `facts` reads of an EP11 card.
const OF_CARD: [&str; 5] = ["type", "online", "config", "chkstop", "serialnr"];
/// What it reads of a queue that is associated.
const OF_QUEUE: [&str; 7] = ["ap_functions", "se_bind", "se_associate", "mkvps", "online", "config", "chkstop"];

fn main() -> io::Result<()> {
    let (mut files, mut bytes) = (0_u64, 0_usize);
    let mut page = [0; 4096];
    let mut read = |path: &Path| -> io::Result<()> {
        // An attribute is no longer than a page and is told in one read.
        bytes += File::open(path)?.read(&mut page)?;
        files += 1;
        Ok(())
    };
    for card in fs::read_dir("/sys/devices/ap")? {
        let card = card?.path();
        for name in OF_CARD {
            read(&card.join(name))?;
        }
        for queue in fs::read_dir(&card)? {
            let queue = queue?;
            if queue.file_type()?.is_dir() {
                let queue = queue.path();
                for name in OF_QUEUE {
                    read(&queue.join(name))?;
                }
            }
        }
    }
    println!("{files} files, {bytes} bytes");
    Ok(())
}
