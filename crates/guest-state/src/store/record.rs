//! Which requests were handed to the ultravisor in this boot: intent before, outcome after.

use super::request::Loaded;
use pv_wire::SecretId;
use serde::{Deserialize, Serialize};

/// What is known of a request that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// About to be handed over; whoever wrote this did not live to write the outcome.
    Intended,
    /// The ultravisor took it.
    Added,
    /// The ultravisor or the kernel refused it.
    Refused,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    sha256: String,
    id: Option<String>,
    secret_type: u16,
    fate: Fate,
}

/// All requests of this boot, the latest fate of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record(Vec<Entry>);

impl Record {
    /// What became of this very request.
    pub fn fate(&self, request: &Loaded) -> Option<Fate> {
        self.0.iter().find(|entry| entry.sha256 == request.sha256).map(|entry| entry.fate)
    }

    /// Whether another request of the same type and id was added.
    pub fn another_added(&self, request: &Loaded) -> bool {
        let id = request.id.map(|id| id.to_string());
        let same_name = |entry: &&Entry| entry.id == id && entry.secret_type == request.secret_type.0;
        self.0.iter().filter(same_name).any(|entry| entry.sha256 != request.sha256 && entry.fate == Fate::Added)
    }

    /// How many secrets of such an id were added by these requests.
    pub fn added_of(&self, is_meant: impl Fn(&SecretId) -> bool) -> usize {
        let id = |entry: &Entry| entry.id.as_deref().and_then(|text| text.parse().ok());
        let added = self.0.iter().filter(|entry| entry.fate == Fate::Added);
        added.filter(|entry| id(entry).is_some_and(|id| is_meant(&id))).count()
    }

    /// How many secrets of the store, of types that are listed, came from these requests. Until the next boot none of them
    /// can go.
    pub fn listed_secrets(&self) -> usize {
        self.0.iter().filter(|entry| entry.id.is_some() && entry.fate == Fate::Added).count()
    }

    /// Notes what is done with a request.
    pub fn note(&mut self, request: &Loaded, fate: Fate) {
        self.0.retain(|entry| entry.sha256 != request.sha256);
        let id = request.id.map(|id| id.to_string());
        self.0.push(Entry { sha256: request.sha256.clone(), id, secret_type: request.secret_type.0, fate });
    }
}
