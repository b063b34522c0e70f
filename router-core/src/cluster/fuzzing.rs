//! What other replicas can say to this one, as any bytes.

use std::{sync::Arc, time::Duration};

use super::{
    Cluster, ClusterSettings, Input, Node, Output, ReplicaId,
    members::Members,
    message::{MAX_MESSAGE, Message},
};
use crate::{
    pin::DeciderId,
    registry::{RegistrySettings, ShardInput},
    room::RoomKey,
    router::{Router, RouterSettings},
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};

/// Pins that the replica may hold.
const MAX_PINS: usize = 64;
/// Most messages of one conversation.
const MAX_STEPS: usize = 200;

fn node(number: u8) -> Node {
    let address = ([127, 0, 0, number], 7946).into();
    Node { id: ReplicaId(number.into()), address, started: Timestamp(5) }
}

/// The next part of the data: a byte that says what it is, two of length, and so many bytes.
fn part<'a>(data: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[kind, high, low], rest) = data.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
    let (part, rest) = rest.split_at(length);
    *data = rest;
    Some((kind, part))
}

/// One message: what is understood is said again in the same bytes, up to a length that no list can fill.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::decode(data) else { return };
    let again = message.encode();
    assert!(again.len() <= MAX_MESSAGE, "{message:?}");
    assert_eq!(Message::decode(&again), Ok(message));
    assert_eq!(again, data, "one message, two spellings");
}

/// Datagrams of the membership protocol from a linked replica, and time passing between them.
pub fn gossip(data: &[u8]) {
    let mut now = Timestamp(1_000_000);
    let mut members = Members::new(node(1), 1, now);
    for number in [2, 3] {
        members.link_up(node(number), now);
    }
    let mut data = data;
    for _ in 0..MAX_STEPS {
        let Some((kind, datagram)) = part(&mut data) else { break };
        members.gossip(ReplicaId(u64::from(kind & 3)), datagram, now);
        now = now + Duration::from_millis(u64::from(kind >> 2) * 10);
        members.tick(now);
        assert!(members.live().any(|(node, _)| node.id == ReplicaId(1)), "a replica is always live for itself");
    }
    // Long enough for every suspicion to end.
    for _ in 0..20 {
        now = now + Duration::from_millis(100);
        members.tick(now);
    }
}

/// Everything that linked replicas can send, in any order, with requests, broken links and time between.
pub fn conversation(data: &[u8]) {
    let mut now = Timestamp(1_000_000);
    let (router, mut cluster) = replica(now);
    for number in [2, 3] {
        cluster.handle(Input::LinkUp(node(number)), now);
    }
    let mut data = data;
    for ticket in 0..MAX_STEPS as u64 {
        let Some((kind, bytes)) = part(&mut data) else { break };
        let from = ReplicaId(2 + u64::from(kind & 1));
        let input = match kind >> 1 & 7 {
            0 => Input::Tick,
            1 => Input::LinkDown(from),
            2 => Input::LinkUp(node(2 + (kind & 1))),
            3 => Input::Wanted { key: RoomKey(u128::from(bytes.first().copied().unwrap_or_default())), ticket },
            4 => Input::BulkDrained(from),
            _ => match Message::decode(bytes) {
                Ok(message) => Input::Received { from, message },
                Err(_) => continue,
            },
        };
        let outputs = cluster.handle(input, now);
        for output in outputs {
            if let Output::Send { message, .. } = output {
                assert!(message.encode().len() <= MAX_MESSAGE, "{message:?}");
            }
        }
        assert!(router.len() <= MAX_PINS, "the table is full at {MAX_PINS}");
        now = now + Duration::from_millis(u64::from(kind >> 4) * 20);
    }
    for _ in 0..20 {
        now = now + Duration::from_millis(100);
        cluster.handle(Input::Tick, now);
    }
    let waiting = cluster.under_way();
    assert_eq!(waiting.claims, 0, "every request has its answer: {waiting:?}");
}

fn replica(now: Timestamp) -> (Arc<Router>, Cluster) {
    let router = Arc::new(Router::new(RouterSettings {
        ttl: Duration::from_secs(600),
        max_pins: MAX_PINS,
        decider: DeciderId(1),
        registry: RegistrySettings::default(),
        restored_hold: Duration::from_secs(30),
    }));
    let shard = |number: u8| ShardSpec {
        name: ShardName::new(&format!("shard-{number}")).expect("a name"),
        addresses: vec![([127, 0, 1, number], 80).into()],
        weight: 1,
        state: ShardState::Ready,
        agent_port: None,
    };
    let shards = [1, 2].map(shard).into();
    router.handle(ShardInput::Discovered { source: "list".into(), shards, hold_down: Duration::ZERO }, now);
    let settings = ClusterSettings { claim_timeout: Duration::from_millis(150), seed: 1 };
    (Arc::clone(&router), Cluster::new(node(1), router, settings, now))
}

/// Inputs from which others are made: each message once, and a conversation of them.
#[cfg(test)]
pub(crate) mod seeds {
    use super::{MAX_STEPS, node};
    use crate::{
        cluster::{
            ReplicaId, ReplicaState,
            members::Members,
            message::{ClaimRefusal, Message, Order, ShardReport, Status},
        },
        pin::{DeciderId, Pin},
        room::RoomKey,
        shard::{ShardName, ShardState},
        time::Timestamp,
    };

    fn part(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).expect("a seed is short");
        [&[kind], length.to_be_bytes().as_slice(), bytes].concat()
    }

    /// What a replica says when it hears of another, and a second later.
    fn datagrams(from: u8) -> Vec<Vec<u8>> {
        use crate::cluster::members::MemberEffect;
        let now = Timestamp(1_000_000);
        let mut members = Members::new(node(from), from.into(), now);
        let mut effects = members.link_up(node(1), now);
        // An answer to the announcement makes it a member, and probes begin.
        let mut other = Members::new(node(1), 1, now);
        other.link_up(node(from), now);
        for _ in 0..20 {
            let sent = effects.iter().filter_map(|effect| match effect {
                MemberEffect::Send { datagram, .. } => Some(datagram.clone()),
                _ => None,
            });
            let answers = sent.flat_map(|datagram| other.gossip(ReplicaId(from.into()), &datagram, now));
            for answer in answers.collect::<Vec<_>>() {
                if let MemberEffect::Send { datagram, .. } = answer {
                    effects.extend(members.gossip(ReplicaId(1), &datagram, now));
                }
            }
            effects.extend(members.tick(now + std::time::Duration::from_millis(400)));
            if effects.len() > 6 {
                break;
            }
        }
        let datagram = |effect| if let MemberEffect::Send { datagram, .. } = effect { Some(datagram) } else { None };
        effects.into_iter().filter_map(datagram).take(6).collect()
    }

    fn messages() -> Vec<Message> {
        let name = |number| ShardName::new(&format!("shard-{number}")).expect("a name");
        let pin = |shard| Pin {
            shard: name(shard),
            epoch: 1,
            ended: false,
            created: Timestamp(999_000),
            decider: DeciderId(2),
            last_seen: Timestamp(999_500),
        };
        let key = RoomKey(7);
        let order = |state| Order { shard: name(1), state, at: Timestamp(5), by: ReplicaId(2) };
        let status = Status {
            protocol: 1,
            state: ReplicaState::Ready,
            shards: vec![ShardReport { shard: name(1), down: true, tunnels: 3 }],
            orders: vec![order(Some(ShardState::Draining)), order(None)],
        };
        vec![
            Message::Status(status),
            Message::Claim { id: 1, key, lost: Some(name(2)), relayed: true },
            Message::Claim { id: 2, key, lost: None, relayed: false },
            Message::Granted { id: 1, pin: pin(1) },
            Message::Refused { id: 1, why: ClaimRefusal::Awaited },
            Message::Propose { id: 1, key, pin: pin(1) },
            Message::Accepted { id: 1 },
            Message::Existing { id: 1, pin: pin(2) },
            Message::Pins(vec![(key, pin(1)), (RoomKey(8), pin(2))]),
            Message::Seen(vec![(key, 1, Timestamp(999_900))]),
            Message::Census(vec![(key, name(1), 2)]),
            Message::Settled(vec![(key, pin(2))]),
            Message::Digest(vec![7; 256]),
            Message::Leaves { group: 0, leaves: vec![9; 256] },
            Message::LeafPins { group: 0, leaf: 0, pins: vec![(key, pin(1))], answer: true },
            Message::SnapshotRequest,
            Message::SnapshotEnd { pins: 2 },
            Message::Goodbye,
        ]
    }

    pub(crate) fn message() -> Vec<Vec<u8>> {
        let gossip = datagrams(2).into_iter().map(|datagram| Message::Gossip(datagram).encode());
        messages().iter().map(Message::encode).chain(gossip.take(1)).collect()
    }

    pub(crate) fn gossip() -> Vec<Vec<u8>> {
        let all = datagrams(2);
        assert!(!all.is_empty(), "a replica that meets another has something to say");
        let each = all.iter().map(|datagram| part(0x12, datagram));
        let whole = each.clone().take(MAX_STEPS).collect::<Vec<_>>().concat();
        each.chain([whole]).collect()
    }

    pub(crate) fn conversation() -> Vec<Vec<u8>> {
        // Kinds: 10 is a message of the second replica, 11 of the third; 6 a request; 0, 2 and 4 time and links.
        let said: Vec<_> = message().iter().map(|bytes| part(10, bytes)).collect();
        let first = [part(6, &[7]), part(0xf0, &[])].concat();
        let alone = said.iter().map(|said| [first.clone(), said.clone(), part(6, &[8]), part(0xf0, &[])].concat());
        let whole = [first.clone(), said.concat(), part(2, &[]), part(4, &[]), said.concat(), part(0xf0, &[])].concat();
        alone.chain([whole]).collect()
    }
}
