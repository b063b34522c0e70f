use proptest::prelude::*;

use super::*;
use crate::{
    registry::{Registry, RegistrySettings, ShardEvent, ShardInput},
    shard::ShardSpec,
};

fn name(name: &str) -> ShardName {
    ShardName::new(name).unwrap()
}

fn order(state: Option<ShardState>, at: u64, by: u64) -> Order {
    Order { shard: name("a"), state, at: Timestamp(at), by: ReplicaId(by) }
}

fn registry(replica: u64) -> Registry {
    let mut registry = Registry::new(RegistrySettings::default()).of(ReplicaId(replica));
    list(&mut registry);
    registry
}

fn list(registry: &mut Registry) -> Vec<ShardEvent> {
    let addresses = vec![([127, 0, 0, 1], 80).into()];
    let spec = ShardSpec { name: name("a"), addresses, weight: 1, state: ShardState::Ready, agent_port: None };
    let hold_down = std::time::Duration::ZERO;
    registry.handle(ShardInput::Discovered { source: "dns".into(), shards: vec![spec], hold_down }, Timestamp(1))
}

fn state(registry: &Registry) -> ShardState {
    registry.view().by_name("a").unwrap().state
}

fn speak(registry: &mut Registry, state: Option<ShardState>, now: u64) {
    registry.handle(ShardInput::Operator { shard: name("a"), state }, Timestamp(now));
}

#[test]
fn the_last_word_holds_on_every_replica() {
    let (mut one, mut other) = (registry(1), registry(2));
    speak(&mut one, Some(ShardState::Draining), 100);
    assert_eq!(one.orders(), [order(Some(ShardState::Draining), 100, 1)]);
    speak(&mut other, Some(ShardState::Down), 101);
    for replica in [&mut one, &mut other] {
        for order in [order(Some(ShardState::Draining), 100, 1), order(Some(ShardState::Down), 101, 2)] {
            replica.order(order, Timestamp(200));
        }
        assert_eq!(state(replica), ShardState::Down);
    }
    // Taken back: an echo of the earlier words does not bring them back.
    speak(&mut one, None, 300);
    assert_eq!((state(&one), one.orders()), (ShardState::Ready, vec![order(None, 300, 1)]));
    assert_eq!(one.order(order(Some(ShardState::Down), 101, 2), Timestamp(301)), []);
    assert_eq!(state(&one), ShardState::Ready);
}

/// An operator at a replica whose clock is behind is heard all the same.
#[test]
fn who_speaks_now_has_the_last_word() {
    let mut registry = registry(1);
    registry.order(order(Some(ShardState::Down), 5000, 2), Timestamp(10));
    speak(&mut registry, Some(ShardState::Ready), 10);
    assert_eq!(
        (state(&registry), registry.orders()),
        (ShardState::Ready, vec![order(Some(ShardState::Ready), 5001, 1)])
    );
}

#[test]
fn a_word_on_a_shard_that_comes_later_waits_for_it() {
    let mut registry = Registry::new(RegistrySettings::default());
    assert_eq!(registry.order(order(Some(ShardState::Draining), 5, 2), Timestamp(10)), []);
    assert!(list(&mut registry).iter().any(|e| matches!(e, ShardEvent::Changed { to: ShardState::Draining, .. })));
}

#[test]
fn orders_are_bounded() {
    let mut registry = registry(1);
    let other = |n: usize| Order { shard: name(&format!("s{n}")), ..order(Some(ShardState::Down), 1, 1) };
    for n in 0..MAX_SHARD_NAMES {
        assert_eq!(registry.orders.take(other(n)), Ok(()));
    }
    let refused = registry.order(order(None, 9, 9), Timestamp(10));
    assert!(matches!(&refused[..], [ShardEvent::Refused { shard, .. }] if *shard == name("a")));
    assert_eq!(registry.orders.take(Order { at: Timestamp(2), ..other(7) }), Ok(()), "known ones still change");
}

fn orders() -> impl Strategy<Value = Order> {
    let states = vec![None, Some(ShardState::Ready), Some(ShardState::Draining), Some(ShardState::Down)];
    (prop::sample::select(states), 0..3u64, 0..3u64).prop_map(|(state, at, by)| order(state, at, by))
}

proptest! {
    #[test]
    fn replicas_agree_in_any_order(
        (orders, shuffled) in
            prop::collection::vec(orders(), 0..8).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let (mut one, mut other) = (registry(1), registry(2));
        let last = orders.iter().map(|order| (order.at, order.by)).max();
        orders.iter().for_each(|order| _ = one.order(order.clone(), Timestamp(9)));
        shuffled.iter().chain(&shuffled).for_each(|order| _ = other.order(order.clone(), Timestamp(9)));
        prop_assert_eq!(one.orders(), other.orders());
        prop_assert_eq!(state(&one), state(&other));
        prop_assert_eq!(one.orders().first().map(|order| (order.at, order.by)), last);
    }
}
