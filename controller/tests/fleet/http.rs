//! The HTTP clients against servers that answer as a bridge, a gateway and jicofo do, and as none should.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use controller::{
    media::{BridgeMedia, FocusMedia, GatewayMedia, HttpMedia, Ports},
    plan::report::Report,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A bridge as its source has it: see `reference/prior-systems.md` §3.1.
#[derive(Debug, Default)]
struct Jvb {
    drain: bool,
    graceful: bool,
    shutting_down: bool,
    people: u64,
    relayed: u64,
    /// `COLIBRI_REST_ENABLED`, without which there are no statistics and no shutdown.
    colibri: bool,
}

type Shared = Arc<Mutex<Jvb>>;

async fn stats(State(jvb): State<Shared>) -> Response {
    let jvb = jvb.lock().unwrap();
    if !jvb.colibri {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(json!({
        "stress_level": 0.42, "conferences": 2, "participants": jvb.people + jvb.relayed, "endpoints": jvb.people + jvb.relayed,
        "octo_endpoints": jvb.relayed, "drain": jvb.drain, "graceful_shutdown": jvb.graceful,
        "shutting_down": jvb.shutting_down, "healthy": true, "version": "2.3.209", "muc_clients_connected": 1,
    }))
    .into_response()
}

async fn metrics(State(jvb): State<Shared>) -> String {
    let jvb = jvb.lock().unwrap();
    format!(
        "# TYPE jitsi_jvb_stress gauge\njitsi_jvb_stress 0.42\njitsi_jvb_local_endpoints {}\njitsi_jvb_drain_mode {}\n",
        jvb.people,
        u8::from(jvb.drain)
    )
}

async fn shutdown(State(jvb): State<Shared>, body: Bytes) -> StatusCode {
    let mut jvb = jvb.lock().unwrap();
    let Ok(order) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    if !jvb.colibri {
        return StatusCode::NOT_FOUND;
    }
    match order["graceful-shutdown"].as_str() {
        Some("true") => jvb.graceful = true,
        Some("false") => jvb.shutting_down = true,
        _ => return StatusCode::BAD_REQUEST,
    }
    // At zero it does not wait.
    jvb.shutting_down |= jvb.people == 0;
    StatusCode::OK
}

async fn mark(jvb: Shared, drain: bool) -> StatusCode {
    jvb.lock().unwrap().drain = drain;
    StatusCode::OK
}

fn bridge(jvb: &Shared) -> Router {
    Router::new()
        .route("/colibri/stats", get(stats))
        .route("/metrics", get(metrics))
        .route("/colibri/shutdown", post(shutdown))
        .route("/colibri/drain/enable", post(|State(jvb): State<Shared>| mark(jvb, true)))
        .route("/colibri/drain/disable", post(|State(jvb): State<Shared>| mark(jvb, false)))
        .with_state(jvb.clone())
}

struct Server {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(router: Router) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Server { port, task }
}

/// A client for whom everything is at this one.
fn client(server: &Server) -> HttpMedia {
    let port = server.port;
    HttpMedia::with_ports(Ports { focus: port, admin: port, bridge: port, gateway: port }).unwrap()
}

const HERE: &str = "127.0.0.1";

#[tokio::test]
async fn a_bridge_is_asked_drained_taken_back_and_ended() {
    let jvb = Shared::new(Mutex::new(Jvb { people: 3, relayed: 4, colibri: true, ..Jvb::default() }));
    let server = serve(bridge(&jvb)).await;
    let media = client(&server);
    let report = media.bridge(HERE).await.unwrap();
    assert_eq!(
        report,
        Report {
            stress: Some(0.42),
            endpoints: Some(3),
            conferences: Some(2),
            drain: Some(false),
            graceful_shutdown: Some(false),
            shutting_down: Some(false),
            healthy: Some(true),
            version: Some("2.3.209".to_owned()),
            ..Report::default()
        }
    );
    media.drain(HERE, true).await.unwrap();
    assert_eq!(media.bridge(HERE).await.unwrap().drain, Some(true));
    media.drain(HERE, false).await.unwrap();
    assert_eq!(media.bridge(HERE).await.unwrap().drain, Some(false));
    media.shutdown(HERE).await.unwrap();
    let report = media.bridge(HERE).await.unwrap();
    assert_eq!((report.graceful_shutdown, report.shutting_down), (Some(true), Some(false)), "three are on it");
    jvb.lock().unwrap().people = 0;
    media.shutdown(HERE).await.unwrap();
    assert_eq!(media.bridge(HERE).await.unwrap().shutting_down, Some(true));
}

#[tokio::test]
async fn without_statistics_the_metrics_are_read_and_an_end_is_refused() {
    let jvb = Shared::new(Mutex::new(Jvb { people: 3, relayed: 4, ..Jvb::default() }));
    let server = serve(bridge(&jvb)).await;
    let media = client(&server);
    let report = media.bridge(HERE).await.unwrap();
    assert_eq!((report.stress, report.endpoints, report.drain), (Some(0.42), Some(3), Some(false)));
    assert_eq!(report.graceful_shutdown, None, "this page does not say");
    assert!(media.shutdown(HERE).await.unwrap_err().contains("404"));
    media.drain(HERE, true).await.unwrap();
    assert_eq!(media.bridge(HERE).await.unwrap().drain, Some(true));
}

#[tokio::test]
async fn a_gateway_is_asked_and_ended() {
    let stopped = Arc::new(Mutex::new(false));
    let router = Router::new()
        .route(
            "/about/stats",
            get(|State(stopped): State<Arc<Mutex<bool>>>| async move {
                let stopped = *stopped.lock().unwrap();
                Json(json!({"conferences": 7, "participants": 21, "stress_level": 0.07, "graceful_shutdown": stopped}))
            }),
        )
        .route(
            "/about/shutdown",
            post(|State(stopped): State<Arc<Mutex<bool>>>, body: Bytes| async move {
                let order: Value = serde_json::from_slice(&body).unwrap();
                *stopped.lock().unwrap() = order["graceful-shutdown"] == "true";
            }),
        )
        .with_state(stopped);
    let server = serve(router).await;
    let media = client(&server);
    let report = media.gateway(HERE).await.unwrap();
    assert_eq!((report.endpoints, report.stress, report.graceful_shutdown), (Some(7), Some(0.07), Some(false)));
    media.stop_gateway(HERE).await.unwrap();
    assert_eq!(media.gateway(HERE).await.unwrap().graceful_shutdown, Some(true));
}

#[tokio::test]
async fn jicofo_is_asked_to_move_everybody_away_from_one_bridge() {
    let asked = Arc::new(Mutex::new(String::new()));
    let router = Router::new()
        .route(
            "/move-endpoints/move-fraction",
            get(|State(asked): State<Arc<Mutex<String>>>, RawQuery(query): RawQuery| async move {
                *asked.lock().unwrap() = query.unwrap_or_default();
                Json(json!({"movedEndpoints": 5, "conferences": 2}))
            }),
        )
        .with_state(asked.clone());
    let server = serve(router).await;
    let moved = client(&server).move_all(HERE, "jvbbrewery@internal-muc.m.org/meet-0-jvb-0").await;
    assert_eq!(moved, Ok(5));
    assert_eq!(*asked.lock().unwrap(), "bridge=jvbbrewery%40internal-muc.m.org%2Fmeet-0-jvb-0&fraction=1.0");
}

#[tokio::test]
async fn nonsense_silence_and_floods_are_errors() {
    let flood = "x".repeat(2 << 20);
    for (body, why) in [
        ("{}", "its answer says nothing"),
        ("not JSON", "its answer cannot be read"),
        (r#"{"participants": "none"}"#, "its answer cannot be read"),
        (flood.as_str(), "its answer is too long"),
    ] {
        let body = body.to_owned();
        let server = serve(Router::new().route("/colibri/stats", get(async || body))).await;
        assert_eq!(client(&server).bridge(HERE).await, Err(why.to_owned()));
    }
    let failing = serve(Router::new().route("/colibri/stats", get(async || StatusCode::INTERNAL_SERVER_ERROR))).await;
    assert!(client(&failing).bridge(HERE).await.unwrap_err().contains("500"));

    let silent = serve(Router::new().route("/colibri/stats", get(async || std::future::pending::<()>().await))).await;
    let start = Instant::now();
    assert_eq!(client(&silent).bridge(HERE).await, Err("no answer in time".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(5));
    let port = silent.port;
    drop(silent);
    let nobody = HttpMedia::with_ports(Ports { bridge: port, ..Ports::default() }).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(nobody.bridge(HERE).await.is_err());
}
