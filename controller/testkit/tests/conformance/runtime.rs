//! What `kube::runtime` needs of a server: the watcher, finalizers, events, typed subresources.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::{Event as Final, finalizer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::kit::*;

fn typed(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

#[tokio::test]
async fn the_finalizer_helper_adds_runs_and_lets_go() {
    const NAME: &str = "roompin.test/drain";
    let h = start().await;
    let api: Api<ConfigMap> = Api::namespaced(h.client(), h.namespace());
    let made = api.create(&PostParams::default(), &typed("a")).await.expect("created");
    let never = |_: Final<ConfigMap>| async { Err::<Action, _>(std::io::Error::other("called too early")) };
    finalizer(&api, NAME, Arc::new(made), never).await.expect("the first call only adds the finalizer");
    let now = api.get("a").await.expect("there");
    assert_eq!(now.finalizers(), [NAME]);

    let applied = |event: Final<ConfigMap>| async move {
        matches!(event, Final::Apply(_)).then(Action::await_change).ok_or(std::io::Error::other("no apply"))
    };
    finalizer(&api, NAME, Arc::new(now), applied).await.expect("the second call applies");

    api.delete("a", &DeleteParams::default()).await.expect("deleted").left().expect("it is held");
    let going = api.get("a").await.expect("there");
    let cleaned = |event: Final<ConfigMap>| async move {
        matches!(event, Final::Cleanup(_)).then(Action::await_change).ok_or(std::io::Error::other("no clean-up"))
    };
    finalizer(&api, NAME, Arc::new(going), cleaned).await.expect("the third call cleans up and lets go");
    assert!(api.get_opt("a").await.expect("an answer").is_none());
}

#[tokio::test]
async fn a_watcher_follows() {
    let h = start().await;
    let api: Api<ConfigMap> = Api::namespaced(h.client(), h.namespace());
    api.create(&PostParams::default(), &typed("a")).await.expect("created");
    let config = watcher::Config::default().fields("metadata.name!=kube-root-ca.crt");
    let mut seen = watcher(api.clone(), config).applied_objects().boxed();
    assert_eq!(next(&mut seen).await.name_any(), "a");
    api.create(&PostParams::default(), &typed("b")).await.expect("created");
    assert_eq!(next(&mut seen).await.name_any(), "b");
    let patch = Patch::Merge(json!({"data": {"k": "1"}}));
    api.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(next(&mut seen).await.data.expect("data")["k"], "1");
}

async fn next(stream: &mut BoxStream<'_, Result<ConfigMap, watcher::Error>>) -> ConfigMap {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.try_next()).await.expect("in time");
    next.expect("no error").expect("no end")
}

#[tokio::test]
async fn a_watcher_of_metadata_sees_deletes() {
    let h = start().await;
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(h.client(), h.namespace());
    let full: Api<ConfigMap> = Api::namespaced(h.client(), h.namespace());
    full.create(&PostParams::default(), &typed("a")).await.expect("created");
    let config = watcher::Config::default().fields("metadata.name=a");
    let mut events = std::pin::pin!(watcher(api, config).touched_objects());
    let first = tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.expect("in time");
    assert_eq!(first.expect("no error").expect("no end").name_any(), "a");
    full.delete("a", &DeleteParams::default()).await.expect("deleted");
    let second = tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.expect("in time");
    assert_eq!(second.expect("no error").expect("no end").name_any(), "a");
}

#[tokio::test]
async fn a_watcher_pages_through_a_long_list() {
    let h = start().await;
    let api: Api<ConfigMap> = Api::namespaced(h.client(), h.namespace());
    for n in 0..5 {
        api.create(&PostParams::default(), &typed(&format!("n{n}"))).await.expect("created");
    }
    let config = watcher::Config::default().page_size(2).fields("metadata.name!=kube-root-ca.crt");
    let objects = watcher(api, config).applied_objects().take(5);
    let objects = tokio::time::timeout(Duration::from_secs(20), objects.try_collect::<Vec<_>>()).await;
    let mut names: Vec<_> = objects.expect("in time").expect("no error").iter().map(ResourceExt::name_any).collect();
    names.sort();
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4"]);
}

#[tokio::test]
async fn an_event_is_recorded_and_then_counted() {
    let h = start().await;
    let api: Api<ConfigMap> = Api::namespaced(h.client(), h.namespace());
    let about = api.create(&PostParams::default(), &typed("a")).await.expect("created").object_ref(&());
    let recorder = Recorder::new(h.client(), "roompin-testkit".into());
    let event = Event {
        type_: EventType::Normal,
        reason: "Tested".into(),
        note: Some("the note".into()),
        action: "Testing".into(),
        secondary: None,
    };
    recorder.publish(&event, &about).await.expect("published");
    recorder.publish(&event, &about).await.expect("published again");
    let raw = h.api();
    let list = raw.get("events.k8s.io/v1/events").await.ok();
    let ours: Vec<_> = list["items"].as_array().expect("items").iter().filter(|e| e["reason"] == "Tested").collect();
    assert_eq!(ours.len(), 1);
    assert_eq!((&ours[0]["note"], &ours[0]["series"]["count"]), (&json!("the note"), &json!(2)));
    let old = raw.get("v1/events").await.ok();
    let ours: Vec<_> = old["items"].as_array().expect("items").iter().filter(|e| e["reason"] == "Tested").collect();
    assert_eq!(ours.len(), 1, "the older group shows the same events");
    assert_eq!((&ours[0]["message"], &ours[0]["involvedObject"]["name"]), (&json!("the note"), &json!("a")));
}

#[tokio::test]
async fn typed_calls_fit_the_answers() {
    let h = start().await;
    let client = h.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), h.namespace());
    let pod: Pod = serde_json::from_value(bound_pod("p")).expect("a pod");
    let made = pods.create(&PostParams::default(), &pod).await.expect("created");
    let list = pods.list(&ListParams::default().fields("spec.nodeName=no-such-node")).await.expect("listed");
    assert_eq!(list.items.len(), 1);
    assert!(list.metadata.resource_version.is_some());
    let status = Patch::Merge(json!({"status": {"phase": "Running"}}));
    let patched = pods.patch_status("p", &PatchParams::default(), &status).await.expect("patched");
    assert_eq!(patched.status.expect("a status").phase.as_deref(), Some("Running"));
    let grace = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("p", &grace.preconditions(kube::api::Preconditions { uid: made.uid(), resource_version: None })).await.expect("deleted");
    let error = pods.get("p").await.expect_err("gone");
    assert!(matches!(&error, kube::Error::Api(status) if status.is_not_found()), "{error}");
    let error = pods.create(&PostParams::default(), &Pod::default()).await.expect_err("invalid");
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 422), "{error}");
}
