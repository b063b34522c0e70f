use super::*;

#[test]
fn load_moves_it_and_says_why_and_then_there_is_grace() {
    let mut group = Group::new(bridges(), 3);
    group.load = Some(0.825);
    let decision = group.look(0);
    assert_eq!(moved(&decision), Some((Mover::Up, 3, 4)));
    assert_eq!(decision.why, "stress 0.825 ≥ 0.6 for 2 periods");
    assert_eq!(decision.notes, [Note::normal("ScaledUp", "jvb: stress 0.825 ≥ 0.6 for 2 periods: from 3 to 4")]);
    assert_eq!(decision.change.unwrap().periods.len(), 2);
    let decision = group.look(7);
    assert_eq!((decision.desired, decision.why.as_str()), (4, "no change by load until 2026-11-23T08:08:00Z"));
    assert!(decision.notes.is_empty() && decision.change.is_none());
    assert_eq!(group.desired(8), 5, "grace is over with its last moment");
}

#[test]
fn an_outage_decides_nothing_and_says_so() {
    let mut group = Group::new(bridges(), 5);
    group.load = None;
    for minutes in 0..100 {
        let decision = group.look(minutes);
        assert_eq!(decision.desired, 5);
        assert_eq!(decision.why, "nobody reported in one of the periods: load decides nothing");
    }
}

#[test]
fn the_word_of_a_few_takes_nobody_away_but_may_bring_more() {
    let mut group = Group::new(bridges(), 5);
    (group.load, group.reporting) = (Some(0.01), Some(2));
    let decision = group.look(0);
    assert_eq!(decision.desired, 5);
    assert_eq!(decision.why, "less than half of the instances report: nothing is taken away");
    group.reporting = Some(3);
    assert_eq!(group.desired(1), 4);
    let mut group = Group::new(bridges(), 5);
    (group.load, group.reporting) = (Some(0.9), Some(1));
    assert_eq!(group.desired(0), 6);
}

#[test]
fn a_group_of_none_rises_to_its_least_number() {
    let mut group = Group::new(bridges(), 0);
    group.load = None;
    let decision = group.look(0);
    assert_eq!(moved(&decision), Some((Mover::Bounds, 0, 2)));
    group.count = Some(0);
    assert_eq!(group.look(1).why, "there is no instance yet");
}

#[test]
fn while_instances_come_or_go_load_waits() {
    let mut group = Group::new(bridges(), 3);
    group.load = Some(0.9);
    for count in [2, 4] {
        group.count = Some(count);
        assert_eq!(group.desired(count.into()), 3);
    }
    group.count = None;
    assert_eq!(group.desired(9), 4);
}

#[test]
fn bounds_that_move_take_the_number_along() {
    let mut group = Group::new(bridges(), 4);
    group.model.options.max = 3;
    let decision = group.look(0);
    assert_eq!((moved(&decision), reasons(&decision)), (Some((Mover::Bounds, 4, 3)), vec!["BoundsMoved"]));
    group.model.options.min = 9;
    assert_eq!(group.desired(1), 9, "a maximum below the minimum is no maximum");
    assert_eq!(group.memory.grace_until, None, "load may go on at once");
}

#[test]
fn one_move_at_a_time() {
    let mut group = Group::new(bridges(), 1);
    (group.count, group.load) = (Some(2), Some(0.9));
    assert_eq!(moved(&group.look(0)), Some((Mover::Bounds, 1, 2)), "and load comes next");
    assert_eq!(moved(&group.look(1)), Some((Mover::Up, 2, 3)));
}

#[test]
fn without_autoscaling_only_people_and_bounds_move_it() {
    let mut group = Group::new(bridges(), 3);
    (group.model.autoscale, group.load) = (false, Some(0.9));
    let decision = group.look(0);
    assert_eq!((decision.desired, decision.why.as_str()), (3, "autoscaling is off"));
    group.say(5, "now");
    assert_eq!(group.desired(1), 5);
}

#[test]
fn who_has_lost_the_memory_keeps_what_there_is() {
    for (count, wanted) in [(0, 2), (4, 4), (9, 6)] {
        let mut group = Group::new(bridges(), 0);
        (group.memory, group.count, group.load) = (Memory::default(), Some(count), None);
        let decision = group.look(0);
        assert_eq!(decision.desired, wanted);
        assert!(decision.change.is_none() && decision.notes.is_empty(), "nothing has changed: it has begun");
    }
}

fn recorders(spares: i32) -> GroupModel {
    GroupModel {
        kind: GroupKind::Jibri,
        basis: Basis::Availability,
        spares: Some(spares),
        options: Options { min: spares, max: 6, up_threshold: 1.0, down_threshold: 2.0, ..options() },
        ..bridges()
    }
}

#[test]
fn spares_follow_the_busy_ones_up_and_down() {
    let mut group = Group::new(recorders(2), 2);
    for (minutes, busy, wanted) in [(0, 0, 2), (1, 1, 3), (2, 3, 5), (3, 9, 6), (4, 1, 3), (5, 0, 2)] {
        group.busy = busy;
        let decision = group.look(minutes);
        assert_eq!(decision.desired, wanted, "{busy} busy");
        assert!(decision.notes.is_empty(), "recordings are not news");
    }
    group.busy = 5;
    let decision = group.look(6);
    assert_eq!(decision.why, "5 busy and 2 spare, 6 allowed");
    assert_eq!(moved(&decision), Some((Mover::Up, 2, 6)));
}

#[test]
fn spares_may_be_none_at_all() {
    let mut group = Group::new(recorders(0), 0);
    assert_eq!(group.desired(0), 0);
    group.busy = 1;
    assert_eq!(group.desired(1), 1);
}

#[test]
fn spares_come_in_the_grace_period_and_go_after_it() {
    let mut group = Group::new(recorders(1), 1);
    group.say(4, "now");
    assert_eq!(group.desired(0), 4);
    assert_eq!(group.desired(7), 4);
    group.busy = 4;
    assert_eq!(group.desired(7), 5, "whoever records next does not wait");
    group.busy = 0;
    assert_eq!(group.desired(7), 5);
    assert_eq!(group.desired(8), 1);
}

#[test]
fn a_period_of_the_schedule_keeps_more_spares_ready_and_inhibits() {
    let mut lesson = period("lesson", 9, 10, number(5));
    lesson.inhibit_scale_down = true;
    let mut group = Group::new(recorders(1), 1);
    group.model.schedule = schedule(None, &[lesson]);
    assert_eq!(group.desired(59), 1);
    assert_eq!([60, 70, 119].map(|minutes| group.desired(minutes)), [5, 5, 5]);
    group.busy = 5;
    assert_eq!(group.desired(119), 6);
    group.busy = 0;
    assert_eq!(group.desired(119), 6);
    assert_eq!([120, 130].map(|minutes| group.desired(minutes)), [1, 1]);
}

#[test]
fn the_end_of_a_period_does_not_take_spares_of_those_who_record() {
    let mut group = Group::new(recorders(1), 1);
    group.model.schedule = schedule(None, &[period("lesson", 9, 10, number(5))]);
    assert_eq!([60, 119].map(|minutes| group.desired(minutes)), [5, 5], "ready for as long as it lasts");
    group.busy = 4;
    let decision = group.look(120);
    assert_eq!(moved(&decision), None, "from 5 to 1 by the schedule, and back to 4 busy and 1 spare in the same look");
    assert_eq!(decision.desired, 5);
}

#[test]
fn when_several_move_it_the_first_one_is_named() {
    let mut group = Group::new(recorders(1), 1);
    group.model.schedule = schedule(None, &[period("lesson", 9, 10, number(5))]);
    group.look(60);
    group.busy = 2;
    assert_eq!(moved(&group.look(120)), Some((Mover::Schedule, 5, 3)), "down to 1, and up for 2 busy and 1 spare");
}

#[test]
fn spares_go_down_a_smooth_edge_too() {
    let mut group = Group::new(recorders(1), 1);
    group.model.schedule = schedule(Some("60m"), &[period("lesson", 9, 10, number(6))]);
    group.look(60);
    group.look(120);
    // A quarter of the way from 6 to 1, and no grace period any more.
    assert_eq!([135, 150, 180].map(|minutes| group.desired(minutes)), [5, 4, 1]);
}

#[test]
fn a_grace_period_ends_with_a_whole_second() {
    let mut model = bridges();
    model.word = Some((4, "one".to_owned()));
    let memory = Memory { desired: Some(3), ..Memory::default() };
    let now = at(0) + SignedDuration::from_millis(250);
    let decision = decide(&Look { model: &model, memory: &memory, count: 3, busy: 0, samples: &[], now });
    assert_eq!(decision.memory.grace_until, Some("2026-11-23T08:08:01Z".parse().unwrap()));
}
