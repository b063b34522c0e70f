//! Shards that refuse, are silent, or talk nonsense.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    stage::{Stage, stub, until},
    support::Port,
    wire::{RawShard, get, upgrade},
};

/// A request that is bound to no shard goes to another one when the first refuses.
#[tokio::test]
async fn an_unbound_request_goes_to_another_shard() {
    let (dead, alive) = (Port::reserve(), stub("alive").await);
    let stage = Stage::new(&[("dead", dead.address()), ("alive", alive.addr)], "").await;
    for turn in 0..40 {
        // Half of the pages and of the roomless requests would have gone to the dead one.
        let target = if turn % 2 == 0 { format!("/Page{turn}") } else { "/static/app.js".to_owned() };
        let answer = stage.connect().await.ask(get(&target)).await;
        assert_eq!((answer.status, answer.stub()), (200, "alive"), "{target}");
    }
    assert!(stage.metric("roompin_requests_total{outcome=\"connect_failed\",shard=\"dead\"}").await > 0.0);
    // A roomless upgrade too.
    let colibri = upgrade("x", "").replace("/xmpp-websocket?room=x", "/colibri-ws/jvb-1/x");
    for _ in 0..10 {
        assert_eq!(stage.connect().await.ask(&colibri).await.status, 101);
    }
}

/// A body that has been sent on its way may not be lost by going elsewhere.
#[tokio::test]
async fn an_unbound_post_keeps_its_body_when_it_goes_elsewhere() {
    let dead = Port::reserve();
    let alive = RawShard::start(|mut wire, head| async move {
        let body = wire.body(&head).await;
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())).await;
        wire.send(body).await;
    })
    .await;
    let stage = Stage::new(&[("dead", dead.address()), ("alive", alive.addr)], "").await;
    let body = "x".repeat(50_000);
    for _ in 0..20 {
        let request = format!("POST /upload HTTP/1.1\r\nHost: m\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(stage.connect().await.ask(request).await.text(), body);
    }
}

/// A pinned room waits for its shard with 503, until probes call the shard down; then it moves, and stays moved.
#[tokio::test]
async fn a_pinned_room_gets_503_until_its_shard_is_down_then_moves() {
    let (a, b) = (stub("a").await, stub("b").await);
    let probes = "probes: { tcp: { interval: 1s, timeout: 500ms, rise: 1, fall: 2 } }\n";
    let stage = Stage::new(&[("a", a.addr), ("b", b.addr)], probes).await;
    // A room on `a`.
    let mut room = None;
    for turn in 0..64 {
        let candidate = format!("room-{turn}");
        if stage.connect().await.ask(get(&format!("/http-bind?room={candidate}"))).await.stub() == "a" {
            room = Some(candidate);
            break;
        }
    }
    let room = room.expect("one of 64 rooms on a");
    a.stop().await;
    let target = format!("/http-bind?room={room}");
    let mut refused = 0;
    loop {
        let answer = stage.connect().await.ask(get(&target)).await;
        if answer.status == 200 {
            assert_eq!(answer.stub(), "b");
            break;
        }
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")), "{}", answer.head);
        let mut wire = stage.connect().await;
        let answer = wire.ask(upgrade(&room, "")).await;
        // Probes may have spoken between the two.
        assert!(
            matches!((answer.status, answer.field("retry-after")), (503, Some("2")) | (101, None)),
            "{}",
            answer.head
        );
        refused += 1;
        assert!(refused < 400, "the shard is never called down");
        sleep(Duration::from_millis(50)).await;
    }
    // Two failed probes, a second apart, come after the first refusal.
    assert!(refused > 0, "moved without a probe's word");
    assert_eq!(stage.connect().await.ask(get(&target)).await.stub(), "b");
    assert!(stage.metric("roompin_pins_moved_total").await >= 1.0, "the move is counted");
}

#[tokio::test]
async fn a_silent_shard_is_504_within_the_limit() {
    let shard = RawShard::start(|mut wire, _| async move {
        wire.rest().await;
    })
    .await;
    let limits = "upstream: { response_timeout: 300ms }\ntunnels: { handshake_timeout: 300ms }\n";
    let stage = Stage::new(&[("s1", shard.addr)], limits).await;
    let post = "POST /http-bind?room=a HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nhi";
    for request in [get("/http-bind?room=a"), get("/"), post.to_owned(), upgrade("a", "")] {
        let answer = stage.connect().await.ask(&request).await;
        assert_eq!(answer.status, 504, "{request}");
    }
    until("the shard to be let go", async || shard.open() == 0).await;
    // Asked once each: a request that may have been acted on is not repeated.
    assert_eq!(shard.heads().len(), 4);
    assert_eq!(stage.metric("roompin_requests_total{outcome=\"shard_timeout\",shard=\"s1\"}").await, 3.0);
}

#[tokio::test]
async fn a_shard_that_talks_nonsense_is_502() {
    for nonsense in
        ["SSH-2.0-OpenSSH_9.2\r\n", "\0\x01\x02\x03\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "", "HTTP/1.1 200 OK\r\nX"]
    {
        let shard = RawShard::start(move |mut wire, _| async move {
            wire.send(nonsense).await;
        })
        .await;
        let stage = Stage::new(&[("s1", shard.addr)], "upstream: { response_timeout: 5s }\n").await;
        for request in [get("/http-bind?room=a"), upgrade("a", "")] {
            let mut wire = stage.connect().await;
            assert_eq!(wire.ask(&request).await.status, 502, "{nonsense:?} to {request}");
            wire.ended().await;
        }
    }
}

/// A head without end, and an answer that breaks off: the client is not left to believe that it was whole.
#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off() {
    let shard = RawShard::start(|mut wire, head| async move {
        let answer = if head.contains("/short") {
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
        } else {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n"
        };
        wire.send(answer).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    for target in ["/short", "/chunked"] {
        let mut wire = stage.connect().await;
        wire.send(get(target)).await;
        let all = String::from_utf8(wire.rest().await).expect("text");
        assert!(all.starts_with("HTTP/1.1 200") && all.contains("only this") && !all.contains("0\r\n\r\n"), "{all}");
    }
    let endless = RawShard::start(|mut wire, _| async move {
        wire.send("HTTP/1.1 200 OK\r\n").await;
        let (mut tcp, _) = wire.into_parts();
        while tokio::io::AsyncWriteExt::write_all(&mut tcp, &b"X-More: and more\r\n".repeat(500)).await.is_ok() {}
    })
    .await;
    let stage = Stage::new(&[("s1", endless.addr)], "").await;
    for request in [get("/"), upgrade("a", "")] {
        assert_eq!(stage.connect().await.ask(&request).await.status, 502, "{request}");
    }
}
