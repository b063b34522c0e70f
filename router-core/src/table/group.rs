//! All rooms whose keys have one first byte, in the order of their keys, and their digest.

use super::slot::Slot;
use crate::room::RoomKey;

/// Leaves of a group: one for each second byte.
pub(crate) const LEAVES: usize = 256;
/// Places by which a small leaf grows. Keys are uniform, so all leaves grow at the same time: doubling them would take
/// half as much memory again, for the whole table at once.
const GROWTH: usize = 4;

/// A room's place in the table's order.
impl RoomKey {
    /// The group: the key's first byte.
    #[must_use]
    pub fn group(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The leaf within the group: the key's second byte.
    #[must_use]
    pub fn leaf(self) -> u8 {
        self.0.to_be_bytes()[1]
    }
}

/// One of the table's 256 groups. Its digest is right whenever nobody holds the group's lock exclusively.
#[derive(Default)]
pub(crate) struct Group {
    /// Empty until the first slot comes, so that an empty table is small.
    leaves: Box<[Leaf]>,
    /// XOR of the leaves' digests.
    digest: u64,
}

/// The slots of one leaf, sorted by key: 15 of a million pins, found in four steps.
#[derive(Default)]
struct Leaf {
    pins: Vec<(RoomKey, Slot)>,
    /// XOR of the fingerprints of its slots.
    digest: u64,
}

impl Leaf {
    fn place(&self, key: RoomKey) -> Result<usize, usize> {
        self.pins.binary_search_by(|(at, _)| at.cmp(&key))
    }
}

impl Group {
    pub(crate) fn get(&self, key: RoomKey) -> Option<&Slot> {
        let leaf = self.leaves.get(usize::from(key.leaf()))?;
        leaf.place(key).ok().map(|place| &leaf.pins[place].1)
    }

    /// All slots, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RoomKey, &Slot)> {
        self.leaves.iter().flat_map(|leaf| &leaf.pins).map(|(key, slot)| (*key, slot))
    }

    /// The slots of one leaf, in the order of their keys.
    pub(crate) fn leaf(&self, leaf: u8) -> impl Iterator<Item = (RoomKey, &Slot)> {
        self.leaves.get(usize::from(leaf)).into_iter().flat_map(|leaf| &leaf.pins).map(|(key, slot)| (*key, slot))
    }

    /// XOR of the fingerprints of all slots.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// XOR of the fingerprints by leaf.
    pub(crate) fn leaves(&self) -> Vec<u64> {
        let mut digests: Vec<u64> = self.leaves.iter().map(|leaf| leaf.digest).collect();
        digests.resize(LEAVES, 0);
        digests
    }

    /// Slots that its memory has room for.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.leaves.iter().map(|leaf| leaf.pins.capacity()).sum()
    }

    fn leaf_mut(&mut self, key: RoomKey) -> &mut Leaf {
        if self.leaves.is_empty() {
            self.leaves = (0..LEAVES).map(|_| Leaf::default()).collect();
        }
        &mut self.leaves[usize::from(key.leaf())]
    }

    /// A slot's fingerprint enters or leaves the digest, which is the same thing.
    pub(super) fn toggle(&mut self, key: RoomKey, fingerprint: u64) {
        self.leaf_mut(key).digest ^= fingerprint;
        self.digest ^= fingerprint;
    }

    pub(super) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Slot> {
        let leaf = self.leaves.get_mut(usize::from(key.leaf()))?;
        leaf.place(key).ok().map(|place| &mut leaf.pins[place].1)
    }

    /// Takes in a slot for a key that has none.
    pub(super) fn insert(&mut self, key: RoomKey, slot: Slot) {
        let leaf = self.leaf_mut(key);
        let (Ok(place) | Err(place)) = leaf.place(key);
        if leaf.pins.len() == leaf.pins.capacity() {
            leaf.pins.reserve_exact(GROWTH.max(leaf.pins.len() / 8));
        }
        leaf.pins.insert(place, (key, slot));
    }

    pub(super) fn remove(&mut self, key: RoomKey) {
        let leaf = self.leaf_mut(key);
        if let Ok(place) = leaf.place(key) {
            leaf.pins.remove(place);
        }
    }

    /// Removes the slots that `goes` says, and their fingerprints, which `gone` returns; says how many. Gives memory
    /// back that much fewer slots no longer need.
    pub(super) fn sweep(
        &mut self,
        mut goes: impl FnMut(&Slot) -> bool,
        mut gone: impl FnMut(RoomKey, &Slot) -> u64,
    ) -> usize {
        let mut removed = 0;
        for Leaf { pins, digest } in &mut self.leaves {
            let before = pins.len();
            pins.retain(|(key, slot)| {
                if !goes(slot) {
                    return true;
                }
                let fingerprint = gone(*key, slot);
                *digest ^= fingerprint;
                self.digest ^= fingerprint;
                false
            });
            removed += before - pins.len();
            if pins.is_empty() || pins.capacity() / 2 >= pins.len() + GROWTH {
                pins.shrink_to_fit();
            }
        }
        removed
    }
}
