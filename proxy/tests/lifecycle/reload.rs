//! SIGHUP: what may change changes at once, and a file that cannot be taken changes nothing.

use loadtest::stub::StubShard;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::house::{House, fixed, rooms, stub};

#[tokio::test]
async fn shards_come_lose_their_weight_and_go() {
    let (a, b, c) = (stub("a").await, stub("b").await, stub("c").await);
    let house = House::start(&fixed(&[&a, &b])).await;
    let first = rooms("first", 30);
    let seats = house.visit_all(&first).await;
    let on_b = seats.values().filter(|&seat| seat == "b").count();

    assert!(house.reload(&fixed(&[&a, &b, &c])).await);
    house.until_shard("c", "is there", |shard| shard["state"] == "ready").await;
    assert_eq!(house.visit_all(&first).await, seats, "nobody moves for a new shard");
    let second = house.visit_all(&rooms("second", 30)).await;
    assert!(second.values().any(|seat| seat == "c"), "{second:?}");

    let weightless = fixed(&[&a, &b, &c]).replace("name: c,", "name: c, weight: 0,");
    assert!(house.reload(&weightless).await);
    house.until_shard("c", "has no weight", |shard| shard["weight"] == 0 && shard["state"] == "draining").await;
    assert_eq!(house.visit_all(&rooms("second", 30)).await, second, "its rooms stay");
    assert!(house.visit_all(&rooms("third", 30)).await.values().all(|seat| seat != "c"));
    assert_eq!(house.metrics().await.sum("roompin_pins_moved_total", ""), 0.0);

    assert!(house.reload(&fixed(&[&a, &c])).await);
    house.until_shard("b", "is gone", serde_json::Value::is_null).await;
    let after = house.visit_all(&first).await;
    for (room, seat) in &seats {
        assert_eq!(after[room] == *seat, seat != "b", "{room}: only the rooms of the removed shard move");
    }
    assert_eq!(house.metrics().await.sum("roompin_pins_moved_total", ""), on_b as f64);
    assert_eq!(house.metrics().await.get(r#"roompin_config_reloads_total{result="ok"}"#), Some(3.0));
}

#[tokio::test]
async fn limits_and_logs_change() {
    let a = stub("a").await;
    let house = House::start(&fixed(&[&a])).await;
    house.visit("one").await;
    let long = format!("/libs/{}.js", "x".repeat(1500));
    assert_eq!(house.get(&long).await.status, 200);
    assert!(!house.process.log().contains("DEBUG"));

    let tight = "front: {head_max_bytes: 1KiB, max_connections: 3}\nrooms: {max_pins: 1, parameter: conf}\nlog: {level: \"info,proxy=debug\"}\n";
    assert!(house.reload(&format!("{}{tight}", fixed(&[&a]))).await);
    assert_eq!(house.get(&long).await.status, 431);
    let full = house.get("/http-bind?conf=two").await;
    assert_eq!(full.status, 503, "{full:?}");
    assert_eq!(house.get("/http-bind?conf=one").await.status, 200, "a room in use is never forgotten");
    house.until_logged(&["DEBUG", "proxy::front", "refused"]).await;
    let metrics = house.metrics().await;
    assert_eq!(
        (metrics.get("roompin_table_limit"), metrics.get("roompin_table_refusals_total")),
        (Some(1.0), Some(1.0))
    );
    let mut many = Vec::new();
    for _ in 0..5 {
        many.push(TcpStream::connect(house.front()).await.unwrap());
    }
    house
        .until_metrics("too many connections are closed", |m| {
            m.get(r#"roompin_front_refusals_total{reason="too_many_connections"}"#) >= Some(2.0)
        })
        .await;
    assert_eq!(many[4].read(&mut [0; 1]).await.unwrap_or(0), 0);
    drop(many);

    assert!(house.reload(&fixed(&[&a])).await);
    assert_eq!(house.get(&long).await.status, 200);
    let log = house.process.log();
    house.visit("three").await;
    assert_eq!(house.process.log().matches("DEBUG").count(), log.matches("DEBUG").count());
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_logged() {
    let (a, b) = (stub("a").await, stub("b").await);
    let house = House::start(&fixed(&[&a])).await;
    let bad = format!("{}rooms: {{ttl: soon}}\nlog: {{level: debug, acess: all}}\n", fixed(&[&a, &b]));
    assert!(!house.reload(&bad).await);
    house.until_logged(&["roompin.yaml:7:14: rooms.ttl"]).await;
    house.until_logged(&["roompin.yaml:8:21: log.acess", "access"]).await;
    assert_eq!(house.metrics().await.get(r#"roompin_config_reloads_total{result="error"}"#), Some(1.0));
    assert!(house.shard("b").await.is_null(), "nor do the good parts of it count");
    assert_eq!(house.visit("x").await, "a");

    // Not even a file any more.
    std::fs::remove_file(house.file("roompin.yaml")).unwrap();
    assert!(!house.hang_up().await);

    // Fields that need a restart take everything else with them.
    let fixed_fields =
        format!("{}threads: 3\nupstream: {{pool_size: 7}}\nsnapshot: {{path: pins}}\n", fixed(&[&a, &b]));
    assert!(!house.reload(&fixed_fields).await);
    for field in ["threads: changing 0 to 3", "snapshot: changing off", "upstream.pool_size: changing 256 to 7"] {
        house.until_logged(&[field, "needs a restart"]).await;
    }
    assert!(house.shard("b").await.is_null());
    assert_eq!(house.metrics().await.get(r#"roompin_config_reloads_total{result="error"}"#), Some(3.0));
    assert!(house.reload(&fixed(&[&a, &b])).await, "a good one is taken after all that");
    house.until_shard("b", "is there", |shard| shard["state"] == "ready").await;
}

#[tokio::test]
async fn probes_and_their_counts_change() {
    let (a, b) = (stub("a").await, stub("b").await);
    let address = b.addr;
    let with = |probes: &str| format!("{}probes: {{tcp: {probes}}}\n", fixed(&[&a, &b]));
    let [off, quick, patient, fast] = [
        with("off"),
        with("{interval: 100ms, timeout: 100ms, rise: 1, fall: 1}"),
        with("{interval: 100ms, timeout: 100ms, rise: 100, fall: 1}"),
        with("{interval: 100ms, timeout: 100ms, rise: 2, fall: 1}"),
    ];
    let house = House::start(&quick).await;
    b.stop().await;
    let shard = house.until_shard("b", "is down", |shard| shard["state"] == "down").await;
    assert!(shard["why"].as_str().unwrap().starts_with("TCP probe: "), "{shard}");

    // Nobody probes any more, so nobody could ever say that it is back.
    assert!(house.reload(&off).await);
    assert_eq!(house.shard("b").await["state"], "ready");

    assert!(house.reload(&patient).await);
    house.until_shard("b", "is down again", |shard| shard["state"] == "down").await;
    let _b = StubShard::start("b", address).await.unwrap();
    let ok = |m: &crate::house::Metrics| m.get(r#"roompin_probe_results_total{probe="tcp",result="ok",shard="b"}"#);
    let before = ok(&house.metrics().await).unwrap_or_default();
    house.until_metrics("probes succeed", |m| ok(m) >= Some(before + 5.0)).await;
    assert_eq!(house.shard("b").await["state"], "down", "a hundred successes take longer");
    assert!(house.reload(&fast).await);
    house.until_shard("b", "is back", |shard| shard["state"] == "ready").await;
    assert!(ok(&house.metrics().await) < Some(before + 99.0), "and it was not the hundredth success");
}
