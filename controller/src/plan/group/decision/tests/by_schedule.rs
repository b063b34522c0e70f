use super::*;

fn scheduled(smooth: Option<&str>, periods: &[PeriodSpec], desired: i32) -> Group {
    let mut group = Group::new(bridges(), desired);
    group.model.schedule = schedule(smooth, periods);
    group
}

#[test]
fn a_period_gives_its_number_and_the_end_gives_the_old_one_back() {
    let mut group = scheduled(None, &[period("day", 9, 17, number(5))], 3);
    assert_eq!(group.desired(59), 3);
    let decision = group.look(60);
    assert_eq!((moved(&decision), reasons(&decision)), (Some((Mover::Schedule, 3, 5)), vec!["SchedulePeriod"]));
    assert_eq!(decision.notes[0].text, "jvb: period 'day' of the schedule has begun: from 3 to 5");
    assert_eq!((decision.memory.period.as_deref(), decision.memory.base), (Some("day"), Some(3)));
    group.load = Some(0.9);
    assert_eq!([67, 68].map(|minutes| group.desired(minutes)), [5, 6], "the grace period, then load");
    let decision = group.look(540);
    assert_eq!(moved(&decision), Some((Mover::Schedule, 6, 3)));
    assert_eq!((decision.memory.period, decision.memory.base), (None, None));
}

#[test]
fn the_boundary_is_crossed_once() {
    let mut group = scheduled(None, &[period("day", 9, 17, number(5))], 3);
    group.look(60);
    for minutes in 61..67 {
        let decision = group.look(minutes);
        assert!(decision.change.is_none() && decision.notes.is_empty());
    }
}

#[test]
fn without_a_number_of_its_own_the_live_one_is_kept() {
    let bounds = OptionsSpec { min_desired: Some(1), max_desired: Some(10), ..OptionsSpec::default() };
    let mut group = scheduled(None, &[period("day", 9, 17, bounds)], 3);
    let decision = group.look(60);
    assert_eq!((decision.desired, decision.options.min, decision.options.max), (3, 1, 10));
    assert_eq!((moved(&decision), decision.memory.base), (None, None));
    group.load = Some(0.9);
    group.look(68);
    assert_eq!(group.desired(540), 4, "and kept at the end");
}

#[test]
fn numbers_of_the_group_that_change_meanwhile_stay_changed() {
    let mut group =
        scheduled(None, &[period("day", 9, 17, OptionsSpec { scale_up_quantity: Some(3), ..number(5) })], 3);
    group.look(60);
    group.model.options.down_quantity = 2;
    let decision = group.look(61);
    assert_eq!((decision.options.up_quantity, decision.options.down_quantity), (3, 2));
    let decision = group.look(540);
    assert_eq!((decision.options.up_quantity, decision.options.down_quantity), (1, 2));
}

#[test]
fn from_one_period_to_the_next_the_first_number_is_remembered() {
    let periods = [
        period("morning", 9, 12, number(6)),
        period("noon", 12, 14, number(4)),
        period("late", 14, 16, OptionsSpec::default()),
    ];
    let mut group = scheduled(None, &periods, 3);
    assert_eq!([60, 240].map(|minutes| group.desired(minutes)), [6, 4]);
    assert_eq!(group.memory.base, Some(3));
    assert_eq!(group.desired(360), 3, "a period without a number gives the first one back");
    assert_eq!(group.memory.base, None);
}

#[test]
fn a_schedule_that_is_switched_off_meanwhile_ends() {
    let mut group = scheduled(None, &[period("day", 9, 17, number(5))], 3);
    group.look(60);
    group.model.scheduler = false;
    assert_eq!(group.desired(61), 3);
    assert_eq!(group.memory.period, None);
}

#[test]
fn a_lower_maximum_takes_the_number_along() {
    let night = OptionsSpec { max_desired: Some(3), ..OptionsSpec::default() };
    let mut group = scheduled(None, &[period("night", 20, 6, night)], 5);
    let decision = group.look(720);
    assert_eq!(moved(&decision), Some((Mover::Schedule, 5, 3)));
    assert_eq!(group.desired(1320), 3, "the end of the night allows more, load asks for it");
}

#[test]
fn a_period_may_keep_it_from_shrinking() {
    let mut show = period("show", 9, 10, OptionsSpec::default());
    show.inhibit_scale_down = true;
    let mut group = scheduled(None, &[show], 5);
    group.load = Some(0.01);
    group.look(60);
    assert_eq!([70, 119].map(|minutes| group.desired(minutes)), [5, 5]);
    group.load = Some(0.9);
    assert_eq!(group.desired(119), 6, "but not from growing");
    group.load = Some(0.01);
    group.look(120);
    assert_eq!(group.desired(128), 5);
}

#[test]
fn smooth_edges_fall_in_steps_and_rise_at_once() {
    let mut group = scheduled(Some("20m"), &[period("day", 9, 17, number(6))], 2);
    assert_eq!(group.desired(60), 6, "up at once");
    let decision = group.look(540);
    assert_eq!((decision.desired, moved(&decision)), (6, None));
    assert_eq!(decision.notes[0].text, "jvb: period 'day' of the schedule has ended: from 6 down to 2 within 20m");
    assert_eq!([544, 545, 550, 555, 559].map(|minutes| group.desired(minutes)), [6, 5, 4, 3, 3]);
    assert_eq!(group.memory.base, Some(2), "still known");
    let decision = group.look(560);
    assert_eq!(
        (moved(&decision), decision.memory.base, decision.memory.edge),
        (Some((Mover::Schedule, 3, 2)), None, None)
    );
}

#[test]
fn a_lower_maximum_comes_down_smoothly_too() {
    let night = OptionsSpec { max_desired: Some(3), ..OptionsSpec::default() };
    let mut group = scheduled(Some("30m"), &[period("night", 20, 6, night)], 5);
    let decision = group.look(720);
    assert_eq!((decision.desired, decision.options.max), (5, 5));
    let decision = group.look(735);
    assert_eq!((decision.desired, decision.options.max), (4, 4), "half way");
    let decision = group.look(750);
    assert_eq!((decision.desired, decision.options.max), (3, 3));
}

#[test]
fn an_edge_whose_time_is_over_while_nobody_looked_is_over() {
    let mut group = scheduled(Some("20m"), &[period("day", 9, 17, number(6))], 2);
    group.look(60);
    group.look(540);
    assert_eq!(group.desired(2000 - 1440 + 540), 2);
}

#[test]
fn a_word_ends_an_edge() {
    let mut group = scheduled(Some("20m"), &[period("day", 9, 17, number(6))], 2);
    group.look(60);
    group.look(540);
    group.say(5, "one");
    assert_eq!([541, 548, 600].map(|minutes| group.desired(minutes)), [5, 5, 5]);
    assert_eq!((group.memory.edge, group.memory.base), (None, None));
}

#[test]
fn load_that_needs_them_ends_an_edge_and_load_that_does_not_may_be_faster() {
    let edge = || {
        let mut group = scheduled(Some("60m"), &[period("day", 9, 17, number(6))], 2);
        group.look(60);
        group.look(540);
        group
    };
    let mut group = edge();
    assert_eq!([555, 556].map(|minutes| group.desired(minutes)), [5, 5], "the level, past the grace period");
    group.load = Some(0.9);
    let decision = group.look(557);
    assert_eq!((moved(&decision), decision.memory.edge, decision.memory.base), (Some((Mover::Up, 5, 6)), None, None));
    let mut group = edge();
    group.load = Some(0.01);
    assert_eq!([548, 556, 564, 572].map(|minutes| group.desired(minutes)), [5, 4, 3, 2]);
}

#[test]
fn a_boundary_on_the_way_down_goes_on_from_there() {
    let periods = [period("day", 9, 17, number(6)), period("late", 17, 18, number(4))];
    let mut group = scheduled(Some("60m"), &periods, 2);
    group.look(60);
    assert_eq!([540, 570].map(|minutes| group.desired(minutes)), [6, 5]);
    // Ends at 18:00, when the way from 6 to 4 is over anyhow; from there to the number of the morning.
    assert_eq!([600, 630, 659, 660].map(|minutes| group.desired(minutes)), [5, 4, 3, 2]);
}

#[test]
fn a_word_within_a_period_lasts_until_its_end() {
    let mut group = scheduled(None, &[period("day", 9, 17, number(5))], 3);
    group.look(60);
    group.say(6, "one");
    assert_eq!(group.desired(100), 6);
    assert_eq!(group.desired(540), 3);
}

#[test]
fn a_new_leader_goes_on_within_a_period_and_within_an_edge() {
    use crate::{
        api::GroupStatus,
        plan::group::{memory_of, remember},
    };
    let mut one = scheduled(Some("20m"), &[period("day", 9, 17, number(6))], 2);
    let mut other = scheduled(Some("20m"), &[period("day", 9, 17, number(6))], 2);
    for minutes in (0..700).step_by(3) {
        // The other forgets everything but its status after each look.
        let mut status = GroupStatus::default();
        remember(&other.memory, &mut status);
        other.memory = memory_of(&status);
        assert_eq!(one.look(minutes), other.look(minutes), "minute {minutes}");
    }
}

#[test]
fn an_edge_that_changes_nothing_is_no_way_down() {
    let mut group = scheduled(Some("20m"), &[period("day", 9, 17, number(3))], 3);
    let decision = group.look(60);
    assert_eq!(decision.notes[0].text, "jvb: period 'day' of the schedule has begun: still 3");
    assert_eq!(decision.memory.edge, None);
}
