//! What an operator tells one replica, all do.

use serde_json::json;

use crate::{
    house::{rooms, until},
    town::Town,
};

#[tokio::test]
async fn a_shard_drained_at_one_replica_is_drained_at_all() {
    let town = Town::of(2, 3).await;
    let seats = town.house(0).visit_all(&rooms("room", 30)).await;
    assert_eq!(town.house(1).ask("POST", "/v1/shards/s0/drain").await.status, 200);
    for n in 0..3 {
        let shard = town.house(n).until_shard("s0", "draining", |shard| shard["state"] == "draining").await;
        assert_eq!(shard["operator"], "draining", "{shard}");
    }
    for n in 0..3 {
        for (room, shard) in town.house(n).visit_all(&rooms(&format!("new{n}-"), 20)).await {
            assert_eq!(shard, "s1", "{room}");
        }
        assert_eq!(town.house(n).visit_all(&rooms("room", 30)).await, seats);
    }
    // Taken back elsewhere.
    assert_eq!(town.house(2).ask("POST", "/v1/shards/s0/ready").await.status, 200);
    for n in 0..3 {
        town.house(n).until_shard("s0", "ready", |shard| shard["state"] == "ready").await;
    }
}

#[tokio::test]
async fn a_shard_taken_down_at_one_replica_loses_its_tunnels_at_all() {
    let town = Town::of(2, 2).await;
    let seats = town.house(0).visit_all(&rooms("room", 20)).await;
    let room = seats.iter().find(|(_, shard)| *shard == "s0").expect("one of twenty").0;
    let (mut here, mut there) = (town.house(0).tunnel(room).await, town.house(1).tunnel(room).await);
    assert_eq!(town.house(0).ask("POST", "/v1/shards/s0/down").await.status, 200);
    assert_eq!(here.closed().await.0, Some(1012));
    town.house(1).until_shard("s0", "down", |shard| shard["state"] == "down").await;
    // The one who was closed comes back, and with that the room is elsewhere for all.
    assert_eq!(town.house(0).visit(room).await, "s1");
    assert_eq!(there.closed().await.0, Some(1012));
    assert_eq!(town.house(1).visit(room).await, "s1");
}

#[tokio::test]
async fn a_room_moved_or_ended_at_one_replica_is_so_at_all() {
    let town = Town::of(2, 3).await;
    let home = town.house(0).visit("standup").await;
    let other = if home == "s0" { "s1" } else { "s0" };
    let mut tunnels = Vec::new();
    for n in 0..3 {
        tunnels.push(town.house(n).tunnel("standup").await);
    }
    until("all tunnels are counted everywhere", async || {
        let shard = town.house(2).shard(&home).await;
        shard["tunnels"] == 1 && shard["tunnels_in_cluster"] == 3
    })
    .await;

    let moved = town.house(0).ask_with("PUT", "/v1/rooms/standup", None, Some(json!({"shard": other}))).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.closed().await.0, Some(1012), "everybody is sent there");
    }
    for (n, tunnel) in tunnels.iter_mut().enumerate() {
        *tunnel = town.house(n).tunnel("standup").await;
        assert_eq!(tunnel.who().await, other, "{n}");
    }

    let ended = town.house(1).ask("DELETE", "/v1/rooms/standup").await;
    assert_eq!(ended.status, 200, "{ended:?}");
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.closed().await.0, Some(1012));
    }
    for n in 0..3 {
        until("it is forgotten", async || town.house(n).ask("GET", "/v1/rooms/standup").await.status == 404).await;
    }
    // It stays forgotten, whatever repair finds; and then it is one room again.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(town.house(2).ask("GET", "/v1/rooms/standup").await.status, 404);
    let again = town.house(0).visit("standup").await;
    for n in 1..3 {
        assert_eq!(town.house(n).visit("standup").await, again);
    }
    assert_eq!(town.sum("roompin_conflicts_total", "").await, 0.0);
}

#[tokio::test]
async fn a_replica_alone_has_no_members() {
    let stub = crate::house::stub("s0").await;
    let house = crate::house::House::start(&crate::house::fixed(&[&stub])).await;
    assert_eq!(house.json("/v1/members").await, json!({"members": []}));
    let shard = house.shard("s0").await;
    assert_eq!(shard["tunnels_in_cluster"], 0, "{shard}");
}
