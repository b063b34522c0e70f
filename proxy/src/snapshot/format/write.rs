//! Writing a snapshot, record by record.

use std::{
    collections::HashMap,
    hash::Hash,
    io::{self, Write},
};

use router_core::{
    pin::{DeciderId, Pin},
    room::RoomKey,
    shard::ShardName,
};

use super::{DECIDER, END, ENDED_PIN, Header, MAGIC, MAX_NUMBERED, PIN, PIN_LEN, SHARD, VERSION};

/// Writes a snapshot to `W`, which should be buffered.
pub struct Encoder<W> {
    to: Hashing<W>,
    shards: Numbered<ShardName>,
    deciders: Numbered<DeciderId>,
    pins: u64,
}

struct Hashing<W> {
    to: W,
    hasher: blake3::Hasher,
    len: u64,
}

/// Numbers in order of first appearance.
struct Numbered<T>(HashMap<T, u16>);

impl<T: Clone + Eq + Hash> Numbered<T> {
    /// The number, and whether it is new; `None` when all are given out.
    fn number(&mut self, item: &T) -> Option<(u16, bool)> {
        if let Some(&number) = self.0.get(item) {
            return Some((number, false));
        }
        let number = u16::try_from(self.0.len()).ok().filter(|_| self.0.len() < MAX_NUMBERED)?;
        self.0.insert(item.clone(), number);
        Some((number, true))
    }
}

impl<W: Write> Hashing<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

impl<W: Write> Encoder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn new(to: W, header: Header) -> io::Result<Self> {
        let mut to = Hashing { to, hasher: blake3::Hasher::new(), len: 0 };
        to.put(&MAGIC)?;
        to.put(&VERSION.to_le_bytes())?;
        to.put(&header.fingerprint.to_le_bytes())?;
        to.put(&header.written_at.0.to_le_bytes())?;
        Ok(Self { to, shards: Numbered(HashMap::new()), deciders: Numbered(HashMap::new()), pins: 0 })
    }

    /// Adds a pin.
    ///
    /// # Errors
    /// Those of the writer, and [`io::ErrorKind::InvalidData`] when there are more than 65,536 shards or deciders.
    pub fn push(&mut self, key: RoomKey, pin: &Pin) -> io::Result<()> {
        let too_many = |what| io::Error::new(io::ErrorKind::InvalidData, format!("more than {MAX_NUMBERED} {what}"));
        let (shard, new) = self.shards.number(&pin.shard).ok_or_else(|| too_many("shards"))?;
        if new {
            let name = pin.shard.as_str().as_bytes();
            let len = u8::try_from(name.len()).map_err(|_| too_many("bytes in a shard's name"))?;
            self.to.put(&[SHARD, len])?;
            self.to.put(name)?;
        }
        let (decider, new) = self.deciders.number(&pin.decider).ok_or_else(|| too_many("deciders"))?;
        if new {
            self.to.put(&[DECIDER])?;
            self.to.put(&pin.decider.0.to_le_bytes())?;
        }
        let mut record = [0; 1 + PIN_LEN];
        record[0] = if pin.ended { ENDED_PIN } else { PIN };
        record[1..17].copy_from_slice(&key.0.to_le_bytes());
        record[17..19].copy_from_slice(&shard.to_le_bytes());
        record[19..21].copy_from_slice(&decider.to_le_bytes());
        record[21..25].copy_from_slice(&pin.epoch.to_le_bytes());
        record[25..33].copy_from_slice(&pin.created.0.to_le_bytes());
        record[33..41].copy_from_slice(&pin.last_seen.0.to_le_bytes());
        self.to.put(&record)?;
        self.pins += 1;
        Ok(())
    }

    /// Writes the end; returns the writer, the pins written and the bytes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<(W, u64, u64)> {
        self.to.put(&[END])?;
        self.to.put(&self.pins.to_le_bytes())?;
        let hash = self.to.hasher.finalize();
        self.to.to.write_all(hash.as_bytes())?;
        Ok((self.to.to, self.pins, self.to.len + hash.as_bytes().len() as u64))
    }
}
