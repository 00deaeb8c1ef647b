//! Every input of the committed corpus through its target, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test")]

use fuzz_targets::TARGETS;
use std::fs;
use std::path::Path;

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"))
}

#[test]
fn the_corpus_of_every_target_is_read_without_a_finding() {
    for (name, target) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus().join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn the_corpus_has_a_folder_for_each_target_and_none_besides_and_stays_small() {
    let folders = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap());
    let mut size = 0;
    let mut names: Vec<_> = folders
        .map(|folder| {
            size +=
                fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
            folder.file_name().into_string().unwrap()
        })
        .collect();
    names.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort();
    assert_eq!(names, targets);
    assert!(size < 1 << 20, "the corpus has {size} bytes");
}

#[test]
fn empty_input_is_taken_by_every_target() {
    TARGETS.iter().for_each(|(_, target)| target(b""));
}
