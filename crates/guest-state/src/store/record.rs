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

/// All requests of this boot, in the order in which they were handed over: a request that was handed over twice is there
/// twice, for the ultravisor counts it twice. Of those that were refused only the latest is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record(Vec<Entry>);

impl Record {
    /// What became of this very request. One that was added once is there, whatever became of it when it was handed over
    /// again.
    pub fn fate(&self, request: &Loaded) -> Option<Fate> {
        let fates = || self.0.iter().rev().filter(|entry| entry.sha256 == request.sha256).map(|entry| entry.fate);
        fates().find(|fate| *fate == Fate::Added).or_else(|| fates().next())
    }

    /// SHA-256 in hex of each request that was added, in the order of adding.
    pub fn added(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|entry| entry.fate == Fate::Added).map(|entry| entry.sha256.as_str())
    }

    /// How many requests were handed over of which nobody knows whether they were added.
    pub fn unsettled(&self) -> usize {
        self.0.iter().filter(|entry| entry.fate == Fate::Intended).count()
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

    /// Notes that a request is about to be handed over.
    pub fn intend(&mut self, request: &Loaded) {
        self.0.retain(|entry| entry.sha256 != request.sha256 || entry.fate != Fate::Refused);
        let id = request.id.map(|id| id.to_string());
        let (sha256, secret_type) = (request.sha256.clone(), request.secret_type.0);
        self.0.push(Entry { sha256, id, secret_type, fate: Fate::Intended });
    }

    /// Notes what became of the request that was [intended](Self::intend) last.
    pub fn settle(&mut self, request: &Loaded, fate: Fate) {
        let of_it = |entry: &&mut Entry| entry.sha256 == request.sha256 && entry.fate == Fate::Intended;
        if let Some(entry) = self.0.iter_mut().rev().find(of_it) {
            entry.fate = fate;
        }
    }

    /// Notes a request with its fate.
    #[cfg(test)]
    pub fn note(&mut self, request: &Loaded, fate: Fate) {
        self.intend(request);
        self.settle(request, fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_wire::SecretType;

    fn request(sha256: &str) -> Loaded {
        let (bytes, tag) = (Vec::new(), String::new());
        Loaded { bytes, id: None, secret_type: SecretType::META, tag, sha256: sha256.into() }
    }

    fn record(fates: &[(&str, Fate)]) -> Record {
        let mut record = Record::default();
        fates.iter().for_each(|(sha256, fate)| record.note(&request(sha256), *fate));
        record
    }

    #[test]
    fn what_was_added_is_told_in_its_order_and_twice_if_it_was_added_twice() {
        use Fate::{Added, Intended, Refused};
        let record =
            record(&[("b", Refused), ("a", Added), ("b", Added), ("a", Intended), ("c", Refused), ("a", Added)]);
        assert_eq!(record.added().collect::<Vec<_>>(), ["a", "b", "a"]);
        assert_eq!(record.unsettled(), 1);
    }

    #[test]
    fn an_added_request_stays_added_whatever_becomes_of_it_later() {
        let fate = |fates: &[(&str, Fate)]| record(fates).fate(&request("a"));
        assert_eq!(fate(&[("a", Fate::Added), ("a", Fate::Refused)]), Some(Fate::Added));
        assert_eq!(fate(&[("a", Fate::Added), ("a", Fate::Intended)]), Some(Fate::Added));
        assert_eq!(fate(&[("a", Fate::Intended), ("a", Fate::Refused)]), Some(Fate::Refused));
        assert_eq!(fate(&[("b", Fate::Added)]), None);
    }

    #[test]
    fn refusals_do_not_pile_up() {
        assert_eq!(record(&[("a", Fate::Refused); 9]).0.len(), 1);
    }
}
