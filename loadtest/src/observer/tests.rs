use super::*;

fn one_room() -> Arc<Observer> {
    Observer::new(["café".to_owned()])
}

#[test]
fn two_on_one_shard_are_no_split() {
    let observer = one_room();
    let (a, b) = (observer.seat(0, Kind::Tunnel, "r1"), observer.seat(0, Kind::Bosh, "r1"));
    a.saw("x");
    b.saw("x");
    a.saw("x");
    assert_eq!(observer.verdict(), Verdict { rooms: 1, participants: 2, splits: 0, errors: 0 });
    assert_eq!(observer.shard_of(0).as_deref(), Some("x"));
}

#[test]
fn two_on_two_shards_at_once_are_one_split_however_often_seen() {
    let observer = one_room();
    let (a, b) = (observer.seat(0, Kind::Tunnel, "r1"), observer.seat(0, Kind::Bosh, "r1"));
    a.saw("x");
    b.saw("y");
    b.saw("y");
    a.saw("x");
    assert_eq!(observer.verdict().splits, 1);
    assert_eq!(observer.shard_of(0), None);
    assert_eq!(observer.rooms()[0].shards.len(), 2);
}

#[test]
fn a_participant_that_moves_away_from_the_others_splits_the_room() {
    let observer = one_room();
    let (a, b) = (observer.seat(0, Kind::Plain, "r1"), observer.seat(0, Kind::Plain, "r2"));
    a.saw("x");
    b.saw("x");
    b.saw("y");
    assert_eq!(observer.verdict(), Verdict { rooms: 1, participants: 2, splits: 1, errors: 0 });
}

#[test]
fn one_after_the_other_is_no_split() {
    let observer = one_room();
    let a = observer.seat(0, Kind::Tunnel, "r1");
    a.saw("x");
    drop(a);
    observer.seat(0, Kind::Tunnel, "r1").saw("y");
    assert_eq!(observer.verdict(), Verdict { rooms: 1, participants: 2, splits: 0, errors: 0 });
    assert_eq!(observer.rooms()[0].last_shard.as_deref(), Some("y"));
    assert!(observer.rooms()[0].sitting.is_empty());
}

#[test]
fn a_page_from_elsewhere_splits_a_room_only_when_somebody_sat_there_before() {
    let observer = one_room();
    let a = observer.seat(0, Kind::Tunnel, "r1");
    a.saw_page(None, "x");
    a.saw("y");
    assert_eq!(observer.verdict().splits, 0);
    observer.seat(0, Kind::Tunnel, "r1").saw_page(observer.shard_of(0).as_deref(), "x");
    assert_eq!(observer.verdict().splits, 1);
}

#[test]
fn errors_are_all_counted_and_some_kept() {
    let observer = one_room();
    let a = observer.seat(0, Kind::Tunnel, "r1");
    for n in 0..9 {
        a.failed(&n);
    }
    observer.failed(&"proxy ended");
    assert_eq!(observer.verdict(), Verdict { rooms: 0, participants: 0, splits: 0, errors: 10 });
    let kept = ["proxy ended", "café: 4", "café: 5", "café: 6", "café: 7", "café: 8"];
    assert_eq!(observer.recent_errors(), kept);
}
