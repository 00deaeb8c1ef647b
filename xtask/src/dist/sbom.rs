//! What is in the programs: a list of components in CycloneDX 1.6, from what cargo resolved.

use super::linked::{Brought, Linked, RUST, Resolved, is_foreign, licence, text};
use super::programs::Built;
use super::toolchain::RUST_VERSION;
use anyhow::Result;
use pv_wire::iso8601;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The list as JSON.
///
/// # Errors
/// If a program's package is not among what cargo resolved.
pub fn of(built: &[Built], linked: &Linked<'_>, time: u64) -> Result<String> {
    let mut list = List { checksums: linked.checksums()?, ..List::default() };
    for one in built {
        let packages = linked.packages(one.machine)?;
        let hash = super::sha256(&one.path)?;
        let brought = linked.brought(one.found.needs.is_empty());
        list.program(one.machine, one.module, &hash, packages, &brought)?;
    }
    list.library(&linked.in_library()?);
    Ok(serde_json::to_string_pretty(&list.document(time))? + "\n")
}

#[derive(Default)]
struct List {
    checksums: BTreeMap<(String, String), String>,
    /// By reference, so that the order does not depend on anything.
    components: BTreeMap<String, Value>,
    depends_on: BTreeMap<String, BTreeSet<String>>,
}

impl List {
    fn program(
        &mut self,
        machine: &str,
        module: &str,
        hash: &str,
        packages: &Resolved,
        brought: &[Brought],
    ) -> Result<()> {
        let file = format!("files/{machine}/{module}");
        self.add(&file, json!({"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": hash}]}));
        let root = packages.package(module)?;
        self.depends(&file, &reference(root));
        for package in packages.all_linked_with(root) {
            let purl = self.package(package);
            packages.linked_with(package).into_iter().for_each(|other| self.depends(&purl, &reference(other)));
        }
        for one in brought {
            let purl = format!("pkg:generic/{}@{}", one.name, one.version);
            self.add(&purl, library(one.name, &one.version, one.licence, &purl));
            self.depends(&file, &purl);
        }
        Ok(())
    }

    /// What Rust's own library is linked with.
    fn library(&mut self, packages: &[&Value]) {
        let rust = format!("pkg:generic/{RUST}@{RUST_VERSION}");
        for package in packages {
            let purl = self.package(package);
            self.depends(&rust, &purl);
        }
    }

    /// Adds a package, and gives its reference.
    fn package(&mut self, package: &Value) -> String {
        let purl = reference(package);
        let (name, version) = (text(package, "name"), text(package, "version"));
        let mut component = library(&name, &version, &licence(package), &purl);
        if let Some(checksum) = self.checksums.get(&(name, version)) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        self.add(&purl, component);
        purl
    }

    fn add(&mut self, reference: &str, mut component: Value) {
        component["bom-ref"] = reference.into();
        self.depends_on.entry(reference.into()).or_default();
        self.components.insert(reference.into(), component);
    }

    fn depends(&mut self, one: &str, other: &str) {
        self.depends_on.entry(one.into()).or_default().insert(other.into());
    }

    fn document(self, time: u64) -> Value {
        let whole = format!("seguest.pv@{}", env!("CARGO_PKG_VERSION"));
        let files: Vec<_> = self.components.keys().filter(|name| name.starts_with("files/")).cloned().collect();
        let mut depends: Vec<Value> = vec![json!({"ref": whole, "dependsOn": files})];
        depends.extend(self.depends_on.into_iter().map(|(one, others)| json!({"ref": one, "dependsOn": others})));
        json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": iso8601(i64::try_from(time).unwrap_or(i64::MAX)),
                "component": {
                    "type": "application",
                    "bom-ref": whole,
                    "name": "seguest.pv",
                    "version": env!("CARGO_PKG_VERSION"),
                    "licenses": [{"expression": "GPL-3.0-or-later AND Apache-2.0"}],
                },
            },
            "components": self.components.into_values().collect::<Vec<_>>(),
            "dependencies": depends,
        })
    }
}

fn library(name: &str, version: &str, licence: &str, purl: &str) -> Value {
    json!({"type": "library", "name": name, "version": version, "licenses": [{"expression": licence}], "purl": purl})
}

fn reference(package: &Value) -> String {
    let kind = if is_foreign(package) { "cargo" } else { "generic" };
    format!("pkg:{kind}/{}@{}", text(package, "name"), text(package, "version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::linked::checksums;

    fn package(name: &str, source: Value, kind: &str) -> Value {
        json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source, "targets": [{"kind": [kind]}]})
    }

    fn resolved() -> Resolved {
        let deps = |deps: &[(&str, Value)]| {
            deps.iter().map(|(name, kind)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]})).collect::<Vec<_>>()
        };
        Resolved(json!({
            "packages": [
                package("facts", Value::Null, "bin"), package("serde", json!("registry"), "lib"),
                package("derive", json!("registry"), "proc-macro"), package("cc", json!("registry"), "lib"),
                package("tempfile", json!("registry"), "lib"), package("itoa", json!("registry"), "lib"),
            ],
            "resolve": {"nodes": [
                {"id": "facts", "deps": deps(&[("serde", Value::Null), ("tempfile", json!("dev")), ("cc", json!("build"))])},
                {"id": "serde", "deps": deps(&[("derive", Value::Null), ("itoa", Value::Null)])},
                {"id": "itoa", "deps": []},
            ]},
        }))
    }

    fn brought(name: &'static str, version: &str) -> Brought {
        Brought { name, version: version.into(), licence: "MIT", text: "LICENSE".into() }
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_or_tests_is_not() {
        let lock = "[[package]]\nname = \"itoa\"\nversion = \"1.0.0\"\nchecksum = \"abcd\"\n";
        let mut list = List { checksums: checksums(lock), ..List::default() };
        let (rust, musl) = (brought(RUST, RUST_VERSION), brought("musl", "1.2.5"));
        list.program("x86_64", "facts", "ef02", &resolved(), &[rust]).unwrap();
        list.program("s390x", "facts", "ef01", &resolved(), &[brought(RUST, RUST_VERSION), musl]).unwrap();
        list.library(&[&package("libc", json!("registry"), "lib")]);
        let document = list.document(0);
        let names: Vec<_> = document["components"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        let expected = ["files/s390x/facts", "files/x86_64/facts", "itoa", "libc", "serde", "facts", "musl", RUST];
        assert_eq!(names, expected);
        assert_eq!(document["components"][2]["hashes"], json!([{"alg": "SHA-256", "content": "abcd"}]));
        assert_eq!(document["components"][4]["licenses"], json!([{"expression": "MIT OR Apache-2.0"}]));
        let depends = |name: &str| {
            let all = document["dependencies"].as_array().unwrap();
            all.iter().find(|one| one["ref"] == name).unwrap()["dependsOn"].clone()
        };
        let rust = format!("pkg:generic/rust-std@{RUST_VERSION}");
        assert_eq!(depends("pkg:cargo/serde@1.0.0"), json!(["pkg:cargo/itoa@1.0.0"]));
        assert_eq!(depends("files/x86_64/facts"), json!(["pkg:generic/facts@1.0.0", rust]));
        assert_eq!(depends(&rust), json!(["pkg:cargo/libc@1.0.0"]));
    }
}
