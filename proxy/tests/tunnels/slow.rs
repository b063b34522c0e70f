//! A peer that does not read: it costs a bounded buffer, stalls its own sender, and nobody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use crate::{
    stage::{Stage, until},
    wire::{LIMIT, RawShard, SWITCH, Wire, upgrade},
};

const STREAM: u64 = 100 << 20;
/// Per stalled tunnel; it keeps 64 KiB, the rest is what the allocator and its neighbours do meanwhile.
const RSS_SLACK: u64 = 4 << 20;

/// Writes the stream, counting what was taken.
async fn pour(tcp: &mut (impl AsyncWriteExt + Unpin), poured: &AtomicU64) {
    let block = vec![0x42; 256 << 10];
    while poured.load(Ordering::SeqCst) < STREAM {
        let Ok(taken) = tcp.write(&block).await else { return };
        poured.fetch_add(taken as u64, Ordering::SeqCst);
    }
}

/// Waits until a counter stands still for a while, and gives it.
async fn stalled(poured: &AtomicU64) -> u64 {
    loop {
        let before = poured.load(Ordering::SeqCst);
        sleep(Duration::from_millis(700)).await;
        let now = poured.load(Ordering::SeqCst);
        if now == before && now > 0 {
            return now;
        }
    }
}

async fn swallow(tcp: &mut (impl AsyncReadExt + Unpin)) -> u64 {
    let mut scrap = vec![0; 256 << 10];
    let mut all = 0;
    while all < STREAM {
        let read = tokio::time::timeout(LIMIT, tcp.read(&mut scrap)).await.expect("it goes on").expect("read");
        assert!(read > 0, "ended after {all} bytes");
        assert!(scrap[..read].iter().all(|&byte| byte == 0x42), "changed on the way, near {all}");
        all += read as u64;
    }
    all
}

async fn echoes(wire: &mut Wire) {
    for turn in 0..20u8 {
        wire.send([turn; 200]).await;
        assert_eq!(wire.exactly(200).await, [turn; 200]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stalls_its_sender_and_nobody_else() {
    let (down, swallowed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let may_read = Arc::new(tokio::sync::Semaphore::new(0));
    let (poured, taken, gate) = (Arc::clone(&down), Arc::clone(&swallowed), Arc::clone(&may_read));
    let shard = RawShard::start(move |mut wire, head| {
        let (poured, taken, gate) = (Arc::clone(&poured), Arc::clone(&taken), Arc::clone(&gate));
        async move {
            wire.send(SWITCH).await;
            let (mut tcp, _) = wire.into_parts();
            if head.contains("room=down") {
                pour(&mut tcp, &poured).await;
                let _ = tcp.read(&mut [0; 16]).await;
            } else if head.contains("room=up") {
                // Reads nothing until told.
                let _permit = gate.acquire().await;
                taken.store(swallow(&mut tcp).await, Ordering::SeqCst);
            } else {
                let (mut from, mut to) = tcp.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        }
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "threads: 2\n").await;
    let mut others = Vec::new();
    for turn in 0..4 {
        let mut wire = stage.connect().await;
        assert_eq!(wire.ask(upgrade(&format!("echo-{turn}"), "")).await.status, 101);
        echoes(&mut wire).await;
        others.push(wire);
    }
    let before = stage.rss();

    // From the shard to a client that does not read.
    let mut wire = stage.connect().await;
    assert_eq!(wire.ask(upgrade("down", "")).await.status, 101);
    let sent = stalled(&down).await;
    assert!(sent < STREAM, "the shard was never stalled");
    // From a client to a shard that does not read.
    let mut upward = stage.connect().await;
    assert_eq!(upward.ask(upgrade("up", "")).await.status, 101);
    let (tcp, _) = upward.into_parts();
    let (_keep, mut write) = tcp.into_split();
    let up = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&up);
    let pouring = tokio::spawn(async move {
        pour(&mut write, &counter).await;
        write
    });
    let sent = stalled(&up).await;
    assert!(sent < STREAM, "the client was never stalled");

    for wire in &mut others {
        echoes(wire).await;
    }
    let grown = stage.rss().saturating_sub(before);
    eprintln!("two stalled tunnels: {} KiB more resident", grown / 1024);
    assert!(grown < 2 * RSS_SLACK, "{grown} bytes more resident with two stalled tunnels");

    // Both go on when their reader does, without a byte lost.
    let (mut tcp, early) = wire.into_parts();
    let early = early.len() as u64;
    let mut scrap = vec![0; 256 << 10];
    let mut all = early;
    while all < STREAM {
        let read = tokio::time::timeout(LIMIT, tcp.read(&mut scrap)).await.expect("it goes on").expect("read");
        assert!(read > 0 && scrap[..read].iter().all(|&byte| byte == 0x42), "near {all}");
        all += read as u64;
    }
    may_read.add_permits(1);
    drop(pouring.await.expect("poured"));
    until("the shard to have all", async || swallowed.load(Ordering::SeqCst) >= STREAM).await;
    for wire in &mut others {
        echoes(wire).await;
    }
}
