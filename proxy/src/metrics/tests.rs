use std::{
    io::Write,
    process::{Command, Stdio},
};

use router_core::{
    pin::DeciderId,
    registry::{RegistrySettings, ShardInput},
    room::{KeyHasher, RoomName},
    router::RouterSettings,
    shard::ShardSpec,
    time::Timestamp,
};

use super::*;

fn router(max_pins: usize) -> Router {
    Router::new(RouterSettings {
        ttl: Duration::from_secs(600),
        max_pins,
        decider: DeciderId(1),
        registry: RegistrySettings::default(),
        restored_hold: Duration::from_secs(30),
    })
}

fn discover(router: &Router, names: &[&str], now: Timestamp) {
    let spec = |name: &&str| ShardSpec {
        name: ShardName::new(name).unwrap(),
        addresses: vec!["127.0.0.1:80".parse().unwrap()],
        weight: 100,
        state: ShardState::Ready,
        agent_port: None,
    };
    let shards = names.iter().map(spec).collect();
    router.handle(ShardInput::Discovered { source: "static".into(), shards, hold_down: Duration::ZERO }, now);
    router.handle(ShardInput::Tick, now + Duration::from_millis(1));
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.encode()).unwrap()
}

/// The value of a series given in the notation of `/metrics`.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Everything that can be counted, counted once.
fn busy() -> (Metrics, Router) {
    let (metrics, router) = (Metrics::new(), router(1000));
    discover(&router, &["a", "b"], Timestamp(1_000));
    metrics.sync_shards(&router.shards());
    let [a, b] = ["a", "b"].map(|name| router.shards().by_name(name).unwrap().id);
    let key = KeyHasher::default().key(&RoomName::new("", "room"));
    router.decide(key, Timestamp(2_000), &[]).unwrap();
    let shard = metrics.shard(a);
    for &outcome in RequestOutcome::ALL {
        shard.requests.inc(outcome);
    }
    for &outcome in TunnelOutcome::ALL {
        shard.tunnels.inc(outcome);
    }
    for &reason in CloseReason::ALL {
        shard.tunnels_closed.inc(reason);
    }
    for &direction in Direction::ALL {
        shard.tunnel_bytes.inc_by(direction, 1 << 20);
    }
    for probe in [ProbeKind::Tcp, ProbeKind::Http, ProbeKind::Agent] {
        metrics.probed(a, probe, true, Duration::from_millis(2));
        metrics.probed(a, probe, false, Duration::from_millis(2));
    }
    shard.pins_made.inc();
    shard.connected_in(Duration::from_micros(300));
    metrics.pin_moved(a, b);
    for &reason in FrontRefusal::ALL {
        metrics.refusals.inc(reason);
    }
    for kind in ["timeout", "nxdomain"] {
        metrics.discovery_failed("dns _http._tcp.web", kind);
    }
    metrics.discovery_answered("dns _http._tcp.web", Timestamp(1_500));
    metrics.connections.inc();
    metrics.connections_open.inc();
    metrics.decision_seconds.observe(400e-9);
    metrics.pins_found.inc();
    metrics.config_reloaded(true);
    metrics.snapshot.writes.inc(Success::Error);
    metrics.sample(&router);
    (metrics, router)
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let (metrics, _router) = busy();
    metrics.watch_runtime("front", tokio::runtime::Handle::current());
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: apt-get install prometheus (make test does)");
    promtool.stdin.take().unwrap().write_all(&metrics.encode()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn covers_what_operators_look_at() {
    let (metrics, _router) = busy();
    let text = text(&metrics);
    for (series, expected) in [
        (r#"roompin_requests_total{outcome="2xx",shard="a"}"#, 1.0),
        (r#"roompin_requests_total{outcome="connect_failed",shard="b"}"#, 0.0),
        (r#"roompin_tunnels_total{outcome="opened",shard="a"}"#, 1.0),
        (r#"roompin_tunnels_closed_total{reason="moved",shard="a"}"#, 1.0),
        (r#"roompin_tunnel_bytes_total{direction="to_client",shard="a"}"#, 1_048_576.0),
        (r#"roompin_tunnels_open{shard="a"}"#, 0.0),
        ("roompin_pins_found_total", 1.0),
        ("roompin_pins_expired_total", 0.0),
        (r#"roompin_pins_made_total{shard="a"}"#, 1.0),
        (r#"roompin_pins_moved_total{to="b"}"#, 1.0),
        (r#"roompin_pins_moved_total{to="a"}"#, 0.0),
        (r#"roompin_pins_moved_away_total{from="a"}"#, 1.0),
        ("roompin_table_entries", 1.0),
        ("roompin_table_limit", 1000.0),
        ("roompin_table_refusals_total", 0.0),
        (r#"roompin_shard_state{shard="a",state="ready"}"#, 1.0),
        (r#"roompin_shard_state{shard="a",state="draining"}"#, 0.0),
        (r#"roompin_shard_state{shard="a",state="down"}"#, 0.0),
        (r#"roompin_shard_weight{shard="a"}"#, 10_000.0),
        (r#"roompin_shard_present{shard="a"}"#, 1.0),
        (r#"roompin_probe_results_total{probe="agent",result="failed",shard="a"}"#, 1.0),
        (r#"roompin_probe_duration_seconds_count{probe="http"}"#, 2.0),
        (r#"roompin_discovery_answers_total{source="dns _http._tcp.web"}"#, 1.0),
        (r#"roompin_discovery_answered_timestamp_seconds{source="dns _http._tcp.web"}"#, 1.5),
        (r#"roompin_discovery_errors_total{kind="timeout",source="dns _http._tcp.web"}"#, 1.0),
        (r#"roompin_front_refusals_total{reason="head_timeout"}"#, 1.0),
        (r#"roompin_decision_seconds_bucket{le="0.00000025"}"#, 0.0),
        (r#"roompin_decision_seconds_bucket{le="0.0000005"}"#, 1.0),
        (r#"roompin_connect_seconds_bucket{shard="a",le="0.0005"}"#, 1.0),
        (r#"roompin_config_reloads_total{result="ok"}"#, 1.0),
        (r#"roompin_snapshot_writes_total{result="error"}"#, 1.0),
        ("roompin_snapshot_last_success_timestamp_seconds", 0.0),
        ("roompin_snapshot_restored_pins", 0.0),
        (concat!("roompin_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    let pins = ["a", "b"].map(|name| value(&text, &format!("roompin_pins{{shard=\"{name}\"}}")).unwrap());
    assert_eq!(pins.iter().sum::<f64>(), 1.0, "{pins:?}");
    for series in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
        assert!(value(&text, series).is_some(), "{series} in\n{text}");
    }
}

#[test]
fn a_gone_shard_takes_its_series_along() {
    let (metrics, router) = busy();
    assert!(text(&metrics).contains(r#"="a""#));
    let a = router.shards().by_name("a").unwrap().id;
    discover(&router, &["b"], Timestamp(100_000));
    assert!(router.shards().by_name("a").is_none(), "the router should have let it go");
    metrics.sync_shards(&router.shards());
    let after = text(&metrics);
    assert!(!after.contains(r#"="a""#), "{after}");
    assert!(after.contains(r#"roompin_pins_made_total{shard="b"}"#));
    // Late counts do not bring it back, nor do they go to another shard.
    metrics.shard(a).requests.inc(RequestOutcome::Success);
    assert!(!text(&metrics).contains(r#"="a""#));
    discover(&router, &["a", "b"], Timestamp(200_000));
    metrics.sync_shards(&router.shards());
    assert_eq!(value(&text(&metrics), r#"roompin_requests_total{outcome="2xx",shard="a"}"#), Some(0.0));
}

#[test]
fn a_gone_shard_is_shown_until_its_last_tunnel_ends() {
    let (metrics, router) = busy();
    let a = metrics.shard(router.shards().by_name("a").unwrap().id);
    a.tunnels_open.inc();
    discover(&router, &["b"], Timestamp(100_000));
    metrics.sync_shards(&router.shards());
    let during = text(&metrics);
    assert_eq!(value(&during, r#"roompin_tunnels_open{shard="a"}"#), Some(1.0));
    assert_eq!(value(&during, r#"roompin_shard_state{shard="a",state="down"}"#), Some(1.0));
    assert_eq!(value(&during, r#"roompin_shard_present{shard="a"}"#), Some(0.0));
    a.tunnels_open.dec();
    metrics.sync_shards(&router.shards());
    assert!(!text(&metrics).contains(r#"="a""#));
}

#[test]
fn statuses_have_their_class() {
    let class = |status| RequestOutcome::from_status(status).as_str();
    assert_eq!([101, 204, 304, 499, 503].map(class), ["1xx", "2xx", "3xx", "4xx", "5xx"]);
    assert_eq!(class(600), "shard_failed");
    assert_eq!(class(0), "shard_failed");
}
