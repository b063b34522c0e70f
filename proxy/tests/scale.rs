//! Replicas with a million pins, and one that joins them while rooms open: memory (invariant 5), and that all agree.
//! How fast it is `roompin-loadtest join` tells, of a release build.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs::File, io::BufWriter, io::Write as _, path::Path, time::Duration};

use loadtest::join::{self, Options, SHARDS};
use proxy::{
    clock::Clock,
    snapshot::{Encoder, Header, Sealing},
};
use router_core::{
    pin::{DeciderId, Pin},
    room::{KeyHasher, RoomName},
    shard::ShardName,
};

const PINS: usize = 1_000_000;
/// The budget, in bytes over an empty replica, at any moment of its life.
const MEMORY: u64 = 120_000_000;

/// A snapshot as a replica writes it, of pins made a moment ago.
fn write_snapshot(path: &Path) {
    let (hasher, now) = (KeyHasher::default(), Clock::system().now());
    let header = Header { fingerprint: hasher.fingerprint(), written_at: now };
    let file = BufWriter::new(File::create(path).unwrap());
    let mut encoder = Encoder::new(Sealing::new(file), header).unwrap();
    let shards = SHARDS.map(|name| ShardName::new(name).unwrap());
    for n in 0..PINS {
        let shard = shards[n % shards.len()].clone();
        let pin = Pin { shard, epoch: 1, ended: false, created: now, decider: DeciderId(1), last_seen: now };
        encoder.push(hasher.key(&RoomName::new("", &format!("scale-{n}"))), &pin).unwrap();
    }
    let (sealing, pins) = encoder.finish().unwrap();
    assert_eq!(pins, PINS as u64);
    sealing.seal().unwrap().0.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_pins_take_little_memory_in_each_replica_and_in_one_that_joins_while_rooms_open() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("pins");
    write_snapshot(&snapshot);
    let options = Options {
        proxy: env!("CARGO_BIN_EXE_roompin-proxy").into(),
        pins: PINS,
        snapshot: Some(snapshot),
        replicas: 3,
        // What a debug build answers beside a compiler; memory does not depend on it.
        per_second: 500.0,
        around: Duration::from_secs(1),
        seed: 7,
    };
    let run = join::run(&options).await.unwrap();
    println!("{run:#?}");
    assert_eq!(run.pins, 1e6, "restored");
    assert!(run.most_over() <= MEMORY, "{run:#?}");
    assert!(run.is_right(), "{run:#?}");
    // It would be no wonder if nothing had happened.
    assert_eq!(run.over_bytes.len(), 4);
    assert!(run.tables.iter().all(|entries| *entries > 1e6) && run.over_bytes.iter().all(|over| *over > 40_000_000));
}
