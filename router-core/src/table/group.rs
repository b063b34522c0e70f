//! All rooms whose keys have one first byte, and their digest.

use super::{slot::Slot, slots::Slots};
use crate::room::RoomKey;

/// Leaves of a group's digest: one for each second byte.
pub(crate) const LEAVES: usize = 256;

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
    slots: Slots,
    /// By leaf: XOR of the fingerprints of its slots. Empty until the first slot comes, so that an empty table is small.
    leaves: Vec<u64>,
    /// XOR of the leaves.
    digest: u64,
}

impl Group {
    pub(crate) fn get(&self, key: RoomKey) -> Option<&Slot> {
        self.slots.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RoomKey, &Slot)> {
        self.slots.iter().map(|(key, slot)| (*key, slot))
    }

    /// XOR of the fingerprints of all slots.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// XOR of the fingerprints by leaf.
    pub(crate) fn leaves(&self) -> Vec<u64> {
        let mut leaves = self.leaves.clone();
        leaves.resize(LEAVES, 0);
        leaves
    }

    /// A slot's fingerprint enters or leaves the digest, which is the same thing.
    pub(super) fn toggle(&mut self, key: RoomKey, fingerprint: u64) {
        toggle(&mut self.leaves, &mut self.digest, key, fingerprint);
    }

    pub(super) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Slot> {
        self.slots.get_mut(key)
    }

    /// Adds a room that is not there. False if there are 16 million already.
    #[must_use]
    pub(super) fn add(&mut self, key: RoomKey, slot: Slot) -> bool {
        self.slots.add(key, slot)
    }

    pub(super) fn remove(&mut self, key: RoomKey) {
        self.slots.remove(key);
    }

    /// Removes the slots that `goes` says, and their fingerprints, which `gone` returns; says how many.
    pub(super) fn sweep(
        &mut self,
        goes: impl FnMut(&Slot) -> bool,
        mut gone: impl FnMut(RoomKey, &Slot) -> u64,
    ) -> usize {
        let Self { slots, leaves, digest } = self;
        slots.sweep(goes, |key, slot| toggle(leaves, digest, key, gone(key, &slot)))
    }

    /// Bytes asked of the allocator.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes() + self.leaves.capacity() * size_of::<u64>()
    }
}

fn toggle(leaves: &mut Vec<u64>, digest: &mut u64, key: RoomKey, fingerprint: u64) {
    if leaves.is_empty() {
        leaves.resize(LEAVES, 0);
    }
    leaves[usize::from(key.leaf())] ^= fingerprint;
    *digest ^= fingerprint;
}
