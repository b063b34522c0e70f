use jiff::ToSpan;

use super::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    START.checked_add(seconds.seconds()).unwrap()
}

fn proxy(discovery: ShardState, rooms: u64, tunnels: u64) -> ProxyReport {
    ProxyReport { pod: "x-proxy-0".into(), ready: true, answer: Ok(Some(ProxyShard { discovery, rooms, tunnels })) }
}

fn reports(conferences: Result<u64, String>, proxies: Vec<ProxyReport>) -> Reports {
    Reports { conferences, proxies, proxies_expected: true }
}

fn quiet() -> Reports {
    reports(Ok(0), vec![proxy(ShardState::Draining, 0, 0)])
}

fn take(memory: Memory, reports: &Reports, seconds: i64) -> Outcome {
    look(
        memory,
        &Look {
            wanted: true,
            told: Some(ShardState::Draining),
            announced: true,
            deadline: HOUR,
            reports: Some(reports),
            now: at(seconds),
        },
    )
}

#[track_caller]
fn waits(outcome: &Outcome, words: &str) {
    match &outcome.progress {
        Progress::Waiting(why) => assert!(why.contains(words), "{why:?} says nothing of {words:?}"),
        other => panic!("it should wait for {words:?}, not be {other:?}"),
    }
    assert_eq!(outcome.memory.quiet_since, None);
}

#[test]
fn quiet_twice_fifteen_seconds_apart_is_drained() {
    let first = take(Memory::default(), &quiet(), 0);
    assert_eq!(first.progress, Progress::Waiting("it to stay empty for another 15s".into()));
    let second = take(first.memory, &quiet(), 14);
    assert!(!second.progress.is_over());
    let third = take(second.memory, &quiet(), 15);
    assert_eq!(third.progress, Progress::Drained);
    assert_eq!(third.notes, [Note::normal("Drained", "Nobody is on it any more.")]);
    assert_eq!(take(third.memory, &quiet(), 20).notes, [], "told once");
}

#[test]
fn anybody_on_it_begins_the_wait_anew() {
    let first = take(Memory::default(), &quiet(), 0);
    waits(&take(first.memory, &reports(Ok(1), vec![proxy(ShardState::Draining, 0, 0)]), 10), "1 conference to end");
    waits(&take(first.memory, &reports(Ok(0), vec![proxy(ShardState::Draining, 2, 0)]), 10), "2 rooms");
    waits(&take(first.memory, &reports(Ok(0), vec![proxy(ShardState::Draining, 0, 1)]), 10), "1 tunnel at");
}

#[test]
fn silence_is_not_zero() {
    let first = take(Memory::default(), &quiet(), 0).memory;
    waits(&take(first, &reports(Err("timed out".into()), vec![proxy(ShardState::Draining, 0, 0)]), 20), "timed out");
    let silent = ProxyReport { answer: Err("refused".into()), ..proxy(ShardState::Draining, 0, 0) };
    waits(&take(first, &reports(Ok(0), vec![proxy(ShardState::Draining, 0, 0), silent.clone()]), 20), "refused");
    waits(&take(first, &reports(Ok(0), Vec::new()), 20), "a proxy to confirm");
    // One that gets no requests, as it starts or has died, does not stand in the way when others speak.
    let dead = ProxyReport { ready: false, ..silent };
    assert!(take(first, &reports(Ok(0), vec![proxy(ShardState::Draining, 0, 0), dead]), 20).progress.is_over());
}

#[test]
fn every_proxy_has_to_know() {
    let first = take(Memory::default(), &quiet(), 0).memory;
    let late = ProxyReport { pod: "x-proxy-1".into(), ..proxy(ShardState::Ready, 0, 0) };
    waits(&take(first, &reports(Ok(0), vec![proxy(ShardState::Draining, 0, 0), late]), 20), "x-proxy-1");
    let stranger = ProxyReport { answer: Ok(None), ..proxy(ShardState::Ready, 0, 0) };
    assert!(take(first, &reports(Ok(0), vec![stranger]), 20).progress.is_over());
}

#[test]
fn nothing_counts_before_the_service_is_marked() {
    let reports = quiet();
    let look = |told| {
        look(
            Memory { started: Some(START), quiet_since: Some(START), over: false },
            &Look { wanted: true, told, announced: true, deadline: HOUR, reports: Some(&reports), now: at(60) },
        )
    };
    waits(&look(Some(ShardState::Ready)), "marked as draining");
    waits(&look(None), "marked as draining");
}

#[test]
fn at_the_deadline_it_goes_and_says_what_is_cut() {
    let busy = reports(Ok(3), vec![proxy(ShardState::Draining, 5, 9)]);
    let first = take(Memory::default(), &busy, 0);
    assert_eq!(first.deadline_at, Some(at(3600)));
    waits(&take(first.memory, &busy, 3599), "3 conferences to end");
    let last = take(first.memory, &busy, 3600);
    assert_eq!(last.progress, Progress::Overdue("3 conferences, 5 rooms and 9 tunnels at the proxies".into()));
    assert_eq!(
        last.notes,
        [Note::warning(
            "DrainDeadlineExceeded",
            "It drained for 1h and goes now, with 3 conferences, 5 rooms and 9 tunnels at the proxies."
        )]
    );
    let unknown = take(first.memory, &reports(Err("refused".into()), Vec::new()), 3600);
    assert!(matches!(unknown.progress, Progress::Overdue(cut) if cut.contains("unknown number")));
}

#[test]
fn taken_back_it_forgets_all() {
    let first = take(Memory::default(), &quiet(), 0);
    let back = look(
        first.memory,
        &Look {
            wanted: false,
            told: Some(ShardState::Draining),
            announced: true,
            deadline: HOUR,
            reports: None,
            now: at(10),
        },
    );
    assert_eq!((back.memory, back.progress), (Memory::default(), Progress::Idle));
    assert_eq!(back.notes[0].reason, "DrainCancelled");
}

#[test]
fn what_no_proxy_ever_heard_of_goes_at_once() {
    let outcome = look(
        Memory::default(),
        &Look { wanted: true, told: None, announced: false, deadline: HOUR, reports: None, now: START },
    );
    assert_eq!(outcome.progress, Progress::Drained);
}

#[test]
fn a_clock_that_went_back_only_waits_longer() {
    let first = take(Memory { started: Some(at(100)), quiet_since: Some(at(1000)), over: false }, &quiet(), 50);
    assert_eq!(first.memory.quiet_since, Some(at(50)));
}
