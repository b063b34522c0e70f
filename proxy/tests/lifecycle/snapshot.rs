//! Acceptance 7: what a crash, a damaged file and an orderly end do to the pins.

use std::{collections::BTreeMap, fs, time::Duration};

use crate::house::{House, fixed, rooms, stub};

const SNAPSHOT: &str = "snapshot: {path: pins, interval: 1s}\nshutdown: {drain_delay: 0, drain_window: 0}\n";

/// Every pinned room's key and shard, as the admin port lists them.
async fn pins(house: &House) -> BTreeMap<String, String> {
    let list = house.json("/v1/rooms?limit=1000").await;
    assert!(list["next"].is_null(), "more than a page");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    list["rooms"].as_array().expect("a list").iter().map(|room| (text(&room["key"]), text(&room["shard"]))).collect()
}

#[tokio::test]
async fn pins_outlive_a_crash_and_a_damaged_snapshot_is_set_aside() {
    let (a, b) = (stub("a").await, stub("b").await);
    let mut house = House::start(&format!("{}{SNAPSHOT}", fixed(&[&a, &b]))).await;
    let rooms = rooms("room", 600);
    let seats = house.visit_all(&rooms).await;
    let _tunnel = house.tunnel("held").await;
    let before = pins(&house).await;
    assert_eq!(before.len(), 601);
    let written = |metrics: &crate::house::Metrics| metrics.get(r#"roompin_snapshot_writes_total{result="ok"}"#);
    let so_far = written(&house.metrics().await).unwrap_or_default();
    // The first of two may have begun before the last pin was made.
    house.until_metrics("two snapshots were written", |m| written(m) >= Some(so_far + 2.0)).await;

    house.process.restart();
    house.ready().await;
    assert_eq!(pins(&house).await, before);
    assert_eq!(house.visit_all(&rooms).await, seats);
    let metrics = house.metrics().await;
    assert_eq!(metrics.get("roompin_snapshot_restored_pins"), Some(601.0));
    assert_eq!(metrics.get("roompin_pins_found_total"), Some(600.0));
    assert_eq!(metrics.sum("roompin_pins_made_total", "") + metrics.sum("roompin_pins_moved_total", ""), 0.0);

    house.process.kill();
    let mut bytes = fs::read(house.file("pins")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(house.file("pins"), &bytes).unwrap();
    house.process.restart();
    house.ready().await;
    let line = house.until_logged(&["WARN", "set aside", "error="]).await;
    let aside = fs::read_dir(house.process.folder()).unwrap().map(|entry| entry.unwrap().path());
    let aside: Vec<_> = aside.filter(|path| path.to_string_lossy().contains("pins.damaged-")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(line.contains(&*aside[0].to_string_lossy()), "{line}");
    assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "kept as it was, for a human to look at");
    assert_eq!(pins(&house).await.len(), 0);
    house.visit("room0").await;
}

#[tokio::test]
async fn an_orderly_end_loses_nothing() {
    let (a, b) = (stub("a").await, stub("b").await);
    let body = format!("{}{}", fixed(&[&a, &b]), SNAPSHOT.replace("1s", "1h"));
    let mut house = House::start(&body).await;
    let rooms = rooms("room", 500);
    let seats = house.visit_all(&rooms).await;
    let before = pins(&house).await;
    assert!(!house.file("pins").exists(), "the interval is far away");
    house.process.signal("TERM");
    assert!(house.process.wait(Duration::from_secs(15)).await.success());
    house.process.restart();
    house.ready().await;
    assert_eq!(pins(&house).await, before);
    assert_eq!(house.visit_all(&rooms).await, seats);
}

#[tokio::test]
async fn pins_of_a_shard_that_is_not_there_yet_wait_for_it() {
    let (a, b) = (stub("a").await, stub("b").await);
    let mut house = House::start(&format!("{}{SNAPSHOT}", fixed(&[&a, &b]))).await;
    let rooms = rooms("room", 20);
    let seats = house.visit_all(&rooms).await;
    house.process.signal("TERM");
    assert!(house.process.wait(Duration::from_secs(15)).await.success());
    // Started again before discovery knows of b.
    house.write(&format!("{}{SNAPSHOT}", fixed(&[&a])));
    house.process.restart();
    house.ready().await;
    let (of_b, of_a): (Vec<_>, Vec<_>) = rooms.iter().partition(|room| seats[*room] == "b");
    let waiting = house.get(&format!("/http-bind?room={}", of_b[0])).await;
    assert_eq!((waiting.status, waiting.shard), (503, None), "not moved to a");
    assert!(waiting.headers.contains_key("retry-after"));
    assert_eq!(house.visit(of_a[0]).await, "a");
    assert!(house.reload(&format!("{}{SNAPSHOT}", fixed(&[&a, &b]))).await);
    house.until_shard("b", "is listed", |shard| shard["present"] == true).await;
    assert_eq!(house.visit_all(&rooms).await, seats);
}
