//! Messages as bytes: a type byte, then the fields in order, integers big-endian, lists with their length in front.
//!
//! What comes from the network is bounded before it is trusted: a list's length is checked against the bytes that are
//! there, so that no message can ask for more memory than a small multiple of its own size.

use super::{ClaimRefusal, Message, Order, ShardReport, Status};
use crate::{
    cluster::{ReplicaId, ReplicaState},
    pin::{DeciderId, Pin},
    room::RoomKey,
    shard::{ShardName, ShardState},
    time::Timestamp,
};

/// Largest message in bytes. Senders split lists long before.
pub const MAX_MESSAGE: usize = 60 * 1024;

/// Why bytes are not a message. The sender speaks another protocol, or is broken; either way the connection is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the message is cut off")]
    Short,
    /// They go on after the end.
    #[error("{0} bytes too many")]
    Long(usize),
    /// They are more than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is too large")]
    TooLarge(usize),
    /// A field has a value that no version of ours writes.
    #[error("{field}: {value} means nothing")]
    Value {
        /// The field.
        field: &'static str,
        /// What it says.
        value: u8,
    },
    /// A shard's name that cannot be one.
    #[error("not a shard's name")]
    Name,
}

impl Message {
    /// The message as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer(Vec::with_capacity(64));
        match self {
            Self::Gossip(datagram) => {
                to.u8(1);
                to.0.extend_from_slice(datagram);
            }
            Self::Status(status) => {
                to.u8(2);
                to.status(status);
            }
            Self::Claim { id, key, lost, relayed } => {
                to.u8(3);
                to.u32(*id);
                to.key(*key);
                to.u8(u8::from(*relayed));
                to.option(lost.as_ref(), Writer::name);
            }
            Self::Granted { id, pin } => to.numbered_pin(4, *id, pin),
            Self::Refused { id, why } => {
                to.u8(5);
                to.u32(*id);
                to.u8(*why as u8);
            }
            Self::Propose { id, key, pin } => {
                to.u8(6);
                to.u32(*id);
                to.key(*key);
                to.pin(pin);
            }
            Self::Accepted { id } => {
                to.u8(7);
                to.u32(*id);
            }
            Self::Existing { id, pin } => to.numbered_pin(8, *id, pin),
            Self::Pins(pins) => {
                to.u8(9);
                to.pins(pins);
            }
            Self::Seen(uses) => {
                to.u8(10);
                to.list(uses, |to, &(key, epoch, at)| {
                    to.key(key);
                    to.u32(epoch);
                    to.time(at);
                });
            }
            Self::Census(counts) => {
                to.u8(11);
                to.list(counts, |to, (key, shard, tunnels)| {
                    to.key(*key);
                    to.name(shard);
                    to.u32(*tunnels);
                });
            }
            Self::Settled(pins) => {
                to.u8(12);
                to.pins(pins);
            }
            Self::Digest(groups) => {
                to.u8(13);
                to.list(groups, |to, &group| to.u64(group));
            }
            Self::Leaves { group, leaves } => {
                to.u8(14);
                to.u8(*group);
                to.list(leaves, |to, &leaf| to.u64(leaf));
            }
            Self::LeafPins { group, leaf, pins, answer } => {
                to.u8(15);
                to.u8(*group);
                to.u8(*leaf);
                to.u8(u8::from(*answer));
                to.pins(pins);
            }
            Self::SnapshotRequest => to.u8(16),
            Self::SnapshotEnd { pins } => {
                to.u8(17);
                to.u64(*pins);
            }
            Self::Goodbye => to.u8(18),
            Self::SnapshotPins(pins) => {
                to.u8(19);
                to.pins(pins);
            }
        }
        to.0
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are not exactly one message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let mut from = Reader(bytes);
        let message = match from.u8()? {
            1 => Self::Gossip(std::mem::take(&mut from.0).to_vec()),
            2 => Self::Status(from.status()?),
            3 => {
                let (id, key, relayed) = (from.u32()?, from.key()?, from.bool("relayed")?);
                Self::Claim { id, key, relayed, lost: from.option(Reader::name)? }
            }
            4 => Self::Granted { id: from.u32()?, pin: from.pin()? },
            5 => Self::Refused { id: from.u32()?, why: from.claim_refusal()? },
            6 => Self::Propose { id: from.u32()?, key: from.key()?, pin: from.pin()? },
            7 => Self::Accepted { id: from.u32()? },
            8 => Self::Existing { id: from.u32()?, pin: from.pin()? },
            9 => Self::Pins(from.pins()?),
            10 => Self::Seen(from.list(26, |from| Ok((from.key()?, from.u32()?, from.time()?)))?),
            11 => Self::Census(from.list(22, |from| Ok((from.key()?, from.name()?, from.u32()?)))?),
            12 => Self::Settled(from.pins()?),
            13 => Self::Digest(from.list(8, Reader::u64)?),
            14 => Self::Leaves { group: from.u8()?, leaves: from.list(8, Reader::u64)? },
            15 => {
                let (group, leaf, answer) = (from.u8()?, from.u8()?, from.bool("answer")?);
                Self::LeafPins { group, leaf, answer, pins: from.pins()? }
            }
            16 => Self::SnapshotRequest,
            17 => Self::SnapshotEnd { pins: from.u64()? },
            18 => Self::Goodbye,
            19 => Self::SnapshotPins(from.pins()?),
            value => return Err(DecodeError::Value { field: "message", value }),
        };
        match from.0.len() {
            0 => Ok(message),
            left => Err(DecodeError::Long(left)),
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, n: u8) {
        self.0.push(n);
    }

    fn u16(&mut self, n: u16) {
        self.0.extend_from_slice(&n.to_be_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_be_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_be_bytes());
    }

    /// Six bytes of milliseconds: enough for 8,900 years.
    fn time(&mut self, at: Timestamp) {
        let [_, _, six @ ..] = at.0.min((1 << 48) - 1).to_be_bytes();
        self.0.extend_from_slice(&six);
    }

    fn key(&mut self, key: RoomKey) {
        self.0.extend_from_slice(&key.0.to_be_bytes());
    }

    /// Names have at most 253 bytes.
    fn name(&mut self, name: &ShardName) {
        let name = name.as_str().as_bytes();
        self.u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(name);
    }

    fn option<T>(&mut self, value: Option<T>, write: impl Fn(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        // Senders split lists at a few hundred; a longer one would not fit a message anyway.
        let count = u16::try_from(items.len()).unwrap_or(u16::MAX);
        self.u16(count);
        for item in items.iter().take(count.into()) {
            write(self, item);
        }
    }

    fn pin(&mut self, pin: &Pin) {
        self.u32(pin.epoch);
        self.u8(u8::from(pin.ended));
        self.time(pin.created);
        self.time(pin.last_seen);
        self.u64(pin.decider.0);
        self.name(&pin.shard);
    }

    fn pins(&mut self, pins: &[(RoomKey, Pin)]) {
        self.list(pins, |to, (key, pin)| {
            to.key(*key);
            to.pin(pin);
        });
    }

    fn numbered_pin(&mut self, kind: u8, id: u32, pin: &Pin) {
        self.u8(kind);
        self.u32(id);
        self.pin(pin);
    }

    fn status(&mut self, status: &Status) {
        self.u16(status.protocol);
        self.u8(status.state as u8);
        self.list(&status.shards, |to, report| {
            to.name(&report.shard);
            to.u8(u8::from(report.down));
            to.u32(report.tunnels);
        });
        self.list(&status.orders, |to, order| {
            to.name(&order.shard);
            to.option(order.state, |to, state| to.u8(state as u8));
            to.time(order.at);
            to.u64(order.by.0);
        });
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take().map(|[n]| n)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_be_bytes)
    }

    fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Value { field, value }),
        }
    }

    fn time(&mut self) -> Result<Timestamp, DecodeError> {
        let [a, b, c, d, e, f] = self.take()?;
        Ok(Timestamp(u64::from_be_bytes([0, 0, a, b, c, d, e, f])))
    }

    fn key(&mut self) -> Result<RoomKey, DecodeError> {
        self.take().map(|bytes| RoomKey(u128::from_be_bytes(bytes)))
    }

    fn name(&mut self) -> Result<ShardName, DecodeError> {
        let length = usize::from(self.u8()?);
        let (name, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        let name = str::from_utf8(name).map_err(|_| DecodeError::Name)?;
        ShardName::new(name).map_err(|_| DecodeError::Name)
    }

    fn option<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, DecodeError>) -> Result<Option<T>, DecodeError> {
        if self.bool("option")? { read(self).map(Some) } else { Ok(None) }
    }

    /// `least` is the size of the smallest item.
    fn list<T>(
        &mut self,
        least: usize,
        read: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::from(self.u16()?);
        if count * least > self.0.len() {
            return Err(DecodeError::Short);
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn pin(&mut self) -> Result<Pin, DecodeError> {
        let (epoch, ended) = (self.u32()?, self.bool("ended")?);
        let (created, last_seen) = (self.time()?, self.time()?);
        let (decider, shard) = (DeciderId(self.u64()?), self.name()?);
        Ok(Pin { shard, epoch, ended, created, decider, last_seen })
    }

    fn pins(&mut self) -> Result<Vec<(RoomKey, Pin)>, DecodeError> {
        self.list(43, |from| Ok((from.key()?, from.pin()?)))
    }

    fn claim_refusal(&mut self) -> Result<ClaimRefusal, DecodeError> {
        Ok(match self.u8()? {
            0 => ClaimRefusal::NoShard,
            1 => ClaimRefusal::TableFull,
            2 => ClaimRefusal::Awaited,
            3 => ClaimRefusal::NotReady,
            value => return Err(DecodeError::Value { field: "refusal", value }),
        })
    }

    fn shard_state(&mut self) -> Result<ShardState, DecodeError> {
        Ok(match self.u8()? {
            0 => ShardState::Ready,
            1 => ShardState::Draining,
            2 => ShardState::Down,
            value => return Err(DecodeError::Value { field: "shard state", value }),
        })
    }

    fn status(&mut self) -> Result<Status, DecodeError> {
        let protocol = self.u16()?;
        let state = match self.u8()? {
            0 => ReplicaState::Joining,
            1 => ReplicaState::Ready,
            2 => ReplicaState::Draining,
            value => return Err(DecodeError::Value { field: "replica state", value }),
        };
        let shards = self
            .list(7, |from| Ok(ShardReport { shard: from.name()?, down: from.bool("down")?, tunnels: from.u32()? }))?;
        let orders = self.list(17, |from| {
            let (shard, state) = (from.name()?, from.option(Self::shard_state)?);
            Ok(Order { shard, state, at: from.time()?, by: ReplicaId(from.u64()?) })
        })?;
        Ok(Status { protocol, state, shards, orders })
    }
}

#[cfg(test)]
mod tests;
