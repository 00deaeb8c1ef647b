//! Reads a program that was built, and says what would keep it from running where it must, or tells too much of the
//! machine that it was built on.

use anyhow::{Context, Result, ensure};
use object::elf::{
    DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_AARCH64, EM_S390, EM_X86_64, FileHeader64, PF_W, PF_X, PT_GNU_RELRO,
    PT_GNU_STACK, PT_LOAD,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, StringTable};

/// The newest glibc that a program may ask for: RHEL 8 has it, and everything newer that runs Secure Execution guests.
pub const NEWEST_GLIBC: (u32, u32) = (2, 28);

/// What was read of a program.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The machine as `uname -m` spells it.
    pub machine: String,
    /// Shared libraries that it needs; none if it is static.
    pub needs: Vec<String>,
    /// The newest version of glibc that a symbol of it asks for.
    pub glibc: Option<(u32, u32)>,
    /// Folders that it would look for libraries in.
    pub search_paths: Vec<String>,
    /// A segment is writable and executable, or the stack is.
    pub writable_code: bool,
    /// Tables of addresses are read-only once it runs.
    pub read_only_relocations: bool,
}

/// Reads a 64-bit ELF file of either byte order.
///
/// # Errors
/// What is wrong with the file.
pub fn read(bytes: &[u8]) -> Result<Found> {
    let header = FileHeader64::<Endianness>::parse(bytes).context("no 64-bit ELF file")?;
    let endian = header.endian()?;
    let machine = match header.e_machine(endian) {
        EM_S390 => "s390x".to_owned(),
        EM_X86_64 => "x86_64".to_owned(),
        EM_AARCH64 => "aarch64".to_owned(),
        other => format!("machine number {other}"),
    };
    let mut found = Found { machine, ..Found::default() };
    for segment in header.program_headers(endian, bytes)? {
        let flags = segment.p_flags(endian);
        match segment.p_type(endian) {
            PT_LOAD if flags & (PF_W | PF_X) == PF_W | PF_X => found.writable_code = true,
            PT_GNU_STACK if flags & PF_X != 0 => found.writable_code = true,
            PT_GNU_RELRO => found.read_only_relocations = true,
            _ => {}
        }
    }
    let sections = header.sections(endian, bytes)?;
    if let Some((entries, link)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        for entry in entries {
            match entry.tag32(endian) {
                Some(DT_NEEDED) => found.needs.push(string(entry, endian, strings)?),
                Some(DT_RPATH | DT_RUNPATH) => found.search_paths.push(string(entry, endian, strings)?),
                _ => {}
            }
        }
    }
    if let Some((mut files, link)) = sections.gnu_verneed(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        while let Some((_, mut versions)) = files.next()? {
            while let Some(version) = versions.next()? {
                let name = String::from_utf8_lossy(version.name(endian, strings)?);
                if let Some(version) = name.strip_prefix("GLIBC_") {
                    let numbers = glibc_version(version).with_context(|| format!("glibc's version {version}"))?;
                    found.glibc = found.glibc.max(Some(numbers));
                }
            }
        }
    }
    Ok(found)
}

fn string(entry: &impl Dyn<Endian = Endianness>, endian: Endianness, strings: StringTable<'_>) -> Result<String> {
    Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned())
}

/// `2.28` and `2.2.5`; the third number does not matter, as no version after 2.2.6 has one.
fn glibc_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What a program must be.
pub struct Rules<'a> {
    /// The machine, as `uname -m` spells it.
    pub machine: &'a str,
    /// It must need no library at all; else it may need glibc's.
    pub is_static: bool,
    /// Bytes that it may have at most.
    pub limit: usize,
    /// Paths of the machine that built it, which must not occur.
    pub built_in: &'a [String],
}

/// Whether a program keeps the rules.
///
/// # Errors
/// Naming the first rule that it breaks.
pub fn check(bytes: &[u8], rules: &Rules<'_>) -> Result<Found> {
    let found = read(bytes)?;
    ensure!(found.machine == rules.machine, "it is for {}, not for {}", found.machine, rules.machine);
    ensure!(found.search_paths.is_empty(), "it looks for libraries in {}", found.search_paths.join(" and "));
    ensure!(!found.writable_code, "a part of its memory, or its stack, is writable and executable");
    ensure!(found.read_only_relocations, "its tables of addresses stay writable (no RELRO)");
    if rules.is_static {
        ensure!(found.needs.is_empty(), "it is not static, it needs {}", found.needs.join(" and "));
    } else {
        let foreign: Vec<_> = found.needs.iter().filter(|name| !is_of_glibc(name)).map(String::as_str).collect();
        ensure!(foreign.is_empty(), "it needs {}, which is not of glibc", foreign.join(" and "));
    }
    if let Some((major, minor)) = found.glibc.filter(|version| *version > NEWEST_GLIBC) {
        let (most_major, most_minor) = NEWEST_GLIBC;
        anyhow::bail!("it needs glibc {major}.{minor}, and may need {most_major}.{most_minor} at most");
    }
    for path in rules.built_in {
        ensure!(!contains(bytes, path.as_bytes()), "it has the path {path} of this machine in it");
    }
    ensure!(bytes.len() <= rules.limit, "it has {} bytes, and may have {} at most", bytes.len(), rules.limit);
    Ok(found)
}

fn is_of_glibc(name: &str) -> bool {
    ["libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "libutil.so.", "ld"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DYNAMIC: u32 = 6;
    const STRINGS: u32 = 3;
    const VERSIONS_NEEDED: u32 = 0x6fff_fffe;

    /// A program of headers and tables alone, in the byte order of its machine.
    struct Made {
        machine: u16,
        big_endian: bool,
        segments: Vec<(u32, u32)>,
        dynamic: Vec<(u32, &'static str)>,
        versions: Vec<&'static str>,
    }

    /// A static one as it should be.
    fn made(machine: u16, big_endian: bool) -> Made {
        Made {
            machine,
            big_endian,
            segments: vec![(PT_LOAD, 5), (PT_GNU_STACK, 6), (PT_GNU_RELRO, 4)],
            dynamic: Vec::new(),
            versions: Vec::new(),
        }
    }

    impl Made {
        fn number(&self, bytes: usize, number: u64) -> Vec<u8> {
            let all = number.to_be_bytes();
            let mut kept = all.get(8 - bytes..).unwrap().to_vec();
            if !self.big_endian {
                kept.reverse();
            }
            kept
        }

        /// Numbers of the given widths, one after the other.
        fn row(&self, fields: &[(usize, u64)]) -> Vec<u8> {
            fields.iter().flat_map(|(bytes, number)| self.number(*bytes, *number)).collect()
        }

        fn bytes(&self) -> Vec<u8> {
            let mut strings = vec![0];
            let mut string = |text: &str| {
                let start = strings.len() as u64;
                strings.extend([text.as_bytes(), &[0]].concat());
                start
            };
            let mut dynamic: Vec<u8> = Vec::new();
            for (tag, text) in &self.dynamic {
                dynamic.extend(self.row(&[(8, u64::from(*tag)), (8, string(text))]));
            }
            dynamic.extend([0; 16]);
            let libc = string("libc.so.6");
            let count = self.versions.len();
            let mut versions = self.row(&[(2, 1), (2, count as u64), (4, libc), (4, 16), (4, 0)]);
            for (index, version) in self.versions.iter().enumerate() {
                let next = if index + 1 == count { 0 } else { 16 };
                versions.extend(self.row(&[(4, 0), (2, 0), (2, 2), (4, string(version)), (4, next)]));
            }
            let segments: Vec<u8> = self
                .segments
                .iter()
                .flat_map(|(kind, flags)| {
                    self.row(&[
                        (4, u64::from(*kind)),
                        (4, u64::from(*flags)),
                        (8, 0),
                        (8, 0),
                        (8, 0),
                        (8, 0),
                        (8, 0),
                        (8, 0),
                    ])
                })
                .collect();
            let mut tables = vec![(STRINGS, 0, strings)];
            if !self.dynamic.is_empty() {
                tables.push((DYNAMIC, 1, dynamic));
            }
            if count > 0 {
                tables.push((VERSIONS_NEEDED, 1, versions));
            }
            let mut body = segments;
            let mut sections = vec![0; 64];
            for (kind, link, content) in tables {
                let (offset, size) = (64 + body.len() as u64, content.len() as u64);
                body.extend(content);
                sections.extend(self.row(&[
                    (4, 0),
                    (4, u64::from(kind)),
                    (8, 0),
                    (8, 0),
                    (8, offset),
                    (8, size),
                    (4, link),
                    (4, 1),
                    (8, 1),
                    (8, 16),
                ]));
            }
            let order = if self.big_endian { 2 } else { 1 };
            let mut file = vec![0x7f, b'E', b'L', b'F', 2, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            file.extend(self.row(&[
                (2, 2),
                (2, u64::from(self.machine)),
                (4, 1),
                (8, 0),
                (8, 64),
                (8, 64 + body.len() as u64),
                (4, 0),
                (2, 64),
                (2, 56),
                (2, self.segments.len() as u64),
                (2, 64),
                (2, sections.len() as u64 / 64),
                (2, 1),
            ]));
            [file, body, sections].concat()
        }
    }

    fn refused(made: &Made, is_static: bool) -> String {
        let rules = Rules { machine: "s390x", is_static, limit: 2000, built_in: &["/home/somebody".into()] };
        check(&made.bytes(), &rules).unwrap_err().to_string()
    }

    fn dynamic(entries: &[(u32, &'static str)], versions: &[&'static str]) -> Made {
        Made { dynamic: entries.to_vec(), versions: versions.to_vec(), ..made(EM_S390, true) }
    }

    #[test]
    fn a_program_is_read_in_either_byte_order() {
        for (machine, big_endian, name) in
            [(EM_S390, true, "s390x"), (EM_X86_64, false, "x86_64"), (EM_AARCH64, false, "aarch64")]
        {
            let program = Made {
                dynamic: vec![(DT_NEEDED, "libc.so.6"), (DT_NEEDED, "libm.so.6")],
                versions: vec!["GLIBC_2.9", "GLIBC_2.28", "GLIBC_2.2.5", "GCC_3.0"],
                ..made(machine, big_endian)
            };
            let rules = Rules { machine: name, is_static: false, limit: 2000, built_in: &[] };
            let found = check(&program.bytes(), &rules).unwrap();
            assert_eq!(found.needs, ["libc.so.6", "libm.so.6"]);
            assert_eq!(found.glibc, Some((2, 28)), "by numbers, not by letters");
        }
        let rules = Rules { machine: "s390x", is_static: true, limit: 2000, built_in: &[] };
        assert_eq!(check(&made(EM_S390, true).bytes(), &rules).unwrap().glibc, None);
    }

    #[test]
    fn what_keeps_a_program_from_its_machine_is_named() {
        assert_eq!(refused(&made(EM_X86_64, false), true), "it is for x86_64, not for s390x");
        let newer = dynamic(&[(DT_NEEDED, "libc.so.6")], &["GLIBC_2.17", "GLIBC_2.34"]);
        assert_eq!(refused(&newer, false), "it needs glibc 2.34, and may need 2.28 at most");
        assert_eq!(refused(&newer, true), "it is not static, it needs libc.so.6");
        let foreign = dynamic(&[(DT_NEEDED, "libc.so.6"), (DT_NEEDED, "libssl.so.3")], &[]);
        assert_eq!(refused(&foreign, false), "it needs libssl.so.3, which is not of glibc");
    }

    #[test]
    fn what_makes_a_program_unsafe_is_named() {
        for tag in [DT_RPATH, DT_RUNPATH] {
            assert_eq!(refused(&dynamic(&[(tag, "/opt/lib")], &[]), false), "it looks for libraries in /opt/lib");
        }
        for segment in [(PT_LOAD, 7), (PT_GNU_STACK, 7)] {
            let mut program = made(EM_S390, true);
            program.segments.push(segment);
            assert_eq!(refused(&program, true), "a part of its memory, or its stack, is writable and executable");
        }
        let mut program = made(EM_S390, true);
        program.segments.retain(|(kind, _)| *kind != PT_GNU_RELRO);
        assert_eq!(refused(&program, true), "its tables of addresses stay writable (no RELRO)");
    }

    #[test]
    fn what_tells_of_the_builder_or_is_too_large_is_named() {
        let told = dynamic(&[(DT_NEEDED, "libc.so.6"), (0, "/home/somebody/src")], &[]);
        assert_eq!(refused(&told, false), "it has the path /home/somebody of this machine in it");
        let bytes = made(EM_S390, true).bytes();
        let rules = |limit| Rules { machine: "s390x", is_static: true, limit, built_in: &[] };
        assert!(check(&bytes, &rules(bytes.len())).is_ok());
        let error = check(&bytes, &rules(bytes.len() - 1)).unwrap_err().to_string();
        assert_eq!(error, format!("it has {} bytes, and may have {} at most", bytes.len(), bytes.len() - 1));
    }

    #[test]
    fn what_is_no_program_or_cut_off_is_an_error() {
        assert!(read(b"#!/bin/sh\n").is_err());
        let whole = dynamic(&[(DT_NEEDED, "libc.so.6")], &["GLIBC_2.17"]).bytes();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
    }
}
