//! What is known of one room.

use std::collections::BTreeMap;

/// A participant counts as being somewhere for this long after its session's last sign of life.
const FRESH_MS: u64 = 3_000;

#[derive(Debug, Default)]
pub(super) struct Room {
    /// Where it belongs, since it was first seen.
    pub(super) home: Option<String>,
    /// Since when it belongs there.
    pub(super) home_since: u64,
    /// Last answer from there.
    pub(super) home_seen: u64,
    /// Last answer from anywhere.
    pub(super) last_seen: u64,
    /// A partition may have given it two homes; the first request after it settles that.
    pub(super) disputed: bool,
    /// End of the partition after which it was settled last.
    pub(super) settled: Option<u64>,
    /// Other shards whose answers are no news, and until when.
    pub(super) tolerated: BTreeMap<String, u64>,
    /// Last answer of each shard lately.
    pub(super) seen: BTreeMap<String, u64>,
    /// Open sessions: shard, last sign of life.
    pub(super) sessions: BTreeMap<u64, (String, u64)>,
    /// Whether it was split when last looked at.
    pub(super) split: bool,
}

impl Room {
    /// Notes an answer.
    pub(super) fn saw(&mut self, shard: &str, now: u64) {
        self.last_seen = self.last_seen.max(now);
        if self.home.as_deref() == Some(shard) {
            self.home_seen = self.home_seen.max(now);
        }
        self.seen.insert(shard.to_owned(), now);
    }

    /// Gives it a home.
    pub(super) fn settle(&mut self, shard: &str, now: u64) {
        self.home = Some(shard.to_owned());
        self.home_since = now;
        self.home_seen = now;
        self.tolerated.remove(shard);
    }

    /// Whether nobody sits in it and its last answer is older than a pin's life.
    pub(super) fn is_over(&self, now: u64, ttl: u64) -> bool {
        self.sessions.is_empty() && now.saturating_sub(self.last_seen) > ttl
    }

    /// Whether somebody is known to sit on `shard`.
    pub(super) fn sits_on(&self, shard: &str, now: u64) -> bool {
        self.sessions.values().any(|(at, seen)| at == shard && now.saturating_sub(*seen) <= FRESH_MS)
    }

    /// Whether people sit on different shards.
    pub(super) fn is_split(&self, now: u64) -> bool {
        let mut shards = self.sessions.values().filter(|(_, seen)| now.saturating_sub(*seen) <= FRESH_MS);
        let Some((first, _)) = shards.next() else { return false };
        shards.any(|(at, _)| at != first)
    }

    /// After a violation: when only one shard has answered for a while, that one is home and the matter is over.
    pub(super) fn collapse(&mut self, now: u64) {
        self.tolerated.retain(|_, until| *until > now);
        if !self.tolerated.values().any(|until| *until == u64::MAX) {
            return;
        }
        let mut lately = self.seen.iter().filter(|(_, seen)| now.saturating_sub(**seen) <= FRESH_MS);
        if let (Some((shard, _)), None) = (lately.next(), lately.next()) {
            let shard = shard.clone();
            self.tolerated.clear();
            self.settle(&shard, now);
            self.seen.retain(|seen, _| *seen == shard);
        }
    }
}
