//! What an idle tunnel costs.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    stage::{Stage, raise_file_limit, until},
    wire::{RawShard, SWITCH, Wire, upgrade},
};

const TUNNELS: usize = 3_000;
/// Acceptance of issue 2: resident bytes per idle tunnel.
const BUDGET: u64 = 1536;

/// Participants in one conference.
const PER_ROOM: usize = 10;

/// Opens `count` tunnels, 64 at a time.
async fn open(stage: &Stage, from: usize, count: usize) -> Vec<Wire> {
    let gate = Arc::new(Semaphore::new(64));
    let mut opening = JoinSet::new();
    let addr = stage.addr;
    for turn in from..from + count {
        let gate = Arc::clone(&gate);
        opening.spawn(async move {
            let _permit = gate.acquire().await.expect("never closed");
            let mut wire = Wire::connect(addr).await;
            let answer = wire.ask(upgrade(&format!("conference-{}", turn / PER_ROOM), "")).await;
            assert_eq!(answer.status, 101, "{}", answer.head);
            wire
        });
    }
    opening.join_all().await
}

/// Resident bytes once they stand still.
async fn settled(stage: &Stage) -> u64 {
    let mut last = stage.rss();
    for _ in 0..40 {
        sleep(Duration::from_millis(250)).await;
        let now = stage.rss();
        if now == last {
            break;
        }
        last = now;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_idle_tunnels_cost_little_and_echo() {
    raise_file_limit(10_000);
    let shard = RawShard::start(|mut wire, _| async move {
        wire.send(SWITCH).await;
        let (mut tcp, _) = wire.into_parts();
        let (mut from, mut to) = tcp.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "threads: 2\n").await;
    // What is paid once: buffers per thread, tables, the allocator's first pages.
    let mut first = open(&stage, 0, 300).await;
    let before = settled(&stage).await;
    let mut tunnels = open(&stage, 300, TUNNELS).await;
    until("all tunnels", async || shard.open() == TUNNELS + 300).await;
    let after = settled(&stage).await;
    let each = after.saturating_sub(before) / TUNNELS as u64;
    eprintln!("{each} bytes resident per idle tunnel ({before} -> {after})");
    assert!(each <= BUDGET, "{each} bytes per idle tunnel");

    let message = [0x5a; 200];
    for wire in first.iter_mut().chain(&mut tunnels).step_by(37) {
        wire.send(message).await;
        assert_eq!(wire.exactly(200).await, message);
    }
    drop((first, tunnels));
    until("all tunnels to be gone", async || stage.metric("roompin_tunnels_open").await == 0.0).await;
}
