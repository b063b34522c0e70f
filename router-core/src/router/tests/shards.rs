//! Rooms and the states of their shards.

use super::*;
use crate::registry::ProbeKind;

/// Invariant 4: a draining shard gets no new room, and a room leaves a shard only when that is down or gone.
#[test]
fn a_draining_shard_keeps_its_rooms_and_gets_no_new_ones() {
    let bench = Bench::new(&["a", "b"]);
    let a = bench.id("a");
    let before: Vec<_> = (0..100).map(|n| bench.decide(n).shard).collect();
    assert!(before.contains(&a));
    bench.operator(a, ShardState::Draining);
    for (n, &shard) in (0..).zip(&before) {
        assert_eq!(bench.route(n), Route::Pinned(shard));
        assert_eq!(bench.decide(n), Decision { shard, outcome: Outcome::Found });
    }
    for n in 100..200 {
        assert_ne!(bench.decide(n).shard, a);
    }
    assert_eq!(bench.router.rooms_on(a) as usize, before.iter().filter(|&&s| s == a).count());
}

#[test]
fn an_expired_room_does_not_come_back_to_a_draining_shard() {
    let mut bench = Bench::new(&["a", "b"]);
    let shard = bench.decide(1).shard;
    bench.operator(shard, ShardState::Draining);
    bench.pass(TTL);
    let again = bench.decide(1);
    assert_eq!(again.outcome, Outcome::Made);
    assert_ne!(again.shard, shard);
}

/// Invariant 4, the other half: the rooms of a shard that is down move, and no others do.
#[test]
fn rooms_of_a_shard_that_is_down_move_and_no_others() {
    let bench = Bench::new(&["a", "b", "c"]);
    let a = bench.id("a");
    let before: Vec<_> = (0..60).map(|n| bench.decide(n).shard).collect();
    bench.operator(a, ShardState::Down);
    for (n, &shard) in (0..).zip(&before) {
        if shard == a {
            assert_eq!(bench.route(n), Route::Lost(a));
            let moved = bench.decide(n);
            assert_eq!(moved.outcome, Outcome::Moved { from: a });
            assert_ne!(moved.shard, a);
            assert_eq!(bench.pin(n).epoch, 2);
            assert_eq!(bench.decide(n), Decision { outcome: Outcome::Found, ..moved });
        } else {
            assert_eq!(bench.route(n), Route::Pinned(shard));
            assert_eq!(bench.pin(n).epoch, 1);
        }
    }
    assert_eq!(bench.router.rooms_on(a), 0);
    // It comes back: nobody moves back.
    bench.operator(a, ShardState::Ready);
    for (n, &shard) in (0..).zip(&before) {
        assert!(matches!(bench.route(n), Route::Pinned(now) if (now == shard) == (shard != a)));
    }
}

#[test]
fn a_shard_that_recovers_before_anybody_asks_keeps_its_rooms() {
    let bench = Bench::new(&["a", "b"]);
    let shard = bench.decide(1).shard;
    bench.operator(shard, ShardState::Down);
    assert_eq!(bench.route(1), Route::Lost(shard));
    bench.operator(shard, ShardState::Ready);
    assert_eq!(bench.decide(1), Decision { shard, outcome: Outcome::Found });
}

#[test]
fn without_a_ready_shard_nothing_changes() {
    let bench = Bench::new(&["a"]);
    let a = bench.decide(1).shard;
    bench.operator(a, ShardState::Down);
    assert_eq!(bench.router.decide(key(1), bench.now, &[]), Err(Refusal::NoShard));
    assert_eq!(bench.router.decide(key(2), bench.now, &[]), Err(Refusal::NoShard));
    assert_eq!((bench.router.preview(key(2), bench.now), bench.router.any(1)), (None, None));
    assert_eq!((bench.router.len(), bench.pin(1).epoch), (1, 1));
    bench.operator(a, ShardState::Ready);
    assert_eq!(bench.decide(1).outcome, Outcome::Found);
}

#[test]
fn one_thin_answer_moves_nobody_and_a_long_one_does() {
    let mut bench = Bench::new(&["a", "b"]);
    let rooms: Vec<_> = (0..40).map(|n| bench.decide(n).shard).collect();
    let b = bench.id("b");
    bench.list(&["a"]);
    bench.pass(HOLD - secs(1));
    bench.list(&["a"]);
    for (n, &shard) in (0..).zip(&rooms) {
        assert_eq!(bench.route(n), Route::Pinned(shard));
    }
    bench.pass(secs(1));
    bench.router.handle(ShardInput::Tick, bench.now);
    for (n, &shard) in (0..).zip(&rooms) {
        let lost = shard == b;
        assert_eq!(bench.route(n), if lost { Route::Lost(b) } else { Route::Pinned(shard) });
    }
    // Back under its name, with its rooms.
    bench.list(&["a", "b"]);
    for (n, &shard) in (0..).zip(&rooms) {
        assert_eq!(bench.route(n), Route::Pinned(shard));
    }
}

#[test]
fn pins_follow_the_name_to_another_address() {
    let bench = Bench::new(&["a"]);
    let shard = bench.decide(1).shard;
    let moved = ShardSpec {
        name: name("a"),
        addresses: vec![([127, 0, 0, 2], 8080).into()],
        weight: 1,
        state: ShardState::Ready,
        agent_port: None,
    };
    let input = ShardInput::Discovered { source: "dns".into(), shards: vec![moved], hold_down: HOLD };
    assert_eq!(bench.router.handle(input, bench.now), [ShardEvent::Readdressed(name("a"))]);
    assert_eq!(bench.route(1), Route::Pinned(shard));
    let shards = bench.router.shards();
    assert_eq!(*shards.get(shard).unwrap().addresses, [([127, 0, 0, 2], 8080).into()]);
}

#[test]
fn a_moved_rooms_old_tunnels_still_count_and_still_close() {
    let mut bench = Bench::new(&["a", "b"]);
    let shard = bench.decide(1).shard;
    bench.router.tunnel_opened(key(1), shard, bench.now);
    bench.operator(shard, ShardState::Down);
    let other = bench.decide(1).shard;
    bench.router.tunnel_opened(key(1), other, bench.now);
    bench.router.tunnel_closed(key(1), shard, bench.now);
    bench.pass(TTL * 2);
    assert_eq!(bench.route(1), Route::Pinned(other));
    bench.router.tunnel_closed(key(1), other, bench.now);
    bench.pass(TTL);
    assert_eq!(bench.router.expire(bench.now), 1);
}

/// New rooms through the router itself stay within 1.25 × the mean.
#[test]
fn new_rooms_are_balanced() {
    let bench = Bench::new(&["a", "b", "c", "d", "e"]);
    for n in 0..1000 {
        bench.decide(n);
    }
    let rooms: Vec<_> = bench.router.shards().iter().map(|s| bench.router.rooms_on(s.id)).collect();
    assert_eq!(rooms.iter().sum::<u32>(), 1000);
    assert!(rooms.iter().all(|&n| n <= 250), "{rooms:?}");
}

#[test]
fn a_probe_switched_off_by_a_reload_frees_its_shard_at_once() {
    let router = Router::new(RouterSettings {
        ttl: Duration::from_secs(600),
        max_pins: 10,
        decider: DeciderId(1),
        registry: RegistrySettings::default(),
        restored_hold: Duration::from_secs(30),
    });
    let shards = vec![ShardSpec {
        name: ShardName::new("a").unwrap(),
        addresses: vec![([127, 0, 0, 1], 80).into()],
        weight: 100,
        state: ShardState::Ready,
        agent_port: None,
    }];
    let now = Timestamp(1000);
    router.handle(ShardInput::Discovered { source: "static".into(), shards, hold_down: Duration::ZERO }, now);
    let failed = ShardInput::Probed {
        shard: ShardName::new("a").unwrap(),
        probe: ProbeKind::Tcp,
        result: Err("refused".into()),
    };
    router.handle(failed, now);
    assert_eq!(router.any(1), None);
    let events = router.set_registry(RegistrySettings { tcp: None, ..RegistrySettings::default() });
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(router.any(1).is_some());
}
