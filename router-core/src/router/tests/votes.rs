//! The cluster's votes on shards: one replica's own view moves nobody when others disagree (invariant 4).

use super::*;
use crate::registry::{ProbeKind, Votes};

/// What this replica itself finds of shard b, on which room 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Up,
    Failing,
    /// No source lists it any more, and its hold-down is over.
    Gone,
    /// Only pins name it; they may wait yet.
    Awaited,
    /// They may wait no longer.
    AwaitedLong,
}

fn vote(bench: &Bench, votes: &[(&str, u32, u32)]) -> Vec<ShardEvent> {
    let votes = votes.iter().map(|&(shard, down, voters)| (name(shard), Votes { down, voters })).collect();
    bench.router.handle(ShardInput::Voted { votes }, bench.now)
}

fn probe(bench: &Bench, shard: &str, ok: bool) -> Vec<ShardEvent> {
    let result = if ok { Ok(()) } else { Err("refused".into()) };
    let input = ShardInput::Probed { shard: name(shard), probe: ProbeKind::Tcp, result };
    bench.router.handle(input, bench.now)
}

fn opinion(bench: &Bench, shard: &str) -> Option<(bool, u32)> {
    let opinions = bench.router.opinions(bench.now);
    let found: Vec<_> = opinions.into_iter().filter(|(known, ..)| *known == name(shard)).collect();
    assert!(found.len() <= 1);
    found.first().map(|&(_, down, rooms)| (down, rooms))
}

/// A replica with that view and these votes, which come before the view arises, or only after it.
fn bench(own: Own, votes: Option<(u32, u32)>, votes_first: bool) -> Bench {
    let listed = !matches!(own, Own::Awaited | Own::AwaitedLong);
    let mut bench = Bench::new(if listed { &["a", "b"] } else { &["a"] });
    let pin = Pin { shard: name("b"), ..Bench::new(&["b"]).router.choose(key(1), bench.now).unwrap() };
    assert_eq!(bench.router.merge(key(1), pin, bench.now), Merged::Taken);
    let cast = |bench: &Bench| {
        if let Some((down, voters)) = votes {
            vote(bench, &[("b", down, voters), ("a", 0, voters)]);
        }
    };
    if votes_first {
        cast(&bench);
    }
    match own {
        Own::Up => _ = probe(&bench, "b", true),
        Own::Failing => _ = probe(&bench, "b", false),
        Own::Gone => _ = bench.list(&["a"]),
        Own::Awaited | Own::AwaitedLong => {}
    }
    if matches!(own, Own::Gone | Own::AwaitedLong) {
        bench.pass(HOLD);
    }
    bench.router.handle(ShardInput::Tick, bench.now);
    if !votes_first {
        cast(&bench);
    }
    bench
}

/// Where a room on b is then.
fn expected(own: Own, votes: Option<(u32, u32)>, votes_first: bool) -> fn(ShardId) -> Route {
    match (own, votes.map(|(down, voters)| down * 2 > voters)) {
        // The majority is believed, whatever we see.
        (_, Some(true)) => Route::Lost,
        // Alone, as it always was.
        (Own::Up, None) => Route::Pinned,
        (Own::Failing | Own::Gone | Own::AwaitedLong, None) => Route::Lost,
        (Own::Awaited, None) => Route::Awaited,
        // Too late: its address is forgotten.
        (Own::Gone, Some(false)) if !votes_first => Route::Awaited,
        // Outvoted, or undecided: nobody moves.
        (Own::Up | Own::Failing | Own::Gone, Some(false)) => Route::Pinned,
        (Own::Awaited | Own::AwaitedLong, Some(false)) => Route::Awaited,
    }
}

#[test]
fn the_truth_table() {
    let owns = [Own::Up, Own::Failing, Own::Gone, Own::Awaited, Own::AwaitedLong];
    let votes =
        [None, Some((0, 1)), Some((1, 1)), Some((1, 2)), Some((2, 2)), Some((1, 3)), Some((2, 3)), Some((2, 4))];
    for own in owns {
        for votes in votes {
            for votes_first in [true, false] {
                let bench = bench(own, votes, votes_first);
                let what = format!("{own:?} {votes:?} {votes_first}");
                let route = bench.route(1);
                let (Route::Pinned(b) | Route::Lost(b) | Route::Awaited(b)) = route else { panic!("{what}") };
                assert_eq!(bench.router.shards().name(b), Some(&name("b")), "{what}");
                assert_eq!(route, expected(own, votes, votes_first)(b), "{what}");
                // A room leaves exactly when its shard is lost.
                let decided = bench.router.decide(key(1), bench.now, &[]);
                let a = bench.id("a");
                match route {
                    Route::Lost(from) => {
                        assert_eq!(decided, Ok(Decision { shard: a, outcome: Outcome::Moved { from } }), "{what}");
                    }
                    Route::Pinned(shard) => {
                        assert_eq!(decided, Ok(Decision { shard, outcome: Outcome::Found }), "{what}");
                    }
                    _ => assert_eq!(decided, Err(Refusal::Awaited), "{what}"),
                }
            }
        }
    }
}

/// What a replica tells others is what it sees itself, so that votes do not echo.
#[test]
fn opinions_are_ones_own() {
    for votes in [Some((0, 3)), Some((1, 2)), Some((2, 3))] {
        for (own, finding) in [
            (Own::Up, Some(false)),
            (Own::Failing, Some(true)),
            (Own::Gone, Some(true)),
            (Own::AwaitedLong, Some(true)),
        ] {
            let bench = bench(own, votes, true);
            assert_eq!(opinion(&bench, "b").map(|o| o.0), finding, "{own:?} {votes:?}");
            assert_eq!(opinion(&bench, "a"), Some((false, 0)));
        }
    }
    let bench = bench(Own::Awaited, Some((0, 3)), true);
    assert_eq!(opinion(&bench, "b"), None, "it may be discovered yet");
    assert_eq!(opinion(&self::bench(Own::Up, None, true), "b"), Some((false, 1)), "with its rooms");
}

/// A shard that this replica lost, by majority and for good, matters as long as anybody cares.
#[test]
fn what_is_gone_is_reported_while_it_matters() {
    let bench = bench(Own::Gone, Some((2, 3)), true);
    assert!(bench.router.shards().by_name("b").is_none());
    assert_eq!(opinion(&bench, "b"), Some((true, 1)));
    bench.router.unpin(key(1), bench.now);
    assert_eq!(opinion(&bench, "b"), Some((true, 0)), "one replica says up");
    vote(&bench, &[("b", 3, 3)]);
    assert_eq!(opinion(&bench, "b"), None);
    // The majority changes its mind: here nobody knows an address, so rooms there wait.
    vote(&bench, &[("b", 1, 3)]);
    let pin = Pin { shard: name("b"), ..Bench::new(&["b"]).router.choose(key(1), bench.now).unwrap() };
    bench.router.merge(key(1), pin, bench.now);
    let b = bench.id("b");
    assert_eq!((bench.route(1), opinion(&bench, "b")), (Route::Awaited(b), Some((true, 1))));
    assert_eq!(bench.list(&["a", "b"]), [ShardEvent::Added(name("b"))]);
    assert_eq!((bench.route(1), opinion(&bench, "b")), (Route::Pinned(b), Some((false, 1))));
}

#[test]
fn votes_are_told_and_taken_back() {
    let bench = Bench::new(&["a", "b"]);
    assert!(matches!(&vote(&bench, &[("b", 2, 3)])[..], [ShardEvent::Changed { to: ShardState::Down, why, .. }]
        if why == "2 of 3 replicas find it down"));
    // Votes that come with a place for a shard are told like all others.
    bench.list(&["b"]);
    let events = vote(&bench, &[("x", 0, 2)]);
    assert!(matches!(&events[..], [ShardEvent::Changed { to: ShardState::Ready, .. }]), "{events:?}");
    probe(&bench, "b", false);
    assert_eq!(bench.router.shards().by_name("b").unwrap().state, ShardState::Down);
    vote(&bench, &[("b", 1, 2)]);
    let b = bench.router.shards().by_name("b").unwrap().clone();
    assert_eq!((b.state, b.health, b.takes_rooms()), (ShardState::Ready, ShardState::Down, true));
    assert_eq!(b.why, "outvoted: 1 of 2 replicas find it down; here: TCP probe: refused");
    assert_eq!(b.votes, Some(Votes { down: 1, voters: 2 }));
    // Without voters, it is this replica's to judge.
    vote(&bench, &[("b", 0, 0)]);
    assert_eq!(bench.router.shards().by_name("b").unwrap().why, "TCP probe: refused");
}

/// An operator and the shard itself are no voters: their word holds against all votes.
#[test]
fn votes_are_about_health_alone() {
    let bench = Bench::new(&["a", "b"]);
    vote(&bench, &[("b", 0, 3)]);
    bench.operator(bench.id("b"), ShardState::Down);
    assert_eq!(bench.router.shards().by_name("b").unwrap().state, ShardState::Down);
    assert_eq!(opinion(&bench, "b"), Some((false, 0)));
}

/// Pins that name a shard which the cluster has given up do not wait for it; and who never saw it has no opinion.
#[test]
fn nobody_waits_for_what_the_majority_gave_up() {
    let bench = Bench::new(&["a"]);
    vote(&bench, &[("b", 2, 3)]);
    let pin = Pin { shard: name("b"), ..bench.router.choose(key(1), bench.now).unwrap() };
    assert_eq!(bench.router.merge(key(1), pin, bench.now), Merged::Taken);
    assert!(matches!(bench.route(1), Route::Lost(_)));
    assert_eq!(opinion(&bench, "b"), None);
}
