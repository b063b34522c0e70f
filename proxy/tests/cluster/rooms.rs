//! Nobody sits alone: invariant 1, through whichever replicas people come.

use std::time::Duration;

use crate::{
    clients::{Seats, knock, pairs},
    house::{client, fixed, rooms, until},
    support::Port,
    town::Town,
};

async fn no_splits(replicas: usize, count: usize) {
    let town = Town::of(4, replicas).await;
    let fronts: Vec<_> = town.replicas.iter().map(|replica| replica.house.front()).collect();
    let seats = Seats::default();
    pairs(&fronts, "new", count, 12, &seats).await;
    assert_eq!(seats.rooms(), count);
    let fallbacks = town.sum("roompin_claim_seconds_count", "fallback").await;
    let unconfirmed = town.sum("roompin_claims_unconfirmed_total", "").await;
    println!("{replicas} replicas, {count} rooms: {fallbacks} fallbacks, {unconfirmed} unconfirmed");
    assert_eq!(seats.split(), [], "{fallbacks} fallbacks, {unconfirmed} unconfirmed");
    assert_eq!(town.sum("roompin_conflicts_total", "").await, 0.0);
    assert_eq!(town.sum("roompin_pins_made_total", "").await, count as f64, "each room is decided once");
    // Everybody knows everything: no request needs another replica now.
    for replica in &town.replicas {
        let metrics = replica.house.metrics().await;
        assert_eq!(metrics.get("roompin_table_entries"), Some(count as f64));
    }
    let claims = town.sum("roompin_claim_seconds_count", "").await;
    pairs(&fronts, "new", 100, 4, &seats).await;
    assert_eq!(seats.split(), []);
    assert_eq!(town.sum("roompin_claim_seconds_count", "").await, claims, "a known room costs no claim");
}

#[tokio::test]
async fn two_first_requests_through_two_replicas_meet() {
    no_splits(2, 3_000).await;
}

#[tokio::test]
async fn two_first_requests_through_three_replicas_meet() {
    no_splits(3, 2_000).await;
}

#[tokio::test]
async fn two_first_requests_through_five_replicas_meet() {
    no_splits(5, 2_000).await;
}

/// One replica's network to a healthy shard is cut: it may not speak for all.
#[tokio::test]
async fn a_shard_that_one_replica_cannot_reach_keeps_its_rooms() {
    let mut town = Town::new(2).await;
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let peers: Vec<_> = ports.iter().map(Port::address).collect();
    // Nobody listens there.
    let nowhere = Port::reserve();
    for (n, port) in ports.into_iter().enumerate() {
        let mut plan = town.plan(peers.clone());
        if n == 2 {
            plan.shards = fixed(&[&town.shards[0]])
                + &format!("    - {{name: {}, address: \"{}\"}}\n", town.shards[1].name, nowhere.address());
        }
        town.launch(port, &plan);
    }
    town.ready().await;
    let http = client();
    let seats = town.house(0).visit_all(&rooms("room", 30)).await;
    let there: Vec<_> = seats.iter().filter(|(_, shard)| *shard == "s1").map(|(room, _)| room).collect();
    assert!(there.len() > 3, "{seats:?}");
    let mut tunnel = town.house(1).tunnel(there[0]).await;
    // Long enough for its probes to fail several times over, and for all to hear of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for replica in 0..3 {
        let shard = town.house(replica).shard("s1").await;
        assert_eq!(shard["state"], "ready", "two of three say so: {shard}");
    }
    for (room, shard) in &seats {
        assert_eq!(knock(&http, town.house(1).front(), room).await.as_ref(), Ok(shard));
        let cut_off = knock(&http, town.house(2).front(), room).await;
        if shard == "s0" {
            assert_eq!(cut_off.as_ref(), Ok(shard));
        } else {
            assert_eq!(cut_off, Err("status 503 Service Unavailable".into()), "not another shard");
        }
    }
    assert!(tunnel.is_open().await);
    assert_eq!(town.house(0).visit_all(&rooms("room", 30)).await, seats, "nobody has moved");
    assert_eq!(town.sum("roompin_pins_moved_total", "").await, 0.0);
}

/// A shard that is really dead is dead for all, and its rooms move once, together.
#[tokio::test]
async fn rooms_of_a_dead_shard_meet_again_on_another() {
    let mut town = Town::of(3, 3).await;
    let seats = town.house(0).visit_all(&rooms("room", 60)).await;
    let lost: Vec<_> = seats.iter().filter(|(_, shard)| *shard == "s2").map(|(room, _)| room.clone()).collect();
    assert!(lost.len() > 5, "{seats:?}");
    town.shards.remove(2).stop().await;
    for replica in &town.replicas {
        replica.house.until_shard("s2", "down", |shard| shard["state"] == "down").await;
    }
    let fronts: Vec<_> = town.replicas.iter().map(|replica| replica.house.front()).collect();
    let (http, found) = (client(), Seats::default());
    for room in &lost {
        let [a, b, c] = [0, 1, 2].map(|n| knock(&http, fronts[n], room));
        let (a, b, c) = tokio::join!(a, b, c);
        [a, b, c].into_iter().for_each(|shard| found.saw(room, &shard.unwrap()));
    }
    assert_eq!(found.split(), []);
    let moved = town.sum("roompin_pins_moved_total", "").await;
    assert_eq!(moved, lost.len() as f64, "each is decided once");
    until("all agree", async || {
        let mut views = Vec::new();
        for replica in &town.replicas {
            views.push(
                replica.house.json("/v1/rooms?limit=1000").await["rooms"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|room| (room["key"].to_string(), room["shard"].to_string()))
                    .collect::<Vec<_>>(),
            );
        }
        views.windows(2).all(|pair| pair[0] == pair[1])
    })
    .await;
}
