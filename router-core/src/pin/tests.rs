use proptest::prelude::*;

use super::*;

fn pins() -> impl Strategy<Value = Pin> {
    // Few values of each, so that every tie occurs.
    (0..3u8, 0..3u32, any::<bool>(), 0..3u64, 0..3u64, 0..3u64).prop_map(
        |(shard, epoch, ended, created, decider, seen)| Pin {
            shard: ShardName::new(&format!("s{shard}")).unwrap(),
            epoch,
            ended,
            created: Timestamp(created),
            decider: DeciderId(decider),
            last_seen: Timestamp(seen),
        },
    )
}

fn pin() -> Pin {
    Pin {
        shard: ShardName::new("b").unwrap(),
        epoch: 1,
        ended: false,
        created: Timestamp(50),
        decider: DeciderId(5),
        last_seen: Timestamp(60),
    }
}

#[test]
fn each_field_in_its_turn() {
    let base = pin();
    let winners = [
        Pin { epoch: 2, created: Timestamp(99), ..pin() },
        Pin { ended: true, created: Timestamp(99), ..pin() },
        Pin { created: Timestamp(49), decider: DeciderId(9), ..pin() },
        Pin { decider: DeciderId(4), shard: ShardName::new("c").unwrap(), ..pin() },
        Pin { shard: ShardName::new("a").unwrap(), last_seen: Timestamp(1), ..pin() },
        Pin { last_seen: Timestamp(61), ..pin() },
    ];
    for winner in winners {
        assert_eq!(base.clone().merge(winner.clone()), winner);
        assert_eq!(winner.clone().merge(base.clone()), winner);
    }
}

// Invariant 2 of the design rests on these: whatever the order in which replicas hear of pins, they agree.
proptest! {
    #[test]
    fn merge_is_commutative(a in pins(), b in pins()) {
        prop_assert_eq!(a.clone().merge(b.clone()), b.merge(a));
    }

    #[test]
    fn merge_is_associative(a in pins(), b in pins(), c in pins()) {
        let left = a.clone().merge(b.clone()).merge(c.clone());
        prop_assert_eq!(left, a.merge(b.merge(c)));
    }

    #[test]
    fn merge_is_idempotent(a in pins(), b in pins()) {
        prop_assert_eq!(a.clone().merge(a.clone()), a.clone());
        let merged = a.clone().merge(b.clone());
        prop_assert_eq!(merged.clone().merge(a).merge(b), merged);
    }

    #[test]
    fn merge_invents_nothing_and_never_lowers(a in pins(), b in pins()) {
        let merged = a.clone().merge(b.clone());
        prop_assert!(merged == a || merged == b);
        prop_assert!(merged.rank(&a).is_ge() && merged.rank(&b).is_ge());
    }
}
