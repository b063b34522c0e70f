//! Pins from elsewhere (invariant 2: replicas agree, in whatever order they hear of pins).

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn pin(shard: &str, epoch: u32) -> Pin {
    Pin {
        shard: name(shard),
        epoch,
        ended: false,
        created: Timestamp(NOW.0 - 100),
        decider: DeciderId(7),
        last_seen: Timestamp(NOW.0 - 50),
    }
}

fn merge(bench: &Bench, n: u64, pin: Pin) -> Merged {
    bench.router.merge(key(n), pin, bench.now)
}

fn get(bench: &Bench, n: u64) -> Option<Pin> {
    bench.router.get(key(n), bench.now).map(|(pin, ..)| pin)
}

#[test]
fn what_becomes_of_a_pin() {
    let bench = Bench::new(&["a", "b"]);
    let (a, b) = (bench.id("a"), bench.id("b"));
    assert_eq!(merge(&bench, 1, pin("a", 2)), Merged::Taken);
    assert_eq!(merge(&bench, 1, pin("a", 2)), Merged::Unchanged);
    assert_eq!(merge(&bench, 1, pin("a", 1)), Merged::Unchanged, "the same shard: nobody is elsewhere");
    assert_eq!(merge(&bench, 1, pin("b", 1)), Merged::Conflict { ours: a, theirs: b, tunnels: 0 });
    assert_eq!(merge(&bench, 1, Pin { ended: true, ..pin("b", 1) }), Merged::Unchanged);
    assert_eq!(get(&bench, 1), Some(pin("a", 2)));
    assert!(bench.router.tunnel_opened(key(1), a, bench.now));
    assert_eq!(merge(&bench, 1, pin("b", 1)), Merged::Conflict { ours: a, theirs: b, tunnels: 1 });
    assert_eq!(merge(&bench, 1, pin("b", 3)), Merged::Moved { from: a, to: b, tunnels: 1 });
    assert_eq!(merge(&bench, 1, Pin { ended: true, ..pin("b", 3) }), Merged::Taken);
    assert_eq!((bench.route(1), bench.router.rooms_on(a), bench.router.rooms_on(b)), (Route::Unknown, 0, 0));
    assert_eq!(merge(&bench, 1, pin("a", 3)), Merged::Unchanged, "an end beats a life of its epoch");
    assert_eq!(merge(&bench, 1, pin("a", 4)), Merged::Taken);
    let (found, shard, tunnels) = bench.router.get(key(1), bench.now).unwrap();
    assert_eq!((found.epoch, shard, tunnels), (4, a, 1), "the tunnel is still counted");
    assert_eq!((bench.router.len(), bench.router.rooms_on(a)), (1, 1));
}

#[test]
fn the_later_use_counts_and_nothing_else_changes() {
    let bench = Bench::new(&["a"]);
    merge(&bench, 1, pin("a", 1));
    let digest = bench.router.digest();
    assert_eq!(merge(&bench, 1, Pin { last_seen: Timestamp(NOW.0 - 10), ..pin("a", 1) }), Merged::Unchanged);
    assert_eq!(get(&bench, 1).unwrap().last_seen, Timestamp(NOW.0 - 10));
    assert_eq!(merge(&bench, 1, Pin { last_seen: Timestamp(NOW.0 - 90), ..pin("a", 1) }), Merged::Unchanged);
    assert_eq!(get(&bench, 1).unwrap().last_seen, Timestamp(NOW.0 - 10));
    assert_eq!(bench.router.digest(), digest);
}

#[test]
fn what_is_past_does_not_come_back() {
    let mut bench = Bench::new(&["a", "b"]);
    let copy = Pin { last_seen: bench.now, ..pin("a", 5) };
    let end = Pin { ended: true, ..copy.clone() };
    assert_eq!(merge(&bench, 1, copy.clone()), Merged::Taken);
    bench.pass(TTL);
    // Swept or not, and whichever replica still has a copy.
    assert_eq!(merge(&bench, 1, copy.clone()), Merged::Stale);
    bench.router.expire(bench.now);
    assert_eq!(merge(&bench, 1, copy.clone()), Merged::Stale);
    assert_eq!(merge(&bench, 1, end), Merged::Stale);
    assert_eq!((get(&bench, 1), bench.router.len()), (None, 0));
    // What is past here does not stand in the way either, as it would not after a sweep.
    merge(&bench, 1, Pin { last_seen: Timestamp(bench.now.0 - 1000), ..copy });
    bench.pass(TTL);
    assert_eq!(merge(&bench, 1, Pin { last_seen: bench.now, ..pin("b", 1) }), Merged::Taken);
    assert_eq!(get(&bench, 1).unwrap().epoch, 1);
    assert_eq!((bench.router.len(), bench.router.rooms_on(bench.id("a"))), (1, 0));
}

#[test]
fn nobody_uses_a_room_in_the_future() {
    let bench = Bench::new(&["a"]);
    let ahead = Timestamp(NOW.0 + 5_000);
    merge(&bench, 1, Pin { created: ahead, last_seen: ahead, ..pin("a", 1) });
    let pin = get(&bench, 1).unwrap();
    // When it was made is its maker's to say: the rank depends on it, in which replicas with other clocks must agree.
    assert_eq!((pin.created, pin.last_seen), (ahead, NOW));
}

/// Invariant 5: what is unknown is refused by a full table; what is known still gets its news.
#[test]
fn a_full_table_takes_no_strangers() {
    let mut bench = Bench::bounded(&["a", "b"], 2);
    merge(&bench, 1, pin("a", 1));
    merge(&bench, 2, pin("a", 1));
    assert_eq!(merge(&bench, 3, pin("a", 1)), Merged::Full);
    assert!(matches!(merge(&bench, 1, pin("b", 2)), Merged::Moved { .. }));
    assert_eq!(bench.router.len(), 2);
    // What is over makes room at once.
    bench.pass(TTL);
    let fresh = Pin { last_seen: bench.now, ..pin("a", 1) };
    assert_eq!(merge(&bench, 3, fresh), Merged::Taken);
    assert_eq!(bench.router.len(), 1);
}

#[test]
fn rooms_wait_for_a_shard_that_only_others_know() {
    let mut bench = Bench::new(&["a"]);
    assert_eq!(merge(&bench, 1, pin("x", 1)), Merged::Taken);
    let x = bench.id("x");
    assert_eq!(bench.route(1), Route::Awaited(x));
    assert_eq!(bench.router.usable(key(1), bench.now).map(|pin| pin.shard), Some(name("x")));
    bench.pass(HOLD);
    assert_eq!(bench.route(1), Route::Lost(x));
    assert_eq!(bench.router.usable(key(1), bench.now), None);
    assert_eq!(get(&bench, 1).unwrap().shard, name("x"));
    // An end says nothing about where people are, so nothing waits for its shard.
    assert_eq!(merge(&bench, 2, Pin { ended: true, ..pin("y", 1) }), Merged::Taken);
    assert!(bench.router.shards().by_name("y").is_none());
    assert_eq!(get(&bench, 2).unwrap().shard, name("y"));
}

#[test]
fn an_end_is_kept_for_its_time() {
    let mut bench = Bench::new(&["a"]);
    bench.decide(1);
    let before = get(&bench, 1).unwrap();
    let end = bench.router.end(key(1), bench.now).unwrap();
    assert_eq!(end, Pin { ended: true, ..before.clone() });
    assert_eq!(bench.router.end(key(1), bench.now), None);
    assert_eq!(merge(&bench, 1, before), Merged::Unchanged, "a copy does not revive it");
    assert_eq!((bench.router.expire(bench.now), bench.route(1)), (0, Route::Unknown));
    assert_eq!(bench.router.pins_of_group(key(1).group(), None, bench.now), [(key(1), end)]);
    bench.pass(TTL);
    assert_eq!(bench.router.expire(bench.now), 1);
    // A new room is worth more than the memory of an end.
    let bench = Bench::bounded(&["a"], 1);
    bench.decide(1);
    bench.router.end(key(1), bench.now);
    assert_eq!(bench.decide(2).outcome, Outcome::Made);
}

fn pins() -> impl Strategy<Value = (u64, Pin)> {
    // Few values of each, so that every tie occurs; times around every bound.
    let seen = prop::sample::select(vec![NOW.0 - 600_001, NOW.0 - 600_000, NOW.0 - 599_999, NOW.0 - 1, NOW.0 + 9]);
    let created = prop::sample::select(vec![1, 2, NOW.0, NOW.0 + 500, NOW.0 + 501, NOW.0 + 900]);
    (0..2u64, 0..4usize, 1..4u32, any::<bool>(), created, 0..3u64, seen).prop_map(
        |(room, shard, epoch, ended, created, decider, seen)| {
            let shard = name(["a", "b", "c", "elsewhere"][shard]);
            let (created, last_seen) = (Timestamp(created), Timestamp(seen));
            (room, Pin { shard, epoch, ended, created, decider: DeciderId(decider), last_seen })
        },
    )
}

/// The whole table as others see it.
fn contents(bench: &Bench) -> Vec<(RoomKey, Pin)> {
    let groups = (0..=u8::MAX).flat_map(|group| bench.router.pins_of_group(group, None, bench.now));
    let mut pins: Vec<_> = groups.collect();
    pins.sort_by_key(|(key, _)| *key);
    pins
}

proptest! {
    /// Commutative and associative: any two orders of the same pins make two replicas agree, whatever numbers their
    /// shards have. Idempotent: once more changes nothing. And the result is that of [`Pin::merge`].
    #[test]
    fn replicas_agree_in_any_order(
        (pins, shuffled) in prop::collection::vec(pins(), 0..12).prop_flat_map(|pins| (Just(pins.clone()), Just(pins).prop_shuffle()))
    ) {
        let (one, other) = (Bench::new(&["a", "b", "c"]), Bench::new(&["c"]));
        other.list(&["c", "b", "a"]);
        pins.iter().for_each(|(n, pin)| _ = merge(&one, *n, pin.clone()));
        shuffled.iter().for_each(|(n, pin)| _ = merge(&other, *n, pin.clone()));
        let agreed = contents(&one);
        prop_assert_eq!(&agreed, &contents(&other));
        prop_assert_eq!(one.router.digest(), other.router.digest());
        for (n, pin) in &shuffled {
            let again = merge(&one, *n, pin.clone());
            prop_assert!(!matches!(again, Merged::Taken | Merged::Moved { .. } | Merged::Full), "{:?}", again);
        }
        prop_assert_eq!(&agreed, &contents(&one));
        // By the rule, pin by pin.
        for n in 0..2 {
            let taken = pins.iter().filter(|(room, pin)| *room == n && pin.last_seen.0 > NOW.0 - 600_000);
            let clamped = taken.map(|(_, pin)| Pin { last_seen: pin.last_seen.min(NOW), ..pin.clone() });
            prop_assert_eq!(get(&one, n), clamped.reduce(Pin::merge));
        }
    }

    /// Exchanging all they have makes two replicas equal, which is what repair relies on.
    #[test]
    fn an_exchange_makes_equal(
        here in prop::collection::vec(pins(), 0..8), there in prop::collection::vec(pins(), 0..8)
    ) {
        let (one, other) = (Bench::new(&["a", "b", "c"]), Bench::new(&["b", "a"]));
        here.into_iter().for_each(|(n, pin)| _ = merge(&one, n, pin));
        there.into_iter().for_each(|(n, pin)| _ = merge(&other, n, pin));
        let (from_one, from_other) = (contents(&one), contents(&other));
        from_one.into_iter().for_each(|(key, pin)| _ = other.router.merge(key, pin, NOW));
        from_other.into_iter().for_each(|(key, pin)| _ = one.router.merge(key, pin, NOW));
        prop_assert_eq!(contents(&one), contents(&other));
        prop_assert_eq!(one.router.digest(), other.router.digest());
    }
}
