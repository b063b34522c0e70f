use proptest::{collection::vec, option, prelude::*};

use super::*;

fn name() -> impl Strategy<Value = ShardName> {
    "[a-zA-Z0-9._-]{1,40}".prop_map(|name| ShardName::new(&name).unwrap())
}

fn key() -> impl Strategy<Value = RoomKey> {
    any::<u128>().prop_map(RoomKey)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0u64..1 << 48).prop_map(Timestamp)
}

fn pin() -> impl Strategy<Value = Pin> {
    (name(), any::<u32>(), any::<bool>(), time(), any::<u64>(), time()).prop_map(
        |(shard, epoch, ended, created, decider, last_seen)| Pin {
            shard,
            epoch,
            ended,
            created,
            decider: DeciderId(decider),
            last_seen,
        },
    )
}

fn pins() -> impl Strategy<Value = Vec<(RoomKey, Pin)>> {
    vec((key(), pin()), 0..20)
}

fn status() -> impl Strategy<Value = Status> {
    let state = prop_oneof![Just(ReplicaState::Joining), Just(ReplicaState::Ready), Just(ReplicaState::Draining)];
    let report =
        (name(), any::<bool>(), any::<u32>()).prop_map(|(shard, down, tunnels)| ShardReport { shard, down, tunnels });
    let shard_state = prop_oneof![Just(ShardState::Ready), Just(ShardState::Draining), Just(ShardState::Down)];
    let order = (name(), option::of(shard_state), time(), any::<u64>()).prop_map(|(shard, state, at, by)| Order {
        shard,
        state,
        at,
        by: ReplicaId(by),
    });
    (any::<u16>(), state, vec(report, 0..9), vec(order, 0..9)).prop_map(|(protocol, state, shards, orders)| Status {
        protocol,
        state,
        shards,
        orders,
    })
}

fn message() -> impl Strategy<Value = Message> {
    let why = prop_oneof![
        Just(ClaimRefusal::NoShard),
        Just(ClaimRefusal::TableFull),
        Just(ClaimRefusal::Awaited),
        Just(ClaimRefusal::NotReady)
    ];
    let id = any::<u32>();
    prop_oneof![
        vec(any::<u8>(), 0..1400).prop_map(Message::Gossip),
        status().prop_map(Message::Status),
        (id, key(), option::of(name()), any::<bool>()).prop_map(|(id, key, lost, relayed)| Message::Claim {
            id,
            key,
            lost,
            relayed
        }),
        (id, pin()).prop_map(|(id, pin)| Message::Granted { id, pin }),
        (id, why).prop_map(|(id, why)| Message::Refused { id, why }),
        (id, key(), pin()).prop_map(|(id, key, pin)| Message::Propose { id, key, pin }),
        id.prop_map(|id| Message::Accepted { id }),
        (id, pin()).prop_map(|(id, pin)| Message::Existing { id, pin }),
        pins().prop_map(Message::Pins),
        vec((key(), any::<u32>(), time()), 0..20).prop_map(Message::Seen),
        vec((key(), name(), any::<u32>()), 0..20).prop_map(Message::Census),
        pins().prop_map(Message::Settled),
        vec(any::<u64>(), 0..257).prop_map(Message::Digest),
        (any::<u8>(), vec(any::<u64>(), 0..257)).prop_map(|(group, leaves)| Message::Leaves { group, leaves }),
        (any::<u8>(), any::<u8>(), pins(), any::<bool>()).prop_map(|(group, leaf, pins, answer)| Message::LeafPins {
            group,
            leaf,
            pins,
            answer
        }),
        Just(Message::SnapshotRequest),
        any::<u64>().prop_map(|pins| Message::SnapshotEnd { pins }),
        Just(Message::Goodbye),
        pins().prop_map(Message::SnapshotPins),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
    }

    /// A datagram has no length of its own; every other message knows where it ends.
    #[test]
    fn a_cut_or_longer_message_is_refused(message in message(), cut in any::<prop::sample::Index>()) {
        prop_assume!(!matches!(message, Message::Gossip(_)));
        let mut bytes = message.encode();
        prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(Message::decode(&bytes).is_err());
    }
}

#[test]
fn a_list_cannot_ask_for_more_than_it_brings() {
    assert_eq!(Message::decode(&[9, 0xff, 0xff, 0]), Err(DecodeError::Short));
    assert_eq!(Message::decode(&vec![1; MAX_MESSAGE + 1]), Err(DecodeError::TooLarge(MAX_MESSAGE + 1)));
}

#[test]
fn a_full_message_of_each_kind_fits() {
    let name = ShardName::new(&"n".repeat(ShardName::MAX_LEN)).unwrap();
    let decider = DeciderId(u64::MAX);
    let pin = Pin { shard: name, epoch: 1, ended: false, created: Timestamp(1), decider, last_seen: Timestamp(1) };
    let pins = vec![(RoomKey(1), pin); 190];
    assert!(Message::Pins(pins).encode().len() <= MAX_MESSAGE);
}
