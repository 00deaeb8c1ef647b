//! `test-pki --dir DIR --host NAME=PUBKEY.pem [--host ...] [--flaw NAME=FLAW ...]`: writes the pretend hierarchy
//! and a host key document `NAME.crt` for each public key into DIR.

use anyhow::{Context as _, Result, anyhow, bail};
use openssl::pkey::PKey;
use std::{collections::BTreeMap, env, fs, path::PathBuf};
use test_pki::{Flaw, Pki, write_file};

fn main() -> Result<()> {
    let (mut dir, mut hosts, mut flaws) = (None, BTreeMap::new(), BTreeMap::new());
    let mut arguments = env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{option} needs a value"))?;
        let pair = || value.split_once('=').with_context(|| format!("{option} takes NAME=VALUE, not {value}"));
        match option.as_str() {
            "--dir" => dir = Some(PathBuf::from(value)),
            "--host" => drop(pair().map(|(name, path)| hosts.insert(name.to_owned(), path.to_owned()))?),
            "--flaw" => drop(pair().map(|(name, flaw)| flaws.insert(name.to_owned(), flaw.to_owned()))?),
            _ => bail!("unknown option {option}; there are --dir, --host and --flaw"),
        }
    }
    let dir = dir.context("--dir is missing")?;
    if let Some(name) = flaws.keys().find(|name| !hosts.contains_key(*name)) {
        bail!("--flaw names {name}, which no --host does");
    }
    fs::create_dir_all(&dir).with_context(|| format!("{} could not be made", dir.display()))?;
    let pki = Pki::new("Armonk")?;
    pki.write(&dir)?;
    for (name, path) in hosts {
        let pem = fs::read(&path).with_context(|| format!("{path} could not be read"))?;
        let key = PKey::public_key_from_pem(&pem).with_context(|| format!("{path} holds no public key in PEM"))?;
        let flaw = flaws.get(&name).map(|flaw| flaw_named(flaw)).transpose()?;
        write_file(&dir.join(format!("{name}.crt")), &pki.host_document(&key, flaw)?.to_pem()?)?;
    }
    Ok(())
}

fn flaw_named(name: &str) -> Result<Flaw> {
    Flaw::ALL.iter().find(|(known, _)| *known == name).map(|(_, flaw)| *flaw).ok_or_else(|| {
        let known: Vec<_> = Flaw::ALL.iter().map(|(known, _)| *known).collect();
        anyhow!("unknown flaw {name}; there are {}", known.join(", "))
    })
}
