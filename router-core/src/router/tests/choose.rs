//! Choosing before inserting, as replicas that propose to each other do.

use super::*;

fn choose(bench: &Bench, n: u64) -> Result<Pin, Refusal> {
    bench.router.choose(key(n), bench.now)
}

fn insert(bench: &Bench, n: u64, pin: Pin) -> Inserted {
    bench.router.insert(key(n), pin, bench.now).unwrap()
}

/// For every state a room can be in, a choice inserted is what a decision would have been.
#[test]
fn a_choice_inserted_is_a_decision() {
    let benches = [Bench::new(&["a", "b", "c"]), Bench::new(&["a", "b", "c"])];
    let mut lives = benches.map(|mut bench| {
        for n in 0..40 {
            bench.decide(n);
        }
        (0..10).for_each(|n| _ = bench.router.end(key(n), bench.now));
        bench.operator(bench.id("a"), ShardState::Down);
        bench.pass(secs(300));
        (20..40).for_each(|n| _ = bench.route(n));
        // 0 to 9 are ended, 10 to 19 past, of the others some lost; 40 to 49 new.
        bench.pass(secs(300));
        bench
    });
    for n in 0..50 {
        let [deciding, choosing] = &mut lives;
        let before = choosing.router.digest();
        let chosen = choose(choosing, n).unwrap();
        assert_eq!(choosing.router.digest(), before, "choosing changes nothing");
        let decided = deciding.decide(n);
        let inserted = insert(choosing, n, chosen);
        assert_eq!(inserted.decision, decided, "{n}");
        assert_eq!(deciding.pin(n), inserted.pin);
        assert_eq!(choosing.pin(n), inserted.pin);
    }
    assert_eq!(lives[0].router.digest(), lives[1].router.digest());
    lives.iter().for_each(|bench| _ = bench.router.expire(bench.now));
    assert_eq!(lives[0].router.len(), lives[1].router.len());
}

#[test]
fn refusals_are_those_of_a_decision() {
    let mut bench = Bench::bounded(&["a"], 2);
    bench.decide(0);
    let pin = Pin { shard: name("x"), ..bench.pin(0) };
    bench.router.merge(key(1), pin, bench.now);
    assert_eq!(choose(&bench, 1), Err(Refusal::Awaited));
    assert_eq!(choose(&bench, 2), Err(Refusal::TableFull));
    assert_eq!(choose(&bench, 0).unwrap(), bench.pin(0));
    bench.operator(bench.id("a"), ShardState::Down);
    assert_eq!(choose(&bench, 0), Err(Refusal::NoShard));
    assert_eq!(choose(&bench, 2), Err(Refusal::NoShard));
    bench.list(&["a", "b"]);
    assert_eq!(choose(&bench, 0).unwrap().epoch, 2, "a full table still moves what it knows");
    bench.operator(bench.id("a"), ShardState::Ready);
    bench.pass(TTL);
    assert_eq!(choose(&bench, 2).unwrap().epoch, 1, "what is past makes room");
    let refused = {
        let full = Bench::bounded(&["a"], 0);
        full.router.insert(key(1), choose(&bench, 2).unwrap(), full.now)
    };
    assert_eq!(refused, Err(Refusal::TableFull));
}

/// Invariant 1: of two replicas' choices for one room, both end up with one.
#[test]
fn the_greater_choice_stays_wherever_it_comes_second() {
    let (one, other) = (Bench::new(&["a", "b"]), Bench::new(&["a", "b"]));
    let (a, b) = (one.id("a"), one.id("b"));
    let early = Pin { shard: name("b"), created: Timestamp(one.now.0 - 1), ..choose(&one, 1).unwrap() };
    let late = Pin { shard: name("a"), created: one.now, ..early.clone() };
    assert_eq!(insert(&one, 1, early.clone()).decision, Decision { shard: b, outcome: Outcome::Made });
    let second = insert(&one, 1, late.clone());
    assert_eq!(second.decision, Decision { shard: b, outcome: Outcome::Found });
    assert_eq!(second.merged, Merged::Conflict { ours: b, theirs: a, tunnels: 0 });
    assert_eq!(insert(&other, 1, late).decision.outcome, Outcome::Made);
    let second = insert(&other, 1, early);
    assert_eq!(second.decision, Decision { shard: b, outcome: Outcome::Moved { from: a } });
    assert_eq!(second.merged, Merged::Moved { from: a, to: b, tunnels: 0 });
    assert_eq!((second.pin, one.router.digest()), (one.pin(1), other.router.digest()));
    // Others may have been sent there, so its maker cannot take it back.
    assert_eq!(one.router.decide_again(key(1), one.now, &[b]).unwrap().outcome, Outcome::Found);
}

#[test]
fn a_grant_by_one_who_missed_an_end_is_one_epoch_later() {
    let bench = Bench::new(&["a", "b"]);
    let granted = choose(&bench, 1).unwrap();
    bench.router.pin(key(1), &name("a"), bench.now).unwrap();
    bench.router.pin(key(1), &name("b"), bench.now).unwrap();
    bench.router.end(key(1), bench.now).unwrap();
    let shard = bench.id(granted.shard.as_str());
    let inserted = insert(&bench, 1, granted);
    assert_eq!(inserted.decision, Decision { shard, outcome: Outcome::Made });
    assert_eq!((inserted.pin.epoch, inserted.pin.ended, bench.route(1)), (3, false, Route::Pinned(shard)));
}
