//! What is in the programs: a list of components in CycloneDX 1.6, from what cargo resolved.

use super::openssl;
use super::programs::Built;
use super::toolchain::{MUSL_VERSION, RUST_VERSION};
use crate::chore::{cargo, quietly};
use anyhow::{Context, Result};
use e2e::place;
use pv_wire::iso8601;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The list as JSON.
///
/// # Errors
/// What cargo said.
pub fn of(built: &[Built], time: u64) -> Result<String> {
    let machines: BTreeSet<_> = built.iter().map(|one| one.machine).collect();
    let checksums = checksums(&fs::read_to_string(place::repository().join("Cargo.lock"))?);
    let mut list = List { checksums, openssl: openssl::source()?.0, ..List::default() };
    for machine in machines {
        let mut metadata = cargo();
        metadata.args(["metadata", "--locked", "--format-version", "1", "--filter-platform"]);
        metadata.arg(format!("{machine}-unknown-linux-gnu"));
        let resolved = Resolved(serde_json::from_slice(&quietly(&mut metadata)?.stdout)?);
        for one in built.iter().filter(|one| one.machine == machine) {
            let hash = super::sha256(&one.path)?;
            list.program(one.machine, one.module, one.found.needs.is_empty(), &hash, &resolved)?;
        }
    }
    Ok(serde_json::to_string_pretty(&list.document(time))? + "\n")
}

/// What `cargo metadata` answers.
struct Resolved(Value);

#[derive(Default)]
struct List {
    /// The version of OpenSSL.
    openssl: String,
    checksums: BTreeMap<(String, String), String>,
    /// By reference, so that the order does not depend on anything.
    components: BTreeMap<String, Value>,
    depends_on: BTreeMap<String, BTreeSet<String>>,
}

impl List {
    fn program(&mut self, machine: &str, module: &str, is_static: bool, hash: &str, resolved: &Resolved) -> Result<()> {
        let file = format!("files/{machine}/{module}");
        self.add(&file, json!({"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": hash}]}));
        let root =
            resolved.package(|package| package["name"] == module).with_context(|| format!("no package {module}"))?;
        self.depends(&file, &reference(root));
        self.crates(root, resolved);
        let mut linked = vec![("rust-std", RUST_VERSION, "MIT OR Apache-2.0")];
        if is_static {
            linked.push(("musl", MUSL_VERSION, "MIT"));
        }
        let openssl = self.openssl.clone();
        if resolved.needs_openssl(root) {
            linked.push(("openssl", &openssl, "Apache-2.0"));
        }
        for (name, version, licence) in linked {
            let purl = format!("pkg:generic/{name}@{version}");
            self.add(&purl, library(name, version, licence, &purl));
            self.depends(&file, &purl);
        }
        Ok(())
    }

    /// A crate and what it is linked with: neither what only builds it nor macros, which leave nothing of themselves.
    fn crates(&mut self, package: &Value, resolved: &Resolved) {
        let purl = reference(package);
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let licence = text("license").replace('/', " OR ");
        let mut component = library(&text("name"), &text("version"), &licence, &purl);
        if let Some(checksum) = self.checksums.get(&(text("name"), text("version"))) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        if !self.add(&purl, component) {
            return;
        }
        for dependency in resolved.linked_with(package) {
            self.depends(&purl, &reference(dependency));
            self.crates(dependency, resolved);
        }
    }

    /// Whether it was not there yet.
    fn add(&mut self, reference: &str, mut component: Value) -> bool {
        component["bom-ref"] = reference.into();
        self.depends_on.entry(reference.into()).or_default();
        self.components.insert(reference.into(), component).is_none()
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

impl Resolved {
    fn package(&self, wanted: impl Fn(&Value) -> bool) -> Option<&Value> {
        self.0["packages"].as_array()?.iter().find(|package| wanted(package))
    }

    /// Whether the crate that binds OpenSSL is among what a package is linked with.
    fn needs_openssl(&self, package: &Value) -> bool {
        let linked = self.linked_with(package);
        linked.iter().any(|other| other["name"] == "openssl-sys" || self.needs_openssl(other))
    }

    fn linked_with(&self, package: &Value) -> Vec<&Value> {
        let nodes = self.0["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let node = nodes.iter().find(|node| node["id"] == package["id"]);
        let dependencies = node.and_then(|node| node["deps"].as_array()).map(Vec::as_slice).unwrap_or_default();
        dependencies
            .iter()
            .filter(|dependency| {
                dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            })
            .filter_map(|dependency| self.package(|package| package["id"] == dependency["pkg"]))
            .filter(|package| !is_macro(package))
            .collect()
    }
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    targets.iter().any(|target| target["kind"] == json!(["proc-macro"]))
}

fn library(name: &str, version: &str, licence: &str, purl: &str) -> Value {
    json!({"type": "library", "name": name, "version": version, "licenses": [{"expression": licence}], "purl": purl})
}

fn reference(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    // The project's own crates come from no registry.
    let kind = if package["source"].is_null() { "generic" } else { "cargo" };
    format!("pkg:{kind}/{}@{}", text("name"), text("version"))
}

/// SHA-256 of the crates' files by name and version, as Cargo.lock has them.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = \""))?.strip_suffix('"'));
        line.map(str::to_owned)
    };
    let one = |block: &str| Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?));
    lock.split("[[package]]").filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
                package("openssl-sys", json!("registry"), "lib"), package("secret_request", Value::Null, "bin"),
            ],
            "resolve": {"nodes": [
                {"id": "facts", "deps": deps(&[("serde", Value::Null), ("tempfile", json!("dev")), ("cc", json!("build"))])},
                {"id": "serde", "deps": deps(&[("derive", Value::Null), ("itoa", Value::Null)])},
                {"id": "itoa", "deps": []},
                {"id": "openssl-sys", "deps": []},
                {"id": "secret_request", "deps": deps(&[("openssl-sys", Value::Null)])},
            ]},
        }))
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_or_tests_is_not() {
        let lock = "[[package]]\nname = \"itoa\"\nversion = \"1.0.0\"\nchecksum = \"abcd\"\n";
        let mut list = List { checksums: checksums(lock), ..List::default() };
        list.program("s390x", "facts", true, "ef01", &resolved()).unwrap();
        list.program("x86_64", "facts", false, "ef02", &resolved()).unwrap();
        let document = list.document(0);
        let names: Vec<_> = document["components"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["files/s390x/facts", "files/x86_64/facts", "itoa", "serde", "facts", "musl", "rust-std"]);
        assert_eq!(document["components"][2]["hashes"], json!([{"alg": "SHA-256", "content": "abcd"}]));
        assert_eq!(document["components"][3]["licenses"], json!([{"expression": "MIT OR Apache-2.0"}]));
        let depends = |name: &str| {
            let all = document["dependencies"].as_array().unwrap();
            all.iter().find(|one| one["ref"] == name).unwrap()["dependsOn"].clone()
        };
        assert_eq!(depends("pkg:cargo/serde@1.0.0"), json!(["pkg:cargo/itoa@1.0.0"]));
        assert_eq!(
            depends("files/x86_64/facts"),
            json!(["pkg:generic/facts@1.0.0", format!("pkg:generic/rust-std@{RUST_VERSION}")])
        );
    }

    #[test]
    fn openssl_is_listed_with_its_version_where_it_is_linked() {
        let mut list = List { openssl: "3.6.3".into(), ..List::default() };
        list.program("s390x", "facts", true, "ef01", &resolved()).unwrap();
        list.program("s390x", "secret_request", false, "ef02", &resolved()).unwrap();
        let openssl = "pkg:generic/openssl@3.6.3";
        assert_eq!(list.components[openssl]["version"], "3.6.3");
        assert!(list.depends_on["files/s390x/secret_request"].contains(openssl));
        assert!(!list.depends_on["files/s390x/facts"].contains(openssl));
    }
}
