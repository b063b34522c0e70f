//! The controller dies at every write of a recorder's life, and the next one carries on: nothing is done twice, nothing is left.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::json;
use testkit::CrashPoint;

use super::kit::{Kit, MINUTE};

/// Comes up, records, is replaced, has recorded, is gone; from where `stage` says.
async fn a_day(kit: &Kit, stage: &AtomicU32, taken: &std::sync::Mutex<String>) {
    if stage.load(Relaxed) == 0 {
        kit.are("idle").await;
        let name = kit.record().await;
        *taken.lock().unwrap() = name;
        stage.store(1, Relaxed);
    }
    if stage.load(Relaxed) == 1 {
        kit.are("busy idle").await;
        tokio::time::sleep(MINUTE).await;
        let name = taken.lock().unwrap().clone();
        kit.finish(&name);
        stage.store(2, Relaxed);
    }
    kit.are("idle").await;
    tokio::time::sleep(MINUTE).await;
    kit.are("idle").await;
}

async fn prepared(reports: bool) -> Kit {
    let kit = Kit::recorders().await;
    if !reports {
        kit.jibris.lose_reports();
    }
    // Everything else is there already, so that the writes counted are those of recorders.
    let (end, task) = kit.run("first").await;
    kit.shard(json!({"enabled": true, "replicas": 0})).await;
    tokio::time::sleep(3 * MINUTE).await;
    let _ = end.send(true);
    task.await.unwrap();
    kit
}

async fn die_after(writes: u32, lost: bool, reports: bool) -> bool {
    let kit = prepared(reports).await;
    let point = CrashPoint::after_writes("mortal", writes).ignoring("events");
    kit.harness.faults().unwrap().crash(if lost { point.before_the_answer() } else { point });
    let (_end, mortal) = kit.run("mortal").await;
    kit.shard(json!({"enabled": true, "replicas": 1})).await;
    let (stage, taken) = (AtomicU32::new(0), std::sync::Mutex::default());
    let died = tokio::select! {
        biased;
        () = kit.harness.faults().unwrap().crashed("mortal") => true,
        () = a_day(&kit, &stage, &taken) => false,
    };
    mortal.abort();
    if died {
        let (_next_end, next) = kit.run("next").await;
        a_day(&kit, &stage, &taken).await;
        next.abort();
    }
    assert_eq!(kit.cut(), Vec::<String>::new(), "dead after {writes} writes");
    died
}

#[test]
fn whenever_it_dies_the_next_one_carries_on() {
    if !testkit::harness::on_the_double() {
        return testkit::harness::skipped("crash points", "they need the double");
    }
    let block_on = |future| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
    };
    let mut deaths = 0;
    for reports in [true, false] {
        let (mut writes, mut alive) = (0, 0);
        // Past the last write it lives; retries and waiting make a few more or less.
        while alive < 2 {
            assert!(writes < 60, "it writes without end");
            let died = block_on(die_after(writes, writes % 2 == 1, reports));
            alive = if died { 0 } else { alive + 1 };
            deaths += u32::from(died);
            writes += 1;
        }
        println!("reports: {reports}, died at {writes} points at most");
    }
    assert!(deaths >= 8, "{deaths}");
}
