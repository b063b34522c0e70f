//! How a drain goes on, and how it ends.

use std::time::Duration;

use super::{at, bridge, done, draining, look, memory_of, notes, pending, rules, says};
use crate::{
    api::MoveEndpoints,
    plan::{
        bridges::{Bridge, Memory, Pod, Rules, reason},
        report::Report,
    },
};

/// What is done about bridge 0, beside one that works.
fn of(one: &Bridge, second: i64) -> Vec<String> {
    done(&look(&rules(1, 3), &[one.clone(), bridge(1, second, 20)], second))
}

fn quiet(since: i64, second: i64) -> Bridge {
    let mut one = draining(0, 0, second, 0);
    one.memory.quiet_since = Some(at(since));
    one
}

/// Told to end at 100; it knows.
fn stopping(second: i64, people: u64) -> Bridge {
    let mut one = draining(0, 0, second, people);
    one.memory.shutdown_since = Some(at(100));
    one.report = Some(Report { drain: Some(true), graceful_shutdown: Some(true), ..says(second, people) });
    one
}

#[test]
fn a_drain_is_written_down_before_the_bridge_is_told() {
    let plan = look(&rules(1, 3), &[bridge(0, 0, 3), bridge(1, 0, 20)], 7);
    assert_eq!(done(&plan), ["remember x-jvb-0 drain", "drain x-jvb-0"]);
    let memory = memory_of(&plan, "x-jvb-0");
    assert_eq!((memory.drain_since, memory.reason.as_deref()), (Some(at(7)), Some(reason::SCALE_DOWN)));
    assert_eq!(notes(&plan)[0].reason, "BridgeDraining");
}

#[test]
fn it_is_told_again_until_it_says_that_it_drains() {
    let mut one = draining(0, 0, 10, 3);
    assert!(of(&one, 10).is_empty());
    one.report = Some(says(10, 3));
    assert_eq!(of(&one, 10), ["drain x-jvb-0"]);
    one.report = None;
    assert_eq!(of(&one, 10), ["drain x-jvb-0"]);
}

#[test]
fn empty_counts_after_fifteen_seconds_and_two_reports() {
    assert_eq!(of(&draining(0, 0, 10, 0), 10), ["remember x-jvb-0 drain+quiet"]);
    assert!(of(&quiet(10, 20), 20).is_empty());
    // Time has passed, and the newest report is the one from before.
    assert!(of(&quiet(10, 10), 40).is_empty());
    assert!(of(&quiet(10, 24), 40).is_empty());
    assert_eq!(of(&quiet(10, 25), 25), ["remember x-jvb-0 drain+quiet+stop", "stop x-jvb-0"]);
}

#[test]
fn what_was_said_before_the_drain_or_by_one_that_does_not_drain_is_not_empty() {
    let early = draining(0, 10, 9, 0);
    assert!(of(&early, 12).is_empty());
    let mut unaware = quiet(10, 40);
    unaware.report = Some(says(40, 0));
    assert_eq!(of(&unaware, 40), ["remember x-jvb-0 drain", "drain x-jvb-0"]);
    let mut vague = quiet(10, 40);
    vague.report = Some(Report { endpoints: None, drain: Some(true), ..says(40, 0) });
    assert_eq!(of(&vague, 40), ["remember x-jvb-0 drain"]);
}

#[test]
fn load_or_silence_begins_the_wait_again() {
    let mut back = quiet(10, 40);
    back.report = Some(Report { drain: Some(true), ..says(40, 1) });
    assert_eq!(of(&back, 40), ["remember x-jvb-0 drain"]);
    assert_eq!(memory_of(&look(&rules(1, 3), &[back, bridge(1, 40, 20)], 40), "x-jvb-0").quiet_since, None);
    // 91 s old.
    assert_eq!(of(&quiet(10, 20), 111)[0], "remember x-jvb-0 drain");
}

#[test]
fn silence_drains_nobody_and_ends_nobody_before_the_deadline() {
    let silent = Bridge { report: None, ..bridge(0, 0, 0) };
    assert!(done(&look(&rules(2, 3), &[silent, bridge(1, 100_000, 20)], 100_000)).is_empty());
    let mut mute = draining(0, 0, 0, 0);
    mute.report = None;
    assert_eq!(of(&mute, 3599), ["drain x-jvb-0"]);
    assert_eq!(of(&mute, 3600), ["remember x-jvb-0 drain+stop", "stop x-jvb-0"]);
}

#[test]
fn a_gateway_that_knows_no_drain_is_believed_all_the_same() {
    let mut gateway = quiet(10, 40);
    gateway.report = Some(Report { drain: None, ..says(40, 0) });
    assert_eq!(of(&gateway, 40), ["remember x-jvb-0 drain+quiet+stop", "stop x-jvb-0"]);
}

#[test]
fn at_the_deadline_it_is_told_to_end_whoever_is_on_it() {
    let one = draining(0, 0, 3600, 5);
    assert!(of(&one, 3599).is_empty());
    assert_eq!(of(&one, 3600), ["remember x-jvb-0 drain+stop", "stop x-jvb-0"]);
}

#[test]
fn people_are_moved_at_the_deadline_or_at_once_or_never() {
    let moved = |policy, one: &Bridge, others: &[Bridge], second| {
        let rules = Rules { move_endpoints: policy, ..rules(1, 3) };
        let mut all = vec![one.clone()];
        all.extend_from_slice(others);
        done(&look(&rules, &all, second)).contains(&"move x-jvb-0".to_owned())
    };
    let other = [bridge(1, 3600, 20)];
    for (policy, early, late) in [
        (MoveEndpoints::Never, false, false),
        (MoveEndpoints::AtDeadline, false, true),
        (MoveEndpoints::AtOnce, true, true),
    ] {
        assert_eq!(moved(policy, &draining(0, 0, 10, 5), &[bridge(1, 10, 20)], 10), early, "{policy:?}");
        assert_eq!(moved(policy, &draining(0, 0, 3600, 5), &other, 3600), late, "{policy:?}");
        let mut after = stopping(3700, 5);
        after.memory.shutdown_since = Some(at(3600));
        assert_eq!(moved(policy, &after, &[bridge(1, 3700, 20)], 3700), late, "{policy:?}");
    }
    // Before jicofo has heard of the drain, without anybody there, or without another bridge: no.
    assert!(!moved(MoveEndpoints::AtOnce, &draining(0, 0, 9, 5), &[bridge(1, 9, 20)], 9));
    assert!(!moved(MoveEndpoints::AtOnce, &draining(0, 0, 10, 0), &[bridge(1, 10, 20)], 10));
    assert!(!moved(MoveEndpoints::AtDeadline, &draining(0, 0, 3600, 5), &[pending(1, 0)], 3600));
}

#[test]
fn it_is_told_again_to_end_until_it_says_so() {
    assert!(of(&stopping(110, 5), 110).is_empty());
    let mut unaware = stopping(110, 5);
    unaware.report = Some(Report { drain: Some(true), ..says(110, 5) });
    assert_eq!(of(&unaware, 110), ["stop x-jvb-0"]);
}

#[test]
fn one_that_was_told_to_end_and_is_empty_goes_at_the_stop_deadline() {
    assert_eq!(of(&stopping(110, 0), 110), ["remember x-jvb-0 drain+quiet+stop"]);
    let mut zombie = stopping(110, 0);
    (zombie.memory.quiet_since, zombie.report) = (Some(at(110)), None);
    assert_eq!(of(&zombie, 399), ["stop x-jvb-0"]);
    assert_eq!(of(&zombie, 400), ["delete x-jvb-0 30"]);
    let plan = look(&rules(1, 3), &[zombie, bridge(1, 400, 9)], 400);
    assert_eq!(notes(&plan)[0].reason, "BridgeStuck");
}

#[test]
fn empty_before_it_was_told_to_end_is_not_empty_after() {
    let mut one = stopping(110, 0);
    (one.memory.quiet_since, one.report) = (Some(at(60)), None);
    assert_eq!(of(&one, 3599), ["stop x-jvb-0"]);
    let mut people = stopping(395, 3);
    people.memory.quiet_since = Some(at(110));
    assert_eq!(of(&people, 400), ["remember x-jvb-0 drain+stop"]);
}

#[test]
fn one_whose_process_was_started_again_is_not_known_to_be_empty() {
    let mut one = stopping(110, 0);
    (one.memory.quiet_since, one.report) = (Some(at(110)), None);
    one.started = Some(at(-1000));
    assert_eq!(of(&one, 400), ["delete x-jvb-0 30"]);
    one.started = Some(at(130));
    assert_eq!(of(&one, 400), ["remember x-jvb-0 drain+stop", "stop x-jvb-0"]);
    // By a clock that is a little behind.
    one.started = Some(at(100));
    assert_eq!(of(&one, 400), ["remember x-jvb-0 drain+stop", "stop x-jvb-0"]);
    // Or it says itself that it knows nothing.
    one.started = None;
    one.report = Some(says(399, 0));
    assert_eq!(of(&one, 400), ["remember x-jvb-0 drain+stop", "stop x-jvb-0"]);
}

#[test]
fn with_people_both_deadlines_must_be_over_and_it_is_said_who_is_cut() {
    assert!(of(&stopping(3599, 7), 3599).is_empty());
    assert_eq!(of(&stopping(3600, 7), 3600), ["delete x-jvb-0 30"]);
    let mut late = stopping(3899, 7);
    late.memory.shutdown_since = Some(at(3600));
    assert!(of(&late, 3899).is_empty());
    let text = |one: Bridge| {
        let plan = look(&rules(1, 3), &[one, bridge(1, 3900, 9)], 3900);
        let note = notes(&plan)[0].clone();
        assert_eq!((note.warning, note.reason), (true, "DrainDeadlineExceeded"));
        note.text
    };
    assert_eq!(text(stopping(3900, 7)), "x-jvb-0 is deleted after 1h5m of draining, with 7 participants on it");
    assert!(text(stopping(110, 1)).ends_with("with 1 participant on it when it last answered"));
    assert!(text(Bridge { report: None, ..stopping(0, 0) }).ends_with("nobody knows how many participants on it"));
}

#[test]
fn a_drain_that_nobody_wrote_down_is_undone() {
    let mut stray = draining(0, 0, 10, 5);
    stray.memory = Memory::default();
    let plan = look(&rules(1, 3), std::slice::from_ref(&stray), 10);
    assert_eq!(done(&plan), ["undrain x-jvb-0"]);
    // Unless somebody asks for it by annotation.
    stray.asked = true;
    assert_eq!(of(&stray, 10), ["remember x-jvb-0 drain", "drain x-jvb-0"]);
}

#[test]
fn one_that_somebody_stopped_by_hand_gets_all_its_time() {
    let mut one = stopping(110, 5);
    one.memory = Memory::default();
    let plan = look(&rules(1, 3), &[one.clone(), bridge(1, 110, 9)], 110);
    let memory = memory_of(&plan, "x-jvb-0").clone();
    assert_eq!(memory.reason.as_deref(), Some(reason::STOPPED));
    assert_eq!((memory.drain_since, memory.shutdown_since), (Some(at(110)), Some(at(110))));
    one.memory = memory;
    one.report = Some(Report { graceful_shutdown: Some(true), ..says(3709, 5) });
    assert!(of(&one, 3709).is_empty());
    one.report = Some(Report { graceful_shutdown: Some(true), ..says(3710, 5) });
    assert_eq!(of(&one, 3710), ["delete x-jvb-0 30"]);
}

#[test]
fn one_whose_process_is_gone_need_not_drain() {
    for pod in [Pod::Crashing(at(0)), Pod::Pending] {
        let mut one = draining(0, 0, 10, 5);
        one.pod = pod;
        assert_eq!(of(&one, 10), ["delete x-jvb-0 30"]);
        one.memory.shutdown_since = Some(at(5));
        assert_eq!(of(&one, 10), ["delete x-jvb-0 30"]);
    }
}

#[test]
fn one_that_somebody_deletes_is_left_alone() {
    for mut one in [bridge(0, 10, 5), draining(0, 0, 10, 5), stopping(9999, 5)] {
        one.deleting = true;
        assert!(of(&one, 9999).is_empty());
    }
}

#[test]
fn a_clock_that_went_back_begins_the_wait_again() {
    // All was written by a clock that was an hour ahead.
    let mut one = quiet(3630, 20);
    one.memory.drain_since = Some(at(3600));
    one.report = Some(Report { drain: Some(true), ..says(20, 0) });
    let plan = look(&rules(1, 3), &[one.clone(), bridge(1, 20, 9)], 20);
    let memory = memory_of(&plan, "x-jvb-0");
    assert_eq!((memory.drain_since, memory.quiet_since, memory.shutdown_since), (Some(at(20)), Some(at(20)), None));
    let mut stopped = stopping(20, 5);
    (stopped.memory.drain_since, stopped.memory.shutdown_since) = (Some(at(0)), Some(at(7200)));
    let rules = Rules { drain_deadline: Duration::ZERO, ..rules(1, 3) };
    let plan = look(&rules, &[stopped, bridge(1, 20, 9)], 20);
    assert_eq!(memory_of(&plan, "x-jvb-0").shutdown_since, Some(at(20)));
    assert_eq!(done(&plan), ["remember x-jvb-0 drain+stop"]);
}

#[test]
fn a_report_from_the_future_says_nothing() {
    let mut one = quiet(0, 100_000);
    one.memory.quiet_since = Some(at(0));
    assert_eq!(of(&one, 40), ["remember x-jvb-0 drain", "drain x-jvb-0"]);
}
