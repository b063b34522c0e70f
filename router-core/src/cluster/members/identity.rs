//! How members are named in datagrams, and the datagrams' bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};

use crate::{
    cluster::{Node, ReplicaId},
    time::Timestamp,
};

/// A replica as SWIM knows it.
///
/// SWIM never takes back that somebody is down. A replica that was merely out of reach comes back under the next
/// `life`; others see the same [`Node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) node: Node,
    pub(super) life: u16,
}

impl Identity {
    /// A replica's first life.
    pub(super) fn first(node: Node) -> Self {
        Self { node, life: 0 }
    }

    /// Which of two is the later one at an address.
    fn age(&self) -> (Timestamp, ReplicaId, u16) {
        (self.node.started, self.node.id, self.life)
    }
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    /// Done by [`super::Members`], which has a clock to do it seldom enough.
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> SocketAddr {
        self.node.address
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.age() > adversary.age()
    }
}

/// An address without what means something on one host only: a scope or a flow would make one member two.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// The bytes are no datagram, or there is no room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a membership datagram")]
pub(super) struct Malformed;

impl From<bytes::TryGetError> for Malformed {
    fn from(_: bytes::TryGetError) -> Self {
        Self
    }
}

/// Big-endian fields in the order of the types; a tag byte where there is a choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codec;

impl foca::Codec<Identity> for Codec {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), Malformed> {
        let mut bytes = Vec::with_capacity(4 * IDENTITY_LEN);
        put_identity(&mut bytes, &header.src);
        bytes.put_u16(header.src_incarnation);
        put_identity(&mut bytes, &header.dst);
        put_message(&mut bytes, &header.message);
        put_whole(buf, &bytes)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, Malformed> {
        Ok(Header {
            src: identity(&mut buf)?,
            src_incarnation: buf.try_get_u16()?,
            dst: identity(&mut buf)?,
            message: message(&mut buf)?,
        })
    }

    fn encode_member(&mut self, member: &Member<Identity>, buf: impl BufMut) -> Result<(), Malformed> {
        let mut bytes = Vec::with_capacity(IDENTITY_LEN + 3);
        put_identity(&mut bytes, member.id());
        bytes.put_u16(member.incarnation());
        bytes.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        put_whole(buf, &bytes)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Identity>, Malformed> {
        let (identity, incarnation) = (identity(&mut buf)?, buf.try_get_u16()?);
        let state = match buf.try_get_u8()? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(Malformed),
        };
        Ok(Member::new(identity, incarnation, state))
    }
}

/// With an IPv6 address.
const IDENTITY_LEN: usize = 37;

fn put_whole(mut buf: impl BufMut, bytes: &[u8]) -> Result<(), Malformed> {
    if buf.remaining_mut() < bytes.len() {
        return Err(Malformed);
    }
    buf.put_slice(bytes);
    Ok(())
}

fn put_identity(bytes: &mut Vec<u8>, identity: &Identity) {
    let Identity { node: Node { id, address, started }, life } = identity;
    bytes.put_u64(id.0);
    bytes.put_u64(started.0);
    bytes.put_u16(*life);
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.put_u8(4);
            bytes.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.put_u8(6);
            bytes.put_slice(&ip.octets());
        }
    }
    bytes.put_u16(address.port());
}

fn identity(buf: &mut impl Buf) -> Result<Identity, Malformed> {
    let (id, started, life) = (buf.try_get_u64()?, buf.try_get_u64()?, buf.try_get_u16()?);
    let ip: IpAddr = match buf.try_get_u8()? {
        4 => Ipv4Addr::from_bits(buf.try_get_u32()?).into(),
        6 => Ipv6Addr::from_bits(buf.try_get_u128()?).into(),
        _ => return Err(Malformed),
    };
    let address = SocketAddr::new(ip, buf.try_get_u16()?);
    Ok(Identity { node: Node { id: ReplicaId(id), address, started: Timestamp(started) }, life })
}

fn put_message(bytes: &mut Vec<u8>, message: &Message<Identity>) {
    match message {
        Message::Ping(number) => bytes.put_slice(&[0, *number]),
        Message::Ack(number) => bytes.put_slice(&[1, *number]),
        Message::PingReq { target, probe_number } => put_indirect(bytes, 2, *probe_number, target),
        Message::IndirectPing { origin, probe_number } => put_indirect(bytes, 3, *probe_number, origin),
        Message::IndirectAck { target, probe_number } => put_indirect(bytes, 4, *probe_number, target),
        Message::ForwardedAck { origin, probe_number } => put_indirect(bytes, 5, *probe_number, origin),
        Message::Announce => bytes.put_u8(6),
        Message::Feed => bytes.put_u8(7),
        Message::Gossip => bytes.put_u8(8),
        Message::Broadcast => bytes.put_u8(9),
        Message::TurnUndead => bytes.put_u8(10),
    }
}

fn put_indirect(bytes: &mut Vec<u8>, tag: u8, number: u8, third: &Identity) {
    bytes.put_slice(&[tag, number]);
    put_identity(bytes, third);
}

fn message(buf: &mut impl Buf) -> Result<Message<Identity>, Malformed> {
    Ok(match buf.try_get_u8()? {
        0 => Message::Ping(buf.try_get_u8()?),
        1 => Message::Ack(buf.try_get_u8()?),
        2 => Message::PingReq { probe_number: buf.try_get_u8()?, target: identity(buf)? },
        3 => Message::IndirectPing { probe_number: buf.try_get_u8()?, origin: identity(buf)? },
        4 => Message::IndirectAck { probe_number: buf.try_get_u8()?, target: identity(buf)? },
        5 => Message::ForwardedAck { probe_number: buf.try_get_u8()?, origin: identity(buf)? },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        // Broadcasts (9) are a part of the protocol that this one does not use.
        10 => Message::TurnUndead,
        _ => return Err(Malformed),
    })
}
