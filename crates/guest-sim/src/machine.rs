//! The machine of a scenario without a kernel: what `guest-sim machine` puts behind a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use se_machine::ap::{CardSpec, NewKey, QueueSpec, Specs, apqn};
use se_machine::fault::{self, Asked, CallTrouble, Trouble};
use se_machine::wire::{Machine, Parts, feature};
use serde_json::{Value, json};

use crate::crypto::HostKey;
use crate::fault::{Faults, On};
use crate::hex;
use crate::image::Image;
use crate::scenario::{Card, Delays, Queue, Scenario};

/// The machine that a scenario describes; what it says of the kernel is left out.
///
/// # Errors
/// If a key of the scenario or of the image cannot be read.
pub fn new(scenario: &Scenario, host: HostKey, image: Image) -> Result<Machine> {
    Machine::new(parts(scenario), host, image)
}

/// What such a machine is made of.
pub fn parts(scenario: &Scenario) -> Parts {
    Parts {
        uv: scenario.ultravisor.clone(),
        switches: scenario.switches.clone(),
        times: scenario.delays.times(),
        cards: specs(scenario),
        features: features(&scenario.ap.features),
    }
}

/// The cards of a scenario as the machine has them.
pub fn specs(scenario: &Scenario) -> Specs {
    let card = |(name, card): (&String, &Card)| {
        let number = u8::from_str_radix(name, 16).ok()?;
        let spec = CardSpec {
            kind: card.does(),
            hwtype: card.hwtype(),
            serialnr: card.serialnr.clone(),
            answers: card.answers,
            bind_limit: card.bind_limit,
        };
        let queue = |(name, queue): (&String, &Queue)| Some((u8::from_str_radix(name, 16).ok()?, of(card, queue)));
        Some((number, (spec, card.queues.iter().filter_map(queue).collect::<BTreeMap<_, _>>())))
    };
    scenario.cards.iter().filter_map(card).collect()
}

fn of(card: &Card, queue: &Queue) -> QueueSpec {
    let new_key = match queue.new_key.split_once(' ') {
        Some(("uncommitted", digits)) => pattern(digits).map(NewKey::Uncommitted),
        Some(("committed", digits)) => pattern(digits).map(NewKey::Committed),
        _ => None,
    };
    QueueSpec {
        current: queue.mkvp.as_deref().and_then(pattern),
        new_key: new_key.unwrap_or_default(),
        present: queue.present,
        configured: card.config && queue.config,
        checkstopped: card.chkstop || queue.chkstop,
        unusable: queue.unusable,
    }
}

/// A verification pattern, filled up with zeros.
fn pattern(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    hex::decode(&format!("{digits:0<64}"))
}

/// The words of `/sys/bus/ap/features`.
fn features(text: &str) -> u32 {
    let words = [("APXA", feature::APXA), ("QACT", feature::QACT), ("RC8A", feature::RC8A), ("APSB", feature::APSB)];
    let named = words.into_iter().filter(|(word, _)| text.split(' ').any(|found| found == *word));
    named.fold(0, |all, (_, bit)| all | bit)
}

/// What a test may want to know, in the form of a simulated guest's state. No secret is in it.
pub fn state(machine: &mut Machine, scenario: &Scenario, now: Duration) -> Value {
    let (cards, rules) = machine.cards(now);
    let found: Vec<_> = cards
        .queues(rules)
        .into_iter()
        .map(|(card, domain, firmware)| (card, domain, firmware.state(rules.switches), firmware.associated()))
        .collect();
    let uv = machine.uv();
    let queue = |(number, domain, state, index): (u8, u8, &str, Option<u16>)| {
        let card = scenario.cards.get(&format!("{number:02x}"))?;
        let secret = index.and_then(|index| uv.secrets().get(usize::from(index)));
        Some(json!({
            "apqn": apqn(number, domain),
            "type": card.kind,
            "serialnr": card.serialnr,
            "mkvp": card.queues.get(&format!("{domain:04x}"))?.mkvp,
            "state": state,
            "index": index,
            "secret_id": secret.map(|secret| hex::encode(&secret.id)),
        }))
    };
    let secret = |(index, secret): (usize, &se_machine::uv::Secret)| json!({"index": index, "type": secret.secret_type, "id": hex::encode(&secret.id)});
    json!({
        "cuid": hex::encode(&uv.cuid()),
        "locked": uv.locked(),
        "dump_disabled": uv.dump_disabled(),
        "secrets": uv.secrets().iter().enumerate().map(secret).collect::<Vec<_>>(),
        "accepted": uv.accepted_tags().iter().map(|tag| hex::encode(tag)).collect::<Vec<_>>(),
        "queues": found.into_iter().filter_map(queue).collect::<Vec<_>>(),
    })
}

impl fault::Faults for Faults {
    fn of_call(&mut self, asked: Asked) -> Option<CallTrouble> {
        let fault = self.hit(on(asked), "")?;
        Some(CallTrouble { rc: fault.uv_rc, done: fault.done, spoil: fault.spoil, takes: Delays::of(fault.delay_ms) })
    }

    fn of_queue(&mut self, asked: Asked, apqn: &str) -> Option<Trouble> {
        self.hit(on(asked), apqn).map(|fault| fault.trouble())
    }
}

fn on(asked: Asked) -> On {
    match asked {
        Asked::Attest => On::Attest,
        Asked::Add => On::AddSecret,
        Asked::List => On::ListSecrets,
        Asked::Lock => On::LockSecrets,
        Asked::Retrieve => On::RetrieveSecret,
        Asked::Bind => On::Bind,
        Asked::Associate => On::Associate,
        Asked::Reset => On::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, reference_image};

    #[test]
    fn a_scenario_describes_the_same_machine_to_a_real_kernel() {
        let scenario = Scenario::from_yaml(
            "host_key: a\nimage: b\ncards: {\"0a\": {type: CEX8P, queues: {\"0005\": \
             {mkvp: \"00112233445566778899aabbccddeeff\", new_key: \"committed 0x22\"}}}}\n",
        )
        .unwrap();
        let (spec, queues) = &specs(&scenario)[&10];
        assert_eq!((spec.hwtype, queues.len()), (14, 1));
        let current = queues[&5].current.unwrap();
        assert_eq!((current[15], current[16]), (0xff, 0));
        assert!(matches!(queues[&5].new_key, NewKey::Committed(pattern) if pattern[..2] == [0x22, 0]));
        assert_eq!(features(&scenario.ap.features), feature::APXA | feature::RC8A | feature::APSB);
        let mut machine = new(&scenario, Host::new().key(), reference_image("")).unwrap();
        let state = state(&mut machine, &scenario, Duration::ZERO);
        assert_eq!((&state["locked"], &state["queues"][0]["state"]), (&json!(false), &json!("unbound")));
        assert_eq!(state["queues"][0]["apqn"], "0a.0005");
    }
}
