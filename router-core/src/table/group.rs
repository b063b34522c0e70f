//! All rooms whose keys have one first byte, and their digest.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::slot::Slot;
use crate::room::{RoomKey, low_u64};

/// Leaves of a group's digest: one for each second byte.
pub(crate) const LEAVES: usize = 256;

/// A room key is a keyed hash already: uniform, and out of an outsider's control. Its low half is the hash.
#[derive(Default)]
pub(crate) struct KeyBits(u64);

impl Hasher for KeyBits {
    fn write_u128(&mut self, key: u128) {
        self.0 = low_u64(key);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

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
    pins: HashMap<RoomKey, Slot, BuildHasherDefault<KeyBits>>,
    /// By leaf: XOR of the fingerprints of its slots. Empty until the first slot comes, so that an empty table is small.
    leaves: Vec<u64>,
    /// XOR of the leaves.
    digest: u64,
}

impl Group {
    pub(crate) fn get(&self, key: RoomKey) -> Option<&Slot> {
        self.pins.get(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RoomKey, &Slot)> {
        self.pins.iter().map(|(&key, slot)| (key, slot))
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
        self.pins.get_mut(&key)
    }

    pub(super) fn insert(&mut self, key: RoomKey, slot: Slot) {
        self.pins.insert(key, slot);
    }

    pub(super) fn remove(&mut self, key: RoomKey) {
        self.pins.remove(&key);
    }

    /// Removes the slots that `goes` says, and their fingerprints, which `gone` returns; says how many.
    pub(super) fn sweep(
        &mut self,
        mut goes: impl FnMut(&Slot) -> bool,
        mut gone: impl FnMut(RoomKey, &Slot) -> u64,
    ) -> usize {
        let Self { pins, leaves, digest } = self;
        let before = pins.len();
        pins.retain(|&key, slot| {
            if !goes(slot) {
                return true;
            }
            toggle(leaves, digest, key, gone(key, slot));
            false
        });
        before - pins.len()
    }
}

fn toggle(leaves: &mut Vec<u64>, digest: &mut u64, key: RoomKey, fingerprint: u64) {
    if leaves.is_empty() {
        leaves.resize(LEAVES, 0);
    }
    leaves[usize::from(key.leaf())] ^= fingerprint;
    *digest ^= fingerprint;
}
