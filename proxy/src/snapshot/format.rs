//! The bytes of a snapshot: one pass to write, one pass to read, constant memory both ways.
//!
//! ```text
//! file   = magic(8) version(u16) fingerprint(u64) written_at(u64 ms) record* end
//! record = 'S' length(u8) name           the next shard's name; shards are numbered from 0 as they appear
//!        | 'D' decider(u64)              the next decider, numbered likewise
//!        | 'P' pin | 'E' pin             a pin, a pin whose room has ended
//! pin    = key(u128) shard(u16) decider(u16) epoch(u32) created(u64 ms) last_seen(u64 ms)
//! end    = 'Z' pins(u64) blake3(32)      over every byte before the hash; nothing follows
//! ```
//! All integers are little-endian. Names stand before their first use instead of in a table at the top, so that a
//! writer need not know all shards before it writes the first pin.

mod read;
mod write;

pub use self::{
    read::{Decoder, FormatError},
    write::{Encoder, Sealing},
};

use router_core::time::Timestamp;

/// The first bytes of every snapshot. The last one makes a terminal stop and shows up broken line ends.
const MAGIC: [u8; 8] = *b"ROOMPIN\x1a";
/// Raised with every change that an older reader would misread.
pub const VERSION: u16 = 1;
const SHARD: u8 = b'S';
const DECIDER: u8 = b'D';
const PIN: u8 = b'P';
const ENDED_PIN: u8 = b'E';
const END: u8 = b'Z';
/// A pin's bytes after its tag.
const PIN_LEN: usize = 16 + 2 + 2 + 4 + 8 + 8;
/// Numbers for shards and deciders are u16.
const MAX_NUMBERED: usize = 1 << 16;

/// What stands before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`router_core::room::KeyHasher::fingerprint`] of the hasher that made the keys.
    pub fingerprint: u64,
    /// When the snapshot was begun.
    pub written_at: Timestamp,
}

/// The largest file that `max_pins` pins can make. Ten million are always allowed, so that a lowered `rooms.max_pins`
/// does not make an honest file look damaged; reading takes constant memory whatever the size.
#[must_use]
pub(super) fn max_len(max_pins: usize) -> u64 {
    const FRAME: u64 = 8 + 2 + 8 + 8 + 1 + 8 + 32;
    const NAMES: u64 = MAX_NUMBERED as u64 * (2 + 255 + 9);
    let pins = u64::try_from(max_pins).unwrap_or(u64::MAX).max(10_000_000);
    pins.saturating_mul(1 + PIN_LEN as u64).saturating_add(FRAME + NAMES)
}
