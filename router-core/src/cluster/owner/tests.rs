use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn removing_one_leaves_the_others_in_order(key: u128, ids in prop::collection::btree_set(any::<u64>(), 1..20), out: prop::sample::Index) {
        let ids: Vec<_> = ids.into_iter().map(ReplicaId).collect();
        let gone = *out.get(&ids);
        let all = order(RoomKey(key), ids.iter().copied());
        let rest = order(RoomKey(key), ids.iter().copied().filter(|id| *id != gone));
        let expected: Vec<_> = all.into_iter().filter(|id| *id != gone).collect();
        prop_assert_eq!(rest, expected);
    }

    #[test]
    fn the_order_depends_on_the_set_alone(key: u128, ids in prop::collection::vec(any::<u64>(), 0..20)) {
        let there = order(RoomKey(key), ids.iter().copied().map(ReplicaId));
        let back = order(RoomKey(key), ids.iter().rev().copied().map(ReplicaId));
        prop_assert_eq!(&there, &back);
        let set: std::collections::BTreeSet<_> = ids.into_iter().map(ReplicaId).collect();
        prop_assert_eq!(set, there.iter().copied().collect());
    }
}

/// Shares are equal even for numbers that are not random, at the first place and at the second behind each first.
#[test]
fn ownership_is_even() {
    const REPLICAS: u64 = 5;
    const ROOMS: u32 = 40_000;
    let mut counts = std::collections::BTreeMap::new();
    for room in 0..ROOMS {
        let key = RoomKey((u128::from(mix(room.into())) << 64) | u128::from(room));
        let ranked = order(key, (1..=REPLICAS).map(ReplicaId));
        *counts.entry((ranked[0], ranked[1])).or_insert(0u32) += 1;
    }
    // 20 pairs, 2,000 each; the standard deviation is 44.
    assert_eq!(counts.len(), 20);
    for (pair, count) in counts {
        assert!((1_800..2_200).contains(&count), "{pair:?}: {count}");
    }
}
