//! What is linked into each program, as cargo resolved it and as the tools bring it along: the list of components and the
//! text of licences are both made of this.

use super::elf::NEWEST_GLIBC;
use super::toolchain::{MUSL_VERSION, RUST_VERSION, Toolchain, ZIG_VERSION};
use crate::chore::{cargo, quietly};
use anyhow::{Context, Result};
use e2e::place;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What Rust's library is called in lists.
pub const RUST: &str = "rust-std";

/// What `cargo metadata` answers.
pub struct Resolved(pub Value);

impl Resolved {
    /// The project's packages for a machine, and openssl-src, which has the source of the OpenSSL that is built.
    ///
    /// # Errors
    /// What cargo said.
    pub fn for_machine(machine: &str) -> Result<Self> {
        let mut metadata = cargo();
        metadata.args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--features",
            "secret_request/vendored-openssl",
        ]);
        metadata.arg("--filter-platform").arg(format!("{machine}-unknown-linux-gnu"));
        Ok(Self(serde_json::from_slice(&quietly(&mut metadata)?.stdout)?))
    }

    /// The packages of Rust's own library, with the features that it is built with.
    ///
    /// # Errors
    /// What cargo said.
    pub fn of_library(tools: &Toolchain) -> Result<Self> {
        let mut metadata = cargo();
        tools.rustc(&mut metadata);
        metadata.args(["metadata", "--locked", "--format-version", "1", "--no-default-features"]);
        metadata.args(["--features", "optimize_for_size", "--filter-platform", "s390x-unknown-linux-gnu"]);
        metadata.arg("--manifest-path").arg(tools.library().join("sysroot/Cargo.toml"));
        Ok(Self(serde_json::from_slice(&quietly(&mut metadata)?.stdout)?))
    }

    /// The package of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn package(&self, name: &str) -> Result<&Value> {
        self.find(|package| package["name"] == name).with_context(|| format!("no package {name}"))
    }

    fn find(&self, wanted: impl Fn(&Value) -> bool) -> Option<&Value> {
        self.0["packages"].as_array()?.iter().find(|package| wanted(package))
    }

    /// What a package is linked with: neither what only builds it nor macros, which leave nothing of themselves.
    pub fn linked_with(&self, package: &Value) -> Vec<&Value> {
        let nodes = self.0["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let node = nodes.iter().find(|node| node["id"] == package["id"]);
        let dependencies = node.and_then(|node| node["deps"].as_array()).map(Vec::as_slice).unwrap_or_default();
        dependencies
            .iter()
            .filter(|dependency| {
                dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            })
            .filter_map(|dependency| self.find(|package| package["id"] == dependency["pkg"]))
            .filter(|package| !is_macro(package))
            .collect()
    }

    /// A package and all that it is linked with, each once.
    pub fn all_linked_with<'a>(&'a self, package: &'a Value) -> Vec<&'a Value> {
        let mut all = vec![package];
        let mut next = 0;
        while let Some(one) = all.get(next) {
            let more: Vec<_> = self.linked_with(one).into_iter().filter(|other| !all.contains(other)).collect();
            all.extend(more);
            next += 1;
        }
        all
    }
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    targets.iter().any(|target| target["kind"] == json!(["proc-macro"]))
}

/// Whether a package comes from a registry; the project's own and those of Rust's library do not.
pub fn is_foreign(package: &Value) -> bool {
    !package["source"].is_null()
}

/// A text of a package.
pub fn text(package: &Value, key: &str) -> String {
    package[key].as_str().unwrap_or_default().to_owned()
}

/// A package's licence as an expression of SPDX; older ones have a slash for OR.
pub fn licence(package: &Value) -> String {
    text(package, "license").replace('/', " OR ")
}

/// Something that a program has in it and that is no package of cargo's.
pub struct Brought {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// Its licence, as an expression of SPDX.
    pub licence: &'static str,
    /// Where the licence's text is: a file, or the source file that begins with it.
    pub text: PathBuf,
}

/// What goes into the programs.
pub struct Linked<'a> {
    tools: &'a Toolchain,
    machines: BTreeMap<&'static str, Resolved>,
    library: Resolved,
    /// The version of OpenSSL that Cargo.lock has.
    pub openssl_version: String,
    /// Its source, which is that of the crate openssl-src.
    pub openssl_source: PathBuf,
}

impl<'a> Linked<'a> {
    /// Asks cargo, once for each machine.
    ///
    /// # Errors
    /// What cargo said.
    pub fn on(tools: &'a Toolchain, machines: &[&'static str]) -> Result<Self> {
        let all: Result<BTreeMap<_, _>> =
            machines.iter().map(|machine| Ok((*machine, Resolved::for_machine(machine)?))).collect();
        let all = all?;
        let package = all.values().next().context("no machine")?.package("openssl-src")?;
        let version = package["version"].as_str().and_then(|version| version.split_once('+'));
        Ok(Self {
            openssl_version: version.context("openssl-src has another kind of version")?.1.to_owned(),
            openssl_source: Path::new(&text(package, "manifest_path")).with_file_name("openssl"),
            library: Resolved::of_library(tools)?,
            machines: all,
            tools,
        })
    }

    /// The project's packages for a machine.
    ///
    /// # Errors
    /// If cargo was not asked for it.
    pub fn packages(&self, machine: &str) -> Result<&Resolved> {
        self.machines.get(machine).with_context(|| format!("cargo was not asked for {machine}"))
    }

    /// The packages that Rust's own library is linked with, from the registry.
    ///
    /// # Errors
    /// If its package has another name.
    pub fn in_library(&self) -> Result<Vec<&Value>> {
        Ok(self
            .library
            .all_linked_with(self.library.package("std")?)
            .into_iter()
            .filter(|one| is_foreign(one))
            .collect())
    }

    /// What programs have in them beside packages: the static ones, or the others, which have OpenSSL.
    pub fn brought(&self, is_static: bool) -> Vec<Brought> {
        let one = |name, version: &str, licence, text| Brought { name, version: version.to_owned(), licence, text };
        let zig = |path: &str| self.tools.zig_folder().join(path);
        let mut all = vec![
            one(RUST, RUST_VERSION, "MIT OR Apache-2.0", self.tools.rust_source().join("COPYRIGHT")),
            // Its compiler-rt, and in static programs its parts of the C library.
            one("zig", ZIG_VERSION, "MIT", zig("LICENSE")),
        ];
        if is_static {
            all.push(one("musl", MUSL_VERSION, "MIT", zig("lib/libc/musl/COPYRIGHT")));
        } else {
            let (major, minor) = NEWEST_GLIBC;
            let glibc = zig("lib/libc/glibc/sysdeps/x86_64/start.S");
            all.push(one("glibc-start-files", &format!("{major}.{minor}"), "LicenseRef-glibc-start-files", glibc));
            let unwinder = zig("lib/libunwind/LICENSE.TXT");
            all.push(one("libunwind", ZIG_VERSION, "Apache-2.0 WITH LLVM-exception", unwinder));
            all.push(one("openssl", &self.openssl_version, "Apache-2.0", self.openssl_source.join("LICENSE.txt")));
        }
        all
    }

    /// SHA-256 of the files that packages come in, by name and version: the project's, and those of Rust's library.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn checksums(&self) -> Result<BTreeMap<(String, String), String>> {
        let mut all = BTreeMap::new();
        for lock in [place::repository().join("Cargo.lock"), self.tools.library().join("Cargo.lock")] {
            all.extend(checksums(&fs::read_to_string(lock)?));
        }
        Ok(all)
    }
}

/// As Cargo.lock has them.
pub fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = \""))?.strip_suffix('"'));
        line.map(str::to_owned)
    };
    let one = |block: &str| Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?));
    lock.split("[[package]]").filter_map(one).collect()
}
