//! What was done to replicas, shards and the network, as spans of time.

use std::collections::BTreeMap;

/// Spans of time in milliseconds, in order of their beginnings; at most the last may be open.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Vec<(u64, Option<u64>)>);

impl Spans {
    /// Begins a span, unless one is open.
    pub(super) fn begin(&mut self, now: u64) {
        if !self.is_open() {
            self.0.push((now, None));
        }
    }

    /// Ends the open span, if there is one.
    pub(super) fn end(&mut self, now: u64) {
        if let Some((_, end @ None)) = self.0.last_mut() {
            *end = Some(now);
        }
    }

    /// Whether one is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.0.last(), Some((_, None)))
    }

    /// Whether one has a moment in common with `from..=to`.
    pub(super) fn touch(&self, from: u64, to: u64) -> bool {
        self.0.iter().any(|(begin, end)| *begin <= to && end.is_none_or(|end| end >= from))
    }

    /// Whether one began in `from..to`.
    pub(super) fn begun_within(&self, from: u64, to: u64) -> bool {
        self.0.iter().any(|(begin, _)| (from..to).contains(begin))
    }

    /// Whether one that is open still began before `moment`.
    pub(super) fn open_before(&self, moment: u64) -> bool {
        matches!(self.0.last(), Some((begin, None)) if *begin < moment)
    }

    /// The last end at or before `moment`.
    pub(super) fn last_end(&self, moment: u64) -> Option<u64> {
        self.0.iter().rev().find_map(|(_, end)| end.filter(|end| *end <= moment))
    }
}

/// What is known of one shard.
#[derive(Debug, Default)]
pub(super) struct ShardPast {
    /// Dead, very slow, ordered down, or gone: rooms may leave it.
    pub(super) unusable: Reasons,
    /// All replicas know that it gets no new rooms.
    pub(super) draining: Spans,
    /// All replicas know that it is no more.
    pub(super) gone: Spans,
}

/// A span that lasts as long as any of its reasons.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    open: BTreeMap<&'static str, ()>,
    spans: Spans,
}

impl Reasons {
    pub(super) fn begin(&mut self, reason: &'static str, now: u64) {
        self.open.insert(reason, ());
        self.spans.begin(now);
    }

    pub(super) fn end(&mut self, reason: &'static str, now: u64) {
        if self.open.remove(reason).is_some() && self.open.is_empty() {
            self.spans.end(now);
        }
    }

    pub(super) fn touch(&self, from: u64, to: u64) -> bool {
        self.spans.touch(from, to)
    }
}
