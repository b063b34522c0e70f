//! Bytes through a tunnel: big ones, early ones, and those around half a close.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::{
    stage::{Stage, stub, until},
    wire::{RawShard, SWITCH, Wire, upgrade},
};

/// Something that shows a lost, doubled or moved byte.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 256).expect("a byte")).collect()
}

#[tokio::test]
async fn messages_of_a_mebibyte_pass_unharmed_after_small_ones() {
    let stub = stub("s1").await;
    let stage = Stage::new(&[("s1", stub.addr)], "").await;
    let tcp = stage.connect().await.into_parts().0;
    let url = format!("ws://{}/xmpp-websocket?room=big", stage.addr);
    let (mut socket, _) = client_async(url, tcp).await.expect("a tunnel");
    for size in [0, 1, 125, 126, 200, 65_535, 65_536, 1 << 20, 1 << 20, 7] {
        let message = Message::binary(pattern(size));
        socket.send(message.clone()).await.expect("send");
        let echo = socket.next().await.expect("an echo").expect("a frame");
        assert!(echo == message, "{size} bytes came back as {} others", echo.len());
    }
    socket.close(None).await.expect("close");
    while let Some(Ok(_)) = socket.next().await {}
    drop(socket);
    until("the tunnel to be gone", async || stage.metric("roompin_tunnels_open").await == 0.0).await;
    stage.metric_reaches("roompin_tunnels_closed_total{reason=\"", 1.0).await;
}

/// Frames in the same segment as the 101, and client bytes in the same segment as the request.
#[tokio::test]
async fn early_bytes_of_both_sides_arrive_once_and_in_order() {
    let early = pattern(3000);
    let greeting = early.clone();
    let shard = RawShard::start(move |mut wire, _| {
        let greeting = greeting.clone();
        async move {
            wire.send([SWITCH.as_bytes(), &greeting].concat()).await;
            let got = wire.exactly(10_000).await;
            wire.send(got).await;
            wire.rest().await;
        }
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let sent = pattern(10_000);
    let mut wire = stage.connect().await;
    wire.send([upgrade("early", "").as_bytes(), &sent[..5000]].concat()).await;
    assert_eq!(wire.answer().await.status, 101);
    wire.send(&sent[5000..]).await;
    assert!(wire.exactly(3000).await == early, "the shard's early bytes");
    assert!(wire.exactly(10_000).await == sent, "the client's early bytes");
}

/// The client has said all; the shard sees its FIN, and what the shard still has to say arrives.
#[tokio::test]
async fn half_a_close_from_the_client_lets_the_rest_come() {
    let shard = RawShard::start(|mut wire, _| async move {
        wire.send(SWITCH).await;
        let all = wire.rest().await;
        // Only now, after the FIN.
        wire.send(pattern(500_000)).await;
        wire.send(all).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut wire = stage.connect().await;
    assert_eq!(wire.ask(upgrade("half", "")).await.status, 101);
    wire.send("goodbye").await;
    wire.tcp.shutdown().await.expect("half a close");
    assert!(wire.exactly(500_000).await == pattern(500_000));
    assert_eq!(wire.rest().await, b"goodbye");
    stage.metric_reaches("roompin_tunnels_closed_total{reason=\"client\"", 1.0).await;
    assert_eq!(stage.metric("roompin_tunnels_open").await, 0.0);
}

#[tokio::test]
async fn half_a_close_from_the_shard_lets_the_rest_go() {
    let (heard, hears) = tokio::sync::oneshot::channel();
    let heard = std::sync::Mutex::new(Some(heard));
    let shard = RawShard::start(move |mut wire, _| {
        let heard = heard.lock().expect("no panic").take();
        async move {
            wire.send(SWITCH).await;
            wire.tcp.shutdown().await.expect("half a close");
            let _ = heard.expect("one connection").send(wire.rest().await);
        }
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut wire = stage.connect().await;
    assert_eq!(wire.ask(upgrade("half", "")).await.status, 101);
    wire.ended().await;
    wire.send(pattern(500_000)).await;
    drop(wire);
    assert!(hears.await.expect("the shard's word") == pattern(500_000));
    stage.metric_reaches("roompin_tunnels_closed_total{reason=\"shard\"", 1.0).await;
}

/// A reset on either side ends the other.
#[tokio::test]
async fn a_reset_of_one_side_ends_the_other() {
    let shard = RawShard::start(|mut wire, head| async move {
        wire.send(SWITCH).await;
        if head.contains("shard-resets") {
            wire.exactly(1).await;
            wire.tcp.set_zero_linger().expect("linger");
            return;
        }
        wire.rest().await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut wire = stage.connect().await;
    assert_eq!(wire.ask(upgrade("shard-resets", "")).await.status, 101);
    wire.send("x").await;
    wire.rest().await;

    let mut wire = stage.connect().await;
    assert_eq!(wire.ask(upgrade("client-resets", "")).await.status, 101);
    wire.tcp.set_zero_linger().expect("linger");
    drop(wire);
    until("the shard to be let go", async || shard.open() == 0).await;
    until("both to be gone", async || stage.metric("roompin_tunnels_open").await == 0.0).await;
    assert_eq!(stage.metric("roompin_connections_open").await, 0.0);
}

/// Many tunnels at once, each with a different stream in small and large pieces; no byte strays into another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_busy_tunnels_do_not_mix() {
    let shard = RawShard::start(|mut wire, _| async move {
        wire.send(SWITCH).await;
        let (mut tcp, early) = wire.into_parts();
        let (mut from, mut to) = tcp.split();
        to.write_all(&early).await.expect("echo");
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut busy = tokio::task::JoinSet::new();
    for turn in 0..100usize {
        let addr = stage.addr;
        let shift = u8::try_from(turn).expect("small");
        busy.spawn(async move {
            let mut wire = Wire::connect(addr).await;
            assert_eq!(wire.ask(upgrade(&format!("busy-{turn}"), "")).await.status, 101);
            let bytes: Vec<u8> = pattern(200_000 + turn).iter().map(|byte| byte.wrapping_add(shift)).collect();
            let (tcp, early) = wire.into_parts();
            assert!(early.is_empty());
            let (mut from, mut to) = tcp.into_split();
            let sent = bytes.clone();
            let sending = tokio::spawn(async move {
                for piece in sent.chunks(1 + turn * 97) {
                    to.write_all(piece).await.expect("send");
                }
                to.shutdown().await.expect("half a close");
                to
            });
            let mut back = Vec::new();
            from.read_to_end(&mut back).await.expect("the echo");
            assert!(back == bytes, "tunnel {turn}: {} of {} bytes, or others", back.len(), bytes.len());
            drop(sending.await);
        });
    }
    while let Some(done) = busy.join_next().await {
        done.expect("every byte came back");
    }
}
