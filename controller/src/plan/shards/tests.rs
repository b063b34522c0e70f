use super::*;

fn shard(ordinal: u32) -> Shard {
    Shard {
        name: format!("x-{ordinal}"),
        ordinal: Some(ordinal),
        drain: false,
        retire: false,
        deleting: false,
        phase: Some(Phase::Ready),
        announced: true,
        current: true,
        differs: false,
    }
}

fn old(ordinal: u32) -> Shard {
    Shard { current: false, differs: true, ..shard(ordinal) }
}

fn starting(ordinal: u32) -> Shard {
    Shard { phase: Some(Phase::Starting), announced: false, ..shard(ordinal) }
}

fn draining(ordinal: u32) -> Shard {
    Shard { drain: true, phase: Some(Phase::Draining), ..shard(ordinal) }
}

fn actions(wanted: usize, shards: &[Shard]) -> Vec<Action> {
    plan(Wanted { shards: wanted, at_once: false }, shards).actions
}

fn waits(wanted: usize, shards: &[Shard]) -> String {
    let plan = plan(Wanted { shards: wanted, at_once: false }, shards);
    assert_eq!(plan.actions, []);
    plan.waiting_for.unwrap_or_default()
}

#[test]
fn new_shards_get_the_lowest_free_ordinals_all_at_once() {
    assert_eq!(actions(3, &[]), [Action::Create(0), Action::Create(1), Action::Create(2)]);
    let leaving = Shard { deleting: true, ..draining(0) };
    assert_eq!(actions(2, &[leaving, shard(2)]), [Action::Create(1)], "a name is free when its shard is gone");
}

#[test]
fn enough_is_enough() {
    let plan = plan(Wanted { shards: 2, at_once: false }, &[shard(0), shard(1)]);
    assert_eq!(plan, Plan::default());
    assert_eq!(waits(2, &[shard(0), starting(1)]), "x-1 to be ready");
}

#[test]
fn the_highest_ordinal_goes_first_unless_one_is_named() {
    assert_eq!(actions(2, &[shard(0), shard(1), shard(2)]), [Action::Drain("x-2".into())]);
    let named = Shard { retire: true, ..shard(0) };
    assert_eq!(actions(2, &[named.clone(), shard(1), shard(2)]), [Action::Drain("x-0".into())]);
    assert_eq!(actions(1, &[named, shard(1), shard(2)]), [Action::Drain("x-0".into()), Action::Drain("x-2".into())]);
    assert_eq!(actions(0, &[shard(0)]), [Action::Drain("x-0".into())]);
}

#[test]
fn the_last_shard_that_works_is_kept() {
    assert_eq!(waits(1, &[starting(0), shard(1)]), "x-0 to be ready before x-1 drains");
    let broken = Shard { phase: Some(Phase::Degraded), ..shard(1) };
    assert_eq!(actions(1, &[shard(0), broken]), [Action::Drain("x-1".into())]);
}

#[test]
fn a_draining_shard_is_taken_back_before_one_is_made() {
    assert_eq!(
        actions(3, &[shard(0), draining(1), draining(2)]),
        [Action::Undrain("x-1".into()), Action::Undrain("x-2".into())]
    );
    assert_eq!(actions(2, &[shard(0), draining(1), draining(2)]), [Action::Undrain("x-1".into())]);
    let gone = Shard { deleting: true, ..draining(1) };
    assert_eq!(actions(2, &[shard(0), gone]), [Action::Create(2)], "what is deleted cannot be taken back");
    let drained = Shard { phase: Some(Phase::Drained), ..draining(1) };
    assert_eq!(actions(2, &[shard(0), drained]), [Action::Undrain("x-1".into())]);
}

#[test]
fn a_drained_shard_is_deleted() {
    let drained = Shard { phase: Some(Phase::Drained), ..draining(1) };
    assert_eq!(actions(1, &[shard(0), drained]), [Action::Delete("x-1".into())]);
    assert_eq!(waits(1, &[shard(0), draining(1)]), "x-1 to be empty and gone");
    // A status about an older spec says nothing.
    assert_eq!(actions(1, &[shard(0), Shard { phase: None, ..draining(1) }]), []);
}

#[test]
fn old_shards_are_replaced_one_at_a_time() {
    let step = |shards: &[Shard]| actions(2, shards);
    assert_eq!(step(&[old(0), old(1)]), [Action::Create(2)]);
    assert_eq!(waits(2, &[old(0), old(1), starting(2)]), "x-2 to be ready before x-1 drains");
    assert_eq!(step(&[old(0), old(1), shard(2)]), [Action::Drain("x-1".into())]);
    let leaving = Shard { current: false, ..draining(1) };
    assert_eq!(waits(2, &[old(0), leaving.clone(), shard(2)]), "x-1 to be gone before the next old shard is replaced");
    let drained = Shard { phase: Some(Phase::Drained), ..leaving };
    assert_eq!(step(&[old(0), drained, shard(2)]), [Action::Delete("x-1".into())]);
    assert_eq!(step(&[old(0), shard(2)]), [Action::Create(1)]);
    assert_eq!(step(&[old(0), shard(1), shard(2)]), [Action::Drain("x-0".into())]);
    assert_eq!(step(&[shard(1), shard(2)]), []);
}

#[test]
fn what_can_change_in_place_does() {
    let other = Shard { differs: true, ..shard(0) };
    assert_eq!(actions(1, &[other]), [Action::Update("x-0".into())]);
    // Nobody has ever been on it: a bad image is mended without another shard.
    assert_eq!(actions(1, &[Shard { current: false, differs: true, ..starting(0) }]), [Action::Update("x-0".into())]);
    let plan = plan(Wanted { shards: 1, at_once: true }, &[old(0)]);
    assert_eq!(plan.actions, [Action::Update("x-0".into())], "disableGracefulUpgrade");
}

#[test]
fn fewer_shards_in_the_middle_of_a_replacement_take_the_old_ones() {
    assert_eq!(actions(1, &[old(0), old(1), shard(2)]), [Action::Drain("x-1".into()), Action::Drain("x-0".into())]);
    let broken = Shard { phase: Some(Phase::Degraded), ..old(0) };
    assert_eq!(
        actions(2, &[broken, old(1), shard(2)]),
        [Action::Drain("x-0".into())],
        "one that does not work goes first"
    );
}

#[test]
fn a_replacement_that_never_works_cuts_nobody() {
    let shards = [old(0), starting(1)];
    assert_eq!(waits(1, &shards), "x-1 to be ready before x-0 drains");
}
