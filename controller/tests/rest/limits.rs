//! What is too long, too slow, or too much.

use std::time::{Duration, Instant};

use axum::{Router, body::Body, http::Request, routing::get};
use controller::rest::{Settings, auth::Guard, body, serve};
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::kit::{Kit, NODE_PEER};

#[tokio::test(start_paused = true)]
async fn long_bodies_are_refused() {
    let kit = Kit::open().await;
    kit.shard().await;
    let post = |body: String| Request::post("/sidecar/poll").body(Body::from(body)).unwrap();
    let long = json!({"instanceId": "x", "more": "x".repeat(body::LIMIT)}).to_string();
    assert_eq!(kit.send(NODE_PEER, post(long)).await.status, 413);
    let fits = json!({"instanceId": "x", "more": "x".repeat(body::LIMIT - 100)}).to_string();
    assert_eq!(kit.send(NODE_PEER, post(fits)).await.status, 200);
    for junk in ["{", "nonsense", "\u{0}", "[[[[", &"[".repeat(100_000)] {
        let answer = kit.send(NODE_PEER, post(junk.to_owned())).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_given_up_and_too_much_is_refused() {
    let kit = Kit::open().await;
    let Some(faults) = kit.harness.faults() else {
        return testkit::harness::skipped("faults", "they are the double's");
    };
    kit.shard().await;
    faults.add(testkit::faults::Fault::hang().by("rest").verbs(&["list"]).on("jitsishards"));
    let start = tokio::time::Instant::now();
    let answer = kit.get("/groups").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(start.elapsed() <= Duration::from_secs(20), "{:?}", start.elapsed());
    let many = join_all((0..300).map(|_| kit.get("/groups"))).await;
    let at_once = many.iter().filter(|answer| answer.text.contains("too many requests at a time")).count();
    assert_eq!(at_once, 300 - 256);
    assert!(many.iter().all(|answer| answer.status == 503));
    // Afterwards all is as before.
    faults.clear();
    assert_eq!(kit.get("/groups").await.status, 200);
    kit.metric("roompin_controller_rest_requests_in_flight 0");
}

#[tokio::test(start_paused = true)]
async fn names_that_callers_make_up_are_no_series() {
    let kit = Kit::with(Guard::Open, Settings::default(), true).await;
    kit.shard().await;
    for n in 0..50 {
        kit.get(&format!("/groups/meet-{n}-jvb")).await;
        kit.get(&format!("/nowhere/{n}")).await;
    }
    let text = kit.metrics.text();
    assert!(!text.contains("meet-7-jvb") && !text.contains("nowhere"), "{text}");
    kit.metric(r#"roompin_controller_rest_requests_total{code="404",route="/groups/{name}"} 49"#);
    kit.metric(r#"roompin_controller_rest_requests_total{code="404",route="none"} 50"#);
    kit.metric(r#"http_server_requests_total{code="404",method="get",uri="/groups/{name}"} 49"#);
}

#[tokio::test(start_paused = true)]
async fn groups_are_in_the_metrics_of_the_one_that_leads() {
    let kit = Kit::with(Guard::Open, Settings::default(), true).await;
    kit.shard().await;
    kit.status(json!([
        {"kind": "jvb", "desired": 3, "count": 2, "ready": 1, "starting": 1, "draining": 1, "stress": "0.42"},
        {"kind": "jibri", "desired": 2, "count": 2, "ready": 2, "idle": 1, "busy": 1},
    ]))
    .await;
    kit.harness
        .eventually("the watch shows the status", Duration::from_secs(30), || async {
            kit.rest.shard(kit.harness.namespace(), "meet-0").is_some_and(|shard| shard.status.is_some())
        })
        .await;
    assert!(!kit.metrics.text().contains("roompin_controller_group_desired{"), "it does not lead");
    kit.metrics.leads(true);
    let place = kit.harness.namespace();
    for (name, kind, value) in [
        ("desired", "jvb", "3"),
        ("instances", "jvb", "2"),
        ("ready", "jvb", "1"),
        ("starting", "jvb", "1"),
        ("draining", "jvb", "1"),
        ("min", "jvb", "2"),
        ("max", "jvb", "10"),
        ("stress", "jvb", "0.42"),
        ("idle", "jibri", "1"),
        ("busy", "jibri", "1"),
    ] {
        let labels = format!(r#"kind="{kind}",namespace="{place}",shard="meet-0""#);
        kit.metric(&format!("roompin_controller_group_{name}{{{labels}}} {value}"));
    }
    for line in [
        "autoscaling_groups_managed 3",
        r#"autoscaling_desired_count{group="meet-0-jvb"} 3"#,
        r#"autoscaling_maximum_count{group="meet-0-jvb"} 10"#,
        r#"autoscaling_minimum_count{group="meet-0-jvb"} 2"#,
        r#"autoscaling_instance_count{group="meet-0-jvb"} 2"#,
        r#"autoscaling_instance_running{group="meet-0-jvb"} 1"#,
        r#"autoscaling_cloud_instance_count{group="meet-0-jvb"} 3"#,
    ] {
        kit.metric(line);
    }
    kit.metrics.leads(false);
    assert!(!kit.metrics.text().contains("autoscaling_desired_count{"), "sums over replicas stay right");
}

/// Over a socket, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_finishes_what_is_under_way_and_no_more() {
    let slow = Router::new()
        .route("/slow", get(async || tokio::time::sleep(Duration::from_millis(1500)).await))
        .route("/fast", get(async || "fast"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve::serve(listener, slow, async {
        let _ = ended.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(format!("http://{address}/fast")).send().await.unwrap().text().await.unwrap(), "fast");
    // One that says nothing, and one that is under way.
    let idle = TcpStream::connect(address).await.unwrap();
    let under_way = tokio::spawn(client.get(format!("http://{address}/slow")).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    end.send(()).unwrap();
    assert_eq!(under_way.await.unwrap().unwrap().status(), 200);
    serving.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_and_come_and_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(async || "here"));
    let serving = tokio::spawn(serve::serve(listener, routes, std::future::pending()));
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_millis(500), stream.read_to_string(&mut text)).await;
        read.is_ok() && text.ends_with("here")
    };
    assert!(ask().await);
    let mut held = Vec::new();
    for _ in 0..serve::CONNECTIONS {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!ask().await, "all places are taken");
    held.truncate(10);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ask().await, "and free again");
    serving.abort();
}
