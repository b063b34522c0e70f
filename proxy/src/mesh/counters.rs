//! What the mesh counts.

use std::sync::atomic::{AtomicU64, Ordering};

use router_core::cluster::Lane;

/// How an attempt to make a link ended, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There is a link now.
    Linked,
    /// There was one already; this connection was not needed.
    Duplicate,
    /// Both ends are the same process.
    Itself,
    /// The other one has another key for rooms' names, so its pins mean nothing here.
    RoomKey,
    /// No version of the messages that both speak.
    Version,
    /// One of both has as many links as it may.
    Full,
    /// One of both is on its way out.
    Leaving,
    /// The first bytes are not those of a replica.
    NotMesh,
    /// The other one does not have the key, or plays back what it has recorded of somebody who has.
    WrongKey,
    /// A first message that had been used before.
    Replayed,
    /// The right key, but nonsense.
    Malformed,
    /// Too slow.
    Timeout,
    /// The other end closed the connection before it was a link. To a dialler this is what a wrong key looks like.
    Closed,
    /// Strangers had too many connections half open; this one was the oldest.
    Evicted,
    /// No TCP connection.
    Unreachable,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Linked,
        Self::Duplicate,
        Self::Itself,
        Self::RoomKey,
        Self::Version,
        Self::Full,
        Self::Leaving,
        Self::NotMesh,
        Self::WrongKey,
        Self::Replayed,
        Self::Malformed,
        Self::Timeout,
        Self::Closed,
        Self::Evicted,
        Self::Unreachable,
    ];

    /// One word, for a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Duplicate => "duplicate",
            Self::Itself => "itself",
            Self::RoomKey => "room_key",
            Self::Version => "version",
            Self::Full => "full",
            Self::Leaving => "leaving",
            Self::NotMesh => "not_mesh",
            Self::WrongKey => "wrong_key",
            Self::Replayed => "replayed",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Evicted => "evicted",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The other end.
    Accepted,
    /// We.
    Dialled,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

/// Everything counted since the start. Cheap to share and to read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    handshakes: [[AtomicU64; Outcome::ALL.len()]; 2],
    frames: [[AtomicU64; 2]; 2],
    bytes: [[AtomicU64; 2]; 2],
    wire: [AtomicU64; 2],
    dropped: [AtomicU64; 2],
    protocol_errors: AtomicU64,
    links: AtomicU64,
}

impl Counters {
    /// Attempts to make a link that ended so.
    #[must_use]
    pub fn handshakes(&self, side: Side, outcome: Outcome) -> u64 {
        self.handshakes[side as usize][outcome as usize].load(Ordering::Relaxed)
    }

    /// Frames that went over links.
    #[must_use]
    pub fn frames(&self, lane: Lane, direction: Direction) -> u64 {
        self.frames[lane as usize][direction as usize].load(Ordering::Relaxed)
    }

    /// Their bodies, in bytes.
    #[must_use]
    pub fn bytes(&self, lane: Lane, direction: Direction) -> u64 {
        self.bytes[lane as usize][direction as usize].load(Ordering::Relaxed)
    }

    /// Bytes on links with everything around the bodies, but without TCP and IP.
    #[must_use]
    pub fn wire_bytes(&self, direction: Direction) -> u64 {
        self.wire[direction as usize].load(Ordering::Relaxed)
    }

    /// Frames dropped because their lane was full.
    #[must_use]
    pub fn dropped(&self, lane: Lane) -> u64 {
        self.dropped[lane as usize].load(Ordering::Relaxed)
    }

    /// Links ended because a replica broke the rules.
    #[must_use]
    pub fn protocol_errors(&self) -> u64 {
        self.protocol_errors.load(Ordering::Relaxed)
    }

    /// Links now.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.links.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, side: Side, outcome: Outcome) {
        self.handshakes[side as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn frame(&self, lane: Lane, direction: Direction, count: u64, bytes: usize) {
        self.frames[lane as usize][direction as usize].fetch_add(count, Ordering::Relaxed);
        self.bytes[lane as usize][direction as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn wire(&self, direction: Direction, bytes: usize) {
        self.wire[direction as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn drop_frame(&self, lane: Lane) {
        self.dropped[lane as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn protocol_error(&self) {
        self.protocol_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_links(&self, links: usize) {
        self.links.store(links as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_counter_and_word() {
        let counters = Counters::default();
        let mut words = std::collections::HashSet::new();
        for (n, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, n);
            assert!(words.insert(outcome.as_str()));
            counters.count(Side::Dialled, outcome);
            assert_eq!(
                (counters.handshakes(Side::Dialled, outcome), counters.handshakes(Side::Accepted, outcome)),
                (1, 0)
            );
        }
    }
}
