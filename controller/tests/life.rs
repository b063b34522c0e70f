//! The controller against an API server: the double under paused time, or the cluster that `KUBECONFIG_TEST` names.
#![allow(clippy::unwrap_used, reason = "all of this is tests, its helpers too")]

#[path = "life/access.rs"]
mod access;
#[path = "life/crash.rs"]
mod crash;
#[path = "life/kit.rs"]
#[allow(dead_code, reason = "the tests of groups use the rest")]
mod kit;
#[path = "life/repair.rs"]
mod repair;
#[path = "life/trouble.rs"]
mod trouble;

use std::{collections::BTreeSet, time::Duration};

use controller::api::{Jitsi, JitsiShard, Phase};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Event, Secret, Service},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

use self::kit::{Kit, MINUTE};

/// Half of the time goes into small pieces of JSON.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Acceptance 1: the published sample, applied, looked at again, and deleted.
#[tokio::test(start_paused = true)]
async fn the_sample_comes_up_settles_and_leaves_nothing_behind() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;

    // Until the periods that decide about bridges are full, the status says so in other words.
    kit.pass(10 * MINUTE).await;
    let before = kit.versions().await;
    assert!(before.len() > 15, "{before:#?}");
    kit.forget_requests();
    kit.pass(20 * MINUTE).await;
    assert_eq!(kit.writes_of("one"), Vec::<String>::new(), "a second look writes nothing");
    assert_eq!(kit.versions().await, before);
    // Nor does one that has just begun, and looks at everything; but it has heard no load yet, and says so in the status.
    controller.end().await;
    let controller = kit.run("two").await;
    kit.pass(MINUTE).await;
    let mut writes = kit.writes_of("two");
    writes.retain(|write| !write.ends_with("/jitsishards/jitsi-sample-0/status"));
    assert_eq!(writes, Vec::<String>::new(), "a first look writes nothing else");

    kit.jitsis().delete("jitsi-sample", &DeleteParams::foreground()).await.unwrap();
    kit.eventually("everything is gone", async || {
        let left = kit.versions().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    controller.end().await;
}

/// Acceptance 2: `shards: 1 → 3 → 2` under conferences.
#[tokio::test(start_paused = true)]
async fn a_shard_goes_only_when_its_last_conference_has_ended() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;
    kit.scale(3).await;
    kit.ready(3).await;

    kit.set_conferences("jitsi-sample-2", 2).await;
    kit.scale(2).await;
    kit.phase("jitsi-sample-2", Phase::Draining).await;
    kit.pass(10 * MINUTE).await;
    let shard = kit.shards().get("jitsi-sample-2").await.unwrap();
    let status = shard.status.unwrap();
    assert!(shard.metadata.deletion_timestamp.is_none());
    assert!(status.waiting_for.as_ref().unwrap().contains("2 conferences to end"), "{status:?}");
    // A silent jicofo is not an empty one.
    kit.silence("jitsi-sample-2").await;
    kit.pass(3 * MINUTE).await;
    assert!(kit.shards().get("jitsi-sample-2").await.is_ok());
    // Taken back, and away again.
    kit.set_conferences("jitsi-sample-2", 1).await;
    kit.scale(3).await;
    kit.ready(3).await;
    kit.scale(2).await;
    kit.phase("jitsi-sample-2", Phase::Draining).await;
    kit.set_conferences("jitsi-sample-2", 0).await;
    kit.gone("jitsi-sample-2").await;
    kit.ready(2).await;
    assert!(!kit.reasons().await.contains(&"DrainDeadlineExceeded".to_owned()));
    assert_eq!(kit.cut(), BTreeSet::new(), "nobody was on a shard when it was deleted");
    controller.end().await;
}

/// Acceptance 2, its exception: after the deadline it goes, and an event says what was cut.
#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_shard_goes_and_an_event_says_so() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    let (deadline, before) = if kit::on_the_double() { ("12m", 11 * MINUTE) } else { ("60s", MINUTE / 2) };
    kit.merge(json!({"spec": {"drainDeadline": deadline, "shards": 2}})).await;
    kit.ready(2).await;
    kit.set_conferences("jitsi-sample-1", 5).await;
    kit.shards().delete("jitsi-sample-1", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(before).await;
    let status = kit.shards().get("jitsi-sample-1").await.unwrap().status.unwrap();
    assert_eq!(status.phase, Some(Phase::Draining));
    kit.eventually("an event names the conferences", async || {
        let events: Api<Event> = Api::namespaced(kit.client(), kit.namespace());
        let list = events.list(&ListParams::default()).await.unwrap();
        list.items.into_iter().any(|event| {
            event.reason.as_deref() == Some("DrainDeadlineExceeded")
                && event.message.is_some_and(|message| message.contains("5 conferences"))
        })
    })
    .await;
    // Its Jitsi wants two, so another one is made.
    kit.ready(2).await;
    if kit::on_the_double() {
        assert_eq!(kit.cut(), BTreeSet::from(["jitsi-sample-1".to_owned()]), "this one, and it was told");
    }
    controller.end().await;
}

/// Acceptance 3: what is edited or deleted is put right, and what others own stays.
#[tokio::test(start_paused = true)]
async fn what_a_user_breaks_is_put_right() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;
    let (client, namespace) = (kit.client(), kit.namespace());
    let web: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let sets: Api<StatefulSet> = Api::namespaced(client, namespace);
    let secret = secrets.get("jitsi-sample-0-secrets").await.unwrap();

    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "jitsi-sample-0-web",
        "annotations": {"example.org/team": "video"}}});
    web.patch("jitsi-sample-0-web", &PatchParams::apply("somebody"), &Patch::Apply(&theirs)).await.unwrap();
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil/web:1"}]}}}});
    web.patch("jitsi-sample-0-web", &PatchParams::default(), &Patch::Strategic(&image)).await.unwrap();
    services.delete("jitsi-sample-0-web", &DeleteParams::default()).await.unwrap();
    maps.delete("jitsi-sample-0-env", &DeleteParams::default()).await.unwrap();
    sets.delete("jitsi-sample-proxy", &DeleteParams::default()).await.unwrap();
    kit.eventually("all is as it was", async || {
        let deployment = web.get("jitsi-sample-0-web").await.map_err(|error| error.to_string())?;
        services.get("jitsi-sample-0-web").await.map_err(|error| error.to_string())?;
        maps.get("jitsi-sample-0-env").await.map_err(|error| error.to_string())?;
        sets.get("jitsi-sample-proxy").await.map_err(|error| error.to_string())?;
        let image = deployment.spec.clone().unwrap().template.spec.unwrap().containers[0].image.clone().unwrap();
        if deployment.annotations().get("example.org/team").map(String::as_str) != Some("video") {
            return Err("the user's annotation is gone".to_owned());
        }
        if image.contains("evil") { Err(image) } else { Ok(()) }
    })
    .await;
    let now = secrets.get("jitsi-sample-0-secrets").await.unwrap();
    assert_eq!(now.data, secret.data, "passwords are never made anew");
    controller.end().await;
}

/// Two replicas: one writes, the other takes over. Only the double tells who wrote; a cluster has the Lease.
#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_writes_nothing() {
    let kit = Kit::start().await;
    let (first, second) = (kit.run_elected("first").await, kit.run_elected("second").await);
    kit.apply_sample().await;
    kit.ready(1).await;
    let writers = |kit: &Kit| {
        ["first", "second"].map(|who| kit.writes_of(who).iter().filter(|what| !what.contains("leases")).count() > 0)
    };
    let leader = kit.leader().await.unwrap();
    let leads = ["first", "second"].map(|who| who == leader);
    assert!(leads[0] != leads[1], "{leader}");
    if kit::on_the_double() {
        assert_eq!(writers(&kit), leads, "{leader} leads");
    }
    kit.forget_requests();
    let (dying, other) = if leads[0] { (first, second) } else { (second, first) };
    dying.kill();
    tokio::time::sleep(Duration::from_secs(20)).await;
    kit.scale(2).await;
    kit.ready(2).await;
    assert_eq!(kit.leader().await.unwrap(), if leads[0] { "second" } else { "first" });
    if kit::on_the_double() {
        assert_eq!(writers(&kit), [!leads[0], !leads[1]]);
    }
    other.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_written_by_hand_lives_and_goes_alone() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;
    let alone: JitsiShard = serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "alone"},
        "spec": {"domain": "meet.example.org"}
    }))
    .unwrap();
    kit.shards().create(&kube::api::PostParams::default(), &alone).await.unwrap();
    kit.phase("alone", Phase::Ready).await;
    // On its own there are no proxies to ask; jicofo decides.
    kit.shards().delete("alone", &DeleteParams::default()).await.unwrap();
    kit.gone("alone").await;
    let jitsi: Jitsi = kit.jitsis().get("jitsi-sample").await.unwrap();
    assert_eq!(jitsi.status.unwrap().shards, 1);
    controller.end().await;
}
