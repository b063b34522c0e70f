//! The table as other replicas see it: lists, digests, uses.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn chunks(bench: &Bench, most: usize) -> Vec<Vec<(RoomKey, Pin)>> {
    let (mut chunks, mut cursor) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = cursor {
        let (pins, next) = bench.router.next_chunk(from, most, bench.now);
        assert!(pins.len() <= most.max(1));
        chunks.push(pins);
        cursor = next;
    }
    chunks
}

#[test]
fn groups_and_leaves_are_the_table() {
    let bench = Bench::new(&["a", "b"]);
    for n in 0..1000 {
        bench.decide(n);
    }
    for n in 0..1000 {
        let (group, leaf) = (key(n).group(), key(n).leaf());
        assert_eq!((u128::from(group) << 8) | u128::from(leaf), key(n).0 >> 112);
        let listed = bench.router.pins_of_group(group, Some(leaf), bench.now);
        assert!(listed.iter().all(|(key, _)| (key.group(), key.leaf()) == (group, leaf)));
        assert!(listed.contains(&(key(n), bench.pin(n))));
    }
    let group = key(1).group();
    let mut all = bench.router.pins_of_group(group, None, bench.now);
    all.sort_by_key(|(key, _)| *key);
    let leaves: Vec<_> = all.iter().map(|(key, _)| key.leaf()).collect();
    assert_eq!(bench.router.pins_of_leaves(group, &leaves, bench.now), all);
    let one = bench.router.pins_of_leaves(group, &[leaves[0], leaves[0]], bench.now);
    assert!(!one.is_empty() && one.iter().all(|(key, _)| key.leaf() == leaves[0]));
    let all: usize = (0..=u8::MAX).map(|group| bench.router.pins_of_group(group, None, bench.now).len()).sum();
    assert_eq!(all, 1000);
}

#[test]
fn lists_have_what_others_need_and_nothing_past() {
    let mut bench = Bench::new(&["a"]);
    let a = bench.id("a");
    (0..4).for_each(|n| _ = bench.decide(n));
    bench.router.tunnel_opened(key(2), a, bench.now);
    bench.pass(TTL - secs(1));
    bench.router.end(key(3), bench.now);
    bench.route(1);
    bench.pass(secs(1));
    // 0 is past, 1 in use, 2 held by a tunnel and so in use now, 3 ended.
    let list = |n| bench.router.pins_of_group(key(n).group(), Some(key(n).leaf()), bench.now);
    assert_eq!(list(0), []);
    assert_eq!(list(1), [(key(1), bench.pin(1))]);
    assert_eq!(list(2)[0].1.last_seen, bench.now);
    assert!(list(3)[0].1.ended);
    let listed: Vec<_> = chunks(&bench, 10).concat();
    let of = |n: u64| list(n).into_iter();
    let mut expected: Vec<_> = of(1).chain(of(2)).chain(of(3)).collect();
    expected.sort_by_key(|(key, _)| *key);
    let mut sorted = listed;
    sorted.sort_by_key(|(key, _)| *key);
    assert_eq!(sorted, expected);
}

#[test]
fn chunks_list_all_once_in_the_order_of_keys() {
    let bench = Bench::new(&["a"]);
    (0..2000).for_each(|n| _ = bench.decide(n));
    for most in [1, 7, 500, 2000, 5000] {
        let chunks = chunks(&bench, most);
        let keys: BTreeSet<_> = chunks.iter().flatten().map(|(key, _)| *key).collect();
        assert_eq!((chunks.iter().map(Vec::len).sum::<usize>(), keys.len()), (2000, 2000));
        for pair in chunks.windows(2) {
            let last = pair[0].iter().map(|(key, _)| *key).max();
            let first = pair[1].iter().map(|(key, _)| *key).min();
            assert!(first.is_none() || last < first);
            assert_eq!(pair[0].len(), most, "all but the last are full");
        }
    }
    assert_eq!(chunks(&bench, 0).len(), chunks(&bench, 1).len(), "it always gets on");
}

/// A snapshot under way misses nothing that was there all the time, and repeats nothing.
#[test]
fn chunks_hold_while_the_table_changes() {
    let bench = Bench::new(&["a"]);
    (0..1000).for_each(|n| _ = bench.decide(n));
    let (mut seen, mut cursor, mut n) = (Vec::new(), Some(Cursor::default()), 1000);
    while let Some(from) = cursor {
        let (pins, next) = bench.router.next_chunk(from, 64, bench.now);
        seen.extend(pins.into_iter().map(|(key, _)| key));
        cursor = next;
        // Maps grow, and rooms of every third number go.
        (n..n + 64).for_each(|n| _ = bench.decide(n));
        (0..1000).filter(|m| m % 3 == 0 && m % 8 == n / 64 % 8).for_each(|m| _ = bench.router.unpin(key(m), bench.now));
        n += 64;
    }
    let unique: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(unique.len(), seen.len());
    assert!((0..1000).filter(|m| m % 3 != 0).all(|m| unique.contains(&key(m))));
}

#[test]
fn requests_and_tunnels_are_uses_and_merges_are_not() {
    let mut bench = Bench::new(&["a"]);
    let a = bench.id("a");
    let used = |bench: &Bench| {
        let groups = (0..=u8::MAX).flat_map(|group| bench.router.used_since(group, bench.now));
        groups.map(|(key, epoch, at)| (key, (epoch, at))).collect::<BTreeMap<_, _>>()
    };
    for n in 0..5 {
        let pin = bench.router.choose(key(n), bench.now).unwrap();
        assert_eq!(bench.router.merge(key(n), pin, bench.now), Merged::Taken);
    }
    assert_eq!(used(&bench), [].into());
    bench.pass(secs(1));
    let at = bench.now;
    bench.route(1);
    bench.router.tunnel_opened(key(2), a, bench.now);
    assert!(bench.router.seen(key(3), 1, bench.now, bench.now));
    bench.pass(secs(5));
    // 2 is used now, 1 was a while ago, 3 is another replica's to tell.
    assert_eq!(used(&bench), [(key(1), (1, at)), (key(2), (1, bench.now))].into());
    bench.pass(secs(5));
    assert_eq!(used(&bench), [(key(2), (1, bench.now))].into());
    bench.router.tunnel_closed(key(2), a, bench.now);
    bench.route(3);
    assert_eq!(used(&bench), [(key(2), (1, bench.now)), (key(3), (1, bench.now))].into());
    assert_eq!(used(&bench), [].into());
    // A use and then an end is an end.
    bench.router.tunnel_opened(key(2), a, bench.now);
    bench.router.end(key(2), bench.now);
    bench.pass(secs(5));
    assert_eq!(used(&bench), [].into());
    let end = bench.router.get(key(2), bench.now).unwrap().0;
    assert_eq!(end.last_seen, Timestamp(bench.now.0 - 5000));
    // What is pinned to a shard that is down cannot be used.
    bench.operator(a, ShardState::Down);
    assert_eq!(bench.route(4), Route::Lost(a));
    assert_eq!(used(&bench), [].into());
}

#[test]
fn uses_elsewhere_keep_a_pin() {
    let mut bench = Bench::new(&["a"]);
    bench.decide(1);
    let seen = |bench: &Bench, epoch, at| bench.router.seen(key(1), epoch, at, bench.now);
    bench.pass(TTL - secs(1));
    assert!(!seen(&bench, 2, bench.now), "another pin");
    assert!(!bench.router.seen(key(2), 1, bench.now, bench.now), "another room");
    assert!(seen(&bench, 1, Timestamp(5)), "known, and no news");
    assert_eq!(bench.pin(1).last_seen, Timestamp(1_000_000));
    assert!(seen(&bench, 1, Timestamp(u64::MAX)));
    assert_eq!(bench.pin(1).last_seen, bench.now, "nobody uses it in the future");
    bench.pass(TTL);
    assert!(!seen(&bench, 1, Timestamp(bench.now.0 - 600_000)));
    assert_eq!(bench.router.expire(bench.now), 1);
    // No use of an ended pin.
    bench.decide(1);
    bench.router.end(key(1), bench.now);
    assert!(!seen(&bench, 1, bench.now));
}

#[test]
fn a_digest_tells_all_fields_but_the_last_use() {
    let shards = ["a", "b"];
    let reference = Bench::new(&shards);
    let pin = Pin { last_seen: reference.now, ..reference.router.choose(key(1), reference.now).unwrap() };
    let pin = Pin { shard: name("a"), created: Timestamp(5), decider: DeciderId(5), ..pin };
    let digest = |n: u64, pin: &Pin| {
        let bench = Bench::new(&shards);
        assert_eq!(bench.router.merge(key(n), pin.clone(), bench.now), Merged::Taken);
        let digest = bench.router.digest();
        let group = key(n).group();
        // One pin: its group's sum is its leaf's.
        let leaves = bench.router.leaves(group);
        assert_eq!(digest[usize::from(group)], leaves[usize::from(key(n).leaf())]);
        assert_eq!((digest.len(), leaves.len()), (256, 256));
        assert_eq!(digest.iter().chain(&leaves).filter(|&&sum| sum != 0).count(), 2);
        digest
    };
    let same = Pin { last_seen: Timestamp(pin.last_seen.0 - 1), ..pin.clone() };
    assert_eq!(digest(1, &pin), digest(1, &same));
    let others = [
        Pin { epoch: 2, ..pin.clone() },
        Pin { ended: true, ..pin.clone() },
        Pin { created: Timestamp(6), ..pin.clone() },
        Pin { decider: DeciderId(6), ..pin.clone() },
        Pin { shard: name("b"), ..pin.clone() },
    ];
    for other in others {
        assert_ne!(digest(1, &pin), digest(1, &other), "{other:?}");
    }
    assert_ne!(digest(1, &pin), digest(2, &pin));
}

#[derive(Clone, Debug)]
enum Step {
    Decide(u64),
    Again(u64),
    Route(u64),
    Open(u64, usize),
    Close(u64),
    Pin(u64, usize),
    Unpin(u64),
    End(u64),
    Merge(u64, Pin),
    Insert(u64, Pin),
    Restore(Vec<(u64, Pin)>),
    Seen(u64),
    Used,
    Order(usize, ShardState),
    Pass(u64),
    Expire,
}

const SHARDS: [&str; 3] = ["a", "b", "c"];
const ROOMS: u64 = 6;

fn pins() -> impl Strategy<Value = Pin> {
    (0..4usize, 1..4u32, any::<bool>(), 0..3u64, 0..3u64, 0..900u64).prop_map(
        |(shard, epoch, ended, created, decider, ago)| Pin {
            shard: name(["a", "b", "c", "elsewhere"][shard]),
            epoch,
            ended,
            created: Timestamp(created),
            decider: DeciderId(decider),
            // The steps' time begins at a million.
            last_seen: Timestamp(1_600_000 - ago * 1000),
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let room = || 0..ROOMS;
    let state = prop::sample::select(vec![ShardState::Ready, ShardState::Draining, ShardState::Down]);
    prop_oneof![
        4 => room().prop_map(Step::Decide),
        1 => room().prop_map(Step::Again),
        1 => room().prop_map(Step::Route),
        2 => (room(), 0..3usize).prop_map(|(room, shard)| Step::Open(room, shard)),
        2 => room().prop_map(Step::Close),
        1 => (room(), 0..3usize).prop_map(|(room, shard)| Step::Pin(room, shard)),
        1 => room().prop_map(Step::Unpin),
        1 => room().prop_map(Step::End),
        3 => (room(), pins()).prop_map(|(room, pin)| Step::Merge(room, pin)),
        2 => (room(), pins()).prop_map(|(room, pin)| Step::Insert(room, pin)),
        1 => prop::collection::vec((room(), pins()), 0..4).prop_map(Step::Restore),
        1 => room().prop_map(Step::Seen),
        1 => Just(Step::Used),
        1 => (0..3usize, state).prop_map(|(shard, state)| Step::Order(shard, state)),
        3 => (0..400u64).prop_map(Step::Pass),
        1 => Just(Step::Expire),
    ]
}

fn run(bench: &mut Bench, step: Step) {
    let (router, now) = (&bench.router, bench.now);
    let id = |shard: usize| bench.id(SHARDS[shard]);
    match step {
        Step::Decide(n) => _ = router.decide(key(n), now, &[]),
        Step::Again(n) => _ = router.decide_again(key(n), now, &[id(0)]),
        Step::Route(n) => _ = router.route(key(n), now),
        Step::Open(n, shard) => _ = router.tunnel_opened(key(n), id(shard), now),
        Step::Close(n) => router.tunnel_closed(key(n), id(0), now),
        Step::Pin(n, shard) => _ = router.pin(key(n), &name(SHARDS[shard]), now),
        Step::Unpin(n) => _ = router.unpin(key(n), now),
        Step::End(n) => _ = router.end(key(n), now),
        Step::Merge(n, pin) => _ = router.merge(key(n), pin, now),
        Step::Insert(n, pin) => _ = router.insert(key(n), pin, now),
        Step::Restore(pins) => _ = router.restore(pins.into_iter().map(|(n, pin)| (key(n), pin)), now),
        Step::Seen(n) => _ = router.seen(key(n), 1, now, now),
        Step::Used => (0..=u8::MAX).for_each(|group| _ = router.used_since(group, now)),
        Step::Order(shard, state) => {
            let input = ShardInput::Operator { shard: name(SHARDS[shard]), state: Some(state) };
            _ = router.handle(input, now);
        }
        Step::Pass(seconds) => bench.pass(secs(seconds)),
        Step::Expire => _ = router.expire(now),
    }
}

/// Everything that is kept incrementally, from scratch.
fn check(bench: &Bench) -> Result<(), TestCaseError> {
    let (mut digest, mut leaves) = ([0; 256], BTreeMap::new());
    let (mut rooms, mut held) = ([0; 16], 0);
    let set = bench.router.shards();
    let groups = (0..=u8::MAX).map(|group| bench.router.table.group(group));
    groups.for_each(|group| {
        group.iter().for_each(|(key, slot)| {
            let seed = placement::seed(set.name(slot.shard()).unwrap());
            let fingerprint = slot.fingerprint(key, seed);
            digest[usize::from(key.group())] ^= fingerprint;
            *leaves.entry((key.group(), key.leaf())).or_default() ^= fingerprint;
            rooms[usize::from(slot.shard().0)] += u32::from(!slot.is_ended());
            held += 1;
        });
    });
    prop_assert_eq!(bench.router.len(), held);
    for (id, &count) in (0u16..).zip(&rooms) {
        prop_assert_eq!(bench.router.rooms_on(ShardId(id)), count);
    }
    prop_assert_eq!(bench.router.digest(), digest);
    for group in (0..ROOMS).map(|n| key(n).group()) {
        let computed = (0..=u8::MAX).map(|leaf| leaves.get(&(group, leaf)).copied().unwrap_or(0u64));
        prop_assert_eq!(bench.router.leaves(group), computed.collect::<Vec<_>>());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_digest_kept_is_the_digest_computed(steps in prop::collection::vec(steps(), 1..60)) {
        let mut bench = Bench::bounded(&SHARDS, 4);
        for step in steps {
            run(&mut bench, step);
            check(&bench)?;
        }
    }
}
