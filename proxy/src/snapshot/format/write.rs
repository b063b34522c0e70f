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

/// Turns pins into records. All but the checksum, which [`Sealing`] adds behind them.
pub struct Encoder<W> {
    to: W,
    shards: Numbered<ShardName>,
    deciders: Numbered<DeciderId>,
    pins: u64,
}

/// Hashes what goes through it, and ends with the hash.
pub struct Sealing<W> {
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

impl<W: Write> Sealing<W> {
    /// Passes on to `to`, which should be buffered.
    pub fn new(to: W) -> Self {
        Self { to, hasher: blake3::Hasher::new(), len: 0 }
    }

    /// Writes the checksum; returns the writer and all bytes written.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn seal(mut self) -> io::Result<(W, u64)> {
        let hash = self.hasher.finalize();
        self.to.write_all(hash.as_bytes())?;
        Ok((self.to, self.len + hash.as_bytes().len() as u64))
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Encoder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn new(mut to: W, header: Header) -> io::Result<Self> {
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_le_bytes())?;
        to.write_all(&header.fingerprint.to_le_bytes())?;
        to.write_all(&header.written_at.0.to_le_bytes())?;
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
            self.to.write_all(&[SHARD, len])?;
            self.to.write_all(name)?;
        }
        let (decider, new) = self.deciders.number(&pin.decider).ok_or_else(|| too_many("deciders"))?;
        if new {
            self.to.write_all(&[DECIDER])?;
            self.to.write_all(&pin.decider.0.to_le_bytes())?;
        }
        let mut record = [0; 1 + PIN_LEN];
        record[0] = if pin.ended { ENDED_PIN } else { PIN };
        record[1..17].copy_from_slice(&key.0.to_le_bytes());
        record[17..19].copy_from_slice(&shard.to_le_bytes());
        record[19..21].copy_from_slice(&decider.to_le_bytes());
        record[21..25].copy_from_slice(&pin.epoch.to_le_bytes());
        record[25..33].copy_from_slice(&pin.created.0.to_le_bytes());
        record[33..41].copy_from_slice(&pin.last_seen.0.to_le_bytes());
        self.to.write_all(&record)?;
        self.pins += 1;
        Ok(())
    }

    /// What it writes to.
    pub fn writer(&mut self) -> &mut W {
        &mut self.to
    }

    /// Writes the end of the records; returns the writer and the count of pins.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.to.write_all(&[END])?;
        self.to.write_all(&self.pins.to_le_bytes())?;
        Ok((self.to, self.pins))
    }
}
