//! What two replicas that have proved the key tell each other before anything else.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

use bytes::{Buf, BufMut};
use router_core::{
    cluster::{Node, ReplicaId},
    time::Timestamp,
};

use super::counters::Outcome;

/// Longest hello that is read. Ours has less than 70 bytes; a later release may append to it.
pub(super) const MAX_HELLO: usize = 512;

/// One side's introduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Versions of the messages that it speaks.
    pub(super) versions: RangeInclusive<u16>,
    pub(super) node: Node,
    /// Fingerprint of the key that rooms' names are hashed with.
    pub(super) room_key: u64,
    /// Tag of a link between the two that the sender knows to be gone; 0 for none.
    pub(super) lost: u64,
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        out.put_u16(*self.versions.start());
        out.put_u16(*self.versions.end());
        out.put_u64(self.node.id.0);
        match self.node.address.ip() {
            IpAddr::V4(ip) => {
                out.put_u8(4);
                out.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(6);
                out.put_slice(&ip.octets());
            }
        }
        out.put_u16(self.node.address.port());
        out.put_u64(self.node.started.0);
        out.put_u64(self.room_key);
        out.put_u64(self.lost);
        out
    }

    /// Reads what [`Self::encode`] wrote; what follows it is a later release's business.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let oldest = bytes.try_get_u16().ok()?;
        let newest = bytes.try_get_u16().ok()?;
        let id = ReplicaId(bytes.try_get_u64().ok()?);
        let ip: IpAddr = match bytes.try_get_u8().ok()? {
            4 => Ipv4Addr::from_bits(bytes.try_get_u32().ok()?).into(),
            6 => Ipv6Addr::from_bits(bytes.try_get_u128().ok()?).into(),
            _ => return None,
        };
        let address = SocketAddr::new(ip, bytes.try_get_u16().ok()?);
        let started = Timestamp(bytes.try_get_u64().ok()?);
        let room_key = bytes.try_get_u64().ok()?;
        let lost = bytes.try_get_u64().ok()?;
        let node = Node { id, address, started };
        (oldest <= newest).then_some(Self { versions: oldest..=newest, node, room_key, lost })
    }

    /// Whether the two may be linked: the version to speak, or why not. Both sides come to the same result.
    pub(super) fn agree(&self, other: &Self) -> Result<u16, Outcome> {
        if self.node.id == other.node.id {
            return Err(Outcome::Itself);
        }
        if self.room_key != other.room_key {
            return Err(Outcome::RoomKey);
        }
        let newest = *self.versions.end().min(other.versions.end());
        let oldest = *self.versions.start().max(other.versions.start());
        if oldest <= newest { Ok(newest) } else { Err(Outcome::Version) }
    }
}

/// The accepting side's last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is a link.
    Welcome,
    /// There is a link, with this tag.
    Duplicate(u64),
    /// No link, for this reason.
    No(Outcome),
}

/// Longest verdict that is read.
pub(super) const MAX_VERDICT: usize = 64;

const REASONS: [(u8, Outcome); 5] =
    [(2, Outcome::Itself), (3, Outcome::RoomKey), (4, Outcome::Version), (5, Outcome::Full), (6, Outcome::Leaving)];

impl Verdict {
    pub(super) fn encode(self) -> Vec<u8> {
        match self {
            Self::Welcome => vec![0],
            Self::Duplicate(tag) => [&[1], tag.to_be_bytes().as_slice()].concat(),
            Self::No(reason) => {
                let code = REASONS.iter().find(|(_, outcome)| *outcome == reason);
                vec![code.map_or(u8::MAX, |(code, _)| *code)]
            }
        }
    }

    /// `None` when it makes no sense. A reason of a later release counts as [`Outcome::Malformed`].
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        Some(match bytes.try_get_u8().ok()? {
            0 => Self::Welcome,
            1 => Self::Duplicate(bytes.try_get_u64().ok()?),
            code => {
                let reason = REASONS.iter().find(|(known, _)| *known == code);
                Self::No(reason.map_or(Outcome::Malformed, |(_, outcome)| *outcome))
            }
        })
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Welcome => Outcome::Linked,
            Self::Duplicate(_) => Outcome::Duplicate,
            Self::No(reason) => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(id: u64, versions: RangeInclusive<u16>, room_key: u64) -> Hello {
        let node = Node { id: ReplicaId(id), address: "10.0.0.1:7946".parse().unwrap(), started: Timestamp(5) };
        Hello { versions, node, room_key, lost: 9 }
    }

    #[test]
    fn a_hello_survives_the_way_and_an_appendix() {
        for address in ["10.0.0.1:7946", "[2001:db8::7]:1"] {
            let mut hello = hello(1, 1..=2, 0);
            hello.node.address = address.parse().unwrap();
            let mut bytes = hello.encode();
            for end in 0..bytes.len() {
                assert_eq!(Hello::decode(&bytes[..end]), None, "{end}");
            }
            bytes.extend_from_slice(b"of a later release");
            assert_eq!(Hello::decode(&bytes), Some(hello));
        }
    }

    #[test]
    fn both_sides_agree_or_both_know_why_not() {
        let cases = [
            (hello(1, 1..=1, 0), hello(2, 1..=1, 0), Ok(1)),
            (hello(1, 2..=3, 0), hello(2, 1..=2, 0), Ok(2)),
            (hello(1, 3..=4, 0), hello(2, 1..=2, 0), Err(Outcome::Version)),
            (hello(1, 1..=1, 3), hello(2, 1..=1, 4), Err(Outcome::RoomKey)),
            (hello(1, 1..=1, 0), hello(1, 1..=1, 0), Err(Outcome::Itself)),
        ];
        for (a, b, expected) in cases {
            assert_eq!((a.agree(&b), b.agree(&a)), (expected, expected));
        }
    }

    #[test]
    fn verdicts_survive_the_way() {
        let no = REASONS.map(|(_, outcome)| Verdict::No(outcome));
        for verdict in [Verdict::Welcome, Verdict::Duplicate(77)].into_iter().chain(no) {
            assert_eq!(Verdict::decode(&verdict.encode()), Some(verdict));
        }
        assert_eq!(Verdict::decode(&[200]), Some(Verdict::No(Outcome::Malformed)));
        assert_eq!(Verdict::decode(&[]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_confuse_the_decoders(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Verdict::decode(&bytes);
            if let Some(hello) = Hello::decode(&bytes) {
                let again = hello.encode();
                prop_assert_eq!(&again[..], &bytes[..again.len()]);
            }
        }
    }
}
