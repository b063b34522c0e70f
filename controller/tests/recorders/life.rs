//! A group of recorders through its days.

use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use super::kit::{Kit, MINUTE};

#[tokio::test(start_paused = true)]
async fn a_busy_one_is_set_apart_replaced_and_deleted_when_it_has_recorded() {
    let kit = Kit::recorders().await;
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 2, "maxReplicas": 4})).await;
    kit.stay("idle idle", 2 * MINUTE).await;

    let first = kit.record().await;
    kit.are("busy idle idle").await;
    let pod = kit.pods().get(&first).await.unwrap();
    assert_eq!(pod.labels()["apps.jit.si/protected"], "true");
    assert_eq!(pod.annotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
    assert_eq!(pod.owner_references()[0].kind, "JitsiShard", "the shard still owns it");
    let group = kit.eventually("the status says so", || async {
        let groups = kit.shards().get("x-0").await.unwrap().status.unwrap_or_default().groups;
        let found = groups.into_iter().find(|group| group.kind.as_str() == "jibri");
        found.filter(|group| (group.busy, group.idle) == (1, 2))
    });
    assert_eq!(group.await.desired, 3);

    // As many as there may be.
    let second = kit.record().await;
    let third = kit.record().await;
    kit.stay("busy busy busy idle", 3 * MINUTE).await;
    kit.finish(&second);
    kit.are("busy busy idle idle").await;
    kit.finish(&first);
    kit.finish(&third);
    kit.stay("idle idle", 5 * MINUTE).await;
    assert_eq!(kit.cut(), Vec::<String>::new());
    let answers = kit.jibris.answers();
    assert!(answers.keys().all(|status| *status == 200), "{answers:?}");
    let reasons = kit.reasons().await;
    assert!(reasons.contains(&"RecorderIsolated".to_owned()), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_never_reported_is_found_by_the_sweep() {
    let kit = Kit::recorders().await;
    kit.jibris.lose_reports();
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 1})).await;
    kit.are("idle").await;
    let taken = kit.record().await;
    kit.are("busy idle").await;
    kit.finish(&taken);
    kit.stay("idle", 5 * MINUTE).await;
    assert_eq!(kit.cut(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_replaced_and_one_that_only_is_silent_is_not() {
    let kit = Kit::recorders().await;
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 2})).await;
    kit.are("idle idle").await;
    let names: Vec<_> = kit.recorder_labels().await.into_keys().collect();
    // Its kubelet still vouches for the first; the second is dead.
    kit.jibris.change(&names[0], |jibri| jibri.silent = true);
    kit.jibris.change(&names[1], |jibri| jibri.silent = true);
    kit.harness.actors().unwrap().kubelet().unwrap().set_ready(kit.harness.namespace(), &names[1], false);
    kit.eventually("the dead one is gone", || async {
        let pods = kit.recorder_labels().await;
        let reasons = kit.reasons().await;
        (reasons.contains(&"RecorderStuck".to_owned()) && pods.contains_key(&names[0])).then_some(())
    })
    .await;
    // The silent one is no spare, so two others are.
    kit.stay("idle idle idle", 10 * MINUTE).await;
    assert!(kit.recorder_labels().await.contains_key(&names[0]));
    // A recording on it, of which nobody hears, goes on.
    kit.jibris.set(&names[0], "BUSY", kit.now());
    tokio::time::sleep(10 * MINUTE).await;
    kit.jibris.change(&names[0], |jibri| jibri.silent = false);
    kit.are("busy idle idle").await;
    assert_eq!(kit.cut(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn fewer_takes_idle_ones_and_none_at_all_is_a_number_too() {
    let kit = Kit::recorders().await;
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 3})).await;
    kit.are("idle idle idle").await;
    let taken = kit.record().await;
    kit.are("busy idle idle idle").await;
    kit.shard(json!({"enabled": true, "replicas": 0})).await;
    kit.stay("busy", 5 * MINUTE).await;
    // Nobody wants recorders any more: the last one may end.
    kit.shard(json!({"enabled": false})).await;
    kit.stay("busy", 5 * MINUTE).await;
    kit.finish(&taken);
    kit.are("").await;
    assert_eq!(kit.cut(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_new_template_replaces_idle_ones_one_at_a_time() {
    let kit = Kit::recorders().await;
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 2, "maxReplicas": 6})).await;
    kit.are("idle idle").await;
    let taken = kit.record().await;
    kit.are("busy idle idle").await;
    let before: Vec<_> = kit.recorder_labels().await.into_keys().collect();
    let least = std::sync::atomic::AtomicUsize::new(usize::MAX);
    kit.shard(json!({"enabled": true, "replicas": 2, "maxReplicas": 6, "env": [{"name": "NEW", "value": "1"}]})).await;
    kit.eventually("all idle ones are new", || async {
        let pods = kit
            .pods()
            .list(&kube::api::ListParams::default().labels("app.kubernetes.io/component=jibri"))
            .await
            .unwrap();
        let labels = kit.recorder_labels().await;
        let idle = labels.values().filter(|label| *label == "idle").count();
        least.fetch_min(idle, std::sync::atomic::Ordering::Relaxed);
        let new = |pod: &k8s_openapi::api::core::v1::Pod| {
            pod.spec.as_ref().unwrap().containers[0].env.iter().flatten().any(|one| one.name == "NEW")
        };
        let old: Vec<_> = pods.iter().filter(|pod| !new(pod)).map(ResourceExt::name_any).collect();
        if old == [taken.clone()] && idle == 2 { Ok(()) } else { Err(format!("{old:?} {labels:?}")) }
    })
    .await;
    assert!(least.into_inner() >= 2, "there always were two");
    assert!(before.contains(&taken));
    kit.finish(&taken);
    kit.stay("idle idle", 2 * MINUTE).await;
    assert_eq!(kit.cut(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn somebody_who_deletes_a_busy_one_is_not_helped_along() {
    let kit = Kit::recorders().await;
    let slow =
        testkit::Behaviour { on_stop: testkit::Exit { after: 40 * MINUTE, code: 0 }, ..testkit::Behaviour::default() };
    kit.harness.actors().unwrap().kubelet().unwrap().script("app.kubernetes.io/component=jibri", slow);
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 1})).await;
    kit.are("idle").await;
    let taken = kit.record().await;
    kit.are("busy idle").await;
    kit.pods().delete(&taken, &DeleteParams::default()).await.unwrap();
    kit.stay("busy- idle", 30 * MINUTE).await;
    kit.are("idle").await;
    assert_eq!(kit.cut(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_second_look_writes_nothing() {
    if !testkit::harness::on_the_double() {
        return testkit::harness::skipped("the record of requests", "it is the double's");
    }
    let kit = Kit::recorders().await;
    let _controller = kit.run("one").await;
    kit.shard(json!({"enabled": true, "replicas": 2})).await;
    kit.stay("idle idle", 3 * MINUTE).await;
    drop(kit.harness.double().unwrap().take_requests());
    tokio::time::sleep(20 * MINUTE).await;
    let writes: Vec<_> =
        kit.harness.double().unwrap().take_requests().into_iter().filter(testkit::server::Seen::writes).collect();
    let by = |who: &str| writes.iter().filter(|seen| seen.who == who && seen.resource == "pods").count();
    assert_eq!(by("one"), 0);
    // Two recorders report once a minute for twenty minutes.
    assert!((20..=42).contains(&by("webhook")), "{}", by("webhook"));
    // Somebody's label is put right.
    let name = kit.recorder_labels().await.into_keys().next().unwrap();
    let wrong = Patch::Merge(json!({"metadata": {"labels": {"apps.jit.si/state": "busy"}}}));
    kit.pods().patch(&name, &PatchParams::default(), &wrong).await.unwrap();
    kit.stay("idle idle", 2 * MINUTE).await;
}
