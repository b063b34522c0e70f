//! What the cluster's replicas find about a shard, counted.

use std::fmt;

use super::Registry;
use crate::{
    registry::MAX_SHARD_NAMES,
    shard::{ShardId, ShardName},
    time::Timestamp,
};

/// The findings of all replicas that have one on a shard, the one that counts included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Votes {
    /// Replicas that find it down or gone.
    pub down: u32,
    /// Replicas that find anything.
    pub voters: u32,
}

impl Votes {
    /// More than half of the voters find it down. One of two is not enough: who is right?
    #[must_use]
    pub fn say_down(self) -> bool {
        u64::from(self.down) * 2 > u64::from(self.voters)
    }

    /// Somebody finds it up.
    #[must_use]
    pub fn some_say_up(self) -> bool {
        self.down < self.voters
    }
}

impl fmt::Display for Votes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} replicas find it down", self.down, self.voters)
    }
}

impl Registry {
    /// Votes of nobody are no votes.
    pub(super) fn voted(&mut self, votes: Vec<(ShardName, Votes)>, now: Timestamp) {
        let counted = votes.into_iter().filter(|(_, votes)| votes.voters > 0);
        self.votes = counted.take(MAX_SHARD_NAMES).collect();
        // What was gone by a majority that is none any more is somewhere, if not here: its rooms wait.
        let votes = &self.votes;
        let back = self.gone.iter().filter(|name| votes.get(*name).is_some_and(|votes| !votes.say_down()));
        let back: Vec<_> = back.cloned().collect();
        for name in &back {
            self.reserve_place(name, now);
        }
    }

    /// This replica's own findings: down or gone, or not. A shard that is gone and has no entry any more counts as long
    /// as `matters` says so, or another replica finds it up.
    pub(crate) fn opinions(
        &self,
        now: Timestamp,
        matters: impl Fn(ShardId) -> bool,
    ) -> impl Iterator<Item = (ShardId, ShardName, bool)> {
        let here = self.entries.iter();
        let here = here.filter_map(move |(name, entry)| Some((entry.id(), name.clone(), entry.finding(now)?)));
        let gone = self.gone.iter().filter_map(move |name| {
            let id = self.names.id(name)?;
            let disputed = self.votes.get(name).is_some_and(|votes| votes.some_say_up());
            (disputed || matters(id)).then(|| (id, name.clone(), true))
        });
        here.chain(gone)
    }
}
