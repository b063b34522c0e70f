//! Acceptance 2: days of a shard's bridges under load, with everything that goes wrong: writes that get lost, answers that get
//! lost, old views, leaders that die between two writes, clocks that disagree and jump, nodes that die or are emptied, bridges
//! that never come up, never answer or never end, reports that stop, templates and people that change their minds.
//!
//! What is checked, at every step:
//! - No bridge with people on it is deleted before both deadlines are over (a lost node's is not ours to cut).
//! - There are never more pods that have not ended than `max`.
//! - While people are there, a bridge takes work, unless nodes or bridges failed a short time ago.
//! - A drain is not begun again while it lasts, nor shortly after it was cancelled, for the same reason.
//! - The number asked for does not swing by load.
//! - When the faults are over: as many active ones as asked for, of the last template, and nothing drains.
//!
//! `ROOMPIN_SEEDS=n` or `a..b` sets how many days; `ROOMPIN_SEED=s` lives through one and tells what happens.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

mod checks;
mod cluster;
mod leader;
mod people;
mod world;

use world::{Totals, World};

/// Days in one run of the tests.
const DAYS: u64 = 10_000;
/// Threads that share them.
const THREADS: u64 = 2;

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("ROOMPIN_SEEDS") else { return 0..DAYS };
    let number = |text: &str| text.trim().parse::<u64>().expect("ROOMPIN_SEEDS is a number, or two as in 100..200");
    match text.split_once("..") {
        Some((first, last)) => number(first)..number(last),
        None => 0..number(&text),
    }
}

#[test]
fn days() {
    if let Ok(seed) = std::env::var("ROOMPIN_SEED") {
        let day = World::new(seed.parse().expect("a number"), true).live();
        println!("{day:#?}");
        assert!(day.is_ok());
        return;
    }
    let (range, begun) = (seeds(), std::time::Instant::now());
    let next = AtomicU64::new(range.start);
    let lived: Vec<Result<Totals, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Relaxed);
                        if seed >= range.end {
                            return done;
                        }
                        done.push(World::new(seed, false).live());
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let failed: Vec<&String> = lived.iter().filter_map(|day| day.as_ref().err()).collect();
    for failure in failed.iter().take(20) {
        println!("{failure}");
    }
    assert!(failed.is_empty(), "{} of {} days went wrong", failed.len(), lived.len());
    let mut days: Vec<Totals> = lived.into_iter().flatten().collect();
    days.sort_by_key(|day| day.reversals);
    let sum = |what: fn(&Totals) -> u64| days.iter().map(what).sum::<u64>();
    let at = |part: usize| days[(days.len() - 1) * part / 1000].reversals;
    println!(
        "{} days in {:.1?}: {} looks, {} pods made, {} drains begun, {} taken back, {} ended empty, {} cut past their deadline \
         with {} people, {} lost with nodes; {} writes failed, {} leaders died",
        days.len(),
        begun.elapsed(),
        sum(|day| day.looks),
        sum(|day| day.made),
        sum(|day| day.drains),
        sum(|day| day.undrains),
        sum(|day| day.ended),
        sum(|day| day.cut),
        sum(|day| day.cut_people),
        sum(|day| day.lost),
        sum(|day| day.failed_writes),
        sum(|day| day.leaders),
    );
    println!(
        "reversals of the number by load, per day: half ≤ {}, 90% ≤ {}, 99% ≤ {}, 99.9% ≤ {}, most {}",
        at(500),
        at(900),
        at(990),
        at(999),
        at(1000)
    );
    // A simulation in which nothing happens shows nothing.
    let all = days.len() as u64;
    assert!(sum(|day| day.drains) > all && sum(|day| day.undrains) > all / 10 && sum(|day| day.ended) > all);
    assert!(sum(|day| day.cut) > all / 100 && sum(|day| day.lost) > all / 100 && sum(|day| day.failed_writes) > all);
}
