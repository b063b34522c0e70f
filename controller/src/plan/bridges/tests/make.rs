//! New pods.

use super::{at, bridge, done, draining, look, notes, pending, rules};
use crate::plan::bridges::{Action, Bridge, Pod, Rules};

fn created(plan: &crate::plan::bridges::Plan) -> Vec<(&str, Option<i32>, u32)> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::Create { name, port, attempt, .. } => Some((name.as_str(), *port, *attempt)),
            _ => None,
        })
        .collect()
}

/// Made at `created`, failed at once, after so many others.
fn failed(number: i64, created: i64, attempt: u32) -> Bridge {
    Bridge { pod: Pod::Failed, attempt, ..pending(number, created) }
}

#[test]
fn the_lowest_free_numbers_are_taken() {
    assert_eq!(done(&look(&rules(4, 6), &[bridge(1, 0, 0), bridge(3, 0, 0)], 0)), ["create x-jvb-0", "create x-jvb-2"]);
}

#[test]
fn no_more_than_max_and_no_number_beyond_it() {
    let all = [bridge(0, 0, 1), draining(1, 0, 0, 4), bridge(2, 0, 1)];
    let mut old = all.clone();
    old[1].current = false;
    let plan = look(&rules(3, 3), &old, 0);
    assert!(created(&plan).is_empty());
    // One of an old template comes back, for nothing else can.
    assert!(done(&plan).contains(&"undrain x-jvb-1".to_owned()));
    // The maximum was lowered: there is room for one, and names below it are free.
    assert_eq!(done(&look(&rules(3, 3), &[bridge(7, 0, 0), bridge(8, 0, 0)], 0)), ["create x-jvb-0"]);
    // An old view shows one too few: the only name left is taken in truth.
    assert_eq!(done(&look(&rules(3, 3), &[bridge(0, 0, 0), bridge(2, 0, 0)], 0)), ["create x-jvb-1"]);
}

#[test]
fn who_drains_takes_room_and_it_is_said() {
    let mut cordoned = draining(1, 0, 0, 4);
    cordoned.cordoned = true;
    let plan = look(&rules(2, 2), &[bridge(0, 0, 1), cordoned], 0);
    assert!(created(&plan).is_empty());
    assert_eq!(plan.waiting[0], "1 more asked for, but there are 2 of at most 2, 1 of them on their way out");
}

#[test]
fn ports_fill_evenly() {
    let with = |number, port| Bridge { port: Some(port), ..bridge(number, 0, 1) };
    let rules = Rules { ports: Some((10_000, 10_002)), ..rules(6, 6) };
    let there = [with(0, 10_000), with(1, 10_000), with(2, 10_001)];
    let plan = look(&rules, &there, 0);
    let ports: Vec<_> = created(&plan).into_iter().map(|(_, port, _)| port).collect();
    assert_eq!(ports, [Some(10_002), Some(10_001), Some(10_002)]);
}

#[test]
fn launches_are_protected_while_asked_for() {
    let rules = Rules { protect_until: Some(at(600)), ..rules(1, 2) };
    let protected = |second| {
        look(&rules, &[], second).actions.into_iter().find_map(|action| match action {
            Action::Create { protected_until, .. } => Some(protected_until),
            _ => None,
        })
    };
    assert_eq!(protected(0), Some(Some(at(600))));
    assert_eq!(protected(600), Some(None));
}

#[test]
fn without_launching_none_is_made_or_taken_away() {
    let off = |desired| Rules { launch: false, ..rules(desired, 9) };
    let plan = look(&off(3), &[bridge(0, 0, 0)], 0);
    assert!(done(&plan).is_empty());
    assert_eq!(plan.waiting, ["2 more asked for, but launching is switched off"]);
    let mut old = bridge(1, 0, 0);
    (old.current, old.cordoned) = (false, true);
    assert!(done(&look(&off(1), &[bridge(0, 0, 0), old], 0)).is_empty());
    // Taking back is not making.
    assert_eq!(done(&look(&off(2), &[bridge(0, 0, 0), draining(1, 0, 0, 3)], 0))[1], "undrain x-jvb-1");
}

#[test]
fn one_that_failed_at_once_stands_in_the_place_of_the_next() {
    let look_at = |attempt, second| look(&rules(1, 2), &[failed(0, 0, attempt)], second);
    let plan = look_at(0, 9);
    assert!(done(&plan).is_empty());
    assert_eq!(plan.waiting, ["none takes work yet", "pods ended at once; the next is tried in 1s"]);
    let plan = look_at(0, 10);
    assert_eq!(done(&plan), ["delete x-jvb-0 0", "create x-jvb-0"]);
    assert_eq!(created(&plan), [("x-jvb-0", None, 1)]);
    assert_eq!(notes(&plan)[0].reason, "BridgeFailed");
}

#[test]
fn each_try_waits_twice_as_long_up_to_five_minutes() {
    for (attempt, wait) in [(1, 20), (2, 40), (4, 160), (5, 300), (16, 300), (u32::MAX, 300)] {
        assert!(done(&look(&rules(1, 2), &[failed(0, 0, attempt)], wait - 1)).is_empty(), "try {attempt}");
        let plan = look(&rules(1, 2), &[failed(0, 0, attempt)], wait);
        assert_eq!(created(&plan), [("x-jvb-0", None, attempt.saturating_add(1).min(16))]);
    }
}

#[test]
fn the_tries_of_all_count_and_those_of_long_ago_do_not() {
    // Another that is on its way, after five tries.
    let coming = Bridge { attempt: 5, ..pending(1, 80) };
    let plan = look(&rules(3, 4), &[failed(0, 0, 2), coming], 100);
    assert_eq!(created(&plan).iter().map(|(_, _, attempt)| *attempt).collect::<Vec<_>>(), [5, 5]);
    // It lived for an hour: an eviction, not a failure at once.
    assert_eq!(created(&look(&rules(1, 2), &[failed(0, 0, 7)], 3600)), [("x-jvb-0", None, 0)]);
}

#[test]
fn a_failed_one_that_is_not_wanted_goes_at_once() {
    assert_eq!(done(&look(&rules(1, 2), &[failed(1, 0, 9), bridge(0, 0, 0)], 1)), ["delete x-jvb-1 0"]);
}

#[test]
fn one_that_was_told_to_end_is_replaced_without_waiting() {
    let mut ended = draining(0, 0, 0, 0);
    (ended.pod, ended.memory.shutdown_since) = (Pod::Succeeded, Some(at(1)));
    assert_eq!(done(&look(&rules(1, 2), &[ended], 2)), ["delete x-jvb-0 0", "create x-jvb-0"]);
}

#[test]
fn a_clock_that_is_behind_makes_the_wait_longer_not_shorter() {
    // Made at 100 by the API server's clock; ours says 40.
    assert!(done(&look(&rules(1, 2), &[failed(0, 100, 0)], 40)).is_empty());
    assert!(done(&look(&rules(1, 2), &[failed(0, 100, 0)], 109)).is_empty());
    assert_eq!(done(&look(&rules(1, 2), &[failed(0, 100, 0)], 110)).len(), 2);
    // No clock is a year ahead.
    assert_eq!(done(&look(&rules(1, 2), &[failed(0, 31_536_000, 0)], 0)).len(), 2);
}
