//! Acceptance 6: shards come and go in DNS, and rooms move only when a shard is really gone.

use std::{collections::BTreeMap, time::Duration};

use loadtest::stub::StubShard;
use tokio::time::sleep;

use crate::{
    dns::DnsServer,
    house::{House, QUICK_PROBES, fixed, rooms, stub, until},
};

const SERVICE: &str = "_http._tcp.web.test";
const HOLD_DOWN: Duration = Duration::from_secs(2);

/// Tells DNS about shards: a target per stub, named after it.
fn announce(dns: &DnsServer, stubs: &[&StubShard]) {
    let targets: Vec<_> = stubs.iter().map(|stub| (format!("{}.test", stub.name), stub.addr)).collect();
    for (target, address) in &targets {
        dns.host(target, 0, &[&address.ip().to_string()]);
    }
    let records: Vec<_> = targets.iter().map(|(target, address)| (0, 0, address.port(), target.as_str())).collect();
    dns.service(SERVICE, 0, &records);
}

fn body(dns: &DnsServer) -> String {
    format!(
        "shards: {{dns: [{{srv: {SERVICE}, servers: [\"{}\"], hold_down: 2s, min_refresh: 100ms, max_refresh: 200ms}}]}}\n\
         {QUICK_PROBES}",
        dns.address()
    )
}

fn on(seats: &BTreeMap<String, String>, shard: &str) -> usize {
    seats.values().filter(|&at| at == shard).count()
}

#[tokio::test]
async fn rooms_stay_through_thin_answers_and_new_addresses_and_leave_a_shard_that_is_gone() {
    let (a, b) = (stub("a").await, stub("b").await);
    let dns = DnsServer::start().await;
    announce(&dns, &[&a, &b]);
    let house = House::start(&body(&dns)).await;
    let rooms = rooms("room", 40);
    let seats = house.visit_all(&rooms).await;
    let on_b = on(&seats, "b");
    assert!(on_b > 0 && on_b < rooms.len(), "{seats:?}");
    let of_a = rooms.iter().find(|room| seats[*room] == "a").expect("some are there");
    let mut tunnel = house.tunnel(of_a).await;
    assert_eq!(tunnel.who().await, "a");

    // One thin answer, or a few less than two in a row.
    let asked = dns.questions();
    announce(&dns, &[&a]);
    until("DNS is asked again", async || dns.questions() != asked).await;
    announce(&dns, &[&a, &b]);
    assert_eq!(house.visit_all(&rooms).await, seats);

    // Missing for good as far as anybody knows, but not for as long as the hold-down.
    announce(&dns, &[&a]);
    let kept = house.until_shard("b", "is missing in DNS", |shard| shard["present"] == false).await;
    assert_eq!((kept["state"].as_str(), kept["rooms"].as_u64()), (Some("ready"), Some(on_b as u64)), "{kept}");
    assert_eq!(house.visit_all(&rooms).await, seats, "a shard in its hold-down is as good as any");
    announce(&dns, &[&a, &b]);
    house.until_shard("b", "is back", |shard| shard["present"] == true).await;
    assert_eq!(house.visit_all(&rooms).await, seats);

    // Another address under the same name.
    b.stop().await;
    let b = StubShard::start("b", "127.0.0.2:0".parse().unwrap()).await.unwrap();
    announce(&dns, &[&a, &b]);
    let address = b.addr.to_string();
    house
        .until_shard("b", "has its new address", |shard| {
            shard["addresses"][0].as_str() == Some(address.as_str()) && shard["state"] == "ready"
        })
        .await;
    assert_eq!(house.visit_all(&rooms).await, seats, "pins follow the name");
    assert_eq!(b.rooms_seen().len(), on_b, "the rooms of b, and no others, are at its new address");
    let metrics = house.metrics().await;
    assert_eq!(metrics.sum("roompin_pins_moved_total", ""), 0.0);
    assert_eq!(metrics.sum("roompin_pins_made_total", ""), 40.0);

    // Really gone.
    announce(&dns, &[&a]);
    let gone_at = tokio::time::Instant::now();
    house.until_shard("b", "is gone", serde_json::Value::is_null).await;
    assert!(gone_at.elapsed() >= HOLD_DOWN, "not before its hold-down is over");
    assert_eq!(on(&house.visit_all(&rooms).await, "a"), rooms.len());
    let metrics = house.metrics().await;
    assert_eq!(metrics.get(r#"roompin_pins_moved_total{to="a"}"#), Some(on_b as f64), "only they moved");
    assert!(!metrics.0.contains(r#"shard="b""#), "{}", metrics.0);
    assert!(tunnel.is_open().await, "the tunnel of a room that did not move is left alone");
    house.until_logged(&["room moved", "from=\"b\" to=\"a\""]).await;
}

#[tokio::test]
async fn shards_that_change_their_source_by_a_reload_keep_their_rooms() {
    let (a, b) = (stub("a").await, stub("b").await);
    let dns = DnsServer::start().await;
    announce(&dns, &[&a, &b]);
    let house = House::start(&fixed(&[&a, &b])).await;
    let rooms = rooms("room", 30);
    let seats = house.visit_all(&rooms).await;
    for (body, source) in [(body(&dns), "dns:_http._tcp.web.test"), (fixed(&[&a, &b]), "static")] {
        assert!(house.reload(&body).await);
        for shard in ["a", "b"] {
            house.until_shard(shard, "has changed its source", |shard| shard["source"] == source).await;
        }
        // Longer than the time in which the new source has to take the shards over.
        sleep(Duration::from_millis(5500)).await;
        assert_eq!(house.visit_all(&rooms).await, seats);
    }
    assert_eq!(house.metrics().await.sum("roompin_pins_moved_total", ""), 0.0);
}

#[tokio::test]
async fn a_dead_dns_server_moves_nobody() {
    let (a, b) = (stub("a").await, stub("b").await);
    let dns = DnsServer::start().await;
    announce(&dns, &[&a, &b]);
    let house = House::start(&body(&dns)).await;
    let rooms = rooms("room", 30);
    let seats = house.visit_all(&rooms).await;
    drop(dns);
    house.until_metrics("failed look-ups are counted", |m| m.sum("roompin_discovery_errors_total", "") >= 1.0).await;
    sleep(HOLD_DOWN + Duration::from_secs(1)).await;
    assert_eq!(house.visit_all(&rooms).await, seats);
    for shard in ["a", "b"] {
        let shard = house.shard(shard).await;
        assert_eq!((shard["present"].as_bool(), shard["state"].as_str()), (Some(true), Some("ready")), "{shard}");
    }
    assert_eq!(house.metrics().await.sum("roompin_pins_moved_total", ""), 0.0);
}
