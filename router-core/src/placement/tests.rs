use std::{cell::RefCell, collections::HashMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{shard::ShardState, time::Timestamp};

/// A ready shard; ids are given out in the order of the list, names as stated.
fn shards(list: &[(&str, u32)]) -> ShardSet {
    let names: Vec<_> = list.iter().map(|(name, _)| ShardName::new(name).unwrap()).collect();
    let shard = |(id, (name, &(_, weight))): (u16, (&ShardName, &(&str, u32)))| Shard {
        id: ShardId(id),
        name: name.clone(),
        addresses: Arc::from(["127.0.0.1:80".parse().unwrap()]),
        weight: weight * 100,
        state: ShardState::Ready,
        discovery: ShardState::Ready,
        operator: None,
        health: ShardState::Ready,
        votes: None,
        agent: None,
        why: String::new(),
        agent_port: None,
        present: true,
        source: Arc::from("test"),
        awaited_until: Timestamp(0),
        seed: seed(name),
    };
    ShardSet::new((0..).zip(names.iter().zip(list)).map(shard).collect(), names)
}

fn without(set: &ShardSet, gone: ShardId) -> ShardSet {
    let mut left: Vec<_> = set.iter().cloned().collect();
    left.iter_mut().filter(|s| s.id == gone).for_each(|s| s.state = ShardState::Draining);
    let names = (0..).map_while(|id| set.name(ShardId(id)).cloned()).collect();
    ShardSet::new(left, names)
}

/// Uniform keys, as the keyed hash makes them.
fn key(n: u64) -> RoomKey {
    RoomKey((u128::from(mix(n)) << 64) | u128::from(mix(!n)))
}

fn best(n: u64, set: &ShardSet) -> ShardId {
    order(key(n), set).next().unwrap()
}

/// Places `rooms` one after the other and returns the loads by id.
fn fill(set: &ShardSet, rooms: u64, start: u64) -> Vec<u32> {
    let loads = RefCell::new(vec![0u32; set.len()]);
    for n in start..start + rooms {
        let load = |id: ShardId| loads.borrow()[usize::from(id.0)];
        let shard = place(key(n), set, load, &[]).unwrap();
        loads.borrow_mut()[usize::from(shard.0)] += 1;
    }
    loads.into_inner()
}

#[test]
fn nowhere_to_go() {
    let none = |_| 0;
    assert_eq!(place(key(1), &ShardSet::default(), none, &[]), None);
    let set = shards(&[("a", 1)]);
    assert_eq!(place(key(1), &set, none, &[]), Some(ShardId(0)));
    assert_eq!(place(key(1), &set, none, &[ShardId(0)]), None);
    assert_eq!(place(key(1), &shards(&[("a", 0)]), none, &[]), None);
    assert_eq!(place(key(1), &without(&set, ShardId(0)), none, &[]), None);
    assert_eq!(by_chance(1, &ShardSet::default()), None);
}

/// The placement of rooms is what replicas agree on without talking: it may not change between versions.
#[test]
fn the_order_is_written_in_stone() {
    let set = shards(&[("alpha", 1), ("beta", 1), ("gamma", 2), ("delta", 1)]);
    let name = |id| set.name(id).unwrap().as_str().to_owned();
    let order: Vec<_> = order(RoomKey(1 << 100 | 7), &set).map(name).collect();
    assert_eq!(order.join(" "), "delta beta gamma alpha");
}

#[test]
fn a_full_shard_passes_rooms_on_in_order() {
    let set = shards(&[("a", 1), ("b", 1), ("c", 1)]);
    for n in 0..50 {
        let order: Vec<_> = order(key(n), &set).collect();
        // 9 rooms: mean with the new one 10/3, bound ceil(4.17) = 5.
        let load = |id| if id == order[0] { 5 } else { 2 };
        assert_eq!(place(key(n), &set, load, &[]), Some(order[1]));
        // 10 rooms: bound ceil(4.58) = 5.
        let load = |id| if id == order[0] { 4 } else { 3 };
        assert_eq!(place(key(n), &set, load, &[]), Some(order[0]));
    }
}

#[test]
fn loads_that_change_meanwhile_still_give_a_shard() {
    let set = shards(&[("a", 1), ("b", 1)]);
    let growing = RefCell::new(0);
    let load = |_| {
        *growing.borrow_mut() += 1000;
        *growing.borrow()
    };
    assert!(place(key(1), &set, load, &[]).is_some());
}

#[test]
fn shares_follow_weights_without_loads() {
    let set = shards(&[("a", 1), ("b", 2), ("c", 5)]);
    let mut counts = [0f64; 3];
    for n in 0..8000 {
        counts[usize::from(best(n, &set).0)] += 1.0;
    }
    for (count, weight) in counts.iter().zip([1.0, 2.0, 5.0]) {
        // Five standard deviations of the binomial distribution.
        let (mean, p) = (1000.0 * weight, weight / 8.0);
        let deviation = f64::sqrt(8000.0 * p * (1.0 - p));
        assert!((count - mean).abs() < 5.0 * deviation, "{counts:?}");
    }
}

#[test]
fn roomless_requests_follow_weights() {
    let set = shards(&[("a", 1), ("b", 3)]);
    let hits = (0..4000).filter(|&n| by_chance(n, &set) == Some(ShardId(1))).count();
    assert!((2850..3150).contains(&hits), "{hits}");
    assert_eq!(by_chance(5, &without(&set, ShardId(1))), Some(ShardId(0)));
}

/// The ids of shards differ between processes; where rooms go must not.
#[test]
fn ids_do_not_matter() {
    let (one, other) = (shards(&[("a", 1), ("b", 2), ("c", 1)]), shards(&[("c", 1), ("a", 1), ("b", 2)]));
    for n in 0..200 {
        let names = |set: &ShardSet| order(key(n), set).map(|id| set.name(id).cloned()).collect::<Vec<_>>();
        assert_eq!(names(&one), names(&other));
    }
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1u32..=256, 2..12)
}

fn named(weights: &[u32]) -> ShardSet {
    let names: Vec<_> = (0..weights.len()).map(|n| format!("shard-{n}")).collect();
    let list: Vec<_> = names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
    shards(&list)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A shard that goes moves its own rooms and no others; seen backwards, one that comes takes rooms from the others
    /// and moves none between them.
    #[test]
    fn only_what_must_move_moves(weights in weights(), gone in any::<prop::sample::Index>(), start: u64) {
        let set = named(&weights);
        let gone = ShardId(u16::try_from(gone.index(weights.len())).unwrap());
        let fewer = without(&set, gone);
        for n in (0..100).map(|n| start.wrapping_add(n)) {
            let (before, after) = (best(n, &set), best(n, &fewer));
            prop_assert!(before == gone || before == after);
            prop_assert_ne!(after, gone);
            let rest: Vec<_> = order(key(n), &set).filter(|&id| id != gone).collect();
            prop_assert_eq!(rest, order(key(n), &fewer).collect::<Vec<_>>());
        }
    }

    /// More weight for one shard moves rooms to it alone.
    #[test]
    fn more_weight_takes_and_gives_nothing(weights in weights(), which in any::<prop::sample::Index>(), more in 1u32..100) {
        let which = which.index(weights.len());
        let mut heavier = weights.clone();
        heavier[which] += more;
        let (before, after) = (named(&weights), named(&heavier));
        for n in 0..100 {
            let to = best(n, &after);
            prop_assert!(to == best(n, &before) || usize::from(to.0) == which);
        }
    }

    /// At every moment no shard has more than 1.25 × its share, rounded up.
    #[test]
    fn balance_is_within_the_bound(weights in weights(), rooms in 1u64..400, start in 0u64..1 << 40) {
        let set = named(&weights);
        let loads = fill(&set, rooms, start);
        let total: u32 = weights.iter().sum();
        prop_assert_eq!(u64::from(loads.iter().sum::<u32>()), rooms);
        for (&load, &weight) in loads.iter().zip(&weights) {
            #[expect(clippy::cast_precision_loss, reason = "a few hundred rooms")]
            let share = rooms as f64 * f64::from(weight) / f64::from(total);
            prop_assert!(f64::from(load) <= (1.25 * share).ceil() + 1e-9, "{load} of {share}");
        }
    }

    #[test]
    fn avoided_shards_get_nothing(weights in weights(), avoid in any::<prop::sample::Index>(), n: u64) {
        let set = named(&weights);
        let avoid = ShardId(u16::try_from(avoid.index(weights.len())).unwrap());
        let placed = place(key(n), &set, |_| 0, &[avoid]);
        prop_assert_eq!(placed, order(key(n), &set).find(|&id| id != avoid));
    }

    /// Rooms that come and go keep the balance for each new one: who gets it is below the bound then.
    #[test]
    fn a_new_room_never_goes_beyond_the_bound(loads in prop::collection::vec(0u32..1000, 2..12), n: u64) {
        let set = named(&vec![1; loads.len()]);
        let by_id: HashMap<_, _> = (0..).map(ShardId).zip(loads.iter().copied()).collect();
        let placed = place(key(n), &set, |id| by_id[&id], &[]).unwrap();
        let mean = f64::from(loads.iter().sum::<u32>() + 1) / f64::from(u32::try_from(loads.len()).unwrap());
        prop_assert!(f64::from(by_id[&placed] + 1) <= (1.25 * mean).ceil());
    }
}
