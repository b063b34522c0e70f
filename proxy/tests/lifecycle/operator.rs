//! Orders at the admin port, and what `/readyz` says meanwhile.

use std::{fs, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    dns::{DnsServer, Mood},
    house::{House, WITH_TOKEN, fixed, rooms, stub, until},
};

#[tokio::test]
async fn a_drained_shard_keeps_its_rooms_and_a_downed_one_loses_them() {
    let (a, b) = (stub("a").await, stub("b").await);
    let house = House::start(&fixed(&[&a, &b])).await;
    let seats = house.visit_all(&rooms("room", 40)).await;
    let here: Vec<_> = seats.keys().filter(|room| seats[*room] == "a").collect();
    let there: Vec<_> = seats.keys().filter(|room| seats[*room] == "b").collect();
    assert!(here.len() > 3 && there.len() > 3, "{seats:?}");
    let mut tunnels = Vec::new();
    for room in &here[..3] {
        tunnels.push(house.tunnel(room).await);
    }
    let mut elsewhere = house.tunnel(there[0]).await;

    let answer = house.ask("POST", "/v1/shards/a/drain").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let shard = house.shard("a").await;
    assert_eq!((&shard["state"], &shard["operator"]), (&"draining".into(), &"draining".into()), "{shard}");
    assert_eq!((shard["rooms"].as_u64(), shard["tunnels"].as_u64()), (Some(here.len() as u64), Some(3)), "{shard}");
    assert_eq!(house.visit_all(&rooms("room", 40)).await, seats, "nobody moves");
    for seat in house.visit_all(&rooms("new", 20)).await.values() {
        assert_eq!(seat, "b");
    }
    for tunnel in &mut tunnels {
        assert!(tunnel.is_open().await);
    }
    let refused = house.ask_with("PUT", &format!("/v1/rooms/{}", there[0]), None, Some(json!({"shard": "a"}))).await;
    assert_eq!(refused.status, 409, "{refused:?}");

    assert_eq!(house.ask("POST", "/v1/shards/a/ready").await.status, 200);
    assert!(house.visit_all(&rooms("newer", 30)).await.values().any(|seat| seat == "a"));
    assert_eq!(house.metrics().await.sum("roompin_pins_moved_total", ""), 0.0);

    assert_eq!(house.ask("POST", "/v1/shards/a/down").await.status, 200);
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.closed().await.0, Some(1012), "its users are asked to come back, without any request");
    }
    assert!(elsewhere.is_open().await);
    for (room, seat) in house.visit_all(&rooms("room", 40)).await {
        assert_eq!(seat, "b", "{room}");
    }
    let moved = Some(here.len() as f64);
    assert_eq!(house.metrics().await.get(r#"roompin_pins_moved_total{to="b"}"#), moved);
    house
        .until_metrics("closed tunnels are counted", |m| {
            m.get(r#"roompin_tunnels_closed_total{reason="moved",shard="a"}"#) == Some(3.0)
        })
        .await;
    let unknown = house.ask("POST", "/v1/shards/z/down").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
}

#[tokio::test]
async fn a_room_is_moved_and_forgotten_by_hand() {
    let (a, b) = (stub("a").await, stub("b").await);
    let house = House::start(&fixed(&[&a, &b])).await;
    let at = house.visit("standup").await;
    let to = if at == "a" { "b" } else { "a" };
    let mut tunnel = house.tunnel("StandUp").await;
    assert_eq!(tunnel.who().await, at);
    let moved = house.ask_with("PUT", "/v1/rooms/standup", None, Some(json!({"shard": to}))).await;
    let said: serde_json::Value = serde_json::from_str(&moved.body).unwrap();
    assert_eq!((&said["outcome"], &said["tunnels_closing"]), (&"moved".into(), &1.into()), "{said}");
    assert_eq!(tunnel.closed().await.0, Some(1012));
    assert_eq!(house.visit("standup").await, to);
    assert_eq!(house.json("/v1/rooms/STANDUP").await["shard"], to);
    let forgotten = house.ask("DELETE", "/v1/rooms/standup").await;
    assert_eq!(forgotten.status, 200, "{forgotten:?}");
    assert_eq!(house.ask("GET", "/v1/rooms/standup").await.status, 404);
}

#[tokio::test]
async fn writes_need_the_token_and_a_reload_takes_a_new_one() {
    let a = stub("a").await;
    let body = format!("{WITH_TOKEN}{}", fixed(&[&a]));
    // Without the file there is nothing to compare with.
    let mut house = House::launch(&body);
    assert_eq!(house.process.wait(Duration::from_secs(15)).await.code(), Some(64));
    let set = |token: &str| fs::write(house.file("token"), format!("{token}\n")).unwrap();
    set("correct-horse-battery");
    house.process.restart();
    house.ready().await;
    let house = house;
    let drain = async |token| house.ask_with("POST", "/v1/shards/a/drain", token, None).await.status;
    assert_eq!(drain(None).await, 401);
    assert_eq!(drain(Some("guess")).await, 403);
    assert_eq!(house.shard("a").await["state"], "ready", "reads need none, and nothing has changed");
    assert_eq!(drain(Some("correct-horse-battery")).await, 200);
    for path in ["/healthz", "/readyz", "/metrics", "/v1/rooms"] {
        assert_eq!(house.ask("GET", path).await.status, 200, "{path}");
    }
    fs::write(house.file("token"), "another-horse-battery").unwrap();
    assert!(house.hang_up().await);
    assert_eq!(drain(Some("correct-horse-battery")).await, 403);
    assert_eq!(drain(Some("another-horse-battery")).await, 200);
}

#[tokio::test]
async fn with_dead_dns_it_says_what_it_waits_for_and_serves_all_the_same() {
    let dns = DnsServer::start().await;
    dns.mood("_http._tcp.web.test", Mood::Silent);
    let started = Instant::now();
    let house =
        House::launch(&format!("shards: {{dns: [{{srv: _http._tcp.web.test, servers: [\"{}\"]}}]}}\n", dns.address()));
    let http = crate::house::client();
    let readyz = async || http.get(house.admin_url("/readyz")).send().await;
    until("the admin port answers", async || readyz().await.is_ok()).await;
    assert_eq!(house.ask("GET", "/healthz").await.status, 200);
    let waiting = house.ask("GET", "/readyz").await;
    assert_eq!(waiting.status, 503, "{waiting:?}");
    assert!(waiting.body.contains("waiting for") && waiting.body.contains("dns:_http._tcp.web.test"), "{waiting:?}");
    assert_eq!(house.metrics().await.get("roompin_ready"), Some(0.0));
    until("it is ready", async || readyz().await.is_ok_and(|answer| answer.status() == 200)).await;
    assert!(started.elapsed() >= Duration::from_secs(4), "not at once");
    let refused = house.get("/http-bind?room=x").await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    house.until_logged(&["WARN", "have not answered yet", "dns:_http._tcp.web.test"]).await;
    let metrics = house.metrics().await;
    assert_eq!(metrics.get(r#"roompin_front_refusals_total{reason="no_shard"}"#), Some(1.0));
}

#[tokio::test]
async fn told_to_leave_while_it_waits_it_leaves() {
    let dns = DnsServer::start().await;
    dns.mood("_http._tcp.web.test", Mood::Silent);
    let mut house =
        House::launch(&format!("shards: {{dns: [{{srv: _http._tcp.web.test, servers: [\"{}\"]}}]}}\n", dns.address()));
    let http = crate::house::client();
    until("the admin port answers", async || http.get(house.admin_url("/readyz")).send().await.is_ok()).await;
    house.process.signal("TERM");
    assert!(house.process.wait(Duration::from_secs(15)).await.success());
    assert!(!house.process.log().contains("have not answered yet"), "it did not wait for that");
}
