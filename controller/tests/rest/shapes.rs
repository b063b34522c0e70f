//! What is answered, field by field, against documents written by hand from §1.1 of the reference.

use controller::{
    api::{GroupKind, PROTECTED_UNTIL, RECONFIGURE_ASKED, REPORT},
    plan::group::{Change, Mover},
    rest::{
        audit::{self, Entry, Item},
        instance::SIDECAR,
        openapi,
    },
};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::kit::{Kit, fixture, same};

#[tokio::test(start_paused = true)]
async fn groups_are_shown_as_the_autoscaler_shows_them() {
    let kit = Kit::open().await;
    kit.shard().await;
    same(&fixture(include_str!("../data/rest/group.json")), &kit.get("/groups/meet-0-jvb").await.ok(), "");
    let jibri = kit.group("meet-0-jibri").await;
    assert_eq!((&jibri["type"], &jibri["scalingOptions"]["scaleUpThreshold"]), (&json!("jibri"), &json!(1.0)));

    kit.shard_named("another-1").await;
    let all = kit.get("/groups").await.ok();
    let names: Vec<_> =
        all["instanceGroups"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["another-1-jibri", "another-1-jigasi", "another-1-jvb", "meet-0-jibri", "meet-0-jigasi", "meet-0-jvb"]
    );

    // What the controller saw last.
    kit.status(json!([{"kind": "jvb", "desired": 5, "count": 4, "ready": 4}])).await;
    assert_eq!(kit.group("meet-0-jvb").await["scalingOptions"]["desiredCount"], 5);
    let qualified = kit.group(&format!("{}.meet-0-jvb", kit.harness.namespace())).await;
    assert_eq!(qualified["scalingOptions"]["desiredCount"], 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_in_words() {
    let kit = Kit::open().await;
    kit.shard().await;
    for (path, why) in [
        ("/groups/meet-1-jvb", "Not Found: there is no JitsiShard 'meet-1'"),
        ("/groups/meet-0-sip-jibri", "Not Found: the JitsiShard 'meet-0' has no sip-jibri"),
        ("/groups/meet-0-JVB", "Not Found: 'meet-0-JVB' is not the name of a group"),
        ("/groups/elsewhere.meet-0-jvb", "Not Found: there is no JitsiShard 'meet-0'"),
        ("/groups/nothing/report", "Not Found: "),
        ("/groups/meet-1-jvb/group-audit", "Not Found: "),
        ("/groups/meet-1-jvb/instance-audit", "Not Found: "),
        ("/groups/meet-1-jvb/scheduled-scaling", "Not Found: "),
    ] {
        let answer = kit.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.text.starts_with(why), "{path}: {}", answer.text);
    }
    for path in ["/groups/meet-0-jvb/reservations", "/groups/meet-0-jvb/reservations/1"] {
        let answer = kit.get(path).await;
        assert_eq!(answer.status, 501);
        assert!(answer.json()["error"].as_str().unwrap().contains("selenium-grid"));
    }
    assert_eq!(kit.get("/nothing").await.status, 404);
    assert_eq!(kit.call("PATCH", "/groups/meet-0-jvb", &json!({})).await.status, 405);
}

#[tokio::test(start_paused = true)]
async fn the_report_has_every_field() {
    let kit = Kit::open().await;
    kit.shard().await;
    kit.status(json!([{"kind": "jvb", "desired": 3}])).await;
    for n in 0..5 {
        kit.pod(&format!("meet-0-jvb-{n}"), "jvb", &format!("10.0.0.1{n}")).await;
    }
    // A recorder is no bridge.
    kit.pod("meet-0-jibri-0", "jibri", "10.0.0.20").await;
    let now = kit.rest.now();
    let report = |stats: serde_json::Value| {
        let mut stats = stats;
        stats["at"] = json!(now.to_string());
        stats.to_string()
    };
    let later = now + jiff::SignedDuration::from_secs(60);
    kit.annotate(
        "meet-0-jvb-0",
        json!({
            REPORT: report(json!({"stress": 0.5, "endpoints": 12, "version": "2.3.1"})),
            SIDECAR: json!({"name": "jvb-zero", "publicIp": "203.0.113.10", "reconfigured": "2026-11-20T18:00:00.000Z",
                "reconfigureError": true}).to_string(),
            RECONFIGURE_ASKED: "2026-11-21T18:00:00.000Z",
            PROTECTED_UNTIL: later.to_string(),
        }),
    )
    .await;
    kit.annotate("meet-0-jvb-1", json!({REPORT: report(json!({"endpoints": 0}))})).await;
    kit.annotate(
        "meet-0-jvb-2",
        json!({
            REPORT: report(json!({"endpoints": 2, "gracefulShutdown": true})),
            SIDECAR: json!({"shutdownError": true}).to_string(),
            PROTECTED_UNTIL: now.to_string(),
        }),
    )
    .await;
    for (name, status) in [
        ("meet-0-jvb-3", json!({"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]})),
        (
            "meet-0-jvb-4",
            json!({"phase": "Succeeded", "containerStatuses": [{
                "name": "jvb", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-21T17:00:00Z"}},
            }]}),
        ),
    ] {
        let patch = Patch::Merge(json!({"status": status}));
        kit.pods().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }
    let answer = kit.get("/groups/meet-0-jvb/report").await.ok();
    same(&fixture(include_str!("../data/rest/report.json")), &answer, "");

    for (busy, word) in [("IDLE", "availableCount"), ("BUSY", "busyCount"), ("EXPIRED", "expiredCount")] {
        kit.annotate("meet-0-jibri-0", json!({REPORT: report(json!({"busy": busy}))})).await;
        let answer = kit.get("/groups/meet-0-jibri/report").await.ok();
        assert_eq!((&answer["groupReport"][word], &answer["groupReport"]["count"]), (&json!(1), &json!(1)), "{answer}");
        assert_eq!(answer["groupReport"]["instances"][0]["scaleStatus"], busy);
    }
}

#[tokio::test(start_paused = true)]
async fn audits_have_every_field() {
    let kit = Kit::open().await;
    kit.shard().await;
    let empty = kit.get("/groups/meet-0-jvb/group-audit").await.ok();
    assert_eq!(
        empty,
        json!({"audit": {
            "lastLauncherRun": "unknown", "lastAutoScalerRun": "unknown", "lastReconfigureRequest": "unknown",
            "lastScaleMetrics": [], "autoScalerActionItems": [], "launcherActionItems": [],
        }})
    );
    kit.pod("meet-0-jvb-2", "jvb", "10.0.0.12").await;
    let now = kit.rest.now();
    let shard = kit.shards().get("meet-0").await.unwrap();
    let change = Change { by: Mover::Up, from: 2, to: 3, periods: vec![Some(0.9), Some(0.85)] };
    for entry in [
        Entry::scaled(&change, 2, "stress 0.9"),
        Entry::Launched { instances: vec!["meet-0-jvb-2".to_owned()], count: 2, desired: 3 },
    ] {
        audit::append(&kit.client(), None, &shard, GroupKind::Jvb, &[Item { at: now, entry }]).await.unwrap();
    }
    let report = json!({"at": now.to_string(), "stress": 0.5, "endpoints": 3});
    kit.annotate("meet-0-jvb-2", json!({REPORT: report.to_string()})).await;
    let told = kit.post("/groups/meet-0-jvb/actions/reconfigure-instances", &json!({})).await.ok();
    assert_eq!(
        told["instances"][0],
        json!({
            "instanceId": "meet-0-jvb-2", "instanceType": "JVB", "group": "meet-0-jvb", "privateIp": "10.0.0.12",
        })
    );
    let group = kit.get("/groups/meet-0-jvb/group-audit").await.ok();
    same(&fixture(include_str!("../data/rest/group-audit.json")), &group, "");
    let instances = kit.get("/groups/meet-0-jvb/instance-audit").await.ok();
    same(&fixture(include_str!("../data/rest/instance-audit.json")), &instances, "");
    assert_eq!(kit.get("/groups/meet-0-jibri/instance-audit").await.ok(), json!({"audit": []}));

    // It goes with its shard, and the controller does not take it for its own.
    let map: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(kit.client(), kit.harness.namespace());
    let owner = map.get("meet-0-audit").await.unwrap().metadata.owner_references.unwrap().remove(0);
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.controller), ("JitsiShard", "meet-0", None));
}

#[tokio::test(start_paused = true)]
async fn the_description_has_exactly_the_routes_that_there_are() {
    let kit = Kit::open().await;
    kit.shard().await;
    for route in openapi::ROUTES {
        let path = route.path.replace("{name}", "meet-0-jvb").replace("{id}", "1");
        let answer = kit.call(&route.method.to_uppercase(), &path, &json!({"instanceId": "x"})).await;
        assert!(answer.status != 405 && !answer.text.is_empty(), "{} {path}: {answer:?}", route.method);
        assert!(answer.status != 404 || answer.text.starts_with("Not Found:"), "{} {path}: {answer:?}", route.method);
        // And no method that is not described.
        for method in ["get", "put", "post", "delete"] {
            let described = openapi::ROUTES.iter().any(|other| other.path == route.path && other.method == method);
            let answer = kit.call(&method.to_uppercase(), &path, &json!({"instanceId": "x"})).await;
            assert_eq!(answer.status == 405, !described, "{method} {path}: {answer:?}");
        }
    }
    let document = kit.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/groups/{name}/desired"]["put"]["responses"]["409"].is_object());
}

#[tokio::test(start_paused = true)]
async fn health_is_asked_shallow_and_deep() {
    let kit = Kit::open().await;
    assert_eq!(kit.get("/health").await.text, "healthy!");
    assert_eq!(kit.get("/health?deep=true").await.text, "deeply healthy");
    if let Some(faults) = kit.harness.faults() {
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        faults.add(testkit::faults::Fault::server_error(500).by("rest"));
        assert_eq!(
            (kit.get("/health").await.status.as_u16(), kit.get("/health?deep=true").await.status.as_u16()),
            (200, 500)
        );
    }
    kit.rest.leave();
    assert_eq!(kit.get("/health").await.status, 503);
}
