use super::*;

const NONE: [u8; 0] = [];

/// A scripted history. Rooms are called `r` unless a test needs two.
struct History(Judge);

impl History {
    fn new() -> Self {
        Self::with(Rules::default())
    }

    fn with(rules: Rules) -> Self {
        Self(Judge::new(rules))
    }

    /// A request from `start` to `end` was answered by `shard`.
    fn request(&mut self, room: &str, shard: &str, start: u64, end: u64) {
        let how = How::Request;
        self.0.contact(&Contact { room, shard, replica: 1, how, start_ms: start, end_ms: end });
    }

    fn saw(&mut self, shard: &str, at: u64) {
        self.request("r", shard, at, at);
    }

    /// Somebody sits down.
    fn sits(&mut self, shard: &str, at: u64) -> u64 {
        self.saw(shard, at);
        self.0.opened("r", shard, at)
    }

    /// Their session lives.
    fn echoes(&mut self, id: u64, shard: &str, at: u64) {
        let how = How::Session(id);
        self.0.contact(&Contact { room: "r", shard, replica: 1, how, start_ms: at, end_ms: at });
    }

    fn happened(&mut self, happening: Happening, at: u64) {
        self.0.happened(happening, at);
    }

    fn refused(&mut self, room: &str, status: u16, at: u64) {
        self.0.refused(&Refused { room, status: Some(status), replica: 1, start_ms: at, end_ms: at });
    }

    /// The invariants broken so far, in order.
    fn broken(&self) -> Vec<u8> {
        self.0.violations().iter().map(|violation| violation.invariant).collect()
    }
}

fn x() -> String {
    "x".to_owned()
}

fn y() -> String {
    "y".to_owned()
}

// Invariant 1: without a partition, two requests for one room never go to two shards.

#[test]
fn one_holds_for_people_who_meet_come_and_go() {
    let mut history = History::new();
    let a = history.sits("x", 0);
    let b = history.sits("x", 5);
    history.echoes(a, "x", 1_000);
    history.0.closed("r", b, false, 1_500);
    history.request("other", "y", 0, 3);
    history.saw("x", 9_000);
    assert_eq!(history.broken(), NONE);
    assert_eq!((history.0.totals().rooms, history.0.totals().sessions, history.0.totals().splits), (2, 2, 0));
}

#[test]
fn one_is_broken_by_two_first_requests_at_once() {
    let mut history = History::new();
    history.request("r", "x", 0, 10);
    history.request("r", "y", 1, 11);
    assert_eq!(history.broken(), [1]);
    assert_eq!(history.0.totals().moves, 1);
}

#[test]
fn one_is_broken_once_by_two_who_sit_apart_however_long() {
    let mut history = History::new();
    let a = history.sits("x", 0);
    history.echoes(a, "x", 4_900);
    let b = history.sits("y", 5_000);
    for at in (5_500..20_000).step_by(500) {
        history.echoes(a, "x", at);
        history.echoes(b, "y", at);
        let point = history.0.sample(at);
        assert_eq!((point.participants, point.splits_alive), (2, 1), "{at}");
    }
    assert_eq!(history.broken(), [1]);
    assert_eq!(history.0.totals().splits, 1);
    // They find together, and apart again: that is another one.
    history.0.closed("r", a, true, 20_000);
    for at in (20_500..25_000).step_by(500) {
        history.echoes(b, "y", at);
        assert_eq!(history.0.sample(at).splits_alive, 0);
    }
    history.sits("x", 25_000);
    assert_eq!(history.broken(), [1, 1]);
}

#[test]
fn a_room_nobody_came_to_for_a_pins_life_may_go_anywhere() {
    let with = |at| {
        let mut history = History::with(Rules { ttl_ms: 10_000, ..Rules::default() });
        history.saw("x", 0);
        history.saw("y", at);
        history.broken()
    };
    assert_eq!(with(8_500), [4]);
    assert_eq!(with(9_500), NONE);
    assert_eq!(with(12_000), NONE);
}

// Invariant 2: after a partition all agree within 2 s, and sessions are on the agreed shard within 5 s.

/// Two people on both sides of a partition that lasts from 1 to 10 s.
fn divided() -> (History, u64, u64) {
    let mut history = History::new();
    let a = history.sits("x", 0);
    history.happened(Happening::PartitionBegins, 1_000);
    let b = history.sits("y", 2_000);
    for at in (2_500..10_000).step_by(500) {
        history.echoes(a, "x", at);
        history.echoes(b, "y", at);
    }
    history.happened(Happening::PartitionOver, 10_000);
    assert_eq!(history.broken(), NONE);
    (history, a, b)
}

#[test]
fn two_holds_when_all_come_together_in_time() {
    let (mut history, a, b) = divided();
    history.saw("x", 10_500);
    history.saw("y", 11_500);
    history.saw("y", 12_100);
    history.echoes(a, "x", 14_500);
    history.echoes(b, "y", 14_500);
    history.0.closed("r", a, true, 14_900);
    history.sits("y", 16_000);
    history.echoes(b, "y", 20_000);
    assert_eq!(history.broken(), NONE);
}

#[test]
fn two_is_broken_by_replicas_that_disagree_after_two_seconds() {
    let (mut history, ..) = divided();
    history.saw("y", 12_100);
    history.saw("x", 12_200);
    assert_eq!(history.broken(), [2]);
}

#[test]
fn two_is_broken_by_a_session_that_stays_behind() {
    let (mut history, a, _) = divided();
    history.saw("y", 12_100);
    history.echoes(a, "x", 14_900);
    assert_eq!(history.broken(), NONE);
    history.echoes(a, "x", 15_100);
    assert_eq!(history.broken(), [2]);
}

// Invariant 3: a replica's crash or restart moves no room.

#[test]
fn three_holds_when_all_come_back_to_where_they_were() {
    let mut history = History::new();
    let a = history.sits("x", 0);
    history.happened(Happening::ReplicaDies, 1_000);
    history.0.closed("r", a, true, 1_001);
    history.happened(Happening::ReplicaLives, 3_000);
    history.sits("x", 3_500);
    assert_eq!(history.broken(), NONE);
    assert_eq!(history.0.totals().disconnects, 1);
}

#[test]
fn three_is_broken_by_a_replica_that_forgets() {
    let mut history = History::new();
    let a = history.sits("x", 0);
    history.happened(Happening::ReplicaDies, 1_000);
    history.0.closed("r", a, true, 1_001);
    history.happened(Happening::ReplicaLives, 3_000);
    history.sits("y", 3_500);
    assert_eq!(history.broken(), [3]);
}

#[test]
fn three_excuses_a_room_too_young_to_be_on_disk() {
    let with = |dies| {
        let mut history = History::with(Rules { durable_ms: 2_000, ..Rules::default() });
        history.saw("x", 100);
        history.happened(Happening::ReplicaDies, dies);
        history.happened(Happening::ReplicaLives, dies + 500);
        history.saw("y", dies + 600);
        history.broken()
    };
    assert_eq!(with(2_000), NONE);
    assert_eq!(with(2_200), [3]);
}

// Invariant 4: a draining shard gets no new room; a room leaves a shard only when that is down, gone or ordered away.

#[test]
fn four_holds_for_a_draining_shard_that_keeps_its_rooms_only() {
    let mut history = History::new();
    history.saw("x", 0);
    // Sent before all knew about the order.
    history.request("early", "x", 900, 1_100);
    history.happened(Happening::Draining(x()), 1_000);
    history.saw("x", 2_000);
    history.request("late", "y", 2_000, 2_001);
    history.happened(Happening::OrdersBack(x()), 5_000);
    history.request("later", "x", 6_000, 6_001);
    assert_eq!(history.broken(), NONE);
}

#[test]
fn four_is_broken_by_a_new_room_on_a_draining_or_gone_shard() {
    let mut history = History::new();
    history.happened(Happening::Draining(x()), 1_000);
    history.request("late", "x", 1_500, 1_501);
    history.happened(Happening::Gone(y()), 2_000);
    history.request("later", "y", 2_500, 2_501);
    assert_eq!(history.broken(), [4, 4]);
    history.happened(Happening::Comes(y()), 3_000);
    history.request("at last", "y", 3_500, 3_501);
    assert_eq!(history.broken(), [4, 4]);
}

#[test]
fn four_is_broken_by_a_draining_shard_that_loses_its_room() {
    let mut history = History::new();
    history.saw("x", 0);
    history.happened(Happening::Draining(x()), 1_000);
    history.saw("y", 2_000);
    assert_eq!(history.broken(), [4]);
}

#[test]
fn four_holds_for_rooms_that_leave_for_a_reason() {
    let leave = [
        vec![(Happening::ShardDies(x()), 1_000)],
        vec![(Happening::ShardDies(x()), 1_000), (Happening::ShardLives(x()), 1_500)],
        vec![(Happening::ShardSlow(x(), 5_000), 1_000)],
        vec![(Happening::OrderedDown(x()), 1_000)],
        vec![(Happening::Leaving(x()), 1_000), (Happening::Gone(x()), 1_200)],
    ];
    for happenings in leave {
        let mut history = History::new();
        let a = history.sits("x", 0);
        for (happening, at) in happenings.clone() {
            history.happened(happening, at);
        }
        history.saw("y", 2_000);
        // The others may take a moment to notice.
        history.echoes(a, "x", 6_000);
        assert_eq!(history.broken(), NONE, "{happenings:?}");
        assert_eq!(history.0.totals().moves, 1, "{happenings:?}");
    }
}

#[test]
fn four_is_broken_by_a_room_that_leaves_for_none() {
    let mut history = History::new();
    history.saw("x", 0);
    history.happened(Happening::ShardDies(y()), 1_000);
    history.happened(Happening::ShardLives(y()), 2_000);
    history.happened(Happening::ShardSlow(x(), 300), 3_000);
    history.saw("y", 12_000);
    assert_eq!(history.broken(), [4]);
}

#[test]
fn a_shard_that_died_long_ago_is_no_reason() {
    let mut history = History::new();
    history.happened(Happening::ShardDies(x()), 1_000);
    history.happened(Happening::ShardLives(x()), 2_000);
    history.saw("x", 8_000);
    history.saw("y", 12_000);
    assert_eq!(history.broken(), [4]);
}

#[test]
fn one_is_broken_by_those_who_do_not_follow_a_move() {
    let mut history = History::new();
    let a = history.sits("x", 0);
    history.happened(Happening::ShardDies(x()), 1_000);
    history.happened(Happening::ShardLives(x()), 1_200);
    let b = history.sits("y", 2_000);
    for at in (2_500..9_000).step_by(500) {
        history.echoes(a, "x", at);
        history.echoes(b, "y", at);
    }
    assert_eq!(history.broken(), [1]);
}

// Invariant 5: the table is bounded, and reaching the bound refuses new work with 503; a room in use stays.

/// Three rooms in a table for three.
fn full() -> History {
    let mut history = History::with(Rules { bound: Some(3), ttl_ms: 60_000, ..Rules::default() });
    for room in ["r", "s", "t"] {
        history.request(room, "x", 0, 1);
    }
    history
}

#[test]
fn five_holds_when_a_full_table_refuses_new_rooms_only() {
    let mut history = full();
    history.refused("u", 503, 10);
    history.saw("x", 20);
    history.request("u", "y", 70_000, 70_001);
    assert_eq!(history.broken(), NONE);
    assert_eq!(history.0.totals().refused, 1);
}

#[test]
fn five_is_broken_by_a_table_that_grows_forgets_or_refuses_its_own() {
    let mut grows = full();
    grows.request("u", "y", 10, 11);
    assert_eq!(grows.broken(), [5]);

    let mut forgets = full();
    forgets.saw("y", 5_000);
    assert_eq!(forgets.broken(), [5]);

    let mut refuses = full();
    refuses.refused("r", 503, 10);
    assert_eq!(refuses.broken(), [5]);

    let mut fails = full();
    fails.refused("u", 500, 10);
    assert_eq!(fails.broken(), [5]);
}

#[test]
fn five_excuses_a_room_whose_shard_died() {
    let mut history = full();
    history.happened(Happening::ShardDies(x()), 5);
    history.refused("r", 503, 10);
    assert_eq!(history.broken(), NONE);
}

// The record itself.

#[test]
fn a_sample_counts_what_came_since_the_last() {
    let mut history = History::new();
    let a = history.sits("x", 0);
    history.0.closed("r", a, true, 100);
    history.refused("r", 502, 200);
    let point = history.0.sample(500);
    assert_eq!((point.participants, point.disconnects, point.errors, point.moves), (0, 1, 1, 0));
    assert_eq!(history.0.sample(1_000), ChaosPoint { t_ms: 1_000, ..ChaosPoint::default() });
}

#[test]
fn words_are_bounded_and_numbers_are_not() {
    let mut history = History::new();
    for room in 0..1_500 {
        history.request(&room.to_string(), "x", 0, 1);
        history.request(&room.to_string(), "y", 0, 1);
    }
    assert_eq!((history.0.violations().len(), history.0.violations_total()), (1_000, 1_500));
}

#[tokio::test]
async fn dropping_a_sitting_is_losing_it_unless_it_leaves() {
    let observer = Observer::new(Rules::default());
    drop(observer.sit("r", "x", 1, 0));
    observer.sit("r", "x", 1, 0).leave();
    let kept = observer.sit("r", "x", 1, 0);
    kept.confirmed(observer.now());
    assert_eq!((observer.totals().sessions, observer.totals().disconnects), (3, 1));
    assert_eq!((observer.sample().participants, kept.shard()), (1, "x"));
}
