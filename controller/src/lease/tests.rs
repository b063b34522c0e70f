//! What the machine decides, one step at a time. All together, with faults: `tests/lease_simulation.rs`.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Timing,
    machine::{Event, Found, Machine, Record, Step, WriteFailure},
};

const S: Duration = Duration::from_secs(1);
const WALL: Timestamp = Timestamp::UNIX_EPOCH;

fn machine(me: &str) -> Machine {
    Machine::new(me.to_owned(), Timing::default())
}

fn rival(renewed: i64) -> Record {
    Record {
        holder: "rival".to_owned(),
        acquired: Some(WALL),
        renewed: Some(Timestamp::from_second(renewed).unwrap()),
        transitions: 3,
        duration: Duration::from_secs(15),
    }
}

fn read(record: &Record, version: &str) -> Event {
    Event::Read(Ok(Some(Found { record: record.clone(), version: version.to_owned() })))
}

/// The record of a write step, which must replace `version`.
#[track_caller]
fn written(step: Step, version: Option<&str>) -> Record {
    match step {
        Step::Write { record, version: replaced } => {
            assert_eq!(replaced.as_deref(), version);
            record
        }
        other => panic!("a write was due, not {other:?}"),
    }
}

/// A machine that leads since 0 s, with what it wrote.
fn leader() -> (Machine, Record) {
    let mut machine = machine("me");
    assert_eq!(machine.handle(Duration::ZERO, WALL, Event::Woke), Step::Read);
    let free = Record { holder: String::new(), ..rival(1) };
    let record = written(machine.handle(Duration::ZERO, WALL, read(&free, "0")), Some("0"));
    assert_eq!(machine.leads_until(), None, "a write that was only sent makes nobody a leader");
    assert_eq!(machine.handle(S, WALL, Event::Wrote(Ok("1".into()))), Step::Sleep(2 * S));
    (machine, record)
}

#[test]
fn leadership_counts_from_when_the_write_was_sent() {
    let (mut machine, _) = leader();
    assert_eq!(machine.leads_until(), Some(10 * S));
    written(machine.handle(3 * S, WALL, Event::Woke), Some("1"));
    assert_eq!(machine.leads_until(), Some(10 * S));
    machine.handle(4 * S, WALL, Event::Wrote(Ok("2".into())));
    assert_eq!(machine.leads_until(), Some(13 * S));
}

#[test]
fn a_renewal_changes_the_record_even_when_the_wall_clock_stands_still() {
    let (mut machine, first) = leader();
    let second = written(machine.handle(3 * S, WALL, Event::Woke), Some("1"));
    assert_ne!(first.renewed, second.renewed);
    assert_eq!((first.acquired, first.transitions), (second.acquired, second.transitions));
}

#[test]
fn a_rival_waits_until_the_record_stood_still_for_four_fifths_of_the_lease() {
    let mut machine = machine("me");
    assert_eq!(machine.handle(100 * S, WALL, read(&rival(1), "7")), Step::Sleep(2 * S));
    assert_eq!(machine.handle(102 * S, WALL, Event::Woke), Step::Read);
    // Renewed: the wait starts again. Its times are years away from ours, which says nothing.
    machine.handle(103 * S, WALL, read(&rival(2_000_000_000), "8"));
    machine.handle(113 * S, WALL, Event::Woke);
    assert_eq!(machine.handle(114 * S, WALL, read(&rival(2_000_000_000), "9")), Step::Sleep(S));
    // Another version of the same record is a label or the like. It is the version to replace.
    let record = written(machine.handle(115 * S, WALL, Event::Woke), Some("9"));
    assert_eq!((record.holder.as_str(), record.transitions), ("me", 4));
}

#[test]
fn a_rival_that_asked_for_more_time_gets_it() {
    let mut machine = machine("me");
    let record = Record { duration: 60 * S, ..rival(1) };
    machine.handle(Duration::ZERO, WALL, read(&record, "7"));
    assert_eq!(machine.handle(47 * S, WALL, read(&record, "7")), Step::Sleep(S));
    written(machine.handle(48 * S, WALL, read(&record, "7")), Some("7"));
}

#[test]
fn a_lease_let_go_is_taken_at_once() {
    let mut machine = machine("me");
    machine.handle(Duration::ZERO, WALL, read(&rival(1), "7"));
    written(machine.handle(S, WALL, read(&Record { holder: String::new(), ..rival(2) }, "8")), Some("8"));
}

#[test]
fn a_lost_answer_is_found_out_by_reading_and_counts_from_the_sending() {
    let (mut machine, _) = leader();
    let record = written(machine.handle(3 * S, WALL, Event::Woke), Some("1"));
    assert_eq!(machine.handle(5 * S, WALL, Event::Wrote(Err(WriteFailure::Unknown))), Step::Read);
    assert_eq!(machine.leads_until(), Some(10 * S));
    written(machine.handle(6 * S, WALL, read(&record, "2")), Some("2"));
    assert_eq!(machine.leads_until(), Some(13 * S));
}

#[test]
fn whoever_sees_another_holder_stops_at_once() {
    let (mut machine, _) = leader();
    written(machine.handle(3 * S, WALL, Event::Woke), Some("1"));
    assert_eq!(machine.handle(3 * S, WALL, Event::Wrote(Err(WriteFailure::Conflict))), Step::Read);
    machine.handle(3 * S, WALL, read(&rival(1), "9"));
    assert_eq!(machine.leads_until(), None);
}

#[test]
fn without_answers_leadership_ends_by_itself() {
    let (mut machine, _) = leader();
    machine.handle(3 * S, WALL, Event::Woke);
    machine.handle(5 * S, WALL, Event::Wrote(Err(WriteFailure::Unknown)));
    machine.handle(7 * S, WALL, Event::Read(Err(())));
    assert_eq!(machine.leads_until(), Some(10 * S));
    machine.handle(10 * S, WALL, Event::Woke);
    assert_eq!(machine.leads_until(), None);
}

#[test]
fn whoever_makes_the_lease_anew_waits_before_it_leads() {
    for seen_before in [false, true] {
        let mut machine = machine("me");
        if seen_before {
            machine.handle(Duration::ZERO, WALL, read(&rival(1), "7"));
        }
        written(machine.handle(S, WALL, Event::Read(Ok(None))), None);
        machine.handle(2 * S, WALL, Event::Wrote(Ok("1".into())));
        for second in (4..14).step_by(2) {
            assert_eq!(machine.leads_until(), None, "{second}");
            written(machine.handle(second * S, WALL, Event::Woke), Some("1"));
            machine.handle(second * S, WALL, Event::Wrote(Ok("1".into())));
        }
        written(machine.handle(14 * S, WALL, Event::Woke), Some("1"));
        machine.handle(14 * S, WALL, Event::Wrote(Ok("1".into())));
        assert_eq!(machine.leads_until(), Some(24 * S));
    }
}

#[test]
fn whoever_has_not_led_yet_does_not_invite_others() {
    let mut machine = machine("me");
    written(machine.handle(S, WALL, Event::Read(Ok(None))), None);
    machine.handle(2 * S, WALL, Event::Wrote(Ok("1".into())));
    assert_eq!(machine.handle(3 * S, WALL, Event::Release), Step::Done);
}

#[test]
fn the_holder_puts_a_deleted_lease_back_and_goes_on() {
    let (mut holder, _) = leader();
    written(holder.handle(3 * S, WALL, Event::Read(Ok(None))), None);
    holder.handle(4 * S, WALL, Event::Wrote(Ok("2".into())));
    assert_eq!(holder.leads_until(), Some(13 * S));
}

#[test]
fn letting_go_ends_leadership_before_anything_is_sent() {
    let (mut machine, record) = leader();
    assert_eq!(machine.handle(3 * S, WALL, Event::Release), Step::Read);
    assert_eq!(machine.leads_until(), None);
    let released = written(machine.handle(3 * S, WALL, read(&record, "1")), Some("1"));
    assert_eq!(released.holder, "");
    assert_eq!(machine.handle(3 * S, WALL, Event::Wrote(Ok("2".into()))), Step::Done);
    assert_eq!(machine.leads_until(), None);
}

#[test]
fn letting_go_does_not_touch_the_lease_of_another_and_does_not_try_for_ever() {
    let mut other = machine("me");
    other.handle(Duration::ZERO, WALL, Event::Release);
    assert_eq!(other.handle(Duration::ZERO, WALL, read(&rival(1), "1")), Step::Done);

    let (mut machine, _) = leader();
    machine.handle(3 * S, WALL, Event::Release);
    assert_eq!(machine.handle(4 * S, WALL, Event::Read(Err(()))), Step::Read);
    assert_eq!(machine.handle(5 * S, WALL, Event::Read(Err(()))), Step::Read);
    assert_eq!(machine.handle(6 * S, WALL, Event::Read(Err(()))), Step::Done);
}

#[test]
fn conflict_after_conflict_does_not_spin() {
    let (mut machine, record) = leader();
    machine.handle(3 * S, WALL, Event::Woke);
    assert_eq!(machine.handle(3 * S, WALL, Event::Wrote(Err(WriteFailure::Conflict))), Step::Read);
    written(machine.handle(3 * S, WALL, read(&record, "2")), Some("2"));
    assert!(matches!(machine.handle(3 * S, WALL, Event::Wrote(Err(WriteFailure::Conflict))), Step::Sleep(_)));
}
