//! Acceptance 5: the controller dies after each of its writes, and another one ends where the first would have.
//!
//! One test dies once in each run, at every second point; the other dies after each write of one run, again and again.
//! `ROOMPIN_CRASH_EVERY=n` looks at every n-th point (1: at all); `ROOMPIN_CRASH_POINT=n` at one.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use testkit::CrashPoint;

use super::kit::{self, Kit};

type State = BTreeMap<String, String>;

/// Another end would say in which objects it differs.
fn assert_same(one: &State, other: &State, when: &str) {
    let names: Vec<_> = one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name)).collect();
    let pair = names.first().map(|name| (one.get(*name), other.get(*name)));
    assert!(names.is_empty(), "{when}, these differ: {names:?}: {pair:#?}");
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}

/// What there is at the end when nobody dies, and by how many writes.
async fn undisturbed() -> (State, u32) {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.add_and_remove(&AtomicU32::new(0)).await;
    controller.end().await;
    let events = kit.writes_of("one").iter().filter(|what| what.contains("/events")).count();
    (kit.state().await, kit.faults().writes("one") - u32::try_from(events).unwrap())
}

/// One death after so many writes, without the answer to the last one if `lost`.
async fn die_after(writes: u32, lost: bool) -> (bool, State) {
    let kit = Kit::start().await;
    let mortal = kit.run("mortal").await;
    let point = CrashPoint::after_writes("mortal", writes).ignoring("events");
    kit.faults().crash(if lost { point.before_the_answer() } else { point });
    kit.apply_sample().await;
    let stage = AtomicU32::new(0);
    let died = tokio::select! {
        biased;
        () = kit.faults().crashed("mortal") => true,
        () = kit.add_and_remove(&stage) => false,
    };
    mortal.kill();
    if died {
        let next = kit.run("next").await;
        kit.add_and_remove(&stage).await;
        next.end().await;
    }
    assert!(kit.cut().is_empty(), "after {writes} writes: {:?}", kit.cut());
    (died, kit.state().await)
}

#[test]
fn whenever_it_dies_the_next_one_ends_the_same() {
    if !kit::on_the_double() {
        return kit::skipped("crash points", "crash points need the double");
    }
    let number = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<u32>().ok());
    let (end, writes) = block_on(undisturbed());
    assert!(writes > 50 && writes < 1000, "{writes} writes");
    let every = number("ROOMPIN_CRASH_EVERY").unwrap_or(2).max(1);
    let points: Vec<u32> = match number("ROOMPIN_CRASH_POINT") {
        Some(one) => vec![one],
        // Retries and waiting make a few more or less.
        None => (0..writes + 10).step_by(every as usize).collect(),
    };
    let (next, deaths, over) = (AtomicU32::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&after) = points.get(next.fetch_add(1, Relaxed) as usize) {
                    if over.load(Relaxed) {
                        return;
                    }
                    // Every other death also loses the answer to its last write.
                    let (died, state) = block_on(die_after(after, after / every % 2 == 1));
                    assert_same(&end, &state, &format!("dead after {after} writes"));
                    if died {
                        deaths.lock().unwrap().push(after);
                    } else {
                        over.store(true, Relaxed);
                    }
                }
            });
        }
    });
    let deaths = deaths.into_inner().unwrap();
    println!("{writes} writes undisturbed; {} crash points, the last after {:?}", deaths.len(), deaths.iter().max());
    assert!(deaths.len() + 15 >= points.len(), "{deaths:?}");
}

/// Nobody lives longer than so many writes, and all the same it gets there.
#[test]
fn a_row_of_short_lives_ends_the_same() {
    if !kit::on_the_double() {
        return kit::skipped("crash points", "crash points need the double");
    }
    let (end, _) = block_on(undisturbed());
    for (each, lost) in [(1, false), (1, true), (3, false)] {
        let (lives, state) = block_on(short_lives(each, lost));
        assert_same(&end, &state, &format!("after {lives} lives of {each} writes"));
        println!("{lives} lives of {each} writes, answers lost: {lost}");
        assert!(lives > 20, "{lives}");
    }
}

async fn short_lives(each: u32, lost: bool) -> (u32, State) {
    let kit = Kit::start().await;
    kit.apply_sample().await;
    let stage = AtomicU32::new(0);
    let mut scenario = Box::pin(kit.add_and_remove(&stage));
    let mut lives = 0;
    loop {
        let who = format!("mortal-{lives}");
        let point = CrashPoint::after_writes(&who, each).ignoring("events");
        kit.faults().crash(if lost { point.before_the_answer() } else { point });
        let mortal = kit.run(&who).await;
        let done = tokio::select! {
            biased;
            () = kit.faults().crashed(&who) => false,
            () = &mut scenario => true,
        };
        mortal.kill();
        if done {
            break;
        }
        lives += 1;
        assert!(lives < 2000, "it does not get anywhere");
    }
    drop(scenario);
    assert!(kit.cut().is_empty(), "{:?}", kit.cut());
    (lives, kit.state().await)
}
