//! Limits of the configuration: reached, they refuse what is new and keep what is there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    stage::{Stage, until},
    wire::{RawShard, get, upgrade},
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

/// Who takes an answer slowly gets all of it; who does not take it at all is given up, with its connection to the shard.
#[tokio::test]
async fn a_client_that_never_reads_its_answer_is_given_up_and_a_slow_one_is_not() {
    /// More than kernels keep for somebody.
    const BODY: usize = 32 << 20;
    const SLOW: usize = 20;
    const PART: usize = 1 << 20;
    let shard = RawShard::start(|mut wire, head| async move {
        let slowly = head.contains("room=slow");
        let length = if slowly { SLOW * PART } else { BODY };
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")).await;
        let (mut tcp, _) = wire.into_parts();
        // It is cut off in the middle of the large one.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, &vec![b'x'; length]).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "front: { write_timeout: 1s }\n").await;
    let mut stuck = stage.connect().await;
    stuck.send(get("/http-bind?room=stuck")).await;
    until("its answer to come", async || shard.open() == 1).await;
    let began = Instant::now();

    let mut slow = stage.connect().await;
    slow.send(get("/http-bind?room=slow")).await;
    let head = slow.head().await.expect("an answer");
    for _ in 0..SLOW {
        assert!(slow.exactly(PART).await.iter().all(|&byte| byte == b'x'), "{head}");
        sleep(Duration::from_millis(100)).await;
    }
    until("the stuck one to be given up", async || {
        shard.open() == 0 && stage.metric("roompin_connections_open").await <= 1.0
    })
    .await;
    let after = began.elapsed();
    assert!(after < Duration::from_secs(10), "{after:?}");
    // What it finds when it looks at last is not the whole answer.
    let rest = stuck.rest().await.len();
    assert!(rest < BODY, "{rest}");
}
