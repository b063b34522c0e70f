//! Each rule by itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Action, Bridge, Memory, Plan, Pod, Rules, State, plan, reason};
use crate::{
    api::MoveEndpoints,
    plan::{Note, report::Report},
};

mod choose;
mod life;
mod make;

/// A moment of the test.
fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365) + SignedDuration::from_secs(second)
}

fn rules(desired: i32, max: i32) -> Rules {
    Rules {
        prefix: "x-jvb".to_owned(),
        desired,
        max,
        launch: true,
        drain_deadline: Duration::from_secs(3600),
        stop_deadline: Duration::from_secs(300),
        move_endpoints: MoveEndpoints::Never,
        ports: None,
        protect_until: None,
    }
}

/// A ready bridge of the template that is meant, made at 0 + its number, which says at `second` that so many are on it.
fn bridge(number: i64, second: i64, people: u64) -> Bridge {
    Bridge {
        name: format!("x-jvb-{number}"),
        uid: format!("uid-{number}"),
        created: at(number),
        pod: Pod::Ready,
        served: true,
        current: true,
        report: Some(says(second, people)),
        ..Bridge::default()
    }
}

fn says(second: i64, people: u64) -> Report {
    Report {
        at: Some(at(second)),
        endpoints: Some(people),
        drain: Some(false),
        graceful_shutdown: Some(false),
        shutting_down: Some(false),
        ..Report::default()
    }
}

/// The same, draining since then, and knowing it.
fn draining(number: i64, since: i64, second: i64, people: u64) -> Bridge {
    let report = Report { drain: Some(true), ..says(second, people) };
    let memory =
        Memory { drain_since: Some(at(since)), reason: Some(reason::SCALE_DOWN.to_owned()), ..Memory::default() };
    Bridge { memory, report: Some(report), ..bridge(number, second, people) }
}

/// A pod that has been made, and has not started.
fn pending(number: i64, created: i64) -> Bridge {
    Bridge { created: at(created), pod: Pod::Pending, served: false, report: None, ..bridge(number, 0, 0) }
}

fn look(rules: &Rules, bridges: &[Bridge], second: i64) -> Plan {
    plan(rules, bridges, at(second))
}

/// What is done, without notes.
fn done(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .filter_map(|action| {
            let name = action.name()?.to_owned();
            Some(match action {
                Action::Create { .. } => format!("create {name}"),
                Action::Remember { memory, .. } => {
                    let what = [
                        memory.drain_since.map(|_| "drain"),
                        memory.quiet_since.map(|_| "quiet"),
                        memory.shutdown_since.map(|_| "stop"),
                    ];
                    format!("remember {name} {}", what.into_iter().flatten().collect::<Vec<_>>().join("+"))
                }
                Action::Drain { .. } => format!("drain {name}"),
                Action::Undrain { .. } => format!("undrain {name}"),
                Action::Move { .. } => format!("move {name}"),
                Action::Shutdown { .. } => format!("stop {name}"),
                Action::Delete { grace, .. } => format!("delete {name} {grace}"),
                Action::Note { .. } => return None,
            })
        })
        .collect()
}

fn notes(plan: &Plan) -> Vec<&Note> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::Note { note, .. } => Some(note),
            _ => None,
        })
        .collect()
}

fn memory_of<'a>(plan: &'a Plan, name: &str) -> &'a Memory {
    let found = plan.actions.iter().find_map(|action| match action {
        Action::Remember { name: of, memory, .. } if of == name => Some(memory),
        _ => None,
    });
    found.expect("it is remembered")
}

#[test]
fn each_is_counted_once() {
    let mut dying = bridge(3, 0, 4);
    dying.deleting = true;
    let mut stuck = bridge(4, 0, 0);
    stuck.pod = Pod::Starting(at(-900));
    let mut lost = bridge(5, 0, 2);
    (lost.lost, lost.report) = (Some(at(0)), None);
    let mut ended = draining(6, 0, 0, 0);
    ended.pod = Pod::Succeeded;
    let bridges = [bridge(0, 0, 9), pending(1, 0), draining(2, 0, 0, 3), dying, stuck, lost, ended];
    let plan = look(&rules(2, 9), &bridges, 0);
    let counts = plan.counts;
    assert_eq!((counts.active, counts.starting, counts.draining, counts.stopping), (1, 1, 1, 1));
    assert_eq!((counts.stuck, counts.lost, counts.ended), (1, 1, 1));
    assert_eq!((counts.counted(), counts.living()), (2, 6));
    assert_eq!(plan.stands["x-jvb-5"], State::Lost);
    assert_eq!(super::counts(&bridges, at(0)), counts);
}

#[test]
fn all_as_asked_for_says_and_does_nothing() {
    let plan = look(&rules(2, 3), &[bridge(0, 0, 9), bridge(1, 0, 0)], 10);
    assert_eq!((done(&plan), &plan.waiting, &plan.lasting), (vec![], &vec![], &vec![]));
}

#[test]
fn it_is_said_what_is_waited_for() {
    let mut sick = bridge(0, 100, 5);
    sick.report = Some(Report { healthy: Some(false), ..says(100, 5) });
    let silent = bridge(1, -500, 5);
    let mut nodeless = pending(2, 0);
    nodeless.pod = Pod::Unschedulable(at(40));
    let plan = look(&rules(3, 9), &[sick, silent, nodeless, draining(3, 40, 100, 7)], 100);
    assert_eq!(
        plan.waiting,
        [
            "no node fits 1 pod, for 1m",
            "x-jvb-1 is ready and does not say how it is",
            "x-jvb-0 says that it is not healthy",
            "1 on the way out with 7 participants, for 59m at most",
        ]
    );
    // Neither silence nor sickness drains anybody. The one that drains is taken back only when it is wanted.
    assert_eq!(done(&plan), Vec::<String>::new());
}
