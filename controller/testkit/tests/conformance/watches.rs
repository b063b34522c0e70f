//! Watches: what they tell, in which order, and how they end.

use std::time::Duration;

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn a_watch_tells_all_that_happened_since_its_version() {
    let h = start().await;
    let api = h.api();
    let start = version(&api.get("v1/configmaps").await.ok());
    let made = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let moved = api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "2"}})).await.ok();
    let mut watch = api.watch("v1/configmaps", &format!("resourceVersion={start}")).await;
    api.delete("v1/configmaps/a").await.ok();
    api.post("v1/configmaps", &configmap("b", json!({}))).await.ok();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(kind, name, _)| (kind, name) != (&"ADDED".to_owned(), &"b".to_owned())) {
        let (kind, object) = watch.event().await;
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        if name != "kube-root-ca.crt" {
            seen.push((kind, name, version(&object)));
        }
    }
    let kinds: Vec<_> = seen.iter().map(|(kind, name, _)| format!("{kind} {name}")).collect();
    assert_eq!(kinds, ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"]);
    assert_eq!((seen[0].2, seen[1].2), (version(&made), version(&moved)));
    assert!(seen.is_sorted_by_key(|(.., version)| *version));
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &labelled("a", json!({"mine": "yes"}))).await.ok();
    let mut watch = api.watch("v1/configmaps", "labelSelector=mine").await;
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["metadata"]["name"]), ("ADDED", &json!("a")));
    assert_eq!((&object["kind"], &object["apiVersion"]), (&json!("ConfigMap"), &json!("v1")), "events say their type");
    api.post("v1/configmaps", &labelled("b", json!({"mine": "yes"}))).await.ok();
    assert_eq!(watch.event().await.1["metadata"]["name"], "b");
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout() {
    let h = start().await;
    let api = h.api();
    let mut watch = api.watch("v1/configmaps", "labelSelector=nothing-here&timeoutSeconds=1").await;
    let end = watch.within(Duration::from_secs(15)).await;
    assert_eq!(end, Ok(None));
}

#[tokio::test]
async fn a_bookmark_comes_before_the_end() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &labelled("a", json!({"mine": "yes"}))).await.ok();
    let query =
        format!("labelSelector=mine&allowWatchBookmarks=true&timeoutSeconds=10&resourceVersion={}", version(&made));
    let mut watch = api.watch("v1/configmaps", &query).await;
    // A bookmark spares the watcher the events of others: here, one that its selector does not show.
    api.post("v1/configmaps", &configmap("other", json!({}))).await.ok();
    let mut bookmark = None;
    while let Some(event) = watch.next().await {
        assert_eq!(event["type"], "BOOKMARK", "{event}");
        bookmark = Some(event["object"].clone());
    }
    let bookmark = bookmark.expect("a bookmark before the end");
    assert_eq!(bookmark["kind"], "ConfigMap");
    assert!(version(&bookmark) >= version(&made));
}

#[tokio::test]
async fn no_bookmarks_unless_asked_for() {
    let h = start().await;
    let api = h.api();
    let start = version(&api.get("v1/configmaps").await.ok());
    let mut watch =
        api.watch("v1/configmaps", &format!("labelSelector=mine&timeoutSeconds=6&resourceVersion={start}")).await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_gone() {
    let h = start_with_things().await;
    let api = h.api();
    api.post(THINGS, &thing("t", json!({"size": 1}))).await.ok();
    if let Some(double) = h.double() {
        double.compact();
    }
    // A real server's history of a kind begins when the kind does, which was after 1.
    let status = match api.try_watch(THINGS, "resourceVersion=1", "application/json").await {
        Err(reply) => reply.refused(410, "Expired"),
        Ok(mut watch) => {
            let (kind, status) = watch.event().await;
            assert_eq!(kind, "ERROR", "{status}");
            assert_eq!(watch.next().await, None, "nothing follows an error");
            status
        }
    };
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")), "{status}");
    assert!(message(&status).contains("too old resource version"), "{status}");
}

#[tokio::test]
async fn a_version_of_the_future_is_not_served_as_history() {
    let h = start().await;
    let api = h.api();
    let far = version(&api.get("v1/configmaps").await.ok()) + 1_000_000_000;
    let reply = api.get(&format!("v1/configmaps?resourceVersion={far}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(reply.code, 504, "{}", reply.body);
    assert!(message(&reply.body).contains("Too large resource version"), "{}", reply.body);
}

#[tokio::test]
async fn initial_events_replace_the_list() {
    let h = start().await;
    if !h.since(27, "sendInitialEvents") {
        return;
    }
    let api = h.api();
    for name in ["a", "b"] {
        api.post("v1/configmaps", &labelled(name, json!({"mine": "yes"}))).await.ok();
    }
    let query = "labelSelector=mine&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = match api.try_watch("v1/configmaps", query, "application/json").await {
        Ok(watch) => watch,
        Err(reply) => {
            let refused = reply.refused(422, "Invalid");
            assert!(message(&refused).contains("WatchList"), "{refused}");
            return skipped("sendInitialEvents", "this server has the WatchList feature off, as 1.33 has by default");
        }
    };
    let mut seen = Vec::new();
    let bookmark = loop {
        let (kind, object) = watch.event().await;
        if kind == "BOOKMARK" {
            break object;
        }
        assert_eq!(kind, "ADDED");
        seen.push(object["metadata"]["name"].as_str().expect("a name").to_owned());
    };
    seen.sort();
    assert_eq!(seen, ["a", "b"]);
    assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(version(&bookmark) > 0);
    api.post("v1/configmaps", &labelled("c", json!({"mine": "yes"}))).await.ok();
    assert_eq!(watch.event().await.1["metadata"]["name"], "c");
}

#[tokio::test]
async fn initial_events_need_a_version_match() {
    let h = start().await;
    if !h.since(27, "sendInitialEvents") {
        return;
    }
    let refused = h.api().try_watch("v1/configmaps", "sendInitialEvents=true", "application/json").await;
    refused.err().expect("refused").refused(422, "Invalid");
}

#[tokio::test]
async fn a_label_that_comes_or_goes_is_an_object_that_comes_or_goes() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &labelled("a", json!({"role": "spare"}))).await.ok();
    let query = format!("labelSelector=role%3Dspare&resourceVersion={}", version(&made));
    let mut watch = api.watch("v1/configmaps", &query).await;

    let label = |value: &str| json!({"metadata": {"labels": {"role": value}}});
    let busy = api.patch("v1/configmaps/a", MERGE, &label("busy")).await.ok();
    let (kind, object) = watch.event().await;
    assert_eq!(kind, "DELETED");
    assert_eq!(object["metadata"]["labels"]["role"], "spare", "the state that the watcher knew");
    assert_eq!(version(&object), version(&busy), "at the version of the write that took it away");

    // Not seen from here: it changes while the selector does not match.
    api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "1"}})).await.ok();
    api.patch("v1/configmaps/a", MERGE, &label("spare")).await.ok();
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["data"]["k"]), ("ADDED", &json!("1")));

    api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "2"}})).await.ok();
    assert_eq!(watch.event().await.0, "MODIFIED");
    api.delete("v1/configmaps/a").await.ok();
    assert_eq!(watch.event().await.0, "DELETED");
}

#[tokio::test]
async fn a_field_selector_follows_the_field() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/pods", &pod("p")).await.ok();
    let query = |phase: &str| format!("fieldSelector=status.phase%3D{phase}&resourceVersion={}", version(&made));
    let mut pending = api.watch("v1/pods", &query("Pending")).await;
    let mut running = api.watch("v1/pods", &query("Running")).await;
    api.patch("v1/pods/p/status", MERGE, &json!({"status": {"phase": "Running"}})).await.ok();
    assert_eq!(pending.event().await.0, "DELETED");
    assert_eq!(running.event().await.0, "ADDED");
}

#[tokio::test]
async fn one_object_can_be_watched_by_name() {
    let h = start().await;
    let api = h.api();
    let start = version(&api.get("v1/configmaps").await.ok());
    let query = format!("fieldSelector=metadata.name%3Db&resourceVersion={start}");
    let mut watch = api.watch("v1/configmaps", &query).await;
    api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    api.post("v1/configmaps", &configmap("b", json!({}))).await.ok();
    assert_eq!(watch.event().await.1["metadata"]["name"], "b");
}

#[tokio::test]
async fn a_namespace_keeps_its_events() {
    let mut h = start().await;
    let other = h.another_namespace().await;
    let api = h.api();
    let start = version(&api.get("v1/configmaps").await.ok());
    let mut here = api.watch("v1/configmaps", &format!("labelSelector=mine&resourceVersion={start}")).await;
    let mine = json!({"mine": h.namespace()});
    let selector = format!("labelSelector=mine%3D{}&resourceVersion={start}", h.namespace());
    let mut everywhere = api.watch("/api/v1/configmaps", &selector).await;
    let there = format!("/api/v1/namespaces/{other}/configmaps");
    api.post(&there, &labelled("there", mine.clone())).await.ok();
    api.post("v1/configmaps", &labelled("here", mine)).await.ok();
    assert_eq!(here.event().await.1["metadata"]["name"], "here");
    assert_eq!(everywhere.event().await.1["metadata"]["name"], "there");
    assert_eq!(everywhere.event().await.1["metadata"]["name"], "here");
}

#[tokio::test]
async fn a_finalizer_makes_the_end_two_events() {
    let h = start().await;
    let api = h.api();
    let mut object = configmap("a", json!({}));
    object["metadata"]["finalizers"] = json!(["roompin.test/hold"]);
    let made = api.post("v1/configmaps", &object).await.ok();
    let mut watch = api.watch("v1/configmaps", &format!("resourceVersion={}", version(&made))).await;
    api.delete("v1/configmaps/a").await.ok();
    let (kind, object) = watch.event().await;
    assert_eq!(kind, "MODIFIED");
    assert!(object["metadata"]["deletionTimestamp"].is_string());
    api.patch("v1/configmaps/a", MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
    assert_eq!(watch.event().await.0, "DELETED");
    api.get("v1/configmaps/a").await.refused(404, "NotFound");
}
