//! Who goes, who comes back, who is replaced.

use super::{at, bridge, done, draining, look, memory_of, notes, pending, rules};
use crate::plan::bridges::{Bridge, Pod, Rules, reason};

/// Of the template before.
fn old(number: i64, people: u64) -> Bridge {
    Bridge { current: false, ..bridge(number, 0, people) }
}

fn cordoned(number: i64, people: u64) -> Bridge {
    Bridge { cordoned: true, ..bridge(number, 0, people) }
}

fn nodeless(number: i64, since: i64) -> Bridge {
    Bridge { pod: Pod::Unschedulable(at(since)), ..pending(number, since) }
}

/// Runs, has answered, is not ready since 0.
fn starting(number: i64, people: u64) -> Bridge {
    Bridge { pod: Pod::Starting(at(0)), ..bridge(number, 0, people) }
}

fn drained(plan: &crate::plan::bridges::Plan) -> Vec<String> {
    done(plan).into_iter().filter_map(|what| what.strip_prefix("drain ").map(str::to_owned)).collect()
}

#[test]
fn the_victim_is_the_emptiest_then_the_youngest() {
    assert_eq!(drained(&look(&rules(2, 9), &[bridge(0, 0, 5), bridge(1, 0, 2), bridge(2, 0, 9)], 0)), ["x-jvb-1"]);
    assert_eq!(drained(&look(&rules(2, 9), &[bridge(0, 0, 2), bridge(2, 0, 2), bridge(1, 0, 2)], 0)), ["x-jvb-2"]);
}

#[test]
fn one_that_says_nothing_is_not_empty() {
    let silent = Bridge { report: None, ..bridge(0, 0, 0) };
    let stale = bridge(1, -100, 0);
    assert_eq!(drained(&look(&rules(2, 9), &[silent, stale, bridge(2, 0, 50)], 0)), ["x-jvb-2"]);
}

#[test]
fn old_templates_go_before_cordoned_nodes_and_those_before_the_emptiest() {
    let all = [bridge(0, 0, 0), cordoned(1, 3), old(2, 9), bridge(3, 0, 1)];
    // Two surge for the unfit ones; so one of them goes at a time by the number.
    assert_eq!(drained(&look(&rules(1, 9), &all, 0))[..1], ["x-jvb-1"]);
    let by_number = look(&Rules { desired: 1, ..rules(1, 9) }, &all, 0);
    let scaled: Vec<_> = by_number
        .actions
        .iter()
        .filter_map(|action| match action {
            crate::plan::bridges::Action::Remember { name, memory, .. }
                if memory.reason.as_deref() == Some(reason::SCALE_DOWN) =>
            {
                Some(name.as_str())
            }
            _ => None,
        })
        .collect();
    assert_eq!(scaled, ["x-jvb-2"]);
}

#[test]
fn pods_that_nobody_can_be_on_go_first_and_at_once() {
    let all = [bridge(0, 0, 0), pending(1, 0), nodeless(2, 0)];
    assert_eq!(done(&look(&rules(2, 9), &all, 0)), ["delete x-jvb-2 30"]);
    assert_eq!(done(&look(&rules(1, 9), &all, 0)), ["delete x-jvb-1 30", "delete x-jvb-2 30"]);
}

#[test]
fn one_that_has_just_started_may_have_people_and_is_drained() {
    let mut new = starting(1, 0);
    (new.report, new.served) = (None, false);
    assert_eq!(drained(&look(&rules(1, 9), &[bridge(0, 0, 7), new.clone()], 60)), ["x-jvb-1"]);
    // Neither ready nor heard of in all that time: nobody is there.
    assert_eq!(done(&look(&rules(1, 9), &[bridge(0, 60, 7), new], 120)), ["delete x-jvb-1 30"]);
}

#[test]
fn protected_ones_do_not_go_by_load() {
    let mut protected = bridge(1, 0, 0);
    protected.memory.protected_until = Some(at(100));
    let all = [bridge(0, 0, 8), protected];
    assert_eq!(drained(&look(&rules(1, 9), &all, 50)), ["x-jvb-0"]);
    assert_eq!(drained(&look(&rules(1, 9), &all, 100)), ["x-jvb-1"]);
}

#[test]
fn the_last_one_that_takes_work_stays() {
    let new = Bridge {
        memory: crate::plan::bridges::Memory { protected_until: Some(at(99)), ..Default::default() },
        ..pending(1, 0)
    };
    let plan = look(&rules(1, 9), &[bridge(0, 0, 8), new], 0);
    assert!(done(&plan).is_empty());
    assert!(plan.waiting[0].starts_with("1 too many"), "{:?}", plan.waiting);
    // None is asked for: it goes when nobody is on it, and not before.
    assert!(done(&look(&rules(0, 9), &[bridge(0, 0, 8)], 0)).is_empty());
    assert!(done(&look(&rules(0, 9), &[Bridge { report: None, ..bridge(0, 0, 0) }], 0)).is_empty());
    assert_eq!(drained(&look(&rules(0, 9), &[bridge(0, 0, 0)], 0)), ["x-jvb-0"]);
}

#[test]
fn the_busiest_that_drains_is_taken_back_before_one_is_made() {
    let all = [bridge(0, 0, 8), draining(1, 0, 0, 2), draining(2, 0, 0, 6)];
    let plan = look(&rules(2, 9), &all, 0);
    assert_eq!(done(&plan), ["remember x-jvb-2 ", "undrain x-jvb-2"]);
    assert_eq!(notes(&plan)[0].reason, "DrainCancelled");
    assert_eq!(memory_of(&plan, "x-jvb-2"), &crate::plan::bridges::Memory::default());
    let more = look(&rules(4, 9), &all, 0);
    assert!(done(&more).ends_with(&["create x-jvb-3".to_owned()]), "{:?}", done(&more));
}

#[test]
fn who_ends_or_is_not_ready_or_is_to_go_is_not_taken_back() {
    let mut ends = draining(1, 0, 0, 2);
    ends.memory.shutdown_since = Some(at(0));
    let unready = Bridge { pod: Pod::Starting(at(0)), ..draining(1, 0, 0, 2) };
    let asked = Bridge { asked: true, ..draining(1, 0, 0, 2) };
    let cordoned = Bridge { cordoned: true, ..draining(1, 0, 0, 2) };
    let outdated = Bridge { current: false, ..draining(1, 0, 0, 2) };
    for one in [ends, unready, asked, cordoned, outdated] {
        let done = done(&look(&rules(2, 9), &[bridge(0, 0, 8), one.clone()], 0));
        assert!(done.contains(&"create x-jvb-2".to_owned()), "{one:?}: {done:?}");
        assert!(!done.iter().any(|what| what.starts_with("undrain")), "{one:?}: {done:?}");
    }
}

#[test]
fn another_template_is_rolled_out_one_beside_the_others() {
    let rules = rules(2, 4);
    let before = [old(0, 3), old(1, 5)];
    assert_eq!(done(&look(&rules, &before, 0)), ["create x-jvb-2"]);
    let coming = [old(0, 3), old(1, 5), starting(2, 0)];
    assert!(done(&look(&rules, &coming, 0)).is_empty());
    let there = [old(0, 3), old(1, 5), bridge(2, 0, 0)];
    let plan = look(&rules, &there, 0);
    assert_eq!(drained(&plan), ["x-jvb-0"]);
    assert_eq!(memory_of(&plan, "x-jvb-0").reason.as_deref(), Some(reason::OUTDATED));
    // While the first still drains, the next comes up.
    let mut first = draining(0, 0, 0, 3);
    (first.current, first.memory.reason) = (false, Some(reason::OUTDATED.to_owned()));
    assert_eq!(done(&look(&rules, &[first, old(1, 5), bridge(2, 0, 0)], 0)), ["create x-jvb-3"]);
}

#[test]
fn a_template_that_never_came_up_is_replaced_at_once() {
    let crashing = Bridge { pod: Pod::Crashing(at(0)), current: false, served: false, ..pending(0, 0) };
    let image = Bridge { current: false, ..pending(1, 0) };
    assert_eq!(
        done(&look(&rules(2, 4), &[crashing, image], 10)),
        ["delete x-jvb-0 30", "delete x-jvb-1 30", "create x-jvb-2", "create x-jvb-3"]
    );
}

#[test]
fn where_nothing_new_fits_only_an_empty_one_is_replaced_and_it_is_said() {
    let full = rules(2, 2);
    let busy = look(&full, &[old(0, 3), old(1, 5)], 0);
    assert!(done(&busy).is_empty());
    assert_eq!(busy.lasting[0].reason, "RolloutBlocked");
    assert!(busy.lasting[0].text.starts_with("2 of the template before"), "{}", busy.lasting[0].text);
    let plan = look(&full, &[old(0, 0), old(1, 0)], 0);
    assert_eq!(drained(&plan).len(), 1);
    assert_eq!(memory_of(&plan, &drained(&plan)[0]).reason.as_deref(), Some(reason::IN_PLACE));
    // One at a time.
    let mut first = draining(1, 0, 0, 0);
    (first.current, first.memory.reason) = (false, Some(reason::IN_PLACE.to_owned()));
    assert!(drained(&look(&full, &[old(0, 0), first], 0)).is_empty());
}

#[test]
fn a_node_that_may_still_come_is_waited_for() {
    let all = |since| [old(0, 0), nodeless(1, since)];
    assert!(done(&look(&rules(1, 4), &all(-299), 0)).is_empty());
    assert_eq!(drained(&look(&rules(1, 4), &all(-300), 0)), ["x-jvb-0"]);
}

#[test]
fn a_template_that_fails_replaces_nobody() {
    let failed = Bridge { pod: Pod::Failed, attempt: 3, ..pending(1, 0) };
    let plan = look(&rules(1, 2), &[old(0, 0), failed], 1);
    assert!(done(&plan).is_empty(), "{:?}", done(&plan));
}

#[test]
fn cordoned_nodes_are_left_when_all_replacements_work() {
    let two = [cordoned(0, 3), cordoned(1, 4), bridge(2, 0, 5)];
    assert_eq!(done(&look(&rules(3, 9), &two, 0)), ["create x-jvb-3", "create x-jvb-4"]);
    let ready = [cordoned(0, 3), cordoned(1, 4), bridge(2, 0, 5), bridge(3, 0, 0), starting(4, 0)];
    let plan = look(&rules(3, 9), &ready, 0);
    assert_eq!(drained(&plan), ["x-jvb-0"]);
    assert_eq!(memory_of(&plan, "x-jvb-0").reason.as_deref(), Some(reason::CORDONED));
}

#[test]
fn one_that_is_taken_back_must_take_work_before_the_cordoned_one_goes() {
    let all = [cordoned(0, 25), draining(1, 0, 0, 6)];
    assert_eq!(done(&look(&rules(1, 9), &all, 0)), ["remember x-jvb-1 ", "undrain x-jvb-1"]);
    assert_eq!(drained(&look(&rules(1, 9), &[cordoned(0, 25), bridge(1, 0, 6)], 0)), ["x-jvb-0"]);
}

#[test]
fn with_no_room_a_cordoned_one_goes_unless_it_is_the_last() {
    assert_eq!(drained(&look(&rules(2, 2), &[cordoned(0, 3), bridge(1, 0, 5)], 0)), ["x-jvb-0"]);
    let last = look(&rules(1, 1), &[cordoned(0, 3)], 0);
    assert!(done(&last).is_empty());
    assert_eq!(last.lasting[0].reason, "NodeDrainBlocked");
}

#[test]
fn who_is_asked_to_go_goes_and_is_replaced() {
    let asked = Bridge { asked: true, ..bridge(0, 0, 9) };
    let plan = look(&rules(1, 3), &[asked], 0);
    assert_eq!(done(&plan), ["remember x-jvb-0 drain", "drain x-jvb-0", "create x-jvb-1"]);
    assert_eq!(memory_of(&plan, "x-jvb-0").reason.as_deref(), Some(reason::ASKED));
    // The wish is withdrawn, and there is another by now: it goes as one too many.
    let mut free = draining(0, 0, 0, 9);
    free.memory.reason = Some(reason::ASKED.to_owned());
    let plan = look(&rules(1, 3), &[free.clone(), bridge(1, 0, 0)], 0);
    assert_eq!(memory_of(&plan, "x-jvb-0").reason.as_deref(), Some(reason::SCALE_DOWN));
    // Or there is none: it is taken back.
    assert!(done(&look(&rules(1, 3), &[free], 0)).contains(&"undrain x-jvb-0".to_owned()));
}

#[test]
fn one_that_never_gets_ready_is_replaced() {
    let mut stuck = starting(0, 4);
    assert!(done(&look(&rules(1, 2), std::slice::from_ref(&stuck), 899)).is_empty());
    // It served once: people may be on it.
    let plan = look(&rules(1, 2), std::slice::from_ref(&stuck), 900);
    assert_eq!(done(&plan), ["remember x-jvb-0 drain", "drain x-jvb-0", "create x-jvb-1"]);
    assert_eq!(memory_of(&plan, "x-jvb-0").reason.as_deref(), Some(reason::UNREADY));
    (stuck.served, stuck.report, stuck.started) = (false, None, Some(at(0)));
    assert_eq!(done(&look(&rules(1, 2), std::slice::from_ref(&stuck), 900)), ["delete x-jvb-0 30", "create x-jvb-1"]);
    // It stopped being ready after its process had started: it was ready in between, though nobody looked.
    stuck.started = Some(at(-35));
    assert_eq!(done(&look(&rules(1, 2), &[stuck], 900))[0], "remember x-jvb-0 drain");
}

#[test]
fn one_on_a_lost_node_is_replaced_at_once_and_deleted_later() {
    let lost = Bridge { lost: Some(at(0)), ..bridge(0, -100, 9) };
    assert_eq!(done(&look(&rules(1, 3), std::slice::from_ref(&lost), 1)), ["create x-jvb-1"]);
    assert!(done(&look(&rules(1, 3), &[lost.clone(), bridge(1, 0, 0)], 299)).is_empty());
    let plan = look(&rules(1, 3), &[lost.clone(), bridge(1, 300, 0)], 300);
    assert_eq!(done(&plan), ["delete x-jvb-0 0"]);
    assert_eq!(notes(&plan)[0].reason, "BridgeLost");
    // The node cannot be heard, but the bridge can: people are on it.
    let answers = Bridge { report: Some(super::says(300, 9)), ..lost };
    assert!(done(&look(&rules(1, 3), &[answers], 300)).is_empty());
}

#[test]
fn an_empty_one_waits_for_the_one_that_is_coming_if_no_other_works() {
    let mut last = draining(0, 0, 40, 0);
    (last.memory.quiet_since, last.current) = (Some(at(10)), false);
    let plan = look(&rules(1, 3), &[last.clone(), starting(1, 0)], 40);
    assert!(done(&plan).is_empty(), "{:?}", done(&plan));
    assert!(done(&look(&rules(1, 3), &[last, bridge(1, 40, 0)], 40)).contains(&"stop x-jvb-0".to_owned()));
}

#[test]
fn one_in_use_is_taken_back_if_no_other_works() {
    let mut last = draining(0, 0, 40, 6);
    last.current = false;
    assert_eq!(done(&look(&rules(1, 3), &[last, starting(1, 0)], 40))[1], "undrain x-jvb-0");
}
