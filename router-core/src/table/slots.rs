//! The slots of one group: packed in blocks, found by an index.
//!
//! A hash map that doubles takes twice what it holds, and three times that while it doubles; and since keys are
//! uniform, all 256 groups double together. Here slots lie without gaps in blocks of one size, and only the index of
//! four bytes a place has space to spare. So a pin costs 54 to 58 bytes at any count, growing copies no slot, and what
//! is freed fits whatever comes next.

use super::{index::Index, slot::Slot};
use crate::room::RoomKey;

/// Slots in a block: 3 KiB, which is a size that allocators have.
const BLOCK: usize = 64;

/// A key with its slot.
pub(super) type Entry = (RoomKey, Slot);

/// Rooms and their slots, in no order.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// All full but for the last one.
    blocks: Vec<Vec<Entry>>,
    index: Index,
    len: usize,
}

impl Slots {
    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: RoomKey) -> Option<&Slot> {
        self.find(key).map(|at| &self.entry(at).1)
    }

    pub(super) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Slot> {
        let at = self.find(key)?;
        Some(&mut self.blocks[at / BLOCK][at % BLOCK].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flatten()
    }

    /// Adds a room that is not there. False if the index is at its end, at 16 million.
    #[must_use]
    pub(super) fn add(&mut self, key: RoomKey, slot: Slot) -> bool {
        debug_assert!(self.find(key).is_none(), "it is there already");
        let (blocks, at) = (&self.blocks, self.len);
        if !self.index.add(key, at, |at| blocks[at / BLOCK][at % BLOCK].0) {
            return false;
        }
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK => last.push((key, slot)),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push((key, slot));
                self.blocks.push(block);
            }
        }
        self.len += 1;
        true
    }

    pub(super) fn remove(&mut self, key: RoomKey) -> Option<Slot> {
        let at = self.find(key)?;
        self.remove_at(at).map(|(_, slot)| slot)
    }

    /// Removes those that `goes` says, and hands them over; says how many.
    pub(super) fn sweep(&mut self, mut goes: impl FnMut(&Slot) -> bool, mut gone: impl FnMut(RoomKey, Slot)) -> usize {
        let before = self.len;
        // From the end: what takes a removed one's place has been looked at.
        for at in (0..before).rev() {
            if goes(&self.entry(at).1)
                && let Some((key, slot)) = self.remove_at(at)
            {
                gone(key, slot);
            }
        }
        before - self.len
    }

    /// Removes the one at a place, to which the last one moves.
    fn remove_at(&mut self, at: usize) -> Option<Entry> {
        let last = self.len - 1;
        let (key, last_key) = (self.entry(at).0, self.entry(last).0);
        let blocks = &self.blocks;
        self.index.remove(key, at, |at| blocks[at / BLOCK][at % BLOCK].0);
        if at != last {
            self.index.moved(last_key, last, at);
        }
        let mut removed = self.blocks.last_mut()?.pop()?;
        if self.blocks.last().is_some_and(Vec::is_empty) {
            self.blocks.pop();
        }
        if at != last {
            std::mem::swap(&mut self.blocks[at / BLOCK][at % BLOCK], &mut removed);
        }
        self.len = last;
        let blocks = &self.blocks;
        self.index.shrink(last, |at| blocks[at / BLOCK][at % BLOCK].0);
        Some(removed)
    }

    fn find(&self, key: RoomKey) -> Option<usize> {
        self.index.find(key, |at| self.entry(at).0 == key)
    }

    fn entry(&self, at: usize) -> &Entry {
        &self.blocks[at / BLOCK][at % BLOCK]
    }

    /// Bytes asked of the allocator.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.capacity() * size_of::<Entry>()).sum();
        blocks + self.blocks.capacity() * size_of::<Vec<Entry>>() + self.index.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{pin::DeciderId, shard::ShardId, time::Timestamp};

    fn slot(epoch: u32) -> Slot {
        Slot::made(ShardId(1), epoch, DeciderId(1), Timestamp(1))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u128, u32),
        Remove(u128),
        Sweep(u32),
    }

    /// Keys of which many share their home and their tag.
    fn key() -> impl Strategy<Value = u128> {
        prop_oneof![
            0_u128..60,
            (0_u128..60).prop_map(|n| (n << 64) | 7),
            (0_u128..60).prop_map(|n| u128::MAX - (n << 96))
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (key(), any::<u32>()).prop_map(|(key, epoch)| Step::Put(key, epoch)),
            4 => key().prop_map(Step::Remove),
            1 => (2_u32..9).prop_map(Step::Sweep),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec(step(), 0..600)) {
            let (mut slots, mut model) = (Slots::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Put(key, epoch) => {
                        let known = model.insert(key, epoch).is_some();
                        match slots.get_mut(RoomKey(key)) {
                            Some(held) => { prop_assert!(known); *held = slot(epoch); }
                            None => { prop_assert!(!known); prop_assert!(slots.add(RoomKey(key), slot(epoch))); }
                        }
                    }
                    Step::Remove(key) => {
                        let removed = slots.remove(RoomKey(key)).map(|slot| slot.epoch());
                        prop_assert_eq!(removed, model.remove(&key));
                    }
                    Step::Sweep(divisor) => {
                        let mut gone = BTreeMap::new();
                        let count = slots.sweep(
                            |slot| slot.epoch().is_multiple_of(divisor),
                            |key, slot| { gone.insert(key.0, slot.epoch()); },
                        );
                        let should: BTreeMap<_, _> = model.extract_if(.., |_, epoch| epoch.is_multiple_of(divisor)).collect();
                        prop_assert_eq!(count, should.len());
                        prop_assert_eq!(gone, should);
                    }
                }
                prop_assert_eq!(slots.len(), model.len());
            }
            let listed: BTreeMap<_, _> = slots.iter().map(|(key, slot)| (key.0, slot.epoch())).collect();
            prop_assert_eq!(&listed, &model);
            for key in model.keys() {
                prop_assert_eq!(slots.get(RoomKey(*key)).map(Slot::epoch), model.get(key).copied());
            }
        }
    }

    fn spread(n: u64) -> RoomKey {
        let half = crate::placement::mix(n);
        RoomKey(u128::from(half) << 64 | u128::from(crate::placement::mix(half)))
    }

    /// Invariant 5: whatever the count, a pin costs no more than this.
    #[test]
    fn a_pin_costs_at_most_58_bytes_at_any_count() {
        let mut slots = Slots::default();
        for n in 0..20_000 {
            assert!(slots.add(spread(n), slot(1)));
            let len = slots.len();
            // A block at the end that is not full, and the list of blocks.
            let bound = len * 58 + BLOCK * size_of::<Entry>() + 200;
            assert!(slots.bytes() <= bound, "{} bytes for {len}", slots.bytes());
        }
    }

    #[test]
    fn what_is_forgotten_costs_nothing() {
        let mut slots = Slots::default();
        (0..20_000).for_each(|n| assert!(slots.add(spread(n), slot(1))));
        (100..20_000).for_each(|n| assert!(slots.remove(spread(n)).is_some()));
        assert!((0..100).all(|n| slots.get(spread(n)).is_some()));
        assert!(slots.bytes() < 30_000, "{} bytes", slots.bytes());
    }
}
