//! Shards as three sources see them — discovery, health, operators — and the strictest of what they say.
//!
//! A state machine: [`Registry::handle`] takes what one source says and returns what changed; [`Registry::view`] is
//! the picture to decide by. It reads no clock and opens no socket.

mod entry;
mod input;
mod names;
mod orders;
#[cfg(test)]
mod tests;
mod votes;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use self::{entry::Entry, names::Names, orders::Orders};
use crate::{
    cluster::{ReplicaId, message::Order},
    shard::{ShardId, ShardName, ShardSpec, ShardState},
    shard_set::ShardSet,
    time::Timestamp,
};

pub use self::{
    input::{ProbeKind, RegistrySettings, ShardEvent, ShardInput},
    names::MAX_SHARD_NAMES,
    votes::Votes,
};

/// All shards, and all that is known about them.
#[derive(Debug)]
pub struct Registry {
    settings: RegistrySettings,
    names: Names,
    entries: BTreeMap<ShardName, Entry>,
    /// Shards that were here and are not. Bounded as the names are.
    gone: BTreeSet<ShardName>,
    orders: Orders,
    /// By name, also for shards that are not here. Bounded as the names are.
    votes: BTreeMap<ShardName, Votes>,
    /// This replica, as its orders name it.
    replica: ReplicaId,
    /// By source, what its last list had refused.
    refused: BTreeMap<Arc<str>, BTreeSet<ShardName>>,
    view: Arc<ShardSet>,
}

impl Registry {
    /// Without any shards.
    #[must_use]
    pub fn new(settings: RegistrySettings) -> Self {
        Self {
            settings,
            names: Names::default(),
            entries: BTreeMap::new(),
            gone: BTreeSet::new(),
            orders: Orders::default(),
            votes: BTreeMap::new(),
            replica: ReplicaId(0),
            refused: BTreeMap::new(),
            view: Arc::default(),
        }
    }

    /// The registry of this replica.
    #[must_use]
    pub fn of(self, replica: ReplicaId) -> Self {
        Self { replica, ..self }
    }

    /// The picture after the last input.
    #[must_use]
    pub fn view(&self) -> Arc<ShardSet> {
        Arc::clone(&self.view)
    }

    /// Takes what one source says, and returns what it changed.
    pub fn handle(&mut self, input: ShardInput, now: Timestamp) -> Vec<ShardEvent> {
        let mut events = Vec::new();
        match input {
            ShardInput::Discovered { source, shards, hold_down } => {
                self.discovered(&source, shards, hold_down, now, &mut events);
            }
            ShardInput::Probed { shard, probe, result } => {
                if let Some(entry) = self.entries.get_mut(&shard) {
                    entry.probed(probe, result);
                }
            }
            ShardInput::Agent { shard, reply } => {
                if let Some(entry) = self.entries.get_mut(&shard) {
                    entry.agent_said(reply);
                }
            }
            ShardInput::Operator { shard, state } => self.ordered(shard, state, now, &mut events),
            ShardInput::Voted { votes } => self.voted(votes, now),
            ShardInput::Tick => {}
        }
        self.remove_outlived(now);
        self.publish(&mut events);
        events
    }

    /// Takes other counts, and returns what that changed. Verdicts so far stay, but for those of a kind of probe that
    /// is switched off, which end.
    pub fn set_settings(&mut self, settings: RegistrySettings) -> Vec<ShardEvent> {
        self.settings = settings;
        self.entries.values_mut().for_each(|entry| entry.set_settings(settings));
        let mut events = Vec::new();
        self.publish(&mut events);
        events
    }

    /// Keeps places for shards that restored pins name: until then their rooms wait for them. Adds the names' numbers to
    /// `ids`; `None` when there are too many names.
    pub(crate) fn keep_places<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a ShardName>,
        until: Timestamp,
        ids: &mut HashMap<ShardName, Option<ShardId>>,
    ) {
        for name in names {
            if !ids.contains_key(name) {
                ids.insert(name.clone(), self.reserve_place(name, until));
            }
        }
        // A place is no event: nobody can be sent there.
        self.publish(&mut Vec::new());
    }

    /// A place for a shard, unless it has one. To be published.
    fn reserve_place(&mut self, name: &ShardName, until: Timestamp) -> Option<ShardId> {
        let id = self.names.intern(name)?;
        if !self.entries.contains_key(name) {
            self.gone.remove(name);
            self.entries.insert(name.clone(), Entry::awaited(id, name.clone(), until, self.settings));
        }
        Some(id)
    }

    /// Keeps a place for one shard that a pin from another replica names; its number, unless there are too many names.
    pub(crate) fn keep_place(&mut self, name: &ShardName, until: Timestamp) -> Option<ShardId> {
        let id = self.reserve_place(name, until)?;
        self.publish(&mut Vec::new());
        Some(id)
    }

    /// The number of a name, without a place for its shard; `None` when there are too many.
    pub(crate) fn number(&mut self, name: &ShardName) -> Option<ShardId> {
        let id = self.names.intern(name)?;
        self.publish(&mut Vec::new());
        Some(id)
    }

    fn discovered(
        &mut self,
        source: &Arc<str>,
        shards: Vec<ShardSpec>,
        hold_down: Duration,
        now: Timestamp,
        events: &mut Vec<ShardEvent>,
    ) {
        let before = self.refused.remove(source).unwrap_or_default();
        let mut refused = BTreeSet::new();
        let mut listed = BTreeSet::new();
        for spec in shards {
            let name = spec.name.clone();
            if spec.addresses.is_empty() {
                continue;
            }
            let why = if listed.contains(&name) {
                format!("{source} lists it twice")
            } else {
                listed.insert(name.clone());
                match self.list(source, spec) {
                    Ok(()) => continue,
                    Err(why) => why,
                }
            };
            if !before.contains(&name) && !refused.contains(&name) {
                events.push(ShardEvent::Refused { shard: name.clone(), why });
            }
            refused.insert(name);
        }
        if !refused.is_empty() {
            self.refused.insert(Arc::clone(source), refused);
        }
        let missing = self.entries.values_mut();
        for entry in missing.filter(|e| e.is_of(source) && !listed.contains(e.name())) {
            entry.unlisted(now + hold_down);
        }
    }

    fn list(&mut self, source: &Arc<str>, spec: ShardSpec) -> Result<(), String> {
        if let Some(entry) = self.entries.get_mut(&spec.name) {
            return entry.listed(source, spec);
        }
        let id = self
            .names
            .intern(&spec.name)
            .ok_or_else(|| format!("there have been {MAX_SHARD_NAMES} shards with other names already"))?;
        let name = spec.name.clone();
        let mut entry = Entry::awaited(id, name.clone(), Timestamp(0), self.settings);
        entry.listed(source, spec)?;
        self.gone.remove(&name);
        self.entries.insert(name, entry);
        Ok(())
    }

    fn ordered(&mut self, shard: ShardName, state: Option<ShardState>, now: Timestamp, events: &mut Vec<ShardEvent>) {
        let known = self.names.knows(&shard) || self.orders.get(&shard).is_some();
        if known {
            self.orders.speak(shard, state, now, self.replica);
        } else if state.is_some() {
            let why = "nobody knows a shard of this name".into();
            events.push(ShardEvent::Refused { shard, why });
        }
    }

    /// Takes an operator's word from elsewhere, unless a later one is known. The shard may be unknown here as yet.
    pub fn order(&mut self, order: Order, now: Timestamp) -> Vec<ShardEvent> {
        let mut events = Vec::new();
        if let Err(shard) = self.orders.take(order) {
            let why = format!("there are orders for {MAX_SHARD_NAMES} other shards already");
            events.push(ShardEvent::Refused { shard, why });
        }
        self.remove_outlived(now);
        self.publish(&mut events);
        events
    }

    /// The last word on every shard that there is one on.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        self.orders.all()
    }

    fn remove_outlived(&mut self, now: Timestamp) {
        let votes = &self.votes;
        let outlived = self.entries.extract_if(.., |name, entry| entry.outlived(now, votes.get(name).copied()));
        self.gone.extend(outlived.map(|(name, _)| name));
    }

    /// Makes the new picture, if it is one, and tells what differs from the old one.
    fn publish(&mut self, events: &mut Vec<ShardEvent>) {
        let view = |(name, entry): (&ShardName, &Entry)| {
            entry.view(self.orders.get(name).and_then(|order| order.state), self.votes.get(name).copied())
        };
        let shards: Vec<_> = self.entries.iter().map(view).collect();
        let same_names = self.view.name_count() == self.names.all().len();
        if same_names && shards.iter().eq(self.view.iter()) {
            return;
        }
        let new = ShardSet::new(shards, self.names.all().to_vec());
        for old in self.view.iter().filter(|s| new.by_name(s.name.as_str()).is_none()) {
            events.push(ShardEvent::Gone(old.name.clone()));
        }
        for shard in &new {
            let old = self.view.by_name(shard.name.as_str());
            entry::differences(old, shard, events);
        }
        self.view = Arc::new(new);
    }
}
