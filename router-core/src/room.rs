//! Rooms: their names as every client spells them, and the one key behind all the spellings.

mod normal;
mod target;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use self::target::{NameTooLong, Target, classify};

/// Longest raw room name, and longest raw tenant, in bytes as they stand in the request.
///
/// A name of CJK characters costs 15 bytes each when doubly encoded, so this is about 136 of them at worst.
pub const MAX_RAW_NAME: usize = 2048;

/// What the sticky table knows a room by: 128 bits of a keyed hash of its normalised name.
///
/// Of fixed size, so a long name costs no memory and is never truncated into another one; keyed, so nobody
/// outside can craft names that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomKey(pub u128);

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room key is 32 hexadecimal digits")]
pub struct RoomKeyError;

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RoomKey {
    type Err = RoomKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would take a sign.
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(RoomKeyError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| RoomKeyError)
    }
}

impl TryFrom<String> for RoomKey {
    type Error = RoomKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RoomKey> for String {
    fn from(key: RoomKey) -> Self {
        key.to_string()
    }
}

/// A room's name in the one spelling that all requests for it agree on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName {
    tenant: String,
    room: String,
}

impl RoomName {
    /// Normalises a tenant (may be empty, may have several segments) and a room that are not part of a query:
    /// percent-encoding is undone, a `+` stays a `+`.
    ///
    /// The length is the caller's to bound; [`classify`] bounds what comes from the network.
    #[must_use]
    pub fn new(tenant: &str, room: &str) -> Self {
        let segments = tenant.split('/').filter(|s| !s.is_empty());
        Self {
            tenant: normal::tenant(segments.map(str::as_bytes)),
            room: normal::name(room.as_bytes(), normal::Plus::Literal),
        }
    }

    /// The path before the endpoint, without slashes at its ends; empty without a tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The room's own name.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.tenant.is_empty() {
            write!(f, "{}/", self.tenant)?;
        }
        f.write_str(&self.room)
    }
}

/// Turns names into keys under one secret. All replicas of a cluster share the secret.
#[derive(Clone)]
pub struct KeyHasher {
    key: [u8; blake3::KEY_LEN],
    fingerprint: u64,
}

/// BLAKE3 `derive_key` contexts: globally unique, never changed, for they are part of what a snapshot holds.
const KEY_CONTEXT: &str = "roompin 2026 room key v1";
const FINGERPRINT_CONTEXT: &str = "roompin 2026 room key fingerprint v1";
const PUBLISHED_SECRET: &[u8] = b"roompin: the key that everybody knows";

/// Names up to this many bytes are hashed from the stack in one piece.
const ON_STACK: usize = 256;

impl KeyHasher {
    /// Keys under this secret; any length, all of it counts.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let fingerprint = blake3::derive_key(FINGERPRINT_CONTEXT, secret);
        Self { key: blake3::derive_key(KEY_CONTEXT, secret), fingerprint: low_u64(u128_prefix(&fingerprint)) }
    }

    /// The key of a room: BLAKE3's keyed hash of tenant, NUL, room; its first 128 bits.
    #[must_use]
    pub fn key(&self, name: &RoomName) -> RoomKey {
        let (tenant, room) = (name.tenant.as_bytes(), name.room.as_bytes());
        let len = tenant.len() + 1 + room.len();
        let hash = if len <= ON_STACK {
            let mut text = [0; ON_STACK];
            text[..tenant.len()].copy_from_slice(tenant);
            text[tenant.len() + 1..len].copy_from_slice(room);
            blake3::keyed_hash(&self.key, &text[..len])
        } else {
            let mut hasher = blake3::Hasher::new_keyed(&self.key);
            hasher.update(tenant).update(&[0]).update(room).finalize()
        };
        RoomKey(u128_prefix(hash.as_bytes()))
    }

    /// Tells two secrets apart without giving either away: a snapshot made under another secret is useless.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// The published key, for a proxy whose operator configured no secret.
impl Default for KeyHasher {
    fn default() -> Self {
        Self::new(PUBLISHED_SECRET)
    }
}

/// The key stays out of logs.
impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHasher({:016x})", self.fingerprint)
    }
}

/// The first 128 bits of a hash, big-endian, so that the printed key is a prefix of the printed hash.
fn u128_prefix(hash: &[u8; blake3::OUT_LEN]) -> u128 {
    hash.iter().take(16).fold(0, |n, &byte| (n << 8) | u128::from(byte))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub(crate) fn low_u64(n: u128) -> u64 {
    n as u64
}
