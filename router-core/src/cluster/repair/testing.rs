//! A table as plain as can be.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::*;
use crate::{pin::DeciderId, placement::mix, room::low_u64, shard::ShardName};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) struct Plain {
    pub(in crate::cluster) pins: BTreeMap<RoomKey, Pin>,
    leaves: Vec<u64>,
}

/// The n-th room, somewhere in the table.
pub(in crate::cluster) fn key(n: u64) -> RoomKey {
    RoomKey((u128::from(mix(n)) << 64) | u128::from(n))
}

pub(in crate::cluster) fn pin(shard: &ShardName, epoch: u32, created: u64) -> Pin {
    let (created, last_seen) = (Timestamp(created), Timestamp(created + 7));
    Pin { shard: shard.clone(), epoch, ended: false, created, decider: DeciderId(3), last_seen }
}

pub(in crate::cluster) fn shard(name: &str) -> ShardName {
    ShardName::new(name).unwrap()
}

fn range(first: u128, bits: u32) -> RangeInclusive<RoomKey> {
    let low = first << (128 - bits);
    RoomKey(low)..=RoomKey(low | (u128::MAX >> bits))
}

fn fingerprint(key: RoomKey, pin: &Pin) -> u64 {
    let name = pin.shard.as_str().bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
    let fields = [low_u64(key.0), u64::from(pin.epoch), u64::from(pin.ended), pin.created.0, pin.decider.0, name];
    fields.into_iter().fold(0, |hash, field| mix(hash ^ field))
}

impl Plain {
    pub(in crate::cluster) fn new(pins: impl IntoIterator<Item = (RoomKey, Pin)>) -> Self {
        let mut plain = Self { pins: BTreeMap::new(), leaves: vec![0; 1 << 16] };
        plain.merge(pins);
        plain
    }

    pub(in crate::cluster) fn merge(&mut self, pins: impl IntoIterator<Item = (RoomKey, Pin)>) {
        for (key, pin) in pins {
            let place = usize::from(u16::try_from(key.0 >> 112).unwrap());
            let merged = match self.pins.remove(&key) {
                Some(old) => {
                    self.leaves[place] ^= fingerprint(key, &old);
                    old.merge(pin)
                }
                None => pin,
            };
            self.leaves[place] ^= fingerprint(key, &merged);
            self.pins.insert(key, merged);
        }
    }

    fn range(&self, range: RangeInclusive<RoomKey>) -> Vec<(RoomKey, Pin)> {
        self.pins.range(range).map(|(key, pin)| (*key, pin.clone())).collect()
    }
}

impl PinSource for Plain {
    fn digest(&self) -> Vec<u64> {
        self.leaves.chunks(256).map(|leaves| leaves.iter().fold(0, |all, leaf| all ^ leaf)).collect()
    }

    fn leaves(&self, group: u8) -> Vec<u64> {
        self.leaves[usize::from(group) * 256..][..256].to_vec()
    }

    fn pins_of_group(&self, group: u8) -> Vec<(RoomKey, Pin)> {
        self.range(range(group.into(), 8))
    }

    fn pins_of_leaf(&self, group: u8, leaf: u8) -> Vec<(RoomKey, Pin)> {
        self.range(range(u128::from(group) << 8 | u128::from(leaf), 16))
    }
}
