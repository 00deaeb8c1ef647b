//! Which requests were handed to the ultravisor in this boot: intent before, outcome after.

use super::request::Loaded;
use pv_guest::uv::SecretList;
use pv_wire::attestation::layout::STORE_HASH_LEN;
use pv_wire::{SecretId, SecretType};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

/// Of more requests without an outcome than that it is not tried which of them were added: each doubles the work.
const MOST_UNSETTLED: usize = 10;

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
    /// The request's tag in hex; empty in records of earlier versions.
    #[serde(default)]
    tag: String,
    /// How many secrets were in the store when it was about to be handed over; not in records of earlier versions.
    #[serde(default)]
    total_before: Option<u16>,
    fate: Fate,
    /// Its fate was found out in this run.
    #[serde(skip)]
    found_out: bool,
}

impl Entry {
    fn is_of(&self, other: &Self) -> bool {
        self.id == other.id && self.secret_type == other.secret_type
    }
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

    /// Notes that a request is about to be handed over, to a store with so many secrets.
    pub fn intend(&mut self, request: &Loaded, total_before: u16) {
        self.0.retain(|entry| entry.sha256 != request.sha256 || entry.fate != Fate::Refused);
        self.0.push(Entry {
            sha256: request.sha256.clone(),
            id: request.id.map(|id| id.to_string()),
            secret_type: request.secret_type.0,
            tag: request.tag.clone(),
            total_before: Some(total_before),
            fate: Fate::Intended,
            found_out: false,
        });
    }

    /// Finds out from the store what became of requests without an outcome. No secret leaves it before the next boot: if as
    /// many are there as before the request, it was not taken; if there is one more, and that has the request's type and id,
    /// it was. Secrets that our own later requests brought are counted out. What else may be the case stays open.
    pub fn settle_by(&mut self, list: &SecretList) {
        for at in 0..self.0.len() {
            let fate = self.0.get(at).and_then(|entry| fate_in(entry, self.0.get(at + 1..)?, list));
            if let (Some(entry), Some(fate)) = (self.0.get_mut(at), fate) {
                (entry.fate, entry.found_out) = (fate, true);
            }
        }
    }

    /// Finds out from the ultravisor's hash of the store what became of requests without an outcome: SHA-512 over the tags of
    /// all requests that were added since boot, in their order, and one byte, 1 if the store is locked. If none of the
    /// possible cases has this hash, somebody else added requests too, and all stays open; so it does if cases have it in which
    /// different requests were added, for a tag can be forged.
    pub fn settle_by_hash(&mut self, hash: &[u8; STORE_HASH_LEN]) {
        let unsettled = self.unsettled();
        if unsettled == 0 || unsettled > MOST_UNSETTLED {
            return;
        }
        let cases = 0..1_u32 << unsettled;
        let mut fitting = cases.into_iter().filter(|added| self.has_hash(*added, hash));
        let Some(added) = fitting.next() else { return };
        let requests = |added| -> Vec<&str> { self.added_if(added).map(|entry| entry.sha256.as_str()).collect() };
        if fitting.any(|other| requests(other) != requests(added)) {
            return;
        }
        let open = self.0.iter_mut().filter(|entry| entry.fate == Fate::Intended);
        for (bit, entry) in open.enumerate() {
            entry.fate = if added >> bit & 1 == 1 { Fate::Added } else { Fate::Refused };
            entry.found_out = true;
        }
    }

    /// The requests that were added, in their order, if of those without an outcome those were whose bits are 1.
    fn added_if(&self, added: u32) -> impl Iterator<Item = &Entry> {
        let mut bit = 0;
        self.0.iter().filter(move |entry| match entry.fate {
            Fate::Added => true,
            Fate::Refused => false,
            Fate::Intended => {
                bit += 1;
                added >> (bit - 1) & 1 == 1
            }
        })
    }

    /// Whether the store has this hash in such a case.
    fn has_hash(&self, added: u32, hash: &[u8; STORE_HASH_LEN]) -> bool {
        let mut history = Sha512::new();
        for entry in self.added_if(added) {
            let Some(tag) = pv_wire::decode_hex(&entry.tag).filter(|tag| !tag.is_empty()) else { return false };
            history.update(tag);
        }
        [0_u8, 1].into_iter().any(|lock| history.clone().chain_update([lock]).finalize()[..] == hash[..])
    }

    /// Whether anything was found out that is not remembered yet.
    pub fn has_news(&self) -> bool {
        self.0.iter().any(|entry| entry.found_out)
    }

    /// What was found out in this run of this very request. Of one that was handed over twice it counts that it was added.
    pub fn news_of(&self, request: &Loaded) -> Option<Fate> {
        let found = |entry: &&Entry| entry.found_out && entry.sha256 == request.sha256;
        let fates = || self.0.iter().rev().filter(found).map(|entry| entry.fate);
        fates().find(|fate| *fate == Fate::Added).or_else(|| fates().next())
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
        self.intend(request, 0);
        if let Some(entry) = self.0.last_mut() {
            // As an earlier version noted it: nothing shows its outcome.
            (entry.fate, entry.total_before) = (fate, None);
        }
    }
}

/// What the store shows of a request without an outcome; `later` are those that were handed over after it.
fn fate_in(entry: &Entry, later: &[Entry], list: &SecretList) -> Option<Fate> {
    let (before, id): (u16, SecretId) = (entry.total_before?, entry.id.as_deref()?.parse().ok()?);
    let brings_one = |entry: &&Entry| entry.id.is_some();
    let open = |entry: &&Entry| entry.fate == Fate::Intended && entry.id.is_some();
    if entry.fate != Fate::Intended || later.iter().any(|entry| open(&entry)) {
        return None;
    }
    let since = later.iter().filter(brings_one).filter(|entry| entry.fate == Fate::Added).count();
    let more = usize::from(list.total).checked_sub(usize::from(before) + since)?;
    // Secrets are numbered in the order in which they are added.
    let is_it = |secret: &pv_guest::uv::Secret| {
        secret.index >= before && secret.id == id && secret.secret_type == SecretType(entry.secret_type)
    };
    let twin = later.iter().any(|other| other.is_of(entry));
    match more {
        0 => Some(Fate::Refused),
        1 if !twin && list.secrets.iter().any(is_it) => Some(Fate::Added),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::store;

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

    fn association(id: u8, sha256: &str) -> Loaded {
        Loaded { id: Some(SecretId([id; 32])), secret_type: SecretType::ASSOCIATION, ..request(sha256) }
    }

    /// What becomes of the request `a` for the secret 1, handed over when the store had `before` secrets, with `later`
    /// requests that were added since.
    fn found(before: u16, later: &[Loaded], list: &SecretList) -> Option<Fate> {
        let mut record = Record::default();
        record.intend(&association(1, "a"), before);
        for request in later {
            record.intend(request, before);
            record.settle(request, Fate::Added);
        }
        record.settle_by(list);
        record.news_of(&association(1, "a"))
    }

    #[test]
    fn the_store_tells_whether_a_request_without_an_outcome_was_added() {
        assert_eq!(found(1, &[], &store(&[2])), Some(Fate::Refused));
        assert_eq!(found(1, &[], &store(&[2, 1])), Some(Fate::Added));
        // Its id was there before: only one more of it counts.
        assert_eq!(found(1, &[], &store(&[1])), Some(Fate::Refused));
        assert_eq!(found(1, &[], &store(&[1, 1])), Some(Fate::Added));
        // As many as before need not be seen.
        let part = SecretList { total: 100, ..store(&[2]) };
        assert_eq!(found(100, &[], &part), Some(Fate::Refused));
        assert_eq!(found(99, &[], &part), None, "the one more is not shown");
        // What our own later requests brought is counted out.
        assert_eq!(found(1, &[association(3, "c"), request("m")], &store(&[2, 3])), Some(Fate::Refused));
        assert_eq!(found(1, &[association(3, "c")], &store(&[2, 1, 3])), Some(Fate::Added));
    }

    #[test]
    fn what_the_store_leaves_open_stays_open() {
        for (before, later, list) in [
            // Somebody else added one, or more.
            (1, vec![], store(&[2, 3])),
            (1, vec![], store(&[2, 1, 3])),
            // It is not clear which request brought the one more.
            (1, vec![association(1, "b")], store(&[2, 1, 1])),
            // Secrets cannot go: the record or the list is not of this store.
            (3, vec![], store(&[1])),
        ] {
            assert_eq!(found(before, &later, &list), None, "{before} {later:?} {list:?}");
        }
        let mut record = record(&[("m", Fate::Intended)]);
        record.intend(&request("n"), 0);
        record.settle_by(&store(&[]));
        assert_eq!((record.unsettled(), record.has_news()), (2, false), "meta requests are never listed");
    }

    fn tagged(tag: u8) -> Loaded {
        Loaded { tag: pv_wire::encode_hex(&[tag; 16]), ..request(&tag.to_string()) }
    }

    fn hash(tags: &[u8], lock: u8) -> [u8; 64] {
        let tags: Vec<u8> = tags.iter().flat_map(|tag| [*tag; 16]).chain([lock]).collect();
        Sha512::digest(tags).into()
    }

    #[test]
    fn the_ultravisors_hash_of_the_store_tells_which_requests_were_added() {
        use Fate::{Added, Intended, Refused};
        let found = |hash: [u8; 64]| {
            let mut record = Record::default();
            for (tag, fate) in [(1, Added), (2, Intended), (3, Refused), (4, Intended), (5, Added)] {
                record.intend(&tagged(tag), 0);
                record.settle(&tagged(tag), fate);
            }
            record.settle_by_hash(&hash);
            [2, 4].map(|tag| record.news_of(&tagged(tag)))
        };
        assert_eq!(found(hash(&[1, 2, 4, 5], 0)), [Some(Added), Some(Added)]);
        assert_eq!(found(hash(&[1, 4, 5], 1)), [Some(Refused), Some(Added)]);
        assert_eq!(found(hash(&[1, 5], 1)), [Some(Refused), Some(Refused)]);
        // Another order, another request, and what is refused show nothing.
        for tags in [[1, 4, 2, 5], [1, 2, 5, 9], [1, 2, 3, 5]] {
            assert_eq!(found(hash(&tags, 0)), [None, None], "{tags:?}");
        }
    }

    #[test]
    fn a_hash_that_fits_several_outcomes_settles_nothing() {
        // The tag of another request can be forged: the hash does not show which of the two was added.
        let twin = Loaded { sha256: "twin".into(), ..tagged(1) };
        let mut record = Record::default();
        [&tagged(1), &twin].iter().for_each(|request| record.intend(request, 0));
        record.settle_by_hash(&hash(&[1], 0));
        assert_eq!((record.unsettled(), record.has_news()), (2, false));
        record.settle_by_hash(&hash(&[1, 1], 0));
        assert_eq!(record.added().collect::<Vec<_>>(), ["1", "twin"]);
        // Which time of two it was that one request was taken makes no difference.
        let mut record = Record::default();
        (0..2).for_each(|_| record.intend(&tagged(1), 0));
        record.settle_by_hash(&hash(&[1], 0));
        assert_eq!((record.fate(&tagged(1)), record.news_of(&tagged(1))), (Some(Fate::Added), Some(Fate::Added)));
        assert_eq!((record.added().count(), record.unsettled()), (1, 0));
    }

    #[test]
    fn a_record_with_too_many_open_requests_or_without_their_tags_is_left_open() {
        let mut many = Record::default();
        (0..=MOST_UNSETTLED as u8).for_each(|tag| many.intend(&tagged(tag), 0));
        many.settle_by_hash(&hash(&[], 0));
        assert!(!many.has_news());
        let mut old = record(&[("a", Fate::Added), ("b", Fate::Intended)]);
        old.settle_by_hash(&hash(&[], 0));
        assert!(!old.has_news());
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let old = r#"[{"sha256": "a", "id": null, "secret_type": 1, "fate": "intended"}]"#;
        let mut record: Record = serde_json::from_str(old).unwrap();
        record.settle_by(&store(&[]));
        assert_eq!(record.fate(&request("a")), Some(Fate::Intended));
    }

    #[test]
    fn refusals_do_not_pile_up() {
        assert_eq!(record(&[("a", Fate::Refused); 9]).0.len(), 1);
    }
}
