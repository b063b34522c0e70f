//! Reading a snapshot, record by record, believing nothing.

use std::io::{self, Read};

use router_core::{
    pin::{DeciderId, Pin},
    room::RoomKey,
    shard::ShardName,
    time::Timestamp,
};

use super::{DECIDER, END, ENDED_PIN, Header, MAGIC, MAX_NUMBERED, PIN, PIN_LEN, SHARD, VERSION};

/// Why a file is not a snapshot that can be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The first bytes are not ours.
    #[error("it is not a snapshot of roompin")]
    Magic,
    /// Another version of roompin wrote it.
    #[error("it has format version {0}, this roompin reads version {VERSION}")]
    Version(u16),
    /// It ends in the middle.
    #[error("it is cut off")]
    Truncated,
    /// The content does not match its checksum.
    #[error("its checksum is wrong")]
    Checksum,
    /// Something follows its end.
    #[error("there are bytes after its end")]
    TrailingBytes,
    /// A record that no writer makes.
    #[error("it has a broken record: {0}")]
    Record(&'static str),
    /// The disk failed.
    #[error("reading it failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// Reads a snapshot from `R`, which should be buffered. Iterate to the end: only then is the checksum known to hold.
pub struct Decoder<R> {
    from: R,
    hasher: blake3::Hasher,
    header: Header,
    shards: Vec<ShardName>,
    deciders: Vec<DeciderId>,
    pins: u64,
    over: bool,
}

impl<R: Read> Decoder<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not the header of a snapshot of [`VERSION`].
    pub fn new(from: R) -> Result<Self, FormatError> {
        let header = Header { fingerprint: 0, written_at: Timestamp(0) };
        let hasher = blake3::Hasher::new();
        let mut this = Self { from, hasher, header, shards: Vec::new(), deciders: Vec::new(), pins: 0, over: false };
        if this.next_bytes::<8>()? != MAGIC {
            return Err(FormatError::Magic);
        }
        let version = u16::from_le_bytes(this.next_bytes()?);
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        this.header.fingerprint = u64::from_le_bytes(this.next_bytes()?);
        this.header.written_at = Timestamp(u64::from_le_bytes(this.next_bytes()?));
        Ok(this)
    }

    /// What the header says; not yet verified.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    fn next_bytes<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    /// The next pin, or `None` at a good end.
    fn record(&mut self) -> Result<Option<(RoomKey, Pin)>, FormatError> {
        loop {
            match self.next_bytes::<1>()?[0] {
                SHARD => {
                    let name = self.shard_name()?;
                    push_bounded(&mut self.shards, name, "too many shards")?;
                }
                DECIDER => {
                    let decider = DeciderId(u64::from_le_bytes(self.next_bytes()?));
                    push_bounded(&mut self.deciders, decider, "too many deciders")?;
                }
                PIN => return self.pin(false).map(Some),
                ENDED_PIN => return self.pin(true).map(Some),
                END => return self.end().map(|()| None),
                _ => return Err(FormatError::Record("unknown tag")),
            }
        }
    }

    fn shard_name(&mut self) -> Result<ShardName, FormatError> {
        let len = usize::from(self.next_bytes::<1>()?[0]);
        let mut bytes = [0; u8::MAX as usize];
        let name = &mut bytes[..len];
        self.from.read_exact(name)?;
        self.hasher.update(name);
        let name = std::str::from_utf8(name).map_err(|_| FormatError::Record("shard name"))?;
        ShardName::new(name).map_err(|_| FormatError::Record("shard name"))
    }

    fn pin(&mut self, ended: bool) -> Result<(RoomKey, Pin), FormatError> {
        let record = self.next_bytes::<PIN_LEN>()?;
        let (key, rest) = field(&record);
        let (shard, rest) = field(rest);
        let (decider, rest) = field(rest);
        let (epoch, rest) = field(rest);
        let (created, rest) = field(rest);
        let (last_seen, _) = field(rest);
        let shard = self.shards.get(usize::from(u16::from_le_bytes(shard)));
        let decider = self.deciders.get(usize::from(u16::from_le_bytes(decider)));
        let pin = Pin {
            shard: shard.ok_or(FormatError::Record("unknown shard"))?.clone(),
            epoch: u32::from_le_bytes(epoch),
            ended,
            created: Timestamp(u64::from_le_bytes(created)),
            decider: *decider.ok_or(FormatError::Record("unknown decider"))?,
            last_seen: Timestamp(u64::from_le_bytes(last_seen)),
        };
        self.pins += 1;
        Ok((RoomKey(u128::from_le_bytes(key)), pin))
    }

    fn end(&mut self) -> Result<(), FormatError> {
        let pins = u64::from_le_bytes(self.next_bytes()?);
        let computed = self.hasher.finalize();
        let mut stored = [0; 32];
        self.from.read_exact(&mut stored)?;
        if computed != blake3::Hash::from_bytes(stored) {
            return Err(FormatError::Checksum);
        }
        if pins != self.pins {
            return Err(FormatError::Record("count of pins"));
        }
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(FormatError::TrailingBytes),
        }
    }
}

impl<R: Read> Iterator for Decoder<R> {
    type Item = Result<(RoomKey, Pin), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let record = self.record().transpose();
        self.over = !matches!(record, Some(Ok(_)));
        record
    }
}

/// The first `N` bytes and the rest.
fn field<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (field, rest) = bytes.split_first_chunk().expect("invariant: the fields of a pin add up to PIN_LEN");
    (*field, rest)
}

fn push_bounded<T>(to: &mut Vec<T>, item: T, refusal: &'static str) -> Result<(), FormatError> {
    if to.len() == MAX_NUMBERED {
        return Err(FormatError::Record(refusal));
    }
    to.push(item);
    Ok(())
}
