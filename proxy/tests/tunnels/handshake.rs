//! What becomes of an upgrade that is no tunnel.

use crate::{
    stage::{Stage, until},
    wire::{RawShard, SWITCH, upgrade},
};

/// The shard's own answer reaches the client, body and all, and the connection ends.
#[tokio::test]
async fn a_refusal_of_the_shard_is_passed_on() {
    for (answer, status, body) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Why: because\r\n\r\nno!\n", 403, "no!\n"),
        ("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nX-Why: because\r\nContent-Length: 0\r\n\r\n", 302, ""),
        (
            "HTTP/1.1 200 OK\r\nX-Why: because\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
        ("HTTP/1.1 503 Busy\r\nX-Why: because\r\n\r\nuntil the end", 503, "until the end"),
        ("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\nX-Why: because\r\n\r\n", 204, ""),
    ] {
        let shard = RawShard::start(move |mut wire, _| async move {
            wire.send(answer).await;
        })
        .await;
        let stage = Stage::new(&[("s1", shard.addr)], "").await;
        let mut wire = stage.connect().await;
        // With frames sent ahead, which nobody will read: they must not turn the answer into a reset.
        wire.send([upgrade("refused", "").as_bytes(), &[0x82; 5000]].concat()).await;
        let got = wire.answer().await;
        assert_eq!((got.status, got.text().as_str()), (status, body), "{}", got.head);
        assert_eq!((got.field("x-why"), got.field("x-jitsi-shard")), (Some("because"), Some("s1")));
        assert_eq!(got.field("connection"), Some("close"));
        wire.ended().await;
        assert_eq!(stage.metric("roompin_tunnels_total{outcome=\"refused\"").await, 1.0);
        until("everything to be closed", async || stage.metric("roompin_connections_open").await == 0.0).await;
        assert_eq!(stage.metric("roompin_tunnels_open").await, 0.0);
    }
}

/// A client that leaves before the answer takes the shard's connection with it, long before any limit.
#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_noticed() {
    let shard = RawShard::start(|mut wire, _| async move {
        wire.rest().await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "tunnels: { handshake_timeout: 5m }\n").await;
    let mut wire = stage.connect().await;
    wire.send(upgrade("gone", "")).await;
    until("the shard to have it", async || shard.open() == 1).await;
    drop(wire);
    until("the shard to be let go", async || shard.open() == 0).await;
    stage.metric_reaches("roompin_tunnels_total{outcome=\"client_gone\"", 1.0).await;
}

/// 101 in pieces is still one answer.
#[tokio::test]
async fn an_answer_in_pieces_opens_the_tunnel() {
    let shard = RawShard::start(|mut wire, _| async move {
        for piece in SWITCH.as_bytes().chunks(7) {
            wire.send(piece).await;
            tokio::task::yield_now().await;
        }
        wire.send("first").await;
        wire.rest().await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut wire = stage.connect().await;
    let answer = wire.ask(upgrade("pieces", "")).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(wire.exactly(5).await, b"first");
}
