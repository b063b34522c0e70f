//! Faults on the double: each does what it says, to whom it should, and ends.

#![allow(clippy::unwrap_used, reason = "all of this is tests, their helpers too")]

use std::time::Duration;

use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};

use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use testkit::faults::TEST;
use testkit::{ApiServer, CrashPoint, Fault, Faults};
use tokio::time::Instant;

async fn server() -> (ApiServer, Faults) {
    let server = ApiServer::new();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.client("n"));
    let meta = ObjectMeta { name: Some("n".into()), ..ObjectMeta::default() };
    let namespace = k8s_openapi::api::core::v1::Namespace { metadata: meta, ..Default::default() };
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let faults = Faults::install(&server);
    (server, faults)
}

fn api(server: &ApiServer, who: &str) -> Api<ConfigMap> {
    Api::namespaced(server.client_as(who, "n"), "n")
}

async fn create(api: &Api<ConfigMap>, name: &str) -> Result<ConfigMap, kube::Error> {
    let meta = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    api.create(&PostParams::default(), &ConfigMap { metadata: meta, ..ConfigMap::default() }).await
}

async fn touch(api: &Api<ConfigMap>, name: &str, value: &str) -> Result<ConfigMap, kube::Error> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"data": {"k": value}}))).await
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_conflicts_passes() {
    let (server, faults) = server().await;
    let (mine, theirs) = (api(&server, "a"), api(&server, "b"));
    create(&mine, "x").await.unwrap();
    faults.add(Fault::conflict().by("a").times(3));
    for _ in 0..3 {
        assert_eq!(code(&touch(&mine, "x", "1").await.unwrap_err()), 409);
    }
    touch(&theirs, "x", "2").await.expect("another is not hit");
    touch(&mine, "x", "3").await.expect("three times are over");
    assert_eq!(faults.hits(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_enough_says_when_to_come_again() {
    let (server, faults) = server().await;
    let id = faults.add(Fault::too_many_requests(7).verbs(&["list"]));
    let error = api(&server, "a").list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = &error else { panic!("{error}") };
    assert_eq!((status.code, status.details.as_ref().map(|d| d.retry_after_seconds)), (429, Some(7)));
    api(&server, TEST).list(&ListParams::default()).await.expect("the test's own client is spared");
    faults.remove(id);
    api(&server, "a").list(&ListParams::default()).await.expect("the fault is gone");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_a_write_all_the_same() {
    let (server, faults) = server().await;
    faults.add(Fault::lost_answer().on("configmaps").times(1));
    let error = create(&api(&server, "a"), "x").await.unwrap_err();
    assert_eq!(code(&error), 0, "no answer at all: {error}");
    assert_eq!(code(&create(&api(&server, "a"), "x").await.unwrap_err()), 409, "it is there");
}

#[tokio::test(start_paused = true)]
async fn what_hangs_hangs() {
    let (server, faults) = server().await;
    faults.add(Fault::hang().verbs(&["get"]).times(1));
    let mine = api(&server, "a");
    let hung = tokio::time::timeout(Duration::from_secs(3600), mine.get("x")).await;
    assert!(hung.is_err());
    assert_eq!(code(&mine.get("x").await.unwrap_err()), 404);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends() {
    let (server, faults) = server().await;
    let mine = api(&server, "a");
    create(&mine, "x").await.unwrap();
    let mut seen =
        std::pin::pin!(watcher(mine.clone(), watcher::Config::default()).default_backoff().applied_objects());
    assert!(seen.try_next().await.unwrap().is_some());
    faults.outage(None, Duration::from_secs(120));
    assert_eq!(code(&mine.get("x").await.unwrap_err()), 0);
    touch(&api(&server, TEST), "x", "changed meanwhile").await.unwrap();
    let began = Instant::now();
    let next = loop {
        if let Ok(Some(object)) = seen.try_next().await {
            break object;
        }
    };
    assert_eq!(next.data.unwrap()["k"], "changed meanwhile");
    assert!(began.elapsed() >= Duration::from_secs(119), "{:?}", began.elapsed());
    mine.get("x").await.expect("it is over");
}

#[tokio::test(start_paused = true)]
async fn a_late_watch_is_late() {
    let (server, faults) = server().await;
    let mine = api(&server, "a");
    faults.add(Fault::watch_lag(Duration::from_secs(30)).by("a"));
    let mut seen = std::pin::pin!(watcher(mine.clone(), watcher::Config::default()).applied_objects());
    let first = tokio::time::timeout(Duration::from_millis(100), seen.try_next()).await;
    assert!(first.is_err(), "nothing is there yet");
    let began = Instant::now();
    create(&mine, "x").await.unwrap();
    assert!(seen.try_next().await.unwrap().is_some());
    assert!(began.elapsed() >= Duration::from_secs(29), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_dead_write_nothing() {
    let (server, faults) = server().await;
    let mine = api(&server, "a");
    for (answered, last) in [(true, 0), (false, 0)] {
        let point = CrashPoint::after_writes("a", 2);
        faults.crash(if answered { point } else { point.before_the_answer() });
        let name = |n: u32| format!("{n}-{answered}");
        create(&mine, &name(1)).await.unwrap();
        mine.list(&ListParams::default()).await.expect("a read is no write");
        let second = create(&mine, &name(2)).await;
        assert_eq!(second.is_ok(), answered);
        assert!(faults.has_crashed("a"));
        faults.crashed("a").await;
        assert_eq!(code(&create(&mine, &name(3)).await.unwrap_err()), last);
        assert_eq!(code(&mine.list(&ListParams::default()).await.unwrap_err()), last);
        create(&api(&server, "b"), &name(4)).await.expect("others live");
        faults.revive("a");
        mine.get(&name(2)).await.expect("its last write was done");
        assert_eq!(code(&mine.get(&name(3)).await.unwrap_err()), 404);
    }
    assert_eq!(faults.writes("a"), 4);
}

#[tokio::test(start_paused = true)]
async fn death_may_come_before_the_first_write() {
    let (server, faults) = server().await;
    let mine = api(&server, "a");
    faults.crash(CrashPoint::after_writes("a", 0));
    mine.list(&ListParams::default()).await.expect("it reads first");
    create(&mine, "x").await.unwrap_err();
    assert!(faults.has_crashed("a"));
    faults.clear();
    assert_eq!(code(&mine.get("x").await.unwrap_err()), 404);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_hits_the_same_requests() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let (server, faults) = server().await;
        faults.seed(seed);
        faults.add(Fault::server_error(500).share(0.5));
        let mine = api(&server, "a");
        let mut hits = Vec::new();
        for _ in 0..40 {
            hits.push(mine.list(&ListParams::default()).await.is_err());
        }
        runs.push(hits);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false));
}
