//! Pins that come back from a snapshot (invariant 3: a restart moves no room).

use super::*;

fn saved(shard: &str, epoch: u32, last_seen: Timestamp) -> Pin {
    let (created, decider) = (Timestamp(5), DeciderId(7));
    Pin { shard: name(shard), epoch, ended: false, created, decider, last_seen }
}

fn snapshot(bench: &Bench) -> Vec<(RoomKey, Pin)> {
    let mut pins = Vec::new();
    bench.router.for_each_pin(bench.now, |key, view| pins.push((key, view.pin)));
    pins
}

#[test]
fn a_restart_moves_no_room() {
    let before = Bench::new(&["a", "b", "c"]);
    for n in 0..100 {
        before.decide(n);
    }
    let pins = snapshot(&before);
    // The next process hears of the shards in another order, so that their ids differ.
    let after = Bench::new(&["c", "b"]);
    after.list(&["c", "b", "a"]);
    let restored = after.router.restore(pins.clone(), after.now);
    assert_eq!(restored, Restored { restored: 100, expired: 0, refused: 0 });
    for n in 0..100 {
        assert_eq!(after.pin(n), before.pin(n));
        assert!(matches!(after.route(n), Route::Pinned(_)));
    }
    assert_eq!(after.router.rooms_on(after.id("a")), before.router.rooms_on(before.id("a")));
    // Once more changes nothing.
    assert_eq!(after.router.restore(pins, after.now).restored, 100);
    assert_eq!(after.router.len(), 100);
}

#[test]
fn rooms_wait_for_shards_that_are_not_discovered_yet() {
    let mut bench = Bench::new(&["a"]);
    bench.router.restore([(key(1), saved("b", 3, bench.now))], bench.now);
    let b = bench.id("b");
    let place = bench.router.shards().get(b).unwrap().clone();
    assert!(!place.present && !place.takes_rooms());
    bench.pass(HOLD - secs(1));
    assert_eq!(bench.route(1), Route::Awaited(b));
    assert_eq!(bench.pin(1).last_seen, bench.now, "somebody is waiting");
    assert_eq!(bench.router.decide(key(1), bench.now, &[]), Err(Refusal::Awaited));
    assert_eq!(bench.router.preview(key(1), bench.now), Some(bench.id("a")));
    assert_eq!(bench.list(&["a", "b"]), [ShardEvent::Added(name("b"))]);
    assert_eq!(bench.route(1), Route::Pinned(b));
    assert_eq!(bench.pin(1).epoch, 3);
    bench.pass(HOLD);
    bench.router.handle(ShardInput::Tick, bench.now);
    assert_eq!(bench.route(1), Route::Pinned(b));
}

#[test]
fn they_do_not_wait_for_ever() {
    let mut bench = Bench::new(&["a"]);
    bench.router.restore([(key(1), saved("b", 3, bench.now))], bench.now);
    let b = bench.id("b");
    bench.pass(HOLD);
    // With or without a tick.
    assert_eq!(bench.route(1), Route::Lost(b));
    assert_eq!(bench.router.handle(ShardInput::Tick, bench.now), [ShardEvent::Gone(name("b"))]);
    assert_eq!(bench.route(1), Route::Lost(b));
    let moved = bench.decide(1);
    assert_eq!(moved, Decision { shard: bench.id("a"), outcome: Outcome::Moved { from: b } });
    assert_eq!(bench.pin(1).epoch, 4);
}

#[test]
fn what_is_over_stays_over() {
    let bench = Bench::new(&["a"]);
    let pins = [
        (key(1), saved("a", 1, Timestamp(bench.now.0 - 600_000))),
        (key(2), Pin { ended: true, ..saved("a", 1, bench.now) }),
        (key(3), saved("a", 1, Timestamp(bench.now.0 - 599_999))),
    ];
    let restored = bench.router.restore(pins, bench.now);
    assert_eq!(restored, Restored { restored: 1, expired: 2, refused: 0 });
    assert_eq!(bench.router.len(), 1);
}

/// Invariant 5 holds for snapshots too.
#[test]
fn bounds_hold() {
    let bench = Bench::bounded(&["a"], 2);
    let pins = (0..5).map(|n| (key(n), saved("a", 1, bench.now)));
    let restored = bench.router.restore(pins, bench.now);
    assert_eq!(restored, Restored { restored: 2, expired: 0, refused: 3 });
    let bench = Bench::new(&[]);
    let pins = (0..5000).map(|n| (key(n), saved(&format!("s{n}"), 1, bench.now)));
    let restored = bench.router.restore(pins, bench.now);
    assert_eq!((restored.restored, restored.refused), (4096, 904));
}

#[test]
fn the_higher_rank_stays() {
    let bench = Bench::new(&["a", "b"]);
    let shard = bench.router.shards().name(bench.decide(1).shard).unwrap().clone();
    let other = if shard == name("a") { "b" } else { "a" };
    // Same epoch, but decided earlier.
    bench.router.tunnel_opened(key(1), bench.id(shard.as_str()), bench.now);
    bench.router.restore([(key(1), saved(other, 1, bench.now))], bench.now);
    assert_eq!(bench.pin(1).shard, name(other));
    let tunnels = bench.router.lookup(key(1), bench.now).unwrap().tunnels;
    assert_eq!(tunnels, 1, "it has still to be closed");
    bench.router.pin(key(1), &shard, bench.now).unwrap();
    bench.router.restore([(key(1), saved(other, 1, bench.now))], bench.now);
    assert_eq!((bench.pin(1).shard, bench.pin(1).epoch), (shard, 2));
    let rooms = |s| bench.router.rooms_on(bench.id(s));
    assert_eq!((rooms("a") + rooms("b"), bench.router.len()), (1, 1));
}

#[test]
fn a_clock_set_back_makes_no_pin_immortal() {
    let mut bench = Bench::new(&["a"]);
    bench.router.restore([(key(1), saved("a", 1, Timestamp(u64::MAX)))], bench.now);
    assert_eq!(bench.pin(1).last_seen, bench.now);
    bench.pass(TTL);
    assert_eq!(bench.router.expire(bench.now), 1);
}
