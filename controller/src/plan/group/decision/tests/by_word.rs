use super::*;

#[test]
fn a_word_is_taken_once_and_load_goes_on_from_there() {
    let mut group = Group::new(bridges(), 3);
    group.load = Some(0.9);
    group.say(5, "2026-11-23T07:59:00Z");
    let decision = group.look(0);
    assert_eq!((moved(&decision), reasons(&decision)), (Some((Mover::Word, 3, 5)), vec!["DesiredTaken"]));
    assert_eq!(decision.memory.heard.as_deref(), Some("2026-11-23T07:59:00Z"));
    assert_eq!(group.desired(7), 5, "a word starts the grace period");
    assert_eq!(group.desired(8), 6);
    group.load = Some(0.1);
    assert_eq!([16, 24].map(|minutes| group.desired(minutes)), [5, 4], "an old word holds nobody up");
}

#[test]
fn a_new_word_of_the_same_number_is_a_word() {
    let mut group = Group::new(bridges(), 3);
    group.say(3, "one");
    let decision = group.look(0);
    assert_eq!((moved(&decision), reasons(&decision)), (None, vec!["DesiredTaken"]));
    group.load = Some(0.9);
    assert_eq!(group.desired(7), 3);
    group.say(3, "two");
    assert_eq!([7, 14].map(|minutes| group.desired(minutes)), [3, 3], "and starts the grace period again");
    assert_eq!(group.desired(15), 4);
}

#[test]
fn a_word_past_the_bounds_is_taken_up_to_them() {
    let mut group = Group::new(bridges(), 3);
    group.say(9, "one");
    let decision = group.look(0);
    assert_eq!(moved(&decision), Some((Mover::Word, 3, 6)));
    assert_eq!(decision.notes[0].text, "jvb: 9 asked for, 2 to 6 allowed: from 3 to 6");
    group.say(0, "two");
    assert_eq!(group.desired(1), 2);
}

#[test]
fn a_word_that_is_taken_back_changes_nothing() {
    let mut group = Group::new(bridges(), 3);
    group.say(5, "one");
    group.look(0);
    group.model.word = None;
    assert_eq!(group.desired(1), 5);
    group.say(5, "one");
    assert!(group.look(2).notes.is_empty());
}

#[test]
fn a_group_that_is_new_hears_the_word_at_once() {
    let mut group = Group::new(bridges(), 0);
    group.memory = Memory::default();
    group.say(4, "one");
    assert_eq!(moved(&group.look(0)), Some((Mover::Word, 2, 4)));
}
