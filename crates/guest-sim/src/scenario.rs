//! Scenario files: what a simulated guest is made of, how fast it answers, what goes wrong.
//!
//! The crate's README shows a commented example. Everything has a default except `host_key` and `image`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

mod parts;

pub use crate::fault::Fault;
pub use parts::{Ap, Card, Delays, FailedQueue, Kernel, Manners, Queue};
pub use se_machine::spec::{AttestCheck, FormCheck, Switches, Uv};

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The machine's private host key, PKCS#8 PEM; relative to the scenario file.
    pub host_key: PathBuf,
    /// The image the guest was started from, as `guest-sim new-image` writes it; relative to the scenario file.
    pub image: PathBuf,
    /// The guest's kernel.
    #[serde(default)]
    pub kernel: Kernel,
    /// The ultravisor and what it says of itself.
    #[serde(default)]
    pub ultravisor: Uv,
    /// The AP bus as a whole.
    #[serde(default)]
    pub ap: Ap,
    /// How long things take.
    #[serde(default)]
    pub delays: Delays,
    /// What cannot be known without hardware.
    #[serde(default)]
    pub switches: Switches,
    /// Crypto cards by their two hex digits.
    #[serde(default)]
    pub cards: BTreeMap<String, Card>,
    /// Paths that do not exist, with everything below them.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Attributes that read as this text whatever the state is.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Log reads of attributes too.
    #[serde(default)]
    pub log_reads: bool,
}

impl Scenario {
    /// Reads a scenario.
    pub fn from_yaml(text: &str) -> Result<Self> {
        let scenario: Self = serde_yaml::from_str(text).context("not a scenario")?;
        scenario.check()?;
        Ok(scenario)
    }

    /// This scenario with a fragment of one laid over it: maps are merged, all else is replaced, but `faults` of the
    /// fragment are left to the caller. Gives the new scenario and those faults; `clear_faults: true` in the fragment
    /// empties the scenario's own.
    pub fn overlaid(&self, fragment: &str) -> Result<(Self, Vec<Fault>)> {
        let mut over: Value = serde_yaml::from_str(fragment).context("the fragment is not YAML")?;
        let mut base = serde_yaml::to_value(self).context("cannot write the scenario down")?;
        let mut faults: Vec<Fault> = Vec::new();
        if let Value::Mapping(map) = &mut over {
            if let Some(new) = map.remove("faults") {
                faults = serde_yaml::from_value(new).context("faults of the fragment")?;
            }
            if map.remove("clear_faults") == Some(Value::Bool(true)) {
                if let Value::Mapping(base) = &mut base {
                    base.remove("faults");
                }
            }
        }
        overlay(&mut base, over);
        let scenario: Self = serde_yaml::from_value(base).context("with the fragment it is no scenario any more")?;
        scenario.check()?;
        for fault in &faults {
            fault.check()?;
        }
        Ok((scenario, faults))
    }

    fn check(&self) -> Result<()> {
        for (card, spec) in &self.cards {
            let digits = card.len() == 2 && u8::from_str_radix(card, 16).is_ok();
            ensure!(digits, "card {card:?} is not two hex digits (quote them in YAML)");
            ensure!(
                spec.kind.starts_with("CEX") && spec.kind.ends_with(['A', 'C', 'P']),
                "card {card}: type {:?} is not CEX, a generation, and A, C or P",
                spec.kind
            );
            for (domain, queue) in &spec.queues {
                let digits = domain.len() == 4 && u8::from_str_radix(domain, 16).is_ok();
                ensure!(
                    digits,
                    "queue {domain:?} of card {card} is not four hex digits from 0000 to 00ff (quote them in YAML)"
                );
                if let Some(mkvp) = &queue.mkvp {
                    let hex = mkvp.strip_prefix("0x").unwrap_or(mkvp);
                    let good = matches!(hex.len(), 16 | 32 | 64) && hex.bytes().all(|b| b.is_ascii_hexdigit());
                    ensure!(good, "mkvp of queue {card}.{domain} is not 16, 32 or 64 hex digits (quote them in YAML)");
                }
            }
        }
        let uv = &self.ultravisor;
        let is_hash = |text: &String| crate::hex::decode::<32>(text).is_some();
        ensure!(uv.image_host_key_hash.as_ref().is_none_or(is_hash), "image_host_key_hash is not 64 hex digits");
        let is_state = |text: &String| crate::hex::decode::<320>(text).is_some();
        ensure!(uv.firmware_state.as_ref().is_none_or(is_state), "firmware_state is not 640 hex digits");
        ensure!(self.kernel.list_pages > 0, "kernel.list_pages must be at least 1");
        self.faults.iter().try_for_each(Fault::check)
    }
}

fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Mapping(base), Value::Mapping(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(old) => overlay(old, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "host_key: a.key\nimage: a.sim\ncards:\n  \"00\":\n    type: CEX8P\n    queues:\n      \"0005\": {mkvp: \"00112233445566778899aabbccddeeff\"}\n";

    #[test]
    fn a_few_lines_suffice_and_unknown_words_are_refused() {
        let scenario = Scenario::from_yaml(SMALL).unwrap();
        assert!(scenario.cards["00"].queues["0005"].online);
        for wrong in [
            "nonsense: 1\n",
            "delays: {bind: 3}\n",
            "cards: {\"0\": {type: CEX8P}}\n",
            "cards: {\"00\": {type: CEX8P, queues: {\"0100\": {}}}}\n",
            "faults: [{on: read}]\n",
            "ultravisor: {firmware_state: \"00\"}\n",
        ] {
            assert!(Scenario::from_yaml(&format!("host_key: a\nimage: b\n{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_example_of_the_readme_is_a_scenario() {
        let yaml = include_str!("../README.md").split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let mut scenario = Scenario::from_yaml(yaml).unwrap();
        let defaults = (Kernel::default(), Ap::default(), Delays::default(), Switches::default());
        scenario.ultravisor.secret_types = Uv::default().secret_types;
        assert_eq!((scenario.kernel, scenario.ap, scenario.delays, scenario.switches), defaults);
        assert_eq!(scenario.ultravisor, Uv::default());
        let queue = scenario.cards["00"].queues["0005"].clone();
        assert_eq!(Queue { mkvp: None, ..queue }, Queue::default());
    }

    #[test]
    fn a_fragment_changes_what_it_names_and_nothing_else() {
        let scenario = Scenario::from_yaml(SMALL).unwrap();
        let fragment = "delays: {bind_ms: 9}\ncards: {\"00\": {queues: {\"0005\": {online: false}}}}\n\
                        faults: [{on: bind, ap_rc: 0x33}]\n";
        let (new, faults) = scenario.overlaid(fragment).unwrap();
        assert_eq!((new.delays.bind_ms, new.delays.reset_ms), (9, 2));
        let queue = &new.cards["00"].queues["0005"];
        assert!(!queue.online && queue.mkvp.is_some());
        assert_eq!(faults.len(), 1);
        assert!(new.faults.is_empty());
        assert!(scenario.overlaid("delays: {bind: 9}").is_err());
        assert_eq!(scenario.overlaid("").unwrap().0, scenario);
    }
}
