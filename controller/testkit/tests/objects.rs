//! Kinds and their rules: definitions, subresources, finalizers, owners, budgets.

#![allow(clippy::unwrap_used, reason = "all of this file is tests, its helpers too")]

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::{ConfigMap, Event, Pod, Secret},
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, EvictParams, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams,
    },
    runtime::{
        Controller,
        controller::Action,
        events::{EventType, Recorder, Reporter},
        finalizer::{Event as FinalizerEvent, finalizer},
        watcher,
    },
};
use serde_json::{Value, json};
use testkit::ApiServer;

fn definition() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": { "name": "rooms.test.example" },
        "spec": {
            "group": "test.example", "scope": "Namespaced",
            "names": { "plural": "rooms", "kind": "Room", "shortNames": ["rm"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": { "type": "object", "properties": {
                            "size": { "type": "integer", "default": 3 }, "topic": { "type": "string" } } },
                        "status": { "type": "object", "properties": {
                            "size": { "type": "integer" }, "labels": { "type": "string" } } },
                    },
                } },
                "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size",
                    "labelSelectorPath": ".status.labels" } },
                "additionalPrinterColumns": [
                    { "name": "Size", "type": "integer", "jsonPath": ".spec.size" },
                    { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" } ],
            }],
        },
    }))
    .unwrap()
}

async fn with_rooms(server: &ApiServer) -> Api<DynamicObject> {
    let client = server.client("default");
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let made = definitions.create(&PostParams::default(), &definition()).await.unwrap();
    let conditions = made.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|c| c.type_ == "Established" && c.status == "True"));
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("test.example", "v1", "Room"), "rooms");
    Api::default_namespaced_with(client, &kind)
}

fn room(name: &str, spec: &Value) -> DynamicObject {
    let object = json!({ "apiVersion": "test.example/v1", "kind": "Room", "metadata": { "name": name }, "spec": spec });
    serde_json::from_value(object).unwrap()
}

fn code<T>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("not an API error: {other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

#[tokio::test(start_paused = true)]
async fn definitions_serve_their_kind_until_they_go() {
    let server = ApiServer::new();
    let rooms = with_rooms(&server).await;
    let made = rooms.create(&PostParams::default(), &room("a", &json!({ "topic": "x", "unknown": 1 }))).await.unwrap();
    assert_eq!(made.data["spec"], json!({ "topic": "x", "size": 3 }), "defaulted and pruned");
    assert_eq!(made.metadata.generation, Some(1));

    let mut blind = made.clone();
    blind.metadata.resource_version = None;
    assert_eq!(code(rooms.replace("a", &PostParams::default(), &blind).await), 422, "a PUT needs a resourceVersion");

    let status = Patch::Merge(json!({ "spec": { "topic": "ignored" }, "status": { "size": 2, "labels": "a=b" } }));
    let after = rooms.patch_status("a", &PatchParams::default(), &status).await.unwrap();
    assert_eq!((&after.data["spec"]["topic"], after.metadata.generation), (&json!("x"), Some(1)));
    let spec = Patch::Merge(json!({ "spec": { "topic": "y" }, "status": { "size": 9 } }));
    let after = rooms.patch("a", &PatchParams::default(), &spec).await.unwrap();
    assert_eq!((&after.data["status"]["size"], after.metadata.generation), (&json!(2), Some(2)));
    assert_eq!(code(rooms.patch("a", &PatchParams::default(), &Patch::Strategic(json!({ "spec": {} }))).await), 415);

    let scale = rooms.get_scale("a").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("a=b"));
    let five = Patch::Merge(json!({ "spec": { "replicas": 5 } }));
    rooms.patch_scale("a", &PatchParams::default(), &five).await.unwrap();
    let scaled = rooms.get("a").await.unwrap();
    assert_eq!((&scaled.data["spec"]["size"], scaled.metadata.generation), (&json!(5), Some(3)));

    let definitions: Api<CustomResourceDefinition> = Api::all(server.client("default"));
    definitions.delete("rooms.test.example", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(rooms.list(&ListParams::default()).await), 404);
    assert!(server.object("test.example", "rooms", "default", "a").is_none());
    assert!(definitions.get_opt("rooms.test.example").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn finalizers_of_kube_run_both_ways() {
    let server = ApiServer::new();
    let rooms = with_rooms(&server).await;
    rooms.create(&PostParams::default(), &room("a", &json!({}))).await.unwrap();
    let step = |event: FinalizerEvent<DynamicObject>| async move {
        match event {
            FinalizerEvent::Apply(_) => Ok::<_, std::io::Error>(Action::await_change()),
            FinalizerEvent::Cleanup(_) => Ok(Action::requeue(Duration::from_secs(1))),
        }
    };
    let object = Arc::new(rooms.get("a").await.unwrap());
    finalizer(&rooms, "test.example/drain", object, step).await.unwrap();
    assert_eq!(rooms.get("a").await.unwrap().finalizers(), ["test.example/drain"]);
    rooms.delete("a", &DeleteParams::default()).await.unwrap();
    let dying = rooms.get("a").await.unwrap();
    assert!(dying.metadata.deletion_timestamp.is_some());
    assert_eq!(dying.metadata.generation, Some(2), "a deletion counts as a change");
    finalizer(&rooms, "test.example/drain", Arc::new(dying), step).await.unwrap();
    assert!(rooms.get_opt("a").await.unwrap().is_none());
}

/// A controller of ConfigMaps that own one Secret each.
fn run_controller(client: &Client) -> tokio::task::JoinHandle<()> {
    async fn reconcile(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, kube::Error> {
        let secrets: Api<Secret> = Api::default_namespaced(Client::clone(&client));
        let owned: Secret = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": map.name_any(), "ownerReferences": [map.controller_owner_ref(&())] },
            "stringData": { "key": "value" },
        }))
        .map_err(kube::Error::SerdeError)?;
        match secrets.create(&PostParams::default(), &owned).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => drop(other?),
        }
        Ok(Action::await_change())
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let controller = Controller::new(maps, watcher::Config::default()).owns(secrets, watcher::Config::default()).run(
        reconcile,
        |_, _, _| Action::requeue(Duration::from_secs(1)),
        Arc::new(client.clone()),
    );
    tokio::spawn(controller.for_each(|_| async {}))
}

#[tokio::test(start_paused = true)]
async fn controllers_hear_of_what_they_own() {
    let server = ApiServer::new();
    let client = server.client("default");
    let task = run_controller(&client);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "a" } })).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let first = secrets.get("a").await.unwrap();
    assert_eq!(first.data.clone().unwrap()["key"].0, b"value");
    for _ in 0..3 {
        secrets.delete("a", &DeleteParams::default()).await.unwrap();
        server.drop_watches();
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(secrets.get_opt("a").await.unwrap().is_some(), "put right after its delete was seen");
    }
    task.abort();
}

fn workload(name: &str, labels: &Value) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "x" } }, "template": {
            "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
    })
}

#[tokio::test(start_paused = true)]
async fn selectors_must_fit_and_may_not_change() {
    let server = ApiServer::new();
    let api: Api<Deployment> = Api::default_namespaced(server.client("default"));
    let make = |labels: Value| serde_json::from_value::<Deployment>(workload("d", &labels)).unwrap();
    assert_eq!(code(api.create(&PostParams::default(), &make(json!({ "app": "y" }))).await), 422);
    api.create(&PostParams::default(), &make(json!({ "app": "x", "more": "y" }))).await.unwrap();
    let other = json!({ "spec": { "selector": { "matchLabels": { "more": "y" } } } });
    assert_eq!(code(api.patch("d", &PatchParams::default(), &Patch::Merge(other)).await), 422);
    let scale = api.get_scale("d").await.unwrap();
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=x"));

    let pods: Api<Pod> = Api::default_namespaced(server.client("default"));
    let pod =
        json!({ "metadata": { "generateName": "p-" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    let name = pod.name_any();
    assert!(name.starts_with("p-") && name.len() == 7);
    let merge = |spec: Value| Patch::Merge(json!({ "spec": spec }));
    let image = merge(json!({ "containers": [{ "name": "c", "image": "j" }] }));
    // A merge patch replaces the list, and the defaults come back.
    pods.patch(&name, &PatchParams::default(), &image).await.unwrap();
    let node = merge(json!({ "nodeName": "n1" }));
    assert_eq!(code(pods.patch(&name, &PatchParams::default(), &node).await), 422, "only a binding places a pod");
}

#[tokio::test(start_paused = true)]
async fn budgets_stop_evictions() {
    let server = ApiServer::new();
    let client = server.client("default");
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client.clone());
    for name in ["a", "b"] {
        let pod = json!({
            "metadata": { "name": name, "labels": { "app": "x" } },
            "spec": { "nodeName": "n1", "terminationGracePeriodSeconds": 0, "containers": [{ "name": "c", "image": "i" }] },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let ready = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    }
    let budget = json!({
        "metadata": { "name": "x" }, "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "x" } } },
    });
    budgets.create(&PostParams::default(), &serde_json::from_value(budget).unwrap()).await.unwrap();
    assert_eq!(code(pods.evict("a", &EvictParams::default()).await), 429, "nobody has looked at the budget yet");
    // The disruption controller's part.
    let counted = json!({ "status": {
        "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
    } });
    budgets.patch_status("x", &PatchParams::default(), &Patch::Merge(counted)).await.unwrap();
    pods.evict("a", &EvictParams::default()).await.unwrap();
    assert!(pods.get_opt("a").await.unwrap().is_none());
    let refused = pods.evict("b", &EvictParams::default()).await;
    let Err(kube::Error::Api(status)) = refused else { panic!("evicted against the budget") };
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(status.details.unwrap().causes[0].reason, "DisruptionBudget");
    let huge = Patch::Merge(json!({ "spec": { "minAvailable": 2_147_483_647 } }));
    budgets.patch("x", &PatchParams::default(), &huge).await.unwrap();
    assert_eq!(code(pods.evict("b", &EvictParams::default()).await), 429);
}

#[tokio::test(start_paused = true)]
async fn leases_keep_their_times_and_compare() {
    let server = ApiServer::new();
    let api: Api<Lease> = Api::default_namespaced(server.client("default"));
    let lease =
        |time: &str| json!({ "metadata": { "name": "l" }, "spec": { "holderIdentity": "a", "renewTime": time } });
    let post = |body: Value| {
        let request =
            http::Request::post("/apis/coordination.k8s.io/v1/namespaces/default/leases").body(body.to_string());
        let mut service = server.service("raw");
        async move { tower::Service::call(&mut service, request.unwrap()).await.unwrap().status().as_u16() }
    };
    assert_eq!(post(lease("2026-01-01T00:00:00.123Z")).await, 400, "six digits or nothing");
    assert_eq!(post(lease("2026-01-01T00:00:00.120000Z")).await, 201);
    let stored = server.object("coordination.k8s.io", "leases", "default", "l").unwrap();
    assert_eq!(stored["spec"]["renewTime"], "2026-01-01T00:00:00.120000Z");
    let mut blind = api.get("l").await.unwrap();
    blind.metadata.resource_version = None;
    assert_eq!(code(api.replace("l", &PostParams::default(), &blind).await), 422);
}

#[tokio::test(start_paused = true)]
async fn both_faces_of_events_show_one_event() {
    let server = ApiServer::new();
    let client = server.client("default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "a" } })).unwrap();
    let map = maps.create(&PostParams::default(), &map).await.unwrap();
    let reporter = Reporter { controller: "tests".into(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    let event = kube::runtime::events::Event {
        type_: EventType::Warning,
        reason: "DrainDeadlineExceeded".into(),
        note: Some("two conferences were cut".into()),
        action: "Draining".into(),
        secondary: None,
    };
    for _ in 0..2 {
        recorder.publish(&event, &map.object_ref(&())).await.unwrap();
    }
    let events: Api<Event> = Api::default_namespaced(client);
    let of_map = ListParams::default().fields("involvedObject.name=a,involvedObject.kind=ConfigMap");
    let listed = events.list(&of_map).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].message.as_deref(), Some("two conferences were cut"));
    assert_eq!(listed[0].series.as_ref().and_then(|s| s.count), Some(2));
}

#[tokio::test(start_paused = true)]
async fn tables_print_what_kubectl_prints() {
    let server = ApiServer::new();
    let rooms = with_rooms(&server).await;
    rooms.create(&PostParams::default(), &room("a", &json!({}))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(125)).await;
    let request = http::Request::get("/apis/test.example/v1/namespaces/default/rooms")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        .body(vec![])
        .unwrap();
    let table: Value = server.client("default").request(request).await.unwrap();
    let heads: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(heads, ["Name", "Size", "Age"]);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3, "2m5s"]));
}

#[tokio::test]
async fn discovery_and_the_http_front() {
    let server = ApiServer::new();
    let rooms = with_rooms(&server).await;
    rooms.create(&PostParams::default(), &room("a", &json!({}))).await.unwrap();
    let front = server.serve().await.unwrap();
    let config = kube::Config::new(front.url_as("binary").parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let found = kube::Discovery::new(client.clone()).run_aggregated().await.unwrap();
    let (kind, _) = found.resolve_gvk(&GroupVersionKind::gvk("test.example", "v1", "Room")).unwrap();
    let plain = kube::Discovery::new(client.clone()).run().await.unwrap();
    assert!(plain.resolve_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment")).is_some());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
    let mut events = Box::pin(watcher(api, watcher::Config::default()));
    let mut names = Vec::new();
    while let Some(event) = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap() {
        match event.unwrap() {
            watcher::Event::InitApply(room) => names.push(room.name_any()),
            watcher::Event::InitDone => {
                rooms.create(&PostParams::default(), &room("b", &json!({}))).await.unwrap();
            }
            watcher::Event::Apply(room) => {
                names.push(room.name_any());
                break;
            }
            _ => {}
        }
    }
    assert_eq!(names, ["a", "b"]);
    assert!(server.requests().iter().any(|seen| seen.who == "binary" && seen.verb == "watch"));
    assert_eq!(client.apiserver_version().await.unwrap().minor, "33");
}
