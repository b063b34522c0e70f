//! Tunnels that the proxy ends: idle ones, those of a room that is taken away, and all of them when it leaves.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

use crate::{
    stage::{Stage, stub, until},
    wire::{LIMIT, RawShard, SWITCH, upgrade},
};

type Socket = WebSocketStream<TcpStream>;

async fn open(stage: &Stage, room: &str) -> Socket {
    let tcp = stage.connect().await.into_parts().0;
    let url = format!("ws://{}/xmpp-websocket?room={room}", stage.addr);
    client_async(url, tcp).await.expect("a tunnel").0
}

async fn echo(socket: &mut Socket) {
    let message = Message::text("x".repeat(200));
    socket.send(message.clone()).await.expect("send");
    assert_eq!(next(socket).await.expect("an echo"), message);
}

async fn next(socket: &mut Socket) -> Result<Message, Error> {
    tokio::time::timeout(LIMIT, socket.next()).await.expect("in time").unwrap_or(Err(Error::ConnectionClosed))
}

/// Asserts a clean end with this code: a Close frame, and then nothing but the end.
async fn closes_with(socket: &mut Socket, code: u16) {
    loop {
        match next(socket).await {
            Ok(Message::Close(frame)) => {
                assert_eq!(u16::from(frame.expect("a code").code), code);
                break;
            }
            Ok(Message::Binary(_)) => {}
            other => panic!("no clean close: {other:?}"),
        }
    }
    assert!(matches!(next(socket).await, Err(Error::ConnectionClosed)));
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_with_1001_and_a_busy_one_lives() {
    let stub = stub("s1").await;
    let stage = Stage::new(&[("s1", stub.addr)], "tunnels: { idle: 2s }\n").await;
    let (mut silent, mut busy) = (open(&stage, "a").await, open(&stage, "a").await);
    let started = Instant::now();
    let closing = tokio::spawn(async move {
        closes_with(&mut silent, 1001).await;
        started.elapsed()
    });
    while !closing.is_finished() {
        echo(&mut busy).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lived = closing.await.expect("a clean close");
    // The clock ticks once a second and a tick may be due at once.
    assert!(lived >= Duration::from_secs(1), "closed after {lived:?}");
    // 200 bytes in a tunnel that was idle for a while, but not for too long.
    tokio::time::sleep(Duration::from_millis(800)).await;
    echo(&mut busy).await;
    stage.metric_reaches("roompin_tunnels_closed_total{reason=\"idle\"", 1.0).await;
    until("the stub to have one left", async || stub.tunnels() == 1).await;
}

#[tokio::test]
async fn a_room_that_is_deleted_loses_its_tunnels_and_no_other_does() {
    let stub = stub("s1").await;
    let stage = Stage::new(&[("s1", stub.addr)], "").await;
    let (mut first, mut second) = (open(&stage, "Caf%C3%A9").await, open(&stage, "caf%25c3%25a9").await);
    let mut other = open(&stage, "other").await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.delete(format!("{}/v1/rooms/caf%C3%A9", stage.proxy.admin())).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{answer:?}");
    closes_with(&mut first, 1012).await;
    closes_with(&mut second, 1012).await;
    echo(&mut other).await;
    drop((first, second));
    stage.metric_reaches("roompin_tunnels_closed_total{reason=\"moved\"", 2.0).await;
    // Who comes back finds a new pin.
    echo(&mut open(&stage, "caf%C3%A9").await).await;
}

/// SIGTERM: every tunnel gets 1012, also one in which the shard is in the middle of a long frame.
#[tokio::test]
async fn leaving_closes_with_1012_at_a_frame_boundary() {
    const FRAME: usize = 4 << 20;
    let shard = RawShard::start(|mut wire, _| async move {
        wire.send(SWITCH).await;
        // One frame of 4 MiB, slowly; and after it the next one.
        let length = (FRAME as u64).to_be_bytes();
        wire.send([&[0x82, 127], &length[..]].concat()).await;
        let (mut tcp, _) = wire.into_parts();
        for piece in vec![0x88; FRAME].chunks(128 << 10) {
            if tokio::io::AsyncWriteExt::write_all(&mut tcp, piece).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"\x82\x03bad").await;
        let _ = tokio::io::AsyncReadExt::read(&mut tcp, &mut [0; 16]).await;
    })
    .await;
    let stub = stub("s2").await;
    // Orders over a second may come after the frame, but never inside one.
    for (window, next_too) in [("0s", false), ("1s", true)] {
        let shutdown = format!("shutdown: {{ drain_delay: 0s, drain_window: {window} }}\n");
        let mut stage = Stage::new(&[("s1", shard.addr), ("s2", stub.addr)], &shutdown).await;
        let mut long = Vec::new();
        let mut idle = Vec::new();
        for turn in 0..40 {
            let mut wire = stage.connect().await;
            let tunnel = if turn < 8 { format!("long-{turn}") } else { format!("idle-{turn}") };
            let request = upgrade(&tunnel, "");
            let answer = wire.ask(request).await;
            assert_eq!(answer.status, 101);
            if answer.field("x-jitsi-shard") == Some("s1") { &mut long } else { &mut idle }.push(wire);
        }
        assert!(!long.is_empty() && !idle.is_empty());
        // In the middle of its frame.
        for wire in &mut long {
            assert_eq!(wire.exactly(10).await[..2], [0x82, 127]);
        }
        stage.proxy.process.signal("TERM");
        for wire in &mut idle {
            assert_eq!(wire.rest().await, [0x88, 2, 0x03, 0xf4], "an idle tunnel, window {window}");
        }
        let mut ends = tokio::task::JoinSet::new();
        for mut wire in long {
            ends.spawn(async move {
                let rest = wire.rest().await;
                let (frame, close) = rest.split_at(rest.len().min(FRAME));
                assert_eq!(frame.len(), FRAME, "the frame under way is cut");
                assert!(frame.iter().all(|&byte| byte == 0x88));
                let close = if next_too { close.strip_prefix(b"\x82\x03bad").unwrap_or(close) } else { close };
                assert_eq!(close, [0x88, 2, 0x03, 0xf4], "behind the frame");
            });
        }
        while let Some(end) = ends.join_next().await {
            end.expect("a clean end");
        }
        assert!(stage.proxy.process.wait(LIMIT).await.success());
    }
}
