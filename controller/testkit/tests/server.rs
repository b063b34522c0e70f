//! The double as kube's own client and runtime meet it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::{
    Api, Client, ResourceExt,
    api::{
        DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy, WatchEvent,
        WatchParams,
    },
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde_json::json;
use testkit::{
    ApiServer,
    server::{Failure, Seen, Verdict},
};

fn config_map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let mut map = ConfigMap { data: None, ..ConfigMap::default() };
    map.metadata.name = Some(name.to_owned());
    map.data = Some(data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    map
}

fn pod(name: &str, node: Option<&str>) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] },
    }))
    .unwrap()
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::default_namespaced(client.clone())
}

fn code(result: Result<impl Sized, kube::Error>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        Err(other) => panic!("not an API error: {other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

fn refused(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[tokio::test(start_paused = true)]
async fn revisions_conflicts_and_no_op_writes() {
    let server = ApiServer::new();
    let api = maps(&server.client("default"));
    let made = api.create(&PostParams::default(), &config_map("a", &[("k", "1")])).await.unwrap();
    assert!(made.uid().is_some() && made.creation_timestamp().is_some());
    let again = api.create(&PostParams::default(), &config_map("a", &[])).await;
    assert_eq!(code(again), refused(409, "AlreadyExists"));
    assert_eq!(code(api.get("b").await), refused(404, "NotFound"));

    let mut second = made.clone();
    second.data = Some(BTreeMap::from([("k".into(), "2".into())]));
    let second = api.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_ne!(second.resource_version(), made.resource_version());
    assert_eq!(code(api.replace("a", &PostParams::default(), &made).await), refused(409, "Conflict"));

    let before = server.revision();
    let same = api.replace("a", &PostParams::default(), &second).await.unwrap();
    let patch = Patch::Merge(json!({ "data": { "k": "2" } }));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(server.revision(), before, "writes that change nothing take no revision");
    assert_eq!(same.resource_version(), second.resource_version());

    let elsewhere: Api<ConfigMap> = Api::namespaced(server.client("default"), "nowhere");
    let lost = elsewhere.create(&PostParams::default(), &config_map("a", &[])).await;
    assert_eq!(code(lost), refused(404, "NotFound"));
    let bad = api.create(&PostParams::default(), &config_map("Not_good", &[])).await;
    let Err(kube::Error::Api(status)) = bad else { panic!("accepted") };
    assert!(
        status.message.starts_with("ConfigMap \"Not_good\" is invalid: metadata.name: Invalid value: \"Not_good\"")
    );
    assert_eq!(status.details.as_ref().unwrap().causes[0].field, "metadata.name");
}

#[tokio::test(start_paused = true)]
async fn lists_page_consistently_and_select() {
    let server = ApiServer::new();
    let api = maps(&server.client("default"));
    for i in 0..7 {
        let mut map = config_map(&format!("m{i}"), &[]);
        map.labels_mut().insert("odd".into(), (i % 2 == 1).to_string());
        api.create(&PostParams::default(), &map).await.unwrap();
    }
    let first = api.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (3, Some(4)));
    api.delete("m5", &DeleteParams::default()).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let rest = api.list(&ListParams::default().limit(10).continue_token(&token)).await.unwrap();
    let names: Vec<_> = rest.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["m3", "m4", "m5", "m6"], "the pages show one revision");
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    let odd = api.list(&ListParams::default().labels("odd in (true)")).await.unwrap();
    assert_eq!(odd.items.len(), 2);
    let one = api.list(&ListParams::default().fields("metadata.name=m2")).await.unwrap();
    assert_eq!(one.items.len(), 1);
    assert_eq!(code(api.list(&ListParams::default().fields("spec.x=1")).await), refused(400, "BadRequest"));
    server.compact();
    let late = api.list(&ListParams::default().limit(3).continue_token(&token)).await;
    assert_eq!(code(late), refused(410, "Expired"));
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("odd=false")).await.unwrap();
    assert_eq!(api.list_metadata(&ListParams::default()).await.unwrap().items.len(), 2);
}

/// What a watch from a forgotten revision gets: an event, as the real server's watch cache sends it, or HTTP 410.
/// (kube's watcher never lists afresh after the latter, so it cannot be tested through one.)
#[tokio::test(start_paused = true)]
async fn forgotten_revisions_are_refused_in_both_ways() {
    let server = ApiServer::new();
    let api = maps(&server.client("default"));
    let made = api.create(&PostParams::default(), &config_map("a", &[])).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    server.compact();
    let from = made.resource_version().unwrap();
    let mut events = Box::pin(api.watch(&WatchParams::default(), &from).await.unwrap());
    let Some(Ok(WatchEvent::Error(status))) = events.next().await else { panic!("no ERROR event") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(events.next().await.is_none());
    server.expire_by_http(true);
    assert_eq!(code(api.watch(&WatchParams::default(), &from).await), refused(410, "Expired"));
}

/// Follows a watch in the background and keeps what it told.
async fn told(stream: &mut (impl futures_util::Stream<Item = watcher::Result<watcher::Event<Pod>>> + Unpin)) -> String {
    match tokio::time::timeout(Duration::from_secs(30), stream.next()).await {
        Ok(Some(Ok(watcher::Event::Apply(p)))) => format!("apply {}", p.name_any()),
        Ok(Some(Ok(watcher::Event::Delete(p)))) => format!("delete {}", p.name_any()),
        Ok(Some(Ok(watcher::Event::InitApply(p)))) => format!("init {}", p.name_any()),
        Ok(Some(Ok(watcher::Event::Init))) => "start".into(),
        Ok(Some(Ok(watcher::Event::InitDone))) => "ready".into(),
        Ok(Some(Err(error))) => format!("error {}", error.to_string().split(':').next().unwrap_or_default()),
        Ok(None) => "end".into(),
        Err(_) => "nothing".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn watches_survive_breaks_compaction_and_show_selector_transitions() {
    for streaming in [false, true] {
        let server = ApiServer::new();
        let api: Api<Pod> = Api::default_namespaced(server.client("default"));
        api.create(&PostParams::default(), &pod("a", None)).await.unwrap();
        let config = watcher::Config::default().labels("app=a");
        let config = if streaming { config.streaming_lists() } else { config };
        let mut events = Box::pin(watcher(api.clone(), config).default_backoff());
        for want in ["start", "init a", "ready"] {
            assert_eq!(told(&mut events).await, want);
        }
        let label = |value: &str| Patch::Merge(json!({ "metadata": { "labels": { "app": value } } }));
        api.create(&PostParams::default(), &pod("b", None)).await.unwrap();
        api.patch("b", &PatchParams::default(), &label("a")).await.unwrap();
        assert_eq!(told(&mut events).await, "apply b", "entering the selection");
        api.patch("a", &PatchParams::default(), &label("x")).await.unwrap();
        assert_eq!(told(&mut events).await, "delete a", "leaving the selection");

        server.drop_watches();
        api.delete("b", &DeleteParams::default()).await.unwrap();
        let next = told(&mut events).await;
        let next = if next.starts_with("error") { told(&mut events).await } else { next };
        assert_eq!(next, "delete b", "goes on from where it broke");

        // While the watch cannot come back, history is forgotten.
        server.set_interceptor(Arc::new(
            |seen: &Seen| if seen.verb == "watch" { Verdict::Refuse } else { Verdict::Pass },
        ));
        server.drop_watches();
        while told(&mut events).await != "nothing" {
            if server.requests().iter().filter(|s| s.verb == "watch").count() > 4 {
                break;
            }
        }
        api.create(&PostParams::default(), &pod("c", None)).await.unwrap();
        api.patch("c", &PatchParams::default(), &label("a")).await.unwrap();
        server.compact();
        server.clear_interceptor();
        let mut seen = Vec::new();
        while seen.last().is_none_or(|s: &String| s != "ready") {
            seen.push(told(&mut events).await);
            assert!(seen.len() < 40, "{seen:?}");
        }
        let tail: Vec<_> = seen.iter().filter(|s| !s.starts_with("error")).collect();
        assert_eq!(tail, ["start", "init c", "ready"], "lists afresh after 410");
    }
}

#[tokio::test(start_paused = true)]
async fn watches_lag_and_bookmark() {
    let server = ApiServer::new();
    let client = server.client("default");
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    server.lag_watches(Duration::from_secs(10));
    let (reader, writer) = reflector::store();
    let stream = reflector(writer, watcher(api.clone(), watcher::Config::default())).touched_objects();
    let task = tokio::spawn(stream.for_each(|_| async {}));
    reader.wait_until_ready().await.unwrap();
    api.create(&PostParams::default(), &pod("a", None)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(reader.len(), 0, "the cache is stale");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(reader.len(), 1);
    // A watch that hears nothing but bookmarks outlives a compaction.
    let maps = maps(&client);
    for i in 0..3 {
        maps.create(&PostParams::default(), &config_map(&format!("m{i}"), &[])).await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    server.compact();
    server.take_requests();
    server.drop_watches();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let verbs: Vec<_> = server.requests().into_iter().map(|s| s.verb).collect();
    assert_eq!(verbs, ["watch"], "it did not need to list again");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn pods_die_with_grace_and_others_at_once() {
    let server = ApiServer::new();
    let api: Api<Pod> = Api::default_namespaced(server.client("default"));
    api.create(&PostParams::default(), &pod("pending", None)).await.unwrap();
    api.delete("pending", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("pending").await.unwrap().is_none(), "never placed: gone at once");

    api.create(&PostParams::default(), &pod("runs", Some("n1"))).await.unwrap();
    let wrong = DeleteParams {
        preconditions: Some(Preconditions { uid: Some("other".into()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(code(api.delete("runs", &wrong).await), refused(409, "Conflict"));
    api.delete("runs", &DeleteParams::default()).await.unwrap();
    let dying = api.get("runs").await.unwrap();
    assert_eq!(dying.metadata.deletion_grace_period_seconds, Some(30));
    let ends = dying.metadata.deletion_timestamp.clone().unwrap().0;
    assert_eq!(ends.as_second() - server.now().as_second(), 30);
    api.delete("runs", &DeleteParams::default().grace_period(60)).await.unwrap();
    assert_eq!(api.get("runs").await.unwrap().metadata.deletion_grace_period_seconds, Some(30), "never longer");
    api.delete("runs", &DeleteParams::default().grace_period(5)).await.unwrap();
    let sooner = api.get("runs").await.unwrap();
    assert_eq!(sooner.metadata.deletion_grace_period_seconds, Some(5));
    assert_eq!(sooner.metadata.deletion_timestamp.unwrap().0.as_second(), ends.as_second() - 25);
    api.delete("runs", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(api.get_opt("runs").await.unwrap().is_none(), "as the kubelet does at the end");

    let maps = maps(&server.client("default"));
    maps.create(&PostParams::default(), &config_map("m", &[])).await.unwrap();
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    maps.delete("m", &foreground).await.unwrap();
    let waits = maps.get("m").await.unwrap();
    assert_eq!(waits.finalizers(), ["foregroundDeletion"]);
    let more = Patch::Merge(json!({ "metadata": { "finalizers": ["foregroundDeletion", "a.b/c"] } }));
    assert_eq!(code(maps.patch("m", &PatchParams::default(), &more).await), refused(422, "Invalid"));
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    maps.patch("m", &PatchParams::default(), &none).await.unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none(), "the last finalizer went");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_contents_along() {
    let server = ApiServer::new();
    let client = server.client("gone");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": "gone" } })).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let api = maps(&client);
    let mut held = config_map("held", &[]);
    held.metadata.finalizers = Some(vec!["a.b/c".into()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    api.create(&PostParams::default(), &config_map("free", &[])).await.unwrap();
    namespaces.delete("gone", &DeleteParams::default()).await.unwrap();
    let leaving = namespaces.get("gone").await.unwrap();
    assert_eq!(leaving.status.unwrap().phase.as_deref(), Some("Terminating"));
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let late = api.create(&PostParams::default(), &config_map("late", &[])).await;
    assert_eq!(code(late), refused(403, "Forbidden"));
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("held", &PatchParams::default(), &none).await.unwrap();
    assert!(namespaces.get_opt("gone").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_and_keep_them() {
    let server = ApiServer::new();
    let api: Api<Service> = Api::default_namespaced(server.client("default"));
    let service = |name: &str, ip: Option<&str>, node_port: Option<i32>| -> Service {
        serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": { "type": "NodePort", "clusterIP": ip, "ports": [{ "port": 80, "nodePort": node_port }] },
        }))
        .unwrap()
    };
    let first = api.create(&PostParams::default(), &service("a", None, None)).await.unwrap();
    let spec = first.spec.clone().unwrap();
    let (ip, port) = (spec.cluster_ip.unwrap(), spec.ports.unwrap()[0].node_port.unwrap());
    assert!(ip.starts_with("10.96.") && (30_000..=32_767).contains(&port));
    let taken = api.create(&PostParams::default(), &service("b", Some(&ip), None)).await;
    assert_eq!(code(taken), refused(422, "Invalid"));
    let Err(kube::Error::Api(status)) = api.create(&PostParams::default(), &service("b", None, Some(port))).await
    else {
        panic!("a taken node port was accepted")
    };
    assert!(
        status
            .message
            .ends_with(&format!("spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"))
    );
    let kept = api.replace("a", &PostParams::default(), &service("a", None, None)).await.unwrap();
    let spec = kept.spec.unwrap();
    assert_eq!((spec.cluster_ip.unwrap(), spec.ports.unwrap()[0].node_port.unwrap()), (ip, port));
}

#[tokio::test(start_paused = true)]
async fn faults_and_the_record() {
    let server = ApiServer::new();
    let client = server.client_as("roompin-controller", "default");
    let api = maps(&client);
    let params = PostParams { field_manager: Some("me".into()), dry_run: true };
    api.create(&params, &config_map("dry", &[])).await.unwrap();
    assert!(api.get_opt("dry").await.unwrap().is_none());
    let seen = server.take_requests().remove(0);
    let want = Seen {
        who: "roompin-controller".into(),
        verb: "create".into(),
        resource: "configmaps".into(),
        namespace: Some("default".into()),
        name: Some("dry".into()),
        field_manager: Some("me".into()),
        dry_run: true,
        path: "/api/v1/namespaces/default/configmaps".into(),
        ..Seen::default()
    };
    assert_eq!(seen, want);
    server.set_interceptor(Arc::new(|seen: &Seen| match (seen.verb.as_str(), seen.name.as_deref()) {
        ("create", Some("lost")) => Verdict::LoseAnswer,
        ("create", Some("late")) => Verdict::Delay(Duration::from_secs(7)),
        ("create", Some("busy")) => Verdict::Fail(Failure::too_many_requests(3)),
        ("create", Some("hung")) => Verdict::Hang,
        ("create", Some("refused")) => Verdict::Refuse,
        _ => Verdict::Pass,
    }));
    let create = |name: &'static str| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &config_map(name, &[])).await }
    };
    assert!(matches!(create("lost").await, Err(kube::Error::Service(_))));
    assert!(api.get_opt("lost").await.unwrap().is_some(), "it was done all the same");
    assert!(create("refused").await.is_err());
    assert!(api.get_opt("refused").await.unwrap().is_none());
    let from = tokio::time::Instant::now();
    create("late").await.unwrap();
    assert_eq!(from.elapsed().as_secs(), 7);
    let Err(kube::Error::Api(status)) = create("busy").await else { panic!("not busy") };
    assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 3));
    assert!(tokio::time::timeout(Duration::from_secs(3600), create("hung")).await.is_err());
}
