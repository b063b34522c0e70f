//! Invariant 1 within one process: two requests for one room never go to two shards, however close together.

use std::sync::{Arc, Barrier};

use super::*;

const THREADS: usize = 8;

/// Runs `f` on all threads at once and returns what each of them saw.
fn at_once<T: Send>(f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let run = |n: usize| {
            let (f, barrier) = (&f, &barrier);
            scope.spawn(move || {
                barrier.wait();
                f(n)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn first_requests_at_once_get_one_shard() {
    let bench = Bench::new(&["a", "b", "c", "d"]);
    let rooms = 0..2000;
    let seen = at_once(|_| rooms.clone().map(|n| bench.decide(n)).collect::<Vec<_>>());
    for n in 0..2000 {
        let decisions: Vec<_> = seen.iter().map(|all| all[n]).collect();
        assert!(decisions.iter().all(|d| d.shard == decisions[0].shard), "{decisions:?}");
        let made = decisions.iter().filter(|d| d.outcome == Outcome::Made).count();
        assert_eq!(made, 1);
    }
    let rooms: u32 = bench.router.shards().iter().map(|s| bench.router.rooms_on(s.id)).sum();
    assert_eq!((rooms, bench.router.len()), (2000, 2000));
}

#[test]
fn moves_at_once_get_one_shard() {
    let bench = Bench::new(&["a", "b", "c", "d"]);
    let a = bench.id("a");
    for n in 0..500 {
        bench.router.pin(key(n), &name("a"), bench.now).unwrap();
    }
    bench.operator(a, ShardState::Down);
    let seen = at_once(|_| (0..500).map(|n| bench.decide(n)).collect::<Vec<_>>());
    for n in 0..500 {
        let decisions: Vec<_> = seen.iter().map(|all| all[n]).collect();
        assert!(decisions.iter().all(|d| d.shard == decisions[0].shard && d.shard != a));
        let moved = decisions.iter().filter(|d| d.outcome == Outcome::Moved { from: a }).count();
        assert_eq!((moved, bench.pin(n as u64).epoch), (1, 2));
    }
}

/// While the shards' states change, a room that was decided stays where it is, for nothing is ever down.
#[test]
fn drains_meanwhile_split_nobody() {
    let bench = Bench::new(&["a", "b", "c"]);
    let ids: Vec<_> = bench.router.shards().iter().map(|s| s.id).collect();
    let seen = at_once(|thread| {
        if thread == 0 {
            for round in 0..300 {
                let state = [ShardState::Draining, ShardState::Ready][round % 2];
                bench.operator(ids[round / 2 % 3], state);
            }
            return Vec::new();
        }
        (0..1000).map(|n| bench.decide(n).shard).collect::<Vec<_>>()
    });
    for n in 0..1000 {
        let shards: Vec<_> = seen[1..].iter().map(|all| all[n]).collect();
        assert!(shards.iter().all(|&s| s == shards[0]), "{shards:?}");
    }
}

/// Invariant 5 under contention: never more than the bound, and the counters come out even.
#[test]
fn the_bound_holds_at_once() {
    let bench = Bench::bounded(&["a", "b"], 100);
    let made = at_once(|thread| {
        let rooms = (0..100).map(|n| (thread * 100 + n) as u64);
        rooms.filter(|&n| bench.router.decide(key(n), bench.now, &[]).is_ok()).count()
    });
    assert_eq!((made.iter().sum::<usize>(), bench.router.len()), (100, 100));
    let mut listed = 0;
    bench.router.for_each_pin(bench.now, |_, _| listed += 1);
    assert_eq!(listed, 100);
}

/// All of the API at once: nothing deadlocks, and afterwards everything can be taken down to zero.
#[test]
fn everything_at_once_comes_out_even() {
    let bench = Bench::bounded(&["a", "b", "c"], 200);
    let router = Arc::new(&bench.router);
    at_once(|thread| {
        for i in 0..2000u64 {
            let (now, key) = (Timestamp(bench.now.0 + i), key((i * 7 + thread as u64) % 300));
            match (i + thread as u64) % 16 {
                0 => _ = router.unpin(key, now),
                1 => _ = router.pin(key, &name("a"), now),
                2 => _ = router.expire(Timestamp(now.0 + 600_000)),
                3 if i % 50 == 0 => router.for_each_pin(now, |_, _| {}),
                4 => _ = router.end(key, now),
                5 => _ = router.choose(key, now).map(|pin| router.insert(key, pin, now)),
                6 => {
                    // Names come up while others read and write.
                    let shard = name(&format!("s{}", i % 7));
                    let pin = Pin { shard, ..some_pin(now, thread as u64) };
                    _ = router.merge(key, pin, now);
                }
                7 => _ = router.seen(key, 1, now, now),
                8 => _ = router.used_since(key.group(), now),
                9 => _ = router.next_chunk(Cursor::default(), 50, now),
                10 => _ = router.opinions(now),
                _ => {
                    if let Ok(decision) = router.decide(key, now, &[]) {
                        _ = router.route(key, now);
                        router.tunnel_opened(key, decision.shard, now);
                        router.tunnel_closed(key, decision.shard, now);
                    }
                }
            }
        }
    });
    router.expire(Timestamp(bench.now.0 + 10_000_000));
    assert_eq!(router.len(), 0);
    let set = router.shards();
    assert!((0..16).all(|id| router.rooms_on(ShardId(id)) == 0) && set.len() > 3);
    assert!(router.digest().iter().all(|&sum| sum == 0));
    assert!((0..=u8::MAX).all(|group| router.leaves(group).iter().all(|&sum| sum == 0)));
}

fn some_pin(now: Timestamp, decider: u64) -> Pin {
    let (created, decider) = (now, DeciderId(decider));
    Pin { shard: name("a"), epoch: 1, ended: false, created, decider, last_seen: now }
}

/// A use that comes while another thread takes the uses is told then or the next time, never lost.
#[test]
fn no_use_is_lost_between_two_scans() {
    let bench = Bench::new(&["a"]);
    bench.decide(1);
    let group = key(1).group();
    for round in 0..200u64 {
        let at = Timestamp(bench.now.0 + round * 10);
        let told = at_once(|thread| match thread {
            0 => bench.router.used_since(group, at),
            1 => {
                bench.router.seen(key(1), 1, Timestamp(at.0 + 1), Timestamp(at.0 + 1));
                Vec::new()
            }
            _ => {
                _ = bench.router.route(key(1), at);
                Vec::new()
            }
        });
        let later = bench.router.used_since(group, at);
        assert!(!told[0].is_empty() || !later.is_empty(), "round {round}");
        assert_eq!(bench.pin(1).last_seen, Timestamp(at.0 + 1));
    }
}
