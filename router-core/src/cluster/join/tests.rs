use proptest::prelude::*;

use super::{
    super::{
        message::Message,
        repair::testing::{Plain, key, pin, shard},
    },
    serving::HANDOVER_TICKS,
    *,
};
use crate::{pin::Pin, room::RoomKey};
use ReplicaState::{Draining, Joining, Ready};

const ME: ReplicaId = ReplicaId(5);

fn at(millis: u64) -> Timestamp {
    Timestamp(1_000_000 + millis)
}

fn id(n: u64) -> ReplicaId {
    ReplicaId(n)
}

/// When it becomes ready, asked every 50 ms, among peers that stay as they are and say nothing.
fn ready_after(expected: usize, linked: &[(u64, ReplicaState)]) -> (u64, Vec<ReplicaId>) {
    let mut join = Join::new(at(0));
    join.expect(expected);
    let mut asked = Vec::new();
    for millis in (0..60_000).step_by(50) {
        match join.next(ME, linked.iter().map(|(n, state)| (id(*n), *state)), at(millis)) {
            Some(JoinStep::Ask(replica)) => asked.push(replica),
            Some(JoinStep::Ready) => {
                assert_eq!(join.next(ME, [].into_iter(), at(millis)), None, "said once");
                return (millis, asked);
            }
            None => {}
        }
    }
    panic!("never ready");
}

#[test]
fn who_is_alone_does_not_wait_long() {
    assert_eq!(ready_after(0, &[]), (1_000, vec![]));
    assert_eq!(ready_after(1, &[]), (1_000, vec![]));
    // Others are expected, and may have the table.
    assert_eq!(ready_after(3, &[]), (5_000, vec![]));
    assert_eq!(ready_after(3, &[(6, Joining)]), (5_000, vec![]));
}

#[test]
fn of_joiners_the_lowest_begins() {
    assert_eq!(ready_after(3, &[(6, Joining), (9, Joining)]), (1_000, vec![]));
    assert_eq!(ready_after(3, &[(4, Joining), (9, Joining)]), (5_000, vec![]));
}

#[test]
fn a_silent_replica_is_asked_again_and_then_done_without() {
    let (millis, asked) = ready_after(2, &[(6, Ready)]);
    assert_eq!((millis, asked), (5_000, vec![id(6), id(6)]));
    // With two to choose from, the other one is asked after a second.
    let (millis, asked) = ready_after(3, &[(6, Ready), (7, Ready)]);
    assert_eq!(millis, 5_000);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_ne!(asked[0], asked[1]);
    // Ready before draining, draining before nobody.
    assert_eq!(ready_after(3, &[(6, Draining), (7, Ready)]).1[0], id(7));
    assert_eq!(ready_after(2, &[(6, Draining)]).1[0], id(6));
}

#[test]
fn a_snapshot_that_keeps_coming_is_waited_for() {
    let mut join = Join::new(at(0));
    let peers = || [(id(6), Ready)].into_iter();
    assert_eq!(join.next(ME, peers(), at(0)), Some(JoinStep::Ask(id(6))));
    for millis in (0..20_000).step_by(500) {
        join.took(id(6), 10, at(millis));
        assert_eq!(join.next(ME, peers(), at(millis + 1)), None);
    }
    assert!(join.end(id(6), 400));
    assert!(!join.end(id(6), 400), "said once");
    assert_eq!(join.next(ME, peers(), at(21_000)), None);

    // But not for ever.
    let mut join = Join::new(at(0));
    let mut asked = 0;
    for millis in (0..).step_by(500) {
        join.took(id(6), 10, at(millis));
        match join.next(ME, peers(), at(millis)) {
            Some(JoinStep::Ask(_)) => asked += 1,
            Some(JoinStep::Ready) => {
                assert_eq!((millis, asked), (30_000, 1));
                break;
            }
            None => {}
        }
    }
}

#[test]
fn an_incomplete_snapshot_does_not_count() {
    let mut join = Join::new(at(0));
    let peers = || [(id(6), Ready)].into_iter();
    assert!(!join.end(id(6), 0), "not asked for");
    join.next(ME, peers(), at(0));
    join.took(id(6), 10, at(10));
    assert!(!join.end(id(6), 11));
    assert_eq!(join.next(ME, peers(), at(20)), Some(JoinStep::Ask(id(6))));
    join.took(id(6), 11, at(30));
    assert!(join.end(id(6), 11));
}

#[test]
fn another_is_asked_when_the_connection_goes() {
    let mut join = Join::new(at(0));
    let peers = || [(id(6), Ready), (id(7), Ready)].into_iter();
    let Some(JoinStep::Ask(first)) = join.next(ME, peers(), at(0)) else { panic!("nobody asked") };
    join.took(first, 10, at(10));
    join.link_down(first);
    let Some(JoinStep::Ask(second)) = join.next(ME, peers(), at(20)) else { panic!("nobody asked") };
    assert_ne!(first, second);
    assert!(!join.end(first, 10), "it came over another connection");
    join.took(second, 3, at(30));
    assert!(join.end(second, 3));
}

/// A slow one that was given up is good enough if it comes to its end first.
#[test]
fn whoever_ends_first_counts() {
    let mut join = Join::new(at(0));
    let peers = || [(id(6), Ready), (id(7), Ready)].into_iter();
    let Some(JoinStep::Ask(first)) = join.next(ME, peers(), at(0)) else { panic!("nobody asked") };
    let Some(JoinStep::Ask(_)) = join.next(ME, peers(), at(1_000)) else { panic!("nobody asked") };
    join.took(first, 10, at(1_100));
    assert!(join.end(first, 10));
}

type Chunks = Vec<(ReplicaId, Vec<(RoomKey, Pin)>)>;

/// Drains one chunk after the other; returns the sizes of chunks by receiver, and the ends.
fn drain(
    serving: &mut Serving,
    mut messages: Vec<(ReplicaId, Message)>,
    table: &Plain,
) -> (Chunks, Vec<(ReplicaId, u64)>) {
    let (mut chunks, mut ends) = (Vec::new(), Vec::new());
    loop {
        if messages.is_empty() {
            messages = serving.tick(table);
        }
        if messages.is_empty() {
            break;
        }
        let (to, message) = messages.remove(0);
        match message {
            Message::SnapshotPins(pins) => {
                chunks.push((to, pins));
                messages.extend(serving.drained(to, table));
            }
            Message::SnapshotEnd { pins } => ends.push((to, pins)),
            other => panic!("{other:?}"),
        }
    }
    (chunks, ends)
}

proptest! {
    #[test]
    fn a_snapshot_is_the_table(count in 0u64..2_000, name in "[a-z]{1,253}") {
        let name = shard(&name);
        let table = Plain::new((0..count).map(|n| (key(n), pin(&name, 1, n))));
        let mut serving = Serving::default();
        let first = serving.request(id(6), &table);
        let (chunks, ends) = drain(&mut serving, first, &table);
        prop_assert_eq!(ends, vec![(id(6), count)]);
        let all: Vec<_> = chunks.iter().flat_map(|(_, pins)| pins.clone()).collect();
        prop_assert_eq!(all.len() as u64, count, "each once");
        prop_assert_eq!(Plain::new(all), table);
        let bytes = 48 + name.as_str().len();
        let (last, full) = chunks.split_last().map_or((0, &[][..]), |(last, full)| (last.1.len(), full));
        prop_assert!(last * bytes <= 31 * 1024);
        for (_, pins) in full {
            prop_assert!((30 * 1024..=31 * 1024).contains(&(pins.len() * bytes)), "{}", pins.len());
        }
    }
}

/// Whoever takes everything at once still gets no more in a tick than its share.
#[test]
fn a_large_table_takes_its_time() {
    let table = Plain::new((0..200_000).map(|n| (key(n), pin(&shard("a"), 1, n))));
    let mut serving = Serving::default();
    let mut waiting = serving.request(id(6), &table);
    let (mut ticks, mut most, mut ended) = (0, 0, false);
    while !ended {
        let mut chunks = 0;
        while let Some((to, message)) = waiting.pop() {
            match message {
                Message::SnapshotPins(_) => {
                    chunks += 1;
                    waiting.extend(serving.drained(to, &table));
                }
                Message::SnapshotEnd { pins } => ended = pins == 200_000,
                other => panic!("{other:?}"),
            }
        }
        most = most.max(chunks);
        ticks += 1;
        waiting = serving.tick(&table);
    }
    assert!((20..=HANDOVER_TICKS + 10).contains(&ticks) && most <= 8, "{ticks} ticks, up to {most} chunks in each");
}

#[test]
fn four_are_served_at_a_time() {
    let table = Plain::new((0..3_000).map(|n| (key(n), pin(&shard("a"), 1, n))));
    let mut serving = Serving::default();
    let mut first = Vec::new();
    for n in 0..6 {
        let messages = serving.request(id(n), &table);
        assert_eq!(messages.len(), usize::from(n < 4), "one chunk, at once, for four");
        first.extend(messages);
    }
    assert!(serving.drained(id(4), &table).is_empty(), "still waiting");
    // One goes away, one that waited comes in.
    let next = serving.link_down(id(0), &table);
    assert_eq!(next[0].0, id(4));
    first.retain(|(to, _)| *to != id(0));
    first.extend(next);
    let (_, ends) = drain(&mut serving, first, &table);
    assert_eq!(ends.len(), 5, "{ends:?}");
    assert_eq!(ends.last(), Some(&(id(5), 3_000)));
    assert!(serving.drained(id(1), &table).is_empty(), "nobody is left");
}

#[test]
fn who_asks_again_starts_again() {
    let table = Plain::new((0..3_000).map(|n| (key(n), pin(&shard("a"), 1, n))));
    let mut serving = Serving::default();
    serving.request(id(6), &table);
    serving.drained(id(6), &table);
    let again = serving.request(id(6), &table);
    assert_eq!(drain(&mut serving, again, &table).1, [(id(6), 3_000)]);
    // Those that wait are bounded, and each waits once.
    for n in 0..1_000 {
        serving.request(id(n), &table);
        serving.request(id(n.max(4)), &table);
    }
    let end = drain(&mut serving, Vec::new(), &table);
    assert!(end.0.is_empty());
    let mut left = 0;
    for n in 0..1_000 {
        left += serving.link_down(id(n), &table).len();
    }
    assert!(left <= 64, "{left}");
}
