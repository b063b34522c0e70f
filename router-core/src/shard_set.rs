//! The immutable picture of all shards that every reader shares.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    agent_check::{AgentAdmin, AgentWeight},
    registry::Votes,
    shard::{ShardId, ShardName, ShardState},
    time::Timestamp,
};

/// What a shard's agent has said so far, its later words in place of its earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSays {
    /// Its share of new rooms, if it ever stated one.
    pub weight: Option<AgentWeight>,
    /// What the administrator at the shard wants, if it ever said.
    pub admin: Option<AgentAdmin>,
    /// Why it is down, in words, if it says that it is.
    pub down: Option<String>,
}

/// One shard as all sources together have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number in this process.
    pub id: ShardId,
    /// Its stable name.
    pub name: ShardName,
    /// Where its web server listens. Empty only while pins await it.
    pub addresses: Arc<[SocketAddr]>,
    /// Effective weight in hundredths: 100% of weight `w` is `w * 100`, so at most 25600.
    pub weight: u32,
    /// The strictest of the states below.
    pub state: ShardState,
    /// What discovery asks for.
    pub discovery: ShardState,
    /// What an operator ordered, if one did.
    pub operator: Option<ShardState>,
    /// What the TCP and HTTP probes of this replica found: ready or down.
    pub health: ShardState,
    /// How the replicas of the cluster vote on it, which then counts in place of this one's finding.
    pub votes: Option<Votes>,
    /// What its agent said, if it ever spoke.
    pub agent: Option<AgentSays>,
    /// Why it is in its state, in words for a human.
    pub why: String,
    /// Port of its agent check, if it has one.
    pub agent_port: Option<u16>,
    /// Whether its source lists it now: false while only the hold-down, a pin or the votes of others keep it.
    pub present: bool,
    /// Which discovery source it came from; empty for a shard that only pins name.
    pub source: Arc<str>,
    /// Until when a shard without addresses is waited for.
    pub(crate) awaited_until: Timestamp,
    /// Hash of the name, the shard's share in every rendezvous.
    pub(crate) seed: u64,
}

impl Shard {
    /// Whether a new room may go here.
    #[must_use]
    pub fn takes_rooms(&self) -> bool {
        self.state == ShardState::Ready && self.weight > 0 && !self.addresses.is_empty()
    }
}

/// All shards at one moment. Cheap to share, never changed.
#[derive(Clone, Debug, Default)]
pub struct ShardSet {
    /// In the order of their names, which is the same in every process.
    shards: Vec<Shard>,
    /// By id: the position in `shards`.
    positions: Vec<Option<u16>>,
    /// By id: the name of every shard there ever was in this process.
    names: Vec<ShardName>,
}

impl ShardSet {
    /// `shards` in any order; `names` of all ids given out so far, in the order of their ids.
    pub(crate) fn new(mut shards: Vec<Shard>, names: Vec<ShardName>) -> Self {
        shards.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut positions = vec![None; names.len()];
        for (position, shard) in (0u16..).zip(&shards) {
            positions[usize::from(shard.id.0)] = Some(position);
        }
        Self { shards, positions, names }
    }

    /// All shards, in the order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, Shard> {
        self.shards.iter()
    }

    /// The shard with this number, unless it is gone.
    #[must_use]
    pub fn get(&self, id: ShardId) -> Option<&Shard> {
        let position = *self.positions.get(usize::from(id.0))?;
        self.shards.get(usize::from(position?))
    }

    /// The shard of this name, unless it is gone or unknown.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Shard> {
        let found = self.shards.binary_search_by(|s| s.name.as_str().cmp(name));
        found.ok().and_then(|position| self.shards.get(position))
    }

    /// The name behind a number, also of a shard that is gone.
    #[must_use]
    pub fn name(&self, id: ShardId) -> Option<&ShardName> {
        self.names.get(usize::from(id.0))
    }

    /// How many names ever got a number.
    pub(crate) fn name_count(&self) -> usize {
        self.names.len()
    }

    /// The names that got a number after the first `known` ones.
    pub(crate) fn names_from(&self, known: usize) -> impl Iterator<Item = (ShardId, &ShardName)> {
        // There are at most 4096.
        (0u16..).map(ShardId).zip(&self.names).skip(known)
    }

    /// How many shards there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }
}

impl<'a> IntoIterator for &'a ShardSet {
    type Item = &'a Shard;
    type IntoIter = std::slice::Iter<'a, Shard>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
