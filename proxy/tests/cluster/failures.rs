//! Rows of the table of failures in `docs/cluster.md` that have no file of their own.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    clients::{Seats, knock, pairs},
    house::{client, rooms},
    town::{Town, whole},
};

/// A process that stands still keeps its connections and says nothing.
#[tokio::test]
async fn a_replica_that_hangs_moves_no_room_and_is_let_back_in() {
    let town = Town::of(3, 3).await;
    let known = rooms("known", 60);
    let seats = town.house(0).visit_all(&known).await;
    let mut tunnel = town.house(2).tunnel("known0").await;
    assert_eq!(tunnel.who().await, seats["known0"]);

    town.house(2).process.signal("STOP");
    let hung = Instant::now();
    let fronts = [0, 1].map(|n| town.house(n).front());
    let found = Seats::default();
    // From the first moment on, and long after it is given up.
    let noticed = async {
        for n in [0, 1] {
            town.replicas[n].until_members("two", |members| whole(members, 2)).await;
        }
        hung.elapsed()
    };
    let (noticed, ()) = tokio::join!(noticed, pairs(&fronts, "new", 300, 4, &found));
    println!(
        "a hung replica was given up after {noticed:?}; {} claims were answered by successors, {} by nobody",
        town_sum(&town, "successor").await,
        town_sum(&town, "fallback").await
    );
    assert_eq!(found.split(), []);
    for n in [0, 1] {
        assert_eq!(town.house(n).visit_all(&known).await, seats);
    }
    sleep(Duration::from_secs(4).saturating_sub(hung.elapsed())).await;
    town.house(2).process.signal("CONT");
    for replica in &town.replicas {
        replica.until_members("three", |members| whole(members, 3)).await;
    }
    // It has slept through 300 rooms, and knows them.
    assert_eq!(town.house(2).visit_all(&known).await, seats);
    for n in 0..300 {
        let room = format!("new{n}");
        found.saw(&room, &town.house(2).visit(&room).await);
    }
    assert_eq!(found.split(), []);
    assert!(tunnel.is_open().await, "its people are where they were");
    assert_eq!(town.sum("roompin_pins_moved_total", "").await, 0.0);
    // When it wakes it may decide what it was asked before it slept. The others' decision is older and stands.
    println!("{} conflicts", town.sum("roompin_conflicts_total", "").await);
}

/// Over the two that can answer.
async fn town_sum(town: &Town, outcome: &str) -> f64 {
    let mut sum = 0.0;
    for n in [0, 1] {
        sum += town.house(n).metrics().await.sum("roompin_claim_seconds_count", outcome);
    }
    sum
}

#[tokio::test]
async fn what_all_replicas_knew_is_on_disk_when_all_are_killed_at_once() {
    let mut town = Town::with_more(3, 3, "", "snapshot: {path: pins, interval: 1s}\n").await;
    let names = rooms("room", 200);
    let seats = town.house(0).visit_all(&names).await;
    for replica in &town.replicas {
        let written = |metrics: &crate::house::Metrics| metrics.get(r#"roompin_snapshot_writes_total{result="ok"}"#);
        let so_far = written(&replica.house.metrics().await).unwrap_or_default();
        // The first of two may have begun before the last pin came.
        replica.house.until_metrics("two snapshots were written", |m| written(m) >= Some(so_far + 2.0)).await;
    }
    for replica in &mut town.replicas {
        replica.house.process.kill();
    }
    for replica in &mut town.replicas {
        replica.house.process.restart();
    }
    town.ready().await;
    for n in 0..3 {
        assert_eq!(town.house(n).visit_all(&names).await, seats, "through {n}");
    }
    assert_eq!(town.sum("roompin_pins_made_total", "").await, 0.0);
    assert_eq!(town.sum("roompin_pins_moved_total", "").await, 0.0);
}

#[tokio::test]
async fn a_full_table_refuses_new_rooms_everywhere_and_moves_none() {
    const MOST: usize = 40;
    let town = Town::with_more(3, 2, "", "rooms: {max_pins: 40}\n").await;
    let names = rooms("room", MOST);
    let seats = town.house(0).visit_all(&names).await;
    let http = client();
    for n in 0..2 {
        let full = |metrics: &crate::house::Metrics| metrics.get("roompin_table_entries") == Some(MOST as f64);
        town.house(n).until_metrics("the table is full", full).await;
        for room in rooms("new", 5) {
            let answer = knock(&http, town.house(n).front(), &room).await;
            assert_eq!(answer, Err("status 503 Service Unavailable".into()), "{room} through {n}");
        }
    }
    for n in 0..2 {
        assert_eq!(town.house(n).visit_all(&names).await, seats, "through {n}");
        assert_eq!(town.house(n).metrics().await.get("roompin_table_entries"), Some(MOST as f64));
    }
    let refused = town.sum("roompin_front_refusals_total", r#"reason="table_full""#).await;
    assert_eq!(refused, 10.0);
    assert_eq!(town.sum("roompin_pins_moved_total", "").await, 0.0);
}
