//! One exchange with one replica, as the asker sees it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{GROUPS_PER_ROUND, PinSource};
use crate::{cluster::message::Message, pin::Pin, room::RoomKey, time::Timestamp};

/// Groups of the table, and leaves of a group.
pub(super) const GROUPS: usize = 256;
/// Bytes of pins in one message at most: the bulk lane takes no frame of more than 32 KiB.
const MAX_BYTES: usize = 31 * 1024;
/// Bytes of leaves that may be sent without an answer, or of the answers, whichever are more: a quarter of what the
/// bulk lane of a connection holds before it drops, for both ends ask, and snapshots go the same way. 20 MB/s at 3 ms.
const WINDOW_BYTES: usize = 64 * 1024;
/// Leaves that may be sent without an answer: at first, when the size of answers is not known yet, and at most.
const FIRST_LEAVES: usize = 16;
const WINDOW_LEAVES: usize = 256;
/// What a message takes in a queue besides its pins.
const OVERHEAD: usize = 80;
/// Rounds of one exchange: enough for all groups, even if many are found again.
const MAX_ROUNDS: u32 = 24;
/// An exchange in which nothing was left to wait for ends after so long without a word.
const QUIET: Duration = Duration::from_secs(1);
/// And one in which something was.
const STALLED: Duration = Duration::from_secs(2);

/// A leaf of a group: a room key's second byte.
pub(super) fn leaf(key: RoomKey) -> u8 {
    key.0.to_be_bytes()[1]
}

/// A leaf of ours: its group, its place there, its pins.
type Leaf = (u8, u8, Vec<(RoomKey, Pin)>);

/// Upper bound for the bytes of a pin with its key in a message.
pub(in crate::cluster) fn estimate(pin: &Pin) -> usize {
    // Key 16, decider 8, two times 8 each, epoch 4, flag and the length of the name.
    48 + pin.shard.as_str().len()
}

/// Bytes of a message with these pins in a queue.
fn bytes(pins: &[(RoomKey, Pin)]) -> usize {
    OVERHEAD + pins.iter().map(|(_, pin)| estimate(pin)).sum::<usize>()
}

#[derive(Debug)]
pub(super) struct Exchange {
    last_word: Timestamp,
    /// Groups found to differ, with the other's leaves, to be looked at.
    groups: VecDeque<(u8, Vec<u64>)>,
    /// Leaves of the last group looked at, to be sent.
    leaves: VecDeque<Leaf>,
    /// Leaves sent and not answered, and their bytes.
    open: BTreeMap<(u8, u8), usize>,
    /// As many may be open; one more with every answer.
    window: usize,
    /// Bytes of the largest answer.
    answer: usize,
    /// Groups looked at in this exchange. Each is looked at once: one that differs again does so because of pins that
    /// are on their way anyhow.
    seen: BTreeSet<u8>,
    /// Groups that the other named in this round, and how many of them were new.
    named: usize,
    new: usize,
    rounds: u32,
}

impl Exchange {
    /// One that begins with a digest sent now.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            last_word: now,
            groups: VecDeque::new(),
            leaves: VecDeque::new(),
            open: BTreeMap::new(),
            window: FIRST_LEAVES,
            answer: OVERHEAD,
            seen: BTreeSet::new(),
            named: 0,
            new: 0,
            rounds: 1,
        }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let done = self.groups.is_empty() && !self.is_sending();
        (done && now.since(self.last_word) >= QUIET) || self.is_stalled(now)
    }

    /// An answer does not come: the connection is as good as dead, or dropped what it could not hold.
    pub(super) fn is_stalled(&self, now: Timestamp) -> bool {
        !self.open.is_empty() && now.since(self.last_word) >= STALLED
    }

    /// Whether it has pins to send or waits for answers to some.
    pub(super) fn is_sending(&self) -> bool {
        !self.leaves.is_empty() || !self.open.is_empty()
    }

    /// The other names a group that differs.
    pub(super) fn differs(&mut self, group: u8, leaves: Vec<u64>, now: Timestamp) {
        if leaves.len() != GROUPS || self.named >= GROUPS_PER_ROUND {
            return;
        }
        self.last_word = now;
        self.named += 1;
        if self.seen.insert(group) {
            self.new += 1;
            self.groups.push_back((group, leaves));
        }
    }

    /// The other has answered a leaf.
    pub(super) fn answered(&mut self, group: u8, leaf: u8, pins: &[(RoomKey, Pin)], now: Timestamp) {
        if self.open.remove(&(group, leaf)).is_some() {
            self.last_word = now;
            self.window = WINDOW_LEAVES.min(self.window + 1);
            self.answer = self.answer.max(bytes(pins));
        }
    }

    /// What there is room to send now.
    pub(super) fn go_on(&mut self, table: &impl PinSource, now: Timestamp) -> Vec<Message> {
        let mut out = Vec::new();
        let mut sent: usize = self.open.values().sum();
        while self.open.len() < self.window && sent.max(self.open.len() * self.answer) < WINDOW_BYTES {
            if let Some((group, leaf, pins)) = self.leaves.pop_front() {
                let size = bytes(&pins);
                self.open.insert((group, leaf), size);
                sent += size;
                self.last_word = now;
                out.extend(leaf_pins(group, leaf, pins, true));
            } else if let Some((group, theirs)) = self.groups.pop_front() {
                self.leaves.extend(different(group, &theirs, table));
            } else {
                break;
            }
        }
        let round_is_over = self.groups.is_empty() && !self.is_sending() && self.named == GROUPS_PER_ROUND;
        if round_is_over && self.new > 0 && self.rounds < MAX_ROUNDS {
            self.rounds += 1;
            (self.named, self.new) = (0, 0);
            self.last_word = now;
            out.push(Message::Digest(table.digest()));
        }
        out
    }
}

/// The leaves of a group that differ from the other's, with our pins.
fn different(group: u8, theirs: &[u64], table: &impl PinSource) -> Vec<Leaf> {
    let ours = table.leaves(group);
    let differs = |leaf: u8| ours.get(usize::from(leaf)) != theirs.get(usize::from(leaf));
    let mut pins: BTreeMap<u8, Vec<_>> = (0..=u8::MAX).filter(|l| differs(*l)).map(|l| (l, Vec::new())).collect();
    if pins.is_empty() {
        return Vec::new();
    }
    for (key, pin) in table.pins_of_group(group) {
        if let Some(place) = pins.get_mut(&leaf(key)) {
            place.push((key, pin));
        }
    }
    pins.into_iter().map(|(leaf, pins)| (group, leaf, pins)).collect()
}

/// What is known better here than there: pins they lack, and pins that win over theirs.
pub(super) fn answer(
    group: u8,
    leaf: u8,
    ours: Vec<(RoomKey, Pin)>,
    theirs: &[(RoomKey, Pin)],
) -> impl Iterator<Item = Message> {
    let theirs: BTreeMap<_, _> = theirs.iter().map(|(key, pin)| (*key, pin)).collect();
    let mut better = ours;
    better.retain(|(key, ours)| theirs.get(key).is_none_or(|theirs| wins(ours, theirs)));
    leaf_pins(group, leaf, better, false)
}

/// Whether one record holds against another, the last use aside: that is no part of the digest and is told otherwise.
fn wins(ours: &Pin, theirs: &Pin) -> bool {
    ours.rank(&Pin { last_seen: ours.last_seen, ..theirs.clone() }).is_gt()
}

/// The messages for a leaf: one, unless it is too large. Of several only the last one asks for an answer.
fn leaf_pins(group: u8, leaf: u8, pins: Vec<(RoomKey, Pin)>, answer: bool) -> impl Iterator<Item = Message> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for (key, pin) in pins {
        bytes += estimate(&pin);
        if bytes > MAX_BYTES {
            bytes = estimate(&pin);
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push((key, pin));
        }
    }
    let last = parts.len() - 1;
    let message = move |(n, pins)| Message::LeafPins { group, leaf, pins, answer: answer && n == last };
    parts.into_iter().enumerate().map(message)
}
