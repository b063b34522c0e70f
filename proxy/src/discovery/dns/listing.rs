//! A shard's absence counts from the second answer in a row that lacks it.
//!
//! The registry holds a missing shard for its hold-down. That alone is not enough: a thin answer, then a DNS server that
//! answers nobody for a while, and the hold-down would run out on the word of that one answer; and with a refresh time
//! of the hold-down's length no second answer would be heard in time. So a first absence is only noted here, and the
//! shard stays in the list that goes to the registry.

use std::collections::BTreeMap;

use router_core::shard::{ShardName, ShardSpec};

/// What the last answers of one source listed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    shards: BTreeMap<ShardName, Entry>,
}

#[derive(Debug)]
struct Entry {
    spec: ShardSpec,
    /// The last answer lacked it, the one before did not.
    doubtful: bool,
}

/// The list to pass on after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The answer's shards, and those that only this answer lacks.
    pub(super) shards: Vec<ShardSpec>,
    /// Names that this answer lacks and the one before had.
    pub(super) doubtful: Vec<ShardName>,
    /// Names that are missing for the second time and are no longer in the list.
    pub(super) dropped: Vec<ShardName>,
}

impl Listing {
    /// Takes an answer in. With `at_once` an absence counts at once (a hold-down of zero asks for that).
    pub(super) fn settle(&mut self, answer: Vec<ShardSpec>, at_once: bool) -> Settled {
        let mut before = std::mem::take(&mut self.shards);
        let mut settled = Settled { shards: Vec::new(), doubtful: Vec::new(), dropped: Vec::new() };
        for spec in answer {
            before.remove(&spec.name);
            self.shards.insert(spec.name.clone(), Entry { spec, doubtful: false });
        }
        for (name, entry) in before {
            if entry.doubtful || at_once {
                settled.dropped.push(name);
            } else {
                settled.doubtful.push(name.clone());
                self.shards.insert(name, Entry { spec: entry.spec, doubtful: true });
            }
        }
        settled.shards = self.shards.values().map(|entry| entry.spec.clone()).collect();
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use router_core::shard::ShardState;

    fn spec(name: &str) -> ShardSpec {
        ShardSpec {
            name: ShardName::new(name).unwrap(),
            addresses: vec!["10.0.0.1:80".parse().unwrap()],
            weight: 100,
            state: ShardState::Ready,
            agent_port: None,
        }
    }

    fn names(shards: &[ShardSpec]) -> Vec<&str> {
        shards.iter().map(|shard| shard.name.as_str()).collect()
    }

    #[test]
    fn one_thin_answer_drops_nobody() {
        let mut listing = Listing::default();
        listing.settle(vec![spec("a"), spec("b")], false);
        let thin = listing.settle(vec![spec("a")], false);
        assert_eq!(names(&thin.shards), ["a", "b"]);
        assert_eq!(thin.doubtful, [ShardName::new("b").unwrap()]);
        let back = listing.settle(vec![spec("a"), spec("b")], false);
        assert_eq!((back.doubtful, back.dropped), (vec![], vec![]));
        assert_eq!(names(&listing.settle(vec![spec("b")], false).shards), ["a", "b"], "the count starts anew");
    }

    #[test]
    fn the_second_absence_in_a_row_counts() {
        let mut listing = Listing::default();
        listing.settle(vec![spec("a"), spec("b")], false);
        listing.settle(vec![], false);
        let second = listing.settle(vec![spec("b")], false);
        assert_eq!(names(&second.shards), ["b"]);
        assert_eq!(second.dropped, [ShardName::new("a").unwrap()]);
    }

    #[test]
    fn without_a_hold_down_an_absence_counts_at_once() {
        let mut listing = Listing::default();
        listing.settle(vec![spec("a")], true);
        assert_eq!(listing.settle(vec![], true).shards, []);
    }
}
