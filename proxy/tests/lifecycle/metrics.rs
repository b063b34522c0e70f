//! Acceptance 8: `/metrics` of a proxy that has seen everything.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use hyper::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::connect_async;

use crate::{
    dns::{DnsServer, Mood},
    house::{House, fixed, rooms, stub},
    support::require,
};

const PROBES: &str = "probes: {tcp: {interval: 150ms, timeout: 150ms, rise: 1, fall: 1}}\n";

/// Every family that the issue lists.
const FAMILIES: [&str; 27] = [
    "roompin_requests_total",
    "roompin_tunnels_total",
    "roompin_tunnels_open",
    "roompin_tunnels_closed_total",
    "roompin_tunnel_bytes_total",
    "roompin_pins_made_total",
    "roompin_pins_found_total",
    "roompin_pins_expired_total",
    "roompin_pins_moved_total",
    "roompin_pins_moved_away_total",
    "roompin_pins",
    "roompin_table_entries",
    "roompin_table_limit",
    "roompin_table_refusals_total",
    "roompin_shard_state",
    "roompin_shard_weight",
    "roompin_shard_present",
    "roompin_probe_results_total",
    "roompin_probe_duration_seconds",
    "roompin_discovery_answers_total",
    "roompin_discovery_errors_total",
    "roompin_front_refusals_total",
    "roompin_decision_seconds",
    "roompin_connect_seconds",
    "roompin_config_reloads_total",
    "roompin_snapshot_writes_total",
    "roompin_connections_open",
];

fn promtool(text: &str) {
    let mut promtool = Command::new(require("promtool", "prometheus"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn a_proxy_that_has_seen_everything_tells_of_it() {
    let (a, b) = (stub("a").await, stub("b").await);
    let dns = DnsServer::start().await;
    dns.mood("c.test", Mood::Broken);
    let source = format!("{{host: c.test, shard: c, port: 80, servers: [\"{}\"], min_refresh: 100ms}}", dns.address());
    let with = |stubs: &str, rooms: &str| {
        format!("{stubs}  dns: [{source}]\n{PROBES}rooms: {rooms}\nsnapshot: {{path: pins, interval: 1s}}\n")
    };
    let both = fixed(&[&a, &b]);
    let house = House::start(&with(&both, "{}")).await;

    // Pins made and found.
    let rooms = rooms("room", 20);
    let seats = house.visit_all(&rooms).await;
    assert_eq!(house.visit_all(&rooms).await, seats);
    let here: Vec<_> = seats.keys().filter(|room| seats[*room] == "a").collect();
    let there: Vec<_> = seats.keys().filter(|room| seats[*room] == "b").collect();
    assert!(here.len() > 1 && there.len() > 1, "{seats:?}");

    // Answers of every class.
    for status in [301, 404, 503] {
        a.set_failure(Some(StatusCode::from_u16(status).unwrap()));
        assert_eq!(house.get(&format!("/http-bind?room={}", here[0])).await.status, status);
    }
    // Tunnels: refused, opened, closed by the client.
    let refused = connect_async(format!("ws://{}/xmpp-websocket?room={}", house.front(), here[0])).await;
    assert!(refused.is_err());
    a.set_failure(None);
    let mut left = house.tunnel(here[0]).await;
    assert_eq!(left.echo("seven b").await, "seven b");
    left.leave().await;
    let mut broken = house.tunnel(here[0]).await;
    assert_eq!(broken.who().await, "a");
    drop(broken);
    let mut kept = house.tunnel(here[1]).await;
    assert_eq!(kept.who().await, "a");

    // Refusals.
    let mut garbage = TcpStream::connect(house.front()).await.unwrap();
    garbage.write_all(b"\x16\x03\x01 hello?\r\n\r\n").await.unwrap();
    garbage.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(house.get(&format!("/http-bind?room={}", "x".repeat(3000))).await.status, 414);

    // An operator moves a room.
    let moved = house.ask_with("PUT", &format!("/v1/rooms/{}", here[0]), None, Some(json!({"shard": "b"}))).await;
    assert_eq!(moved.status, 200, "{moved:?}");

    // Reloads, good and bad; a table that is full.
    assert!(!house.reload("nonsense: 1\n").await);
    assert!(house.reload(&with(&both, "{max_pins: 1}")).await);
    assert_eq!(house.get("/http-bind?room=one-too-many").await.status, 503);

    let metrics = house
        .until_metrics("look-ups fail, a snapshot is written, and the tunnel is counted", |m| {
            m.sum("roompin_discovery_errors_total", "dns:c.test") >= 1.0
                && m.get(r#"roompin_snapshot_writes_total{result="ok"}"#) >= Some(1.0)
                && m.get(r#"roompin_tunnels_closed_total{reason="client",shard="a"}"#) == Some(1.0)
                && m.get(r#"roompin_tunnels_closed_total{reason="shard",shard="a"}"#) == Some(1.0)
        })
        .await;
    let (on_a, on_b) = (here.len() as f64, there.len() as f64);
    for (series, expected) in [
        (r#"roompin_requests_total{outcome="2xx",shard="a"}"#, 2.0 * on_a),
        (r#"roompin_requests_total{outcome="2xx",shard="b"}"#, 2.0 * on_b),
        (r#"roompin_requests_total{outcome="3xx",shard="a"}"#, 1.0),
        (r#"roompin_requests_total{outcome="4xx",shard="a"}"#, 1.0),
        (r#"roompin_requests_total{outcome="5xx",shard="a"}"#, 1.0),
        (r#"roompin_requests_total{outcome="5xx",shard="b"}"#, 0.0),
        (r#"roompin_tunnels_total{outcome="opened",shard="a"}"#, 3.0),
        (r#"roompin_tunnels_total{outcome="refused",shard="a"}"#, 1.0),
        (r#"roompin_tunnels_open{shard="a"}"#, 1.0),
        (r#"roompin_tunnels_open{shard="b"}"#, 0.0),
        (r#"roompin_pins_made_total{shard="a"}"#, on_a),
        (r#"roompin_pins_made_total{shard="b"}"#, on_b),
        ("roompin_pins_found_total", 20.0 + 3.0 + 4.0),
        (r#"roompin_pins_moved_total{to="b"}"#, 1.0),
        (r#"roompin_pins_moved_total{to="a"}"#, 0.0),
        (r#"roompin_pins_moved_away_total{from="a"}"#, 1.0),
        (r#"roompin_pins{shard="a"}"#, on_a - 1.0),
        (r#"roompin_pins{shard="b"}"#, on_b + 1.0),
        ("roompin_table_entries", 20.0),
        ("roompin_table_limit", 1.0),
        ("roompin_table_refusals_total", 1.0),
        (r#"roompin_front_refusals_total{reason="bad_request"}"#, 1.0),
        (r#"roompin_front_refusals_total{reason="name_too_long"}"#, 1.0),
        (r#"roompin_front_refusals_total{reason="table_full"}"#, 1.0),
        (r#"roompin_shard_state{shard="a",state="ready"}"#, 1.0),
        (r#"roompin_shard_state{shard="a",state="down"}"#, 0.0),
        (r#"roompin_shard_weight{shard="a"}"#, 10_000.0),
        (r#"roompin_shard_present{shard="a"}"#, 1.0),
        (r#"roompin_discovery_answers_total{source="static"}"#, 1.0),
        (r#"roompin_config_reloads_total{result="ok"}"#, 1.0),
        (r#"roompin_config_reloads_total{result="error"}"#, 1.0),
        ("roompin_ready", 1.0),
    ] {
        assert_eq!(metrics.get(series), Some(expected), "{series}\n{}", metrics.0);
    }
    for (series, least) in [
        (r#"roompin_tunnel_bytes_total{direction="to_shard",shard="a"}"#, 7.0),
        (r#"roompin_tunnel_bytes_total{direction="to_client",shard="a"}"#, 7.0),
        (r#"roompin_probe_results_total{probe="tcp",result="ok",shard="a"}"#, 1.0),
        (r#"roompin_probe_duration_seconds_count{probe="tcp"}"#, 2.0),
        (r#"roompin_connect_seconds_count{shard="a"}"#, 1.0),
        ("roompin_decision_seconds_count", 45.0),
        ("roompin_snapshot_size_bytes", 20.0 * 41.0),
        ("roompin_snapshot_last_success_timestamp_seconds", 1.7e9),
        ("roompin_connections_total", 3.0),
    ] {
        assert!(metrics.get(series) >= Some(least), "{series}: {:?}\n{}", metrics.get(series), metrics.0);
    }

    // A shard dies: its probes fail, and its room moves with its next request.
    b.stop().await;
    house.until_shard("b", "is down", |shard| shard["state"] == "down").await;
    assert_eq!(house.visit(there[0]).await, "a");
    let metrics = house.metrics().await;
    assert_eq!(metrics.get(r#"roompin_pins_moved_total{to="a"}"#), Some(1.0));
    assert_eq!(metrics.get(r#"roompin_shard_state{shard="b",state="down"}"#), Some(1.0));
    assert!(metrics.get(r#"roompin_probe_results_total{probe="tcp",result="failed",shard="b"}"#) >= Some(1.0));

    // Nobody asks any more: pins expire, but for the one that a tunnel holds.
    assert!(house.reload(&with(&both, "{ttl: 1s}")).await);
    let metrics = house.until_metrics("pins expire", |m| m.get("roompin_table_entries") == Some(1.0)).await;
    assert_eq!(metrics.get("roompin_pins_expired_total"), Some(19.0));
    for family in FAMILIES {
        assert!(metrics.0.contains(&format!("\n# TYPE {family} ")), "{family} is missing:\n{}", metrics.0);
    }
    let text = metrics.0.clone();
    tokio::task::spawn_blocking(move || promtool(&text)).await.unwrap();

    // A shard that is removed takes its series along; one with a tunnel left, with the tunnel's end.
    assert!(house.reload(&with(&fixed(&[&a]), "{}")).await);
    let about = |m: &crate::house::Metrics, name: &str| {
        ["shard", "to", "from"].iter().any(|label| m.0.contains(&format!("{label}=\"{name}\"")))
    };
    house.until_metrics("the series of b are gone", |m| !about(m, "b")).await;
    let d = stub("d").await;
    assert!(house.reload(&with(&fixed(&[&d]), "{}")).await);
    house.until_shard("a", "is gone", serde_json::Value::is_null).await;
    let metrics = house.metrics().await;
    assert_eq!(metrics.get(r#"roompin_tunnels_open{shard="a"}"#), Some(1.0), "{}", metrics.0);
    assert_eq!(metrics.get(r#"roompin_shard_present{shard="a"}"#), Some(0.0));
    kept.leave().await;
    let metrics = house.until_metrics("the series of a are gone", |m| !about(m, "a")).await;
    tokio::task::spawn_blocking(move || promtool(&metrics.0)).await.unwrap();
}
