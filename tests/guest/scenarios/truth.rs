//! What the simulated hardware is really in, and whether a result says nothing else.

use anyhow::{Context, Result, ensure};
use e2e::Guest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The store and the queues.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    boot_id: Value,
    pub locked: bool,
    pub secrets: Vec<Value>,
    accepted: Vec<Value>,
    /// By APQN: what the simulator says of each queue.
    pub queues: BTreeMap<String, Value>,
}

impl Truth {
    /// The truth as soon as nothing is under way any more that ends by itself within the tests' delays.
    pub fn of(guest: &Guest) -> Result<Self> {
        let mut truth = Self::now(guest)?;
        let under_way = |truth: &Self| {
            let moving = |queue: &Value| ["resetting", "binding", "associating"].contains(&text(&queue["state"]));
            truth.queues.values().any(moving)
        };
        // What a fault has made stuck stays as it is.
        for _ in 0..150 {
            if !under_way(&truth) {
                break;
            }
            std::thread::sleep(Duration::from_millis(4));
            truth = Self::now(guest)?;
        }
        Ok(truth)
    }

    fn now(guest: &Guest) -> Result<Self> {
        let state = guest.state()?;
        let list = |name: &str| state[name].as_array().cloned().with_context(|| format!("no {name}"));
        let queues = list("queues")?.into_iter().map(|queue| (text(&queue["apqn"]).to_owned(), queue)).collect();
        Ok(Self {
            boot_id: state["boot_id"].clone(),
            locked: state["locked"] == true,
            secrets: list("secrets")?,
            accepted: list("accepted")?,
            queues,
        })
    }

    /// The ids of the secrets in the store, with their prefix.
    pub fn ids(&self) -> Vec<String> {
        self.secrets.iter().map(|secret| format!("0x{}", text(&secret["id"]))).collect()
    }

    /// What a queue is in, with the id of the secret that it is associated with.
    pub fn queue(&self, apqn: &str) -> (&str, Option<String>) {
        let queue = self.queues.get(apqn).unwrap_or(&Value::Null);
        (text(&queue["state"]), queue["secret_id"].as_str().map(|id| format!("0x{id}")))
    }

    /// Queues that are not free.
    pub fn held(&self) -> Vec<&str> {
        let held = |state: &str| ["bound", "associated", "associating", "failed"].contains(&state);
        self.queues.iter().filter(|(_, queue)| held(text(&queue["state"]))).map(|(apqn, _)| apqn.as_str()).collect()
    }

    /// Nothing that the result claims is otherwise: no false `locked`, no false `served`, no false index, no queue
    /// that is said to be free and is not. What check mode says of queues is a prediction.
    pub fn bears_out(&self, result: &Value, predicted: bool) -> Result<()> {
        let facts = &result["ansible_facts"]["ansible_secure_execution"];
        for locked in [&result["locked"], &facts["secrets"]["locked"]] {
            ensure!(locked.as_bool().is_none_or(|claim| claim == self.locked), "locked is {locked}: {result}");
        }
        for total in [&result["total"], &facts["secrets"]["total"]] {
            ensure!(total.is_null() || *total == json!(self.secrets.len()), "total is {total}: {result}");
        }
        for entry in list(&result["entries"]).filter(|entry| entry["status"] == "served") {
            self.serves(entry).with_context(|| format!("{entry} in {result}"))?;
        }
        for queue in list(&result["queues"]).filter(|_| !predicted) {
            self.is_as_told(text(&queue["apqn"]), &queue["after"]).with_context(|| format!("{queue} in {result}"))?;
        }
        for queue in list(&facts["ap"]["queues"]) {
            self.is_as_told(text(&queue["apqn"]), queue).with_context(|| format!("{queue} in {result}"))?;
        }
        Ok(())
    }

    fn serves(&self, entry: &Value) -> Result<()> {
        let queue = self.queues.get(text(&entry["apqn"])).context("there is no such queue")?;
        ensure!(queue["online"] == true, "the queue is offline");
        let (state, id) = self.queue(text(&entry["apqn"]));
        let wanted = entry["secretid"].as_str().map(str::to_owned);
        ensure!(state == if wanted.is_some() { "associated" } else { "bound" }, "the queue is {state}");
        ensure!(id == wanted, "the queue is associated with {id:?}");
        Ok(())
    }

    fn is_as_told(&self, apqn: &str, told: &Value) -> Result<()> {
        let (state, _) = self.queue(apqn);
        let index = text(&told["associate"]).strip_prefix("associated ");
        let found = self.queues.get(apqn).map(|queue| queue["index"].to_string());
        ensure!(index.is_none() || index == found.as_deref(), "it is {state} with the index {found:?}");
        let free = !["bound", "associated", "associating"].contains(&state);
        ensure!(told["bind"] != "unbound" || free, "it is {state}");
        Ok(())
    }

    /// What was accepted is what the result says was added, unless the answer never reached the task.
    pub fn accounts_for(&self, before: &Self, result: &Value, unheard: bool) -> Result<()> {
        let (requests, tags) = (&result["requests"], |entry: &Value| entry["tag"].clone());
        let added: Vec<_> = list(requests).filter(|entry| entry["changed"] == true).map(tags).collect();
        let new = self.accepted.get(before.accepted.len()..).unwrap_or_default();
        ensure!(unheard || new == added, "accepted {new:?}: {result}");
        for entry in list(requests).filter(|entry| ["added_now", "added_this_boot"].contains(&text(&entry["evidence"])))
        {
            ensure!(self.accepted.contains(&entry["tag"]), "not accepted: {entry} in {result}");
        }
        let changed = new != [Value::Null; 0] || self.locked != before.locked;
        ensure!(unheard || result["changed"] == true || !changed, "it changed the store: {result}");
        Ok(())
    }

    /// Within a boot no secret goes, none changes its index, no lock opens; and what others hold they keep.
    pub fn has_lost_nothing_since(&self, before: &Self) -> Result<()> {
        ensure!(self.boot_id == before.boot_id, "it was booted");
        ensure!(
            self.secrets.starts_with(&before.secrets),
            "secrets were {:?} and are {:?}",
            before.secrets,
            self.secrets
        );
        ensure!(self.locked || !before.locked, "the lock is open");
        for apqn in super::tasks::OTHERS {
            let (was, is) = (before.queue(apqn), self.queue(apqn));
            ensure!(was == is, "the queue {apqn}, which others use, was {was:?} and is {is:?}");
        }
        Ok(())
    }
}

/// How often something was written, locked or added. The probe of the lock is an add that is never accepted, so what
/// counts of adds is what was accepted: that is in [`Truth`].
pub fn effects(guest: &Guest) -> Result<usize> {
    let counts = |event: &&Value| event["what"] == "write" || event["name"] == "lock_secrets";
    Ok(guest.log()?.iter().filter(counts).count())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
