use super::*;

const NOW: i64 = 100_000;

fn at(ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - ago).unwrap()
}

fn now() -> Timestamp {
    at(0)
}

fn says(busy: Busy, ago: i64) -> Option<Report> {
    Some(Report { at: Some(at(ago)), busy: Some(busy), healthy: Some(true), ..Default::default() })
}

/// Idle, an hour old, heard just now.
fn spare(number: usize) -> Recorder {
    Recorder {
        name: format!("x-{number}"),
        uid: format!("uid-{number}"),
        created: at(3600),
        pod: Pod::Ready,
        current: true,
        label: Some(Busy::Idle),
        report: says(Busy::Idle, 30),
        answer: says(Busy::Idle, 0),
        ..Default::default()
    }
}

fn busy(number: usize) -> Recorder {
    Recorder { label: Some(Busy::Busy), report: says(Busy::Busy, 30), answer: says(Busy::Busy, 0), ..spare(number) }
}

fn starting(number: usize, ago: i64) -> Recorder {
    Recorder {
        created: at(ago),
        pod: Pod::Starting(at(ago)),
        unready_since: Some(at(ago)),
        label: None,
        report: None,
        answer: None,
        ..spare(number)
    }
}

fn silent(number: usize) -> Recorder {
    Recorder { report: says(Busy::Idle, 181), answer: None, ..spare(number) }
}

fn sight(one: &Recorder) -> Sight {
    look(std::slice::from_ref(one), now()).0[0]
}

/// What is done, in short words.
fn done(spares: i32, max: i32, all: &[Recorder]) -> Vec<String> {
    let (sights, tally) = look(all, now());
    let desired = (tally.taken() + spares).min(max);
    let rules = Rules { desired, max, launch: true, protect_until: None };
    plan("x", all, &sights, tally, &rules, now())
        .into_iter()
        .filter_map(|action| match action {
            Action::Create { name, .. } => Some(format!("+{name}")),
            Action::Mark { name, busy, .. } => Some(format!("{name}={busy:?}")),
            Action::Delete { name, why, .. } => Some(format!("-{name} {why:?}")),
            Action::Note(_) => None,
        })
        .collect()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn so_many_free_ones_are_kept() {
    assert_eq!(done(2, 10, &[]), ["+x-0", "+x-1"]);
    assert_eq!(done(2, 10, &[spare(1)]), ["+x-0"], "the lowest name that is free");
    assert_eq!(done(2, 10, &[spare(0), starting(1, 20)]), nothing());
    assert_eq!(done(0, 10, &[]), nothing(), "none at all until somebody asks for one");
    assert_eq!(done(0, 10, &[busy(0)]), nothing());
}

#[test]
fn a_busy_one_is_set_apart_and_replaced_up_to_the_most() {
    let taken = Recorder { label: Some(Busy::Idle), ..busy(0) };
    assert_eq!(done(1, 10, std::slice::from_ref(&taken)), ["x-0=Busy", "+x-1"]);
    assert_eq!(done(1, 1, std::slice::from_ref(&taken)), ["x-0=Busy"]);
    assert_eq!(done(1, 2, &[busy(0), busy(1)]), nothing());
    // Pods that go take room too.
    let leaving = Recorder { deleting: true, ..busy(1) };
    assert_eq!(done(1, 2, &[busy(0), leaving]), nothing());
}

#[test]
fn who_has_recorded_goes_whatever_else_is_known() {
    let expired = Recorder { answer: says(Busy::Expired, 0), ..busy(0) };
    assert_eq!(done(1, 5, &[expired, spare(1)]), ["-x-0 Expired"]);
    let by_webhook = Recorder { answer: None, report: says(Busy::Expired, 10), ..busy(0) };
    assert_eq!(done(1, 5, &[by_webhook, spare(1)]), ["-x-0 Expired"]);
    for pod in [Pod::Succeeded, Pod::Failed] {
        let ended = Recorder { pod, answer: None, unready_since: Some(at(5)), ..busy(0) };
        assert_eq!(done(1, 5, &[ended, spare(1)]), ["-x-0 Ended"]);
    }
    let gone = Recorder { lost: true, deleting: true, answer: None, ..busy(0) };
    assert_eq!(done(1, 5, &[gone, spare(1)]), ["-x-0 NodeGone"]);
    let leaving = Recorder { deleting: true, answer: says(Busy::Expired, 0), ..busy(0) };
    assert_eq!(done(1, 5, &[leaving, spare(1)]), nothing(), "it is deleted already");
}

#[test]
fn one_that_records_stays_however_silent_while_its_kubelet_vouches_for_it() {
    let dumb = Recorder { report: says(Busy::Busy, 9999), answer: None, ..busy(0) };
    assert_eq!(sight(&dumb), Sight::Busy);
    // Not well: for a while it may be a full disk or a busy CPU.
    let sick = |ago| Recorder { unready_since: Some(at(ago)), pod: Pod::Starting(at(ago)), ..dumb.clone() };
    assert_eq!(sight(&sick(180)), Sight::Busy);
    assert_eq!(sight(&sick(181)), Sight::Over(Why::Silent));
    assert_eq!(sight(&Recorder { report: says(Busy::Busy, 180), ..sick(9999) }), Sight::Busy, "it still reports");
    // The node's controller calls every pod unready whose node is silent. That says nothing about this one.
    assert_eq!(sight(&Recorder { unreachable: true, ..sick(9999) }), Sight::Busy);
}

#[test]
fn only_an_answer_makes_a_busy_one_free() {
    let late = Recorder { label: Some(Busy::Busy), answer: None, ..spare(0) };
    assert_eq!(sight(&late), Sight::Busy, "a report from before it was taken");
    assert_eq!(sight(&Recorder { answer: says(Busy::Idle, 0), ..late }), Sight::Spare);
}

#[test]
fn silence_is_no_spare() {
    assert_eq!(sight(&silent(0)), Sight::Unknown);
    assert_eq!(done(1, 5, &[silent(0), spare(1)]), nothing());
    assert_eq!(done(1, 5, &[silent(0), busy(1)]), ["+x-2"]);
    let sick = Recorder { unready_since: Some(at(181)), ..silent(0) };
    assert_eq!(done(1, 5, &[sick, spare(1)]), ["-x-0 Silent"]);
    // Its kubelet is its last witness.
    assert_eq!(
        sight(&Recorder { report: says(Busy::Idle, 180), ..silent(0) }),
        Sight::Spare,
        "three minutes are no silence"
    );
}

#[test]
fn a_controller_that_hears_nobody_does_nothing_rash() {
    assert_eq!(done(1, 9, &[silent(0)]), nothing());
    assert_eq!(done(2, 9, &[silent(0), silent(1), silent(2)]), nothing(), "not even a surplus is taken away");
    let never = Recorder { label: None, report: None, ..silent(0) };
    assert_eq!(done(1, 9, &[never]), nothing());
    let (sights, tally) = look(&[silent(0)], now());
    let rules = Rules { desired: 1, max: 9, launch: true, protect_until: None };
    let actions = plan("x", &[silent(0)], &sights, tally, &rules, now());
    assert!(matches!(&actions[..], [Action::Note(note)] if note.reason == "RecordersUnreachable"), "{actions:?}");
    // One that it hears makes the others suspicious.
    assert_eq!(done(1, 9, &[silent(0), busy(1)]), ["+x-2"]);
}

#[test]
fn what_does_not_come_up_is_replaced() {
    assert_eq!(sight(&starting(0, 600)), Sight::Starting);
    assert_eq!(done(1, 5, &[starting(0, 601), spare(1)]), ["-x-0 Stuck"]);
    let nowhere = Recorder { pod: Pod::Unschedulable(at(9999)), ..starting(0, 9999) };
    assert_eq!(sight(&nowhere), Sight::Starting, "another one would find no node either");
    // Well and never heard: its first report takes a minute.
    let quiet = |ago| Recorder { pod: Pod::Ready, unready_since: None, ..starting(0, ago) };
    assert_eq!((sight(&quiet(180)), sight(&quiet(181))), (Sight::Starting, Sight::Unknown));
}

#[test]
fn an_idle_one_that_cannot_work_is_no_spare() {
    let sick = |created, ago| Recorder {
        created: at(created),
        unready_since: Some(at(ago)),
        answer: Some(Report { healthy: Some(false), ..says(Busy::Idle, 0).unwrap() }),
        ..spare(0)
    };
    assert_eq!(sight(&sick(100, 100)), Sight::Starting);
    assert_eq!(done(1, 5, &[sick(3600, 10)]), ["+x-1"]);
    assert_eq!(done(1, 5, &[sick(3600, 301), spare(1)]), ["-x-0 Stuck"]);
}

#[test]
fn only_idle_ones_are_too_many() {
    let young = Recorder { created: at(60), ..spare(2) };
    assert_eq!(done(1, 9, &[spare(0), spare(1), young.clone()]), ["-x-2 Surplus", "-x-0 Surplus"]);
    assert_eq!(done(1, 9, &[spare(0), starting(1, 30)]), ["-x-1 Surplus"], "one that comes up was of no use yet");
    let tended = Recorder { cordoned: true, ..spare(1) };
    assert_eq!(done(1, 9, &[spare(0), tended, young.clone()]), ["-x-1 Surplus", "-x-2 Surplus"]);
    let guarded = Recorder { protected_until: Some(at(-1)), ..young.clone() };
    assert_eq!(done(0, 9, &[busy(0), guarded]), nothing());
    let over = Recorder { protected_until: Some(at(0)), ..young };
    assert_eq!(done(0, 9, &[busy(0), over]), ["-x-2 Surplus"]);
}

#[test]
fn an_older_template_goes_one_at_a_time_and_never_under_a_recording() {
    let old = |one: Recorder| Recorder { current: false, ..one };
    let eldest = Recorder { created: at(7200), ..old(spare(1)) };
    // First one more, then one less.
    assert_eq!(done(2, 9, &[old(spare(0)), eldest.clone()]), ["+x-2"]);
    assert_eq!(done(2, 9, &[old(spare(0)), eldest.clone(), starting(2, 10)]), nothing());
    assert_eq!(done(2, 9, &[old(spare(0)), eldest.clone(), spare(2)]), ["-x-1 Outdated"]);
    let leaving = Recorder { deleting: true, ..eldest.clone() };
    assert_eq!(done(2, 9, &[old(spare(0)), leaving, spare(2)]), ["+x-3"]);
    assert_eq!(done(1, 9, &[old(busy(0)), spare(1)]), nothing(), "it ends by itself");
    // No room for one more: the old one goes first, and only one.
    assert_eq!(done(2, 2, &[old(spare(0)), eldest.clone()]), ["-x-1 Outdated"]);
    let leaving = Recorder { deleting: true, ..eldest.clone() };
    assert_eq!(done(2, 2, &[old(spare(0)), leaving]), nothing());
    // Nobody wants a spare: nothing is made only to be deleted.
    assert_eq!(done(0, 9, &[old(spare(0))]), ["-x-0 Surplus"]);
    // What does not come up may be cured by the new template.
    assert_eq!(done(1, 9, &[old(starting(0, 30))]), ["-x-0 Outdated"]);
    // The template changed again while the new one came up: all are old, and one is more than asked for.
    assert_eq!(done(1, 9, &[old(spare(0)), eldest.clone()]), ["-x-1 Outdated"]);
    // Two too many, and one is to be replaced.
    assert_eq!(done(1, 9, &[old(spare(0)), spare(1), spare(2)]), ["-x-0 Outdated", "-x-1 Surplus"]);
}

#[test]
fn switched_off_it_makes_and_takes_nothing_but_what_is_over() {
    let all = [Recorder { answer: says(Busy::Expired, 0), ..busy(0) }, spare(1), spare(2)];
    let (sights, tally) = look(&all, now());
    let rules = Rules { desired: 9, max: 9, launch: false, protect_until: None };
    let deleted = |rules: &Rules| {
        let actions = plan("x", &all, &sights, tally, rules, now());
        actions.iter().filter(|action| !matches!(action, Action::Note(_))).count()
    };
    assert_eq!(deleted(&rules), 1);
    assert_eq!(deleted(&Rules { desired: 0, ..rules }), 1);
}
