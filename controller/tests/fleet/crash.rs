//! Acceptance 6: the controller dies after each of its writes in the life of a drain, and the next one carries on. Nothing is
//! told to drain twice, nothing is left draining, nobody is cut.
//!
//! `ROOMPIN_CRASH_EVERY=n` looks at every n-th point (1: at all).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::json;
use testkit::CrashPoint;

use super::{
    kit::{self, MINUTE},
    scene::Scene,
};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}

/// Two bridges; one drains under people, is taken back, drains again, and goes when they have left.
async fn life_of_a_drain(scene: &Scene, stage: &AtomicU32) {
    let bridges = scene.kit.instances();
    if stage.load(Relaxed) == 0 {
        scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
        bridges.set("alone-jvb-0", |one| one.people = 9);
        bridges.set("alone-jvb-1", |one| one.people = 2);
        // Whoever leads next has to hear it too, so the order comes only after that.
        scene.heard().await;
        scene.jvb(json!({"strategy": {"replicas": 1}})).await;
        stage.store(1, Relaxed);
    }
    if stage.load(Relaxed) == 1 {
        scene.label("alone-jvb-1", "draining").await;
        scene.jvb(json!({"strategy": {"replicas": 2}})).await;
        stage.store(2, Relaxed);
    }
    if stage.load(Relaxed) == 2 {
        scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
        scene.jvb(json!({"strategy": {"replicas": 1}})).await;
        stage.store(3, Relaxed);
    }
    if stage.load(Relaxed) == 3 {
        scene.label("alone-jvb-1", "draining").await;
        tokio::time::sleep(MINUTE).await;
        bridges.set("alone-jvb-1", |one| one.people = 0);
        stage.store(4, Relaxed);
    }
    scene.gone("alone-jvb-1").await;
    scene.active(&["alone-jvb-0"]).await;
}

async fn start() -> Scene {
    Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await
}

/// What must hold at the end, whoever did it.
async fn judge(scene: &Scene, when: &str) {
    // Whatever would still be done is done now.
    tokio::time::sleep(2 * MINUTE).await;
    let bridges = scene.kit.instances();
    assert_eq!(bridges.cut(), Vec::<String>::new(), "{when}: somebody was cut");
    assert_eq!(scene.left().await, Vec::<String>::new(), "{when}: left draining");
    let members: Vec<_> = scene.members().await.into_keys().collect();
    assert_eq!(members, ["alone-jvb-0"], "{when}");
    assert_eq!(bridges.told("alone-jvb-0"), Vec::<&str>::new(), "{when}: the fuller one was left alone");
    // A word that was said, but whose saying nobody survived to see, is not said again: the bridge shows it.
    assert_eq!(bridges.told("alone-jvb-1"), ["drain", "undrain", "drain", "shutdown"], "{when}");
}

async fn undisturbed() -> u32 {
    let scene = start().await;
    let controller = scene.run("one").await;
    life_of_a_drain(&scene, &AtomicU32::new(0)).await;
    judge(&scene, "undisturbed").await;
    controller.end().await;
    let events = scene.kit.writes_of("one").iter().filter(|what| what.contains("/events")).count();
    scene.kit.faults().writes("one") - u32::try_from(events).unwrap()
}

async fn die_after(writes: u32, lost: bool) -> bool {
    let scene = start().await;
    let mortal = scene.run("mortal").await;
    let point = CrashPoint::after_writes("mortal", writes).ignoring("events");
    scene.kit.faults().crash(if lost { point.before_the_answer() } else { point });
    let stage = AtomicU32::new(0);
    let died = tokio::select! {
        biased;
        () = scene.kit.faults().crashed("mortal") => true,
        () = life_of_a_drain(&scene, &stage) => false,
    };
    mortal.kill();
    let next = scene.run("next").await;
    life_of_a_drain(&scene, &stage).await;
    judge(&scene, &format!("dead after {writes} writes, the answer lost: {lost}")).await;
    next.end().await;
    died
}

#[test]
fn whenever_it_dies_in_a_drain_the_next_one_carries_on() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "crash points need the double");
    }
    let writes = block_on(undisturbed());
    assert!(writes > 25 && writes < 300, "{writes} writes");
    let every = std::env::var("ROOMPIN_CRASH_EVERY").ok().and_then(|text| text.parse().ok()).unwrap_or(1_usize).max(1);
    let mut deaths = 0;
    for after in (0..writes).step_by(every) {
        for lost in [false, true] {
            deaths += u32::from(block_on(die_after(after, lost)));
        }
    }
    println!("{writes} writes undisturbed; it died {deaths} times");
    assert!(deaths as usize >= (writes as usize / every).saturating_sub(15), "{deaths}");
}
