//! Many requests on one connection: one after the other, all at once, early, late, and a tunnel at the end.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time::sleep};

use crate::{
    stage::{Stage, stub, until},
    wire::{RawShard, get, upgrade},
};

fn post(room: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /http-bind?room={room} HTTP/1.1\r\nHost: m\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn chunked(room: &str, chunks: &[&str]) -> String {
    let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("POST /http-bind?room={room} HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

#[tokio::test]
async fn a_hundred_requests_and_then_a_tunnel_share_a_connection() {
    let (stage, stub) = Stage::with_stub("").await;
    let mut wire = stage.connect().await;
    for turn in 0..100 {
        let room = format!("room-{}", turn % 7);
        let request = match turn % 3 {
            0 => get(&format!("/http-bind?room={room}")),
            1 => post(&room, "<body/>"),
            _ => chunked(&room, &["<bo", "dy/>"]),
        };
        let answer = wire.ask(request).await;
        assert_eq!((answer.status, answer.stub()), (200, "s1"), "turn {turn}");
    }
    assert_eq!(stub.hits(), 100);
    assert_eq!(stage.metric("roompin_connections_total").await, 1.0);
    let answer = wire.ask(upgrade("room-1", "")).await;
    assert_eq!(answer.status, 101);
    until("the stub's tunnel", async || stub.tunnels() == 1).await;
    // A masked text frame "who"; the stub says its name.
    wire.send([0x81, 0x83, 0, 0, 0, 0, b'w', b'h', b'o']).await;
    assert_eq!(wire.exactly(4).await, b"\x81\x02s1");
}

/// Requests that do not wait for answers are answered in order, each routed on its own.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order_each_by_its_own_shard() {
    let (a, b) = (stub("a").await, stub("b").await);
    let stage = Stage::new(&[("a", a.addr), ("b", b.addr)], "").await;
    // Who has which room?
    let mut homes = Vec::new();
    for turn in 0..8 {
        let room = format!("room-{turn}");
        homes.push(stage.connect().await.ask(get(&format!("/http-bind?room={room}"))).await.stub().to_owned());
    }
    assert!(homes.contains(&"a".to_owned()) && homes.contains(&"b".to_owned()), "{homes:?}");
    type Make = fn(&str) -> String;
    let kinds: [(&str, Make); 3] = [
        ("GET", |room| get(&format!("/http-bind?room={room}"))),
        ("POST", |room| post(room, "<body/>")),
        ("chunked", |room| chunked(room, &["<body/>"])),
    ];
    for (first, make_first) in kinds {
        for (second, make_second) in kinds {
            // In one segment.
            let mut wire = stage.connect().await;
            wire.send(
                (0..8)
                    .map(|turn| if turn % 2 == 0 { make_first } else { make_second }(&format!("room-{turn}")))
                    .collect::<String>(),
            )
            .await;
            for (turn, home) in homes.iter().enumerate() {
                let answer = wire.answer().await;
                assert_eq!((answer.status, answer.stub()), (200, home.as_str()), "{first}, {second}: turn {turn}");
            }
        }
    }
}

/// The second head comes while the shard still works on the first.
#[tokio::test]
async fn a_request_that_comes_early_waits_its_turn() {
    let (stage, stub) = Stage::with_stub("").await;
    stub.set_delay(Duration::from_millis(300));
    for first in [get("/http-bind?room=a"), post("a", "<body/>"), chunked("a", &["<body/>"])] {
        let mut wire = stage.connect().await;
        let hits = stub.hits();
        wire.send(&first).await;
        until("the first to arrive", async || stub.hits() == hits + 1).await;
        wire.send(post("b", "<body sid='none'/>")).await;
        // And a third in pieces.
        let third = get("/config.js?room=c");
        wire.send(&third[..20]).await;
        assert_eq!(wire.answer().await.status, 200, "after {first:?}");
        assert!(wire.answer().await.text().contains("item-not-found"), "after {first:?}");
        wire.send(&third[20..]).await;
        assert!(wire.answer().await.text().contains("deploymentInfo"), "after {first:?}");
    }
}

/// More requests ahead than the proxy keeps: it stops reading, and goes on when it can.
#[tokio::test]
async fn many_requests_ahead_are_all_answered() {
    let (stage, stub) = Stage::with_stub("").await;
    stub.set_delay(Duration::from_millis(5));
    let count = 300;
    let wire = stage.connect().await;
    let (tcp, _) = wire.into_parts();
    let (read, mut write) = tcp.into_split();
    let sending = tokio::spawn(async move {
        for turn in 0..count {
            let request = format!("GET /http-bind?room=r HTTP/1.1\r\nHost: m\r\nX-Pad: {turn:0300}\r\n\r\n");
            write.write_all(request.as_bytes()).await.expect("the proxy takes it in time");
        }
        write
    });
    let mut read = tokio::io::BufReader::new(read);
    let mut lines = 0;
    let mut line = String::new();
    while lines < count {
        line.clear();
        let read =
            tokio::time::timeout(crate::wire::LIMIT, tokio::io::AsyncBufReadExt::read_line(&mut read, &mut line));
        assert!(read.await.expect("in time").expect("text") > 0, "ended after {lines} answers");
        lines += u32::from(line.starts_with("HTTP/1.1 200"));
    }
    drop(sending.await);
    assert_eq!(stub.hits(), 300);
}

#[tokio::test]
async fn http_1_0_closes_unless_it_asks_otherwise() {
    let (stage, _stub) = Stage::with_stub("").await;
    let mut wire = stage.connect().await;
    let answer = wire.ask("GET /http-bind?room=a HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status, answer.stub()), (200, "s1"));
    wire.ended().await;

    let mut wire = stage.connect().await;
    for _ in 0..3 {
        let answer = wire.ask("GET /http-bind?room=a HTTP/1.0\r\nHost: m\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(answer.status, 200);
        assert!(answer.fields("transfer-encoding").is_empty(), "{}", answer.head);
        assert!(
            answer.fields("connection").iter().any(|word| word.eq_ignore_ascii_case("keep-alive")),
            "{}",
            answer.head
        );
    }

    let mut wire = stage.connect().await;
    let answer = wire.ask("GET /http-bind?room=a HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.field("connection"), Some("close"));
    wire.ended().await;
}

/// A kept-alive connection idles for `front.keepalive` and no longer; nothing is said at its end.
#[tokio::test]
async fn an_idle_connection_is_closed_after_keepalive() {
    let (stage, _stub) = Stage::with_stub("front: { keepalive: 1s, head_timeout: 10s }\n").await;
    let mut wire = stage.connect().await;
    assert_eq!(wire.ask(get("/http-bind?room=a")).await.status, 200);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(wire.ask(get("/http-bind?room=a")).await.status, 200);
    wire.ended().await;
    until("its place to be free", async || stage.metric("roompin_connections_open").await == 0.0).await;
}

/// A client that leaves while the shard works takes the shard's connection with it.
#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let shard = RawShard::start(|mut wire, _| async move {
        // Ends when the proxy hangs up, and says nothing.
        wire.rest().await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    for request in [get("/http-bind?room=a"), post("a", "<body/>"), chunked("a", &["<body/>"])] {
        let mut wire = stage.connect().await;
        wire.send(request).await;
        until("the shard to have it", async || shard.open() == 1).await;
        drop(wire);
        until("the shard to be let go", async || shard.open() == 0).await;
    }
    stage.metric_reaches("roompin_requests_total{outcome=\"client_gone\",shard=\"s1\"}", 3.0).await;
    assert_eq!(stage.metric("roompin_connections_open").await, 0.0);
}
