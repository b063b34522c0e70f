//! Limits of the configuration: reached, they refuse what is new and keep what is there.

use crate::{
    stage::{Stage, until},
    wire::{get, upgrade},
};

#[tokio::test]
async fn more_than_max_connections_are_closed_and_counted() {
    let (stage, _stub) = Stage::with_stub("front: { max_connections: 8 }\n").await;
    let mut inside = Vec::new();
    for turn in 0..8 {
        let mut wire = stage.connect().await;
        let status = if turn % 2 == 0 { 101 } else { 200 };
        let request = if turn % 2 == 0 { upgrade("a", "") } else { get("/http-bind?room=a") };
        assert_eq!(wire.ask(request).await.status, status);
        inside.push(wire);
    }
    for _ in 0..5 {
        stage.connect().await.ended().await;
    }
    let refused = "roompin_front_refusals_total{reason=\"too_many_connections\"}";
    assert_eq!(stage.metric(refused).await, 5.0);
    // Those inside do not notice, and a place is taken as soon as it is free.
    assert_eq!(inside[1].ask(get("/http-bind?room=a")).await.status, 200);
    inside.truncate(6);
    until("two places to be free", async || stage.metric("roompin_connections_open").await <= 6.0).await;
    assert_eq!(stage.connect().await.ask(get("/http-bind?room=a")).await.status, 200);
}

#[tokio::test]
async fn a_full_table_refuses_new_rooms_only() {
    let (stage, stub) = Stage::with_stub("rooms: { max_pins: 3 }\n").await;
    for room in ["a", "b", "c"] {
        assert_eq!(stage.connect().await.ask(get(&format!("/http-bind?room={room}"))).await.status, 200);
    }
    let hits = stub.hits();
    for request in [get("/http-bind?room=d"), upgrade("d", "")] {
        let answer = stage.connect().await.ask(request).await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")));
    }
    assert_eq!(stub.hits(), hits);
    for room in ["a", "b", "c"] {
        assert_eq!(stage.connect().await.ask(get(&format!("/http-bind?room={room}"))).await.status, 200);
        assert_eq!(stage.connect().await.ask(upgrade(room, "")).await.status, 101);
    }
    // Neither needs a pin.
    for target in ["/AnyPage", "/static/x.js"] {
        assert_eq!(stage.connect().await.ask(get(target)).await.status, 200);
    }
    assert_eq!(stage.metric("roompin_front_refusals_total{reason=\"table_full\"}").await, 2.0);
}
