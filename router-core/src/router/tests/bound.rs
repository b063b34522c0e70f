//! Invariant 5: reaching the bound refuses new work and never forgets a room in use.

use super::*;

#[test]
fn a_full_table_refuses_new_rooms_and_keeps_the_old_ones() {
    let bench = Bench::bounded(&["a", "b"], 10);
    let before: Vec<_> = (0..10).map(|n| bench.decide(n).shard).collect();
    for n in 10..20 {
        assert_eq!(bench.router.decide(key(n), bench.now, &[]), Err(Refusal::TableFull));
        assert_eq!(bench.router.pin(key(n), &name("a"), bench.now), Err(PinError::TableFull));
    }
    for (n, &shard) in (0..).zip(&before) {
        assert_eq!(bench.decide(n), Decision { shard, outcome: Outcome::Found });
    }
    assert_eq!(bench.router.len(), 10);
    // Known rooms may still move.
    bench.operator(before[0], ShardState::Down);
    assert!(matches!(bench.decide(0).outcome, Outcome::Moved { .. }));
}

#[test]
fn expired_pins_make_room_at_once_and_tunnels_do_not() {
    let mut bench = Bench::bounded(&["a", "b"], 3);
    let held = bench.decide(0).shard;
    bench.router.tunnel_opened(key(0), held, bench.now);
    bench.decide(1);
    bench.pass(secs(100));
    bench.decide(2);
    assert_eq!(bench.router.decide(key(3), bench.now, &[]), Err(Refusal::TableFull));
    bench.pass(TTL - secs(100));
    // 1 is over, 0 has a tunnel, 2 has 100 s to go: one place.
    assert_eq!(bench.decide(3).outcome, Outcome::Made);
    assert_eq!(bench.router.decide(key(4), bench.now, &[]), Err(Refusal::TableFull));
    assert_eq!(bench.route(0), Route::Pinned(held));
    assert!(matches!(bench.route(2), Route::Pinned(_)));
    bench.pass(TTL * 3);
    assert_eq!(bench.router.pin(key(4), &name("a"), bench.now), Ok(Outcome::Made));
    assert_eq!((bench.router.len(), bench.route(0)), (2, Route::Pinned(held)));
}

#[test]
fn other_limits_count_from_now_on() {
    let mut bench = Bench::bounded(&["a"], 2);
    bench.decide(0);
    bench.decide(1);
    assert!(bench.router.decide(key(2), bench.now, &[]).is_err());
    bench.router.set_limits(TTL, 3);
    bench.decide(2);
    bench.router.set_limits(TTL, 1);
    assert_eq!(bench.decide(2).outcome, Outcome::Found);
    assert_eq!(bench.router.len(), 3, "nobody is forgotten for a lower bound");
    bench.pass(secs(10));
    bench.decide(0);
    bench.router.set_limits(secs(10), 2);
    assert_eq!(bench.decide(3).outcome, Outcome::Made, "a shorter life ends 1 and 2");
    assert_eq!(bench.router.len(), 2);
}

#[test]
fn an_ended_pin_makes_room_when_its_last_tunnel_closes() {
    let bench = Bench::bounded(&["a"], 1);
    let shard = bench.decide(0).shard;
    bench.router.tunnel_opened(key(0), shard, bench.now);
    bench.router.unpin(key(0), bench.now);
    assert!(bench.router.decide(key(1), bench.now, &[]).is_err());
    bench.router.tunnel_closed(key(0), shard, bench.now);
    assert_eq!(bench.decide(1).outcome, Outcome::Made);
}

/// A table that is full of rooms in use is not swept for each refusal.
#[test]
fn refusals_are_cheap() {
    let mut bench = Bench::bounded(&["a"], 1);
    bench.decide(0);
    assert!(bench.router.decide(key(1), bench.now, &[]).is_err());
    let due = bench.router.next_sweep.load(Relaxed);
    assert_eq!(due, (bench.now + TTL).0, "nothing can be over before");
    bench.pass(TTL - secs(1));
    assert!(bench.router.decide(key(1), bench.now, &[]).is_err());
    assert_eq!(bench.router.next_sweep.load(Relaxed), due);
}

/// Nor is one in which something expires every moment.
#[test]
fn sweeps_keep_their_distance() {
    let mut bench = Bench::bounded(&["a"], 3);
    for n in 0..3 {
        bench.decide(n);
        bench.pass(Duration::from_millis(10));
    }
    bench.now = Timestamp(1_000_000) + TTL;
    assert_eq!(bench.decide(3).outcome, Outcome::Made, "0 is over");
    bench.pass(Duration::from_millis(20));
    let refused = |bench: &Bench| bench.router.decide(key(4), bench.now, &[]).is_err();
    assert!(refused(&bench), "1 and 2 are over, but it was swept 20 ms ago");
    bench.pass(Duration::from_millis(180));
    assert!(!refused(&bench));
    assert_eq!(bench.router.len(), 2);
}
