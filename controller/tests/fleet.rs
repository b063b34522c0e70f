//! Bridges and gateways against an API server: the double under paused time, or the cluster that `KUBECONFIG_TEST` names.
#![allow(clippy::unwrap_used, reason = "all of this is tests, its helpers too")]

#[path = "fleet/crash.rs"]
mod crash;
#[path = "fleet/http.rs"]
mod http;
#[path = "life/kit.rs"]
#[allow(dead_code, reason = "the tests of whole lives use the rest")]
mod kit;
#[path = "fleet/nodes.rs"]
mod nodes;
#[path = "fleet/ports.rs"]
mod ports;
#[path = "fleet/scene.rs"]
mod scene;

use std::time::Duration;

use serde_json::json;

use self::{kit::MINUTE, scene::Scene};

/// Half of the time goes into small pieces of JSON.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `replicas: 2 → 1` under people: the emptier one goes, when it is empty, and by its own end.
#[tokio::test(start_paused = true)]
async fn the_emptiest_bridge_goes_when_its_last_conference_has_ended() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 9);
    bridges.set("alone-jvb-1", |one| one.people = 2);
    scene.heard().await;
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    scene.label("alone-jvb-1", "draining").await;
    scene.pause(3 * MINUTE).await;
    assert_eq!(bridges.told("alone-jvb-1"), ["drain"], "told once");
    assert_eq!(bridges.told("alone-jvb-0"), Vec::<&str>::new());
    assert!(bridges.get("alone-jvb-1").unwrap().drain);

    bridges.set("alone-jvb-1", |one| one.people = 0);
    scene.gone("alone-jvb-1").await;
    assert_eq!(bridges.told("alone-jvb-1"), ["drain", "shutdown"]);
    scene.active(&["alone-jvb-0"]).await;
    scene.settled_without_cuts(&["BridgeDraining", "BridgeDrained"]).await;
    controller.end().await;
}

/// Who is asked for again is taken back, rather than that another one is made.
#[tokio::test(start_paused = true)]
async fn a_drain_is_taken_back_before_a_bridge_is_made() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let bridges = scene.kit.instances();
    for name in ["alone-jvb-0", "alone-jvb-1"] {
        bridges.set(name, |one| one.people = 5);
    }
    let uids = scene.uids().await;
    scene.heard().await;
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    let drained = scene.one_with_label("draining").await;
    scene.jvb(json!({"strategy": {"replicas": 2}})).await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    assert_eq!(bridges.told(&drained), ["drain", "undrain"]);
    assert!(!bridges.get(&drained).unwrap().drain);
    assert_eq!(scene.uids().await, uids, "the same pods");
    scene.settled_without_cuts(&["DrainCancelled"]).await;
    controller.end().await;
}

/// A new template: the new one first, then the old one goes. At every moment somebody takes work.
#[tokio::test(start_paused = true)]
async fn a_rollout_makes_the_new_one_first_and_cuts_nobody() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 1}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 3);
    scene.jvb(json!({"image": "registry.example.org/jvb:2"})).await;
    scene.label("alone-jvb-1", "active").await;
    scene.label("alone-jvb-0", "draining").await;
    scene.pause(2 * MINUTE).await;
    assert_eq!(bridges.told("alone-jvb-0"), ["drain"]);
    bridges.set("alone-jvb-0", |one| one.people = 0);
    scene.gone("alone-jvb-0").await;
    scene.active(&["alone-jvb-1"]).await;
    let image = scene.pod("alone-jvb-1").await.spec.unwrap().containers[0].image.clone();
    assert_eq!(image.as_deref(), Some("registry.example.org/jvb:2"));
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

/// Past its deadline a bridge goes with whoever is on it, and an event says how many.
#[tokio::test(start_paused = true)]
async fn past_the_deadline_people_are_cut_and_an_event_says_so() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}, "gracefulShutdownTimeout": "2m"}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 9);
    bridges.set("alone-jvb-1", |one| one.people = 4);
    scene.heard().await;
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    scene.label("alone-jvb-1", "draining").await;
    scene.gone("alone-jvb-1").await;
    let events = scene.events("DrainDeadlineExceeded").await;
    assert!(events.iter().any(|text| text.contains('4')), "{events:?}");
    scene.until("those on it are counted", async || bridges.cut() == ["alone-jvb-1"]).await;
    scene.active(&["alone-jvb-0"]).await;
    controller.end().await;
}

/// People are moved by jicofo where that is asked for.
#[tokio::test(start_paused = true)]
async fn people_are_moved_where_that_is_asked_for() {
    let spec = json!({"jvb": {"strategy": {"replicas": 2}, "moveEndpoints": "atOnce"}});
    let scene = Scene::start(spec).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 9);
    bridges.set("alone-jvb-1", |one| one.people = 4);
    scene.heard().await;
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    scene.gone("alone-jvb-1").await;
    assert!(bridges.told("alone-jvb-1").contains(&"move"), "{:?}", bridges.told("alone-jvb-1"));
    assert_eq!(bridges.get("alone-jvb-0").unwrap().people, 13);
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

/// Somebody writes `apps.jit.si/drain: "true"` on a pod: it drains, and another one takes its place.
#[tokio::test(start_paused = true)]
async fn one_that_people_drain_is_replaced() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 1}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 3);
    scene.annotate("alone-jvb-0", json!({"apps.jit.si/drain": "true"})).await;
    scene.label("alone-jvb-1", "active").await;
    scene.label("alone-jvb-0", "draining").await;
    assert!(bridges.get("alone-jvb-0").unwrap().drain);
    scene.annotate("alone-jvb-0", json!({"apps.jit.si/drain": null})).await;
    // There is another one by now, so it goes on as one too many, and ends when it is empty.
    scene.pause(MINUTE).await;
    assert_eq!(bridges.told("alone-jvb-0"), ["drain"]);
    bridges.set("alone-jvb-0", |one| one.people = 0);
    scene.gone("alone-jvb-0").await;
    scene.active(&["alone-jvb-1"]).await;
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

/// A drain that nobody remembers is nobody's: it is taken back.
#[tokio::test(start_paused = true)]
async fn a_drain_that_nobody_ordered_is_taken_back() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 1}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.drain = true);
    scene.until("it works again", async || !bridges.get("alone-jvb-0").unwrap().drain).await;
    assert_eq!(bridges.told("alone-jvb-0"), ["undrain"]);
    controller.end().await;
}

/// Its label keeps a bridge from being evicted as long as somebody is on it, or nobody knows.
#[tokio::test(start_paused = true)]
async fn the_protection_comes_and_goes_with_the_people() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 1}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0"]).await;
    let bridges = scene.kit.instances();
    let protected =
        async || scene.pod("alone-jvb-0").await.metadata.labels.unwrap().contains_key("apps.jit.si/protected");
    scene.until("an empty one is not protected", async || !protected().await).await;
    bridges.set("alone-jvb-0", |one| one.people = 1);
    scene.until("one person is enough", protected).await;
    bridges.set("alone-jvb-0", |one| one.people = 0);
    scene.until("until that one leaves", async || !protected().await).await;
    bridges.set("alone-jvb-0", |one| one.silent = true);
    if kit::on_the_double() {
        scene.until("a silent one is not empty", protected).await;
    }
    assert_eq!(
        scene.pod("alone-jvb-0").await.metadata.annotations.unwrap()["cluster-autoscaler.kubernetes.io/safe-to-evict"],
        "false"
    );
    controller.end().await;
}

/// A gateway hears one word, waits for its calls, and ends.
#[tokio::test(start_paused = true)]
async fn a_gateway_is_told_once_and_ends_with_its_last_call() {
    let scene = Scene::start(json!({"jigasi": {"enabled": true, "strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jigasi-0", "alone-jigasi-1", "alone-jvb-0"]).await;
    let all = scene.kit.instances();
    all.set("alone-jigasi-0", |one| one.people = 1);
    all.set("alone-jigasi-1", |one| one.people = 3);
    scene.heard().await;
    scene.spec(json!({"jigasi": {"strategy": {"replicas": 1}}})).await;
    scene.label("alone-jigasi-0", "stopping").await;
    scene.pause(3 * MINUTE).await;
    assert_eq!(all.told("alone-jigasi-0"), ["shutdown"], "told once");
    assert_eq!(all.told("alone-jigasi-1"), Vec::<&str>::new());
    all.set("alone-jigasi-0", |one| one.people = 0);
    scene.gone("alone-jigasi-0").await;
    // Switched off, the last one goes too.
    all.set("alone-jigasi-1", |one| one.people = 0);
    scene.spec(json!({"jigasi": {"enabled": false}})).await;
    scene.gone("alone-jigasi-1").await;
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

/// A container that outlives its bridge does not stay for ever.
#[tokio::test(start_paused = true)]
async fn one_that_has_ended_but_for_its_container_is_deleted() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "it takes minutes");
    }
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 1);
    bridges.set("alone-jvb-1", |one| one.zombie = true);
    scene.heard().await;
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    scene.gone("alone-jvb-1").await;
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

/// When nothing changes, nothing is written.
#[tokio::test(start_paused = true)]
async fn a_second_look_writes_nothing() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "only the double records who writes");
    }
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    scene.kit.instances().set("alone-jvb-0", |one| one.people = 3);
    tokio::time::sleep(2 * MINUTE).await;
    scene.kit.forget_requests();
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(scene.kit.writes_of("one"), Vec::<String>::new());
    controller.end().await;
}
