//! Why a secret store's hash is another than expected. By itself a hash says nothing; who knows the tags that it should be
//! made of can try what may have happened instead.

use super::store::History;
use pv_wire::{attestation::layout::STORE_HASH_LEN, layout::TAG_LEN};

/// How many expected requests may be, for each thing that is tried: what a try costs grows with their number, by its square
/// or faster. So no explanation takes much more than a tenth of a second.
const ALL_ORDERS: usize = 8;
const ANY_MISSING: usize = 12;
const ONE_TWICE: usize = 128;
const ONE_MISSING: usize = 1024;

type Tag = [u8; TAG_LEN];

/// How a store's history differs from the expected one. Numbers are places among the expected requests, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only in whether it is locked.
    Lock,
    /// Nothing was added since boot: the guest was rebooted, or never got anything.
    Empty,
    /// These were not added, all others in their order.
    Missing(Vec<usize>),
    /// All were added, in this order.
    Order(Vec<usize>),
    /// This one was added twice.
    Twice(usize),
}

/// What fits the hash that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// How the history differs.
    pub difference: Difference,
    /// Whether the store is locked.
    pub locked: bool,
}

impl Explanation {
    /// A sentence or two. `labels` are what the expected requests are called, in their order.
    pub fn sentence(&self, labels: &[String]) -> String {
        let called = |places: &[usize]| {
            let names: Vec<_> = places.iter().filter_map(|place| labels.get(*place)).map(String::as_str).collect();
            match names.get(..SHOWN) {
                Some(first) if names.len() > SHOWN => format!("{} and {} more", first.join(", "), names.len() - SHOWN),
                _ => names.join(", "),
            }
        };
        let what = match &self.difference {
            Difference::Lock => "The secret store took exactly the expected requests".into(),
            Difference::Empty => {
                "The secret store took no request since boot: the guest was rebooted, or nothing was added yet".into()
            }
            Difference::Missing(places) => format!(
                "{} of {} expected requests are missing in the secret store ({}); the others are there in their order",
                places.len(),
                labels.len(),
                called(places)
            ),
            Difference::Order(places) => {
                format!("The secret store took all expected requests, but in another order: {}", called(places))
            }
            Difference::Twice(place) => format!("The secret store took one request twice: {}", called(&[*place])),
        };
        format!("{what}. It is {}.", if self.locked { "locked" } else { "not locked" })
    }
}

/// How many requests a sentence names.
const SHOWN: usize = 8;

/// Finds what may have happened instead of `tags` being added in their order and the store being `locked` or not.
/// `None` where nothing that is tried fits: then there is a request that was not expected, or several things happened.
pub fn explain(found: &[u8; STORE_HASH_LEN], tags: &[Tag], locked: bool) -> Option<Explanation> {
    let search = Search { found, tags };
    let mut all = History::default();
    tags.iter().for_each(|tag| all.add(tag));
    if all.hash(!locked) == *found {
        return Some(Explanation { difference: Difference::Lock, locked: !locked });
    }
    search.shorter().or_else(|| search.missing()).or_else(|| search.twice()).or_else(|| search.order())
}

struct Search<'a> {
    found: &'a [u8; STORE_HASH_LEN],
    tags: &'a [Tag],
}

impl Search<'_> {
    /// Whether a history fits, and with which lock.
    fn fits(&self, history: &History, difference: impl FnOnce() -> Difference) -> Option<Explanation> {
        let locked = [true, false].into_iter().find(|locked| history.hash(*locked) == *self.found)?;
        Some(Explanation { difference: difference(), locked })
    }

    /// Nothing, or only the first ones.
    fn shorter(&self) -> Option<Explanation> {
        let mut history = History::default();
        self.tags.iter().enumerate().find_map(|(count, tag)| {
            let missing = || match count {
                0 => Difference::Empty,
                _ => Difference::Missing((count..self.tags.len()).collect()),
            };
            let fits = self.fits(&history, missing);
            history.add(tag);
            fits
        })
    }

    /// Any that are missing, the fewest first; of many requests only one.
    fn missing(&self) -> Option<Explanation> {
        let count = self.tags.len();
        if count > ANY_MISSING {
            return if count > ONE_MISSING { None } else { self.one_missing() };
        }
        let mut sets: Vec<u32> = (1..1_u32 << count).collect();
        sets.sort_by_key(|set| set.count_ones());
        sets.into_iter().find_map(|set| {
            let is_missing = |place: usize| set & (1 << place) != 0;
            let mut history = History::default();
            self.tags.iter().enumerate().filter(|(place, _)| !is_missing(*place)).for_each(|(_, tag)| history.add(tag));
            self.fits(&history, || Difference::Missing((0..count).filter(|place| is_missing(*place)).collect()))
        })
    }

    fn one_missing(&self) -> Option<Explanation> {
        let mut before = History::default();
        self.tags.iter().enumerate().find_map(|(place, tag)| {
            let mut history = before.clone();
            self.tags.iter().skip(place + 1).for_each(|later| history.add(later));
            before.add(tag);
            self.fits(&history, || Difference::Missing(vec![place]))
        })
    }

    /// One that was added again, at once or later.
    fn twice(&self) -> Option<Explanation> {
        if self.tags.len() > ONE_TWICE {
            return None;
        }
        let mut before = History::default();
        self.tags.iter().enumerate().find_map(|(end, tag)| {
            before.add(tag);
            let (added, later) = self.tags.split_at_checked(end + 1)?;
            added.iter().enumerate().find_map(|(place, again)| {
                let mut history = before.clone();
                history.add(again);
                later.iter().for_each(|tag| history.add(tag));
                self.fits(&history, || Difference::Twice(place))
            })
        })
    }

    fn order(&self) -> Option<Explanation> {
        if self.tags.len() > ALL_ORDERS {
            return None;
        }
        self.orders(&History::default(), &mut Vec::with_capacity(self.tags.len()))
    }

    /// All orders that begin with `begin`, of which `history` is made.
    fn orders(&self, history: &History, begin: &mut Vec<usize>) -> Option<Explanation> {
        if begin.len() == self.tags.len() {
            return self.fits(history, || Difference::Order(begin.clone()));
        }
        self.tags.iter().enumerate().find_map(|(place, tag)| {
            if begin.contains(&place) {
                return None;
            }
            let mut longer = history.clone();
            longer.add(tag);
            begin.push(place);
            let found = self.orders(&longer, begin);
            begin.pop();
            found
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::store_hash;
    use Difference::{Empty, Lock, Missing, Order, Twice};

    fn tags(count: usize) -> Vec<Tag> {
        (0..count).map(|n| u128::try_from(n + 1).unwrap().to_be_bytes()).collect()
    }

    /// What is said of a store that took `places` of `count` requests that it should have taken in order and locked.
    fn said(count: usize, places: &[usize], locked: bool) -> Option<Explanation> {
        let tags = tags(count);
        let taken: Vec<_> = places.iter().map(|place| tags[*place]).collect();
        explain(&store_hash(&taken, locked), &tags, true)
    }

    #[test]
    fn what_happened_instead_is_found_with_either_lock() {
        for locked in [true, false] {
            for (places, difference) in [
                (&[][..], Empty),
                (&[0], Missing(vec![1, 2, 3])),
                (&[0, 1, 2], Missing(vec![3])),
                (&[1, 2, 3], Missing(vec![0])),
                (&[0, 2], Missing(vec![1, 3])),
                (&[1, 0, 2, 3], Order(vec![1, 0, 2, 3])),
                (&[3, 2, 1, 0], Order(vec![3, 2, 1, 0])),
                (&[0, 0, 1, 2, 3], Twice(0)),
                (&[0, 1, 2, 3, 1], Twice(1)),
            ] {
                assert_eq!(said(4, places, locked), Some(Explanation { difference, locked }), "{places:?}");
            }
        }
        assert_eq!(said(4, &[0, 1, 2, 3], false), Some(Explanation { difference: Lock, locked: false }));
    }

    #[test]
    fn of_an_empty_expectation_only_the_lock_can_differ() {
        assert_eq!(said(0, &[], false), Some(Explanation { difference: Lock, locked: false }));
        assert_eq!(explain(&store_hash(&tags(1), true), &[], true), None);
    }

    #[test]
    fn foreign_requests_and_several_differences_at_once_are_not_explained() {
        let foreign = [tags(3), vec![[9; 16]]].concat();
        assert_eq!(explain(&store_hash(&foreign, true), &tags(3), true), None);
        assert_eq!(said(4, &[2, 1], true), None);
    }

    #[test]
    fn of_many_requests_less_is_tried_and_never_for_long() {
        let but = |count: usize, left_out: usize| (0..count).filter(|n| *n != left_out).collect::<Vec<_>>();
        assert_eq!(said(12, &[0, 11], true).unwrap().difference, Missing((1..11).collect()));
        assert_eq!(said(13, &[0, 12], true), None);
        assert_eq!(said(1024, &but(1024, 500), true).unwrap().difference, Missing(vec![500]));
        assert_eq!(said(4096, &but(4096, 500), true), None);
        assert_eq!(said(4096, &but(4096, 4095), true).unwrap().difference, Missing(vec![4095]));
        let twice = |count: usize| (0..count).chain([0]).collect::<Vec<_>>();
        assert_eq!(said(128, &twice(128), true).unwrap().difference, Twice(0));
        assert_eq!(said(129, &twice(129), true), None);
        assert_eq!(said(9, &[1, 0, 2, 3, 4, 5, 6, 7, 8], true), None);
        assert_eq!(said(8, &[7, 6, 5, 4, 3, 2, 1, 0], false).unwrap().difference, Order((0..8).rev().collect()));
    }

    #[test]
    fn sentences_name_requests_by_their_labels_and_not_too_many() {
        let labels: Vec<_> = (0..20).map(|n| format!("r{n}")).collect();
        let sentence = |difference, labels: &[String]| Explanation { difference, locked: false }.sentence(labels);
        assert_eq!(
            sentence(Missing(vec![1]), &labels[..3]),
            "1 of 3 expected requests are missing in the secret store (r1); the others are there in their order. It is not locked."
        );
        assert!(sentence(Missing((0..20).collect()), &labels).contains("(r0, r1, r2, r3, r4, r5, r6, r7 and 12 more)"));
        assert!(sentence(Missing((0..8).collect()), &labels).contains("(r0, r1, r2, r3, r4, r5, r6, r7)"));
        assert!(sentence(Missing((0..9).collect()), &labels).contains("r6, r7 and 1 more)"));
        assert!(sentence(Empty, &labels).contains("rebooted"));
        assert!(sentence(Order(vec![1, 0]), &labels).contains("another order: r1, r0."));
    }
}
