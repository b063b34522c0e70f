//! Where the slot of a room lies: a table of four bytes a place, with open addressing.
//!
//! A place holds a number, in the low 24 bits, and eight bits of the hash of the room's key above it, its tag, so that hardly ever
//! a foreign slot is looked at. Rooms that want one place stand in a row behind it; removing one closes the gap, so no
//! tombstones are left. The table grows by half when three quarters are taken. Sizes are no powers of two.

use crate::room::{RoomKey, low_u64};

/// Nothing stands here. No number is that great.
const FREE: u32 = u32::MAX;
/// Bits of a number.
const NUMBER_BITS: u32 = 24;
const NUMBERS: u32 = (1 << NUMBER_BITS) - 1;
/// Places of the first table.
const FIRST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Index {
    places: Box<[u32]>,
    taken: usize,
}

/// A room key is a keyed hash already: uniform, and out of an outsider's control. Keys that are not (those of tests) are
/// spread by a multiplication all the same, for it costs nothing.
fn hash(key: RoomKey) -> u64 {
    low_u64(key.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where a key stands if nobody stands there before it: by the high half of its hash.
fn home(key: RoomKey, places: usize) -> usize {
    // Less than `places`.
    usize::try_from(((hash(key) >> 32) * places as u64) >> 32).unwrap_or(0)
}

/// Eight other bits of its hash, where a number leaves space for them.
fn tag(key: RoomKey) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half of the hash")]
    let low = hash(key) as u32;
    low & !NUMBERS
}

/// The place of a number for a key.
fn packed(key: RoomKey, number: usize) -> u32 {
    tag(key) | (u32::try_from(number).unwrap_or(NUMBERS) & NUMBERS)
}

fn number(place: u32) -> usize {
    usize::try_from(place & NUMBERS).unwrap_or(0)
}

impl Index {
    /// The number that was added for a key; `is_it` tells whether a number is the one.
    pub(super) fn find(&self, key: RoomKey, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let tag = tag(key);
        let mut at = self.home(key)?;
        loop {
            let place = self.places[at];
            if place == FREE {
                return None;
            }
            if place & !NUMBERS == tag && is_it(number(place)) {
                return Some(number(place));
            }
            at = self.next(at);
        }
    }

    /// Adds a number for a key that has none; false if it is too great. `key_of` tells the keys of the others.
    pub(super) fn add(&mut self, key: RoomKey, number: usize, key_of: impl Fn(usize) -> RoomKey) -> bool {
        if u32::try_from(number).is_ok_and(|number| number < NUMBERS) {
            if (self.taken + 1) * 4 > self.places.len() * 3 {
                self.resize((self.places.len() + self.places.len() / 2).max(FIRST), key_of);
            }
            self.enter(key, number);
            return true;
        }
        false
    }

    /// Another number for a key.
    pub(super) fn moved(&mut self, key: RoomKey, from: usize, to: usize) {
        if let Some(at) = self.at(key, from) {
            self.places[at] = packed(key, to);
        }
    }

    /// Removes a key's number. `key_of` tells the keys of all.
    pub(super) fn remove(&mut self, key: RoomKey, number: usize, key_of: impl Fn(usize) -> RoomKey) {
        let Some(mut gap) = self.at(key, number) else { return };
        self.taken -= 1;
        let mut at = gap;
        loop {
            at = self.next(at);
            let place = self.places[at];
            let Some(home) = (place != FREE).then(|| self.home(key_of(self::number(place)))).flatten() else { break };
            // Whoever stands behind the gap moves into it, unless its home is behind the gap too.
            if self.distance(home, at) >= self.distance(gap, at) {
                self.places[gap] = place;
                gap = at;
            }
        }
        self.places[gap] = FREE;
    }

    /// Gives back what `len` numbers do not need.
    pub(super) fn shrink(&mut self, len: usize, key_of: impl Fn(usize) -> RoomKey) {
        if self.places.len() > FIRST && len * 4 < self.places.len() {
            self.resize((self.places.len() / 2).max(FIRST), key_of);
        }
    }

    /// Places for the numbers that there are. They are without gaps, from 0 on.
    fn resize(&mut self, places: usize, key_of: impl Fn(usize) -> RoomKey) {
        let numbers = std::mem::take(&mut self.taken);
        self.places = vec![FREE; places].into();
        (0..numbers).for_each(|number| self.enter(key_of(number), number));
    }

    fn enter(&mut self, key: RoomKey, number: usize) {
        let Some(mut at) = self.home(key) else { return };
        while self.places[at] != FREE {
            at = self.next(at);
        }
        self.places[at] = packed(key, number);
        self.taken += 1;
    }

    /// Where a key's number stands.
    fn at(&self, key: RoomKey, number: usize) -> Option<usize> {
        let wanted = packed(key, number);
        let mut at = self.home(key)?;
        while self.places[at] != wanted {
            if self.places[at] == FREE {
                return None;
            }
            at = self.next(at);
        }
        Some(at)
    }

    fn home(&self, key: RoomKey) -> Option<usize> {
        (!self.places.is_empty()).then(|| home(key, self.places.len()))
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    /// Steps from one place to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.places.len() * size_of::<u32>()
    }
}
