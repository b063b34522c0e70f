//! How long the decisions take that every request waits for, and what a pin costs in memory:
//! `cargo run --release -p router-core --example decision_time`.
//!
//! The design's budgets: at most 1 µs for a known room, and 120 MB for a million pins.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use router_core::{
    pin::DeciderId,
    registry::{RegistrySettings, ShardInput},
    room::{KeyHasher, RoomKey, RoomName, Target, classify},
    router::{Cursor, Router, RouterSettings},
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};

const ROOMS: u32 = 1_000_000;
const SHARDS: u8 = 20;
/// Pins of about 40 bytes in a message of 32 KiB.
const CHUNK: usize = 800;
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hasher = KeyHasher::default();
    let keys: Vec<RoomKey> = (0..ROOMS).map(|n| hasher.key(&RoomName::new("", &format!("room-{n}")))).collect();
    let router = router()?;

    let before = resident();
    report("decide, new room", &keys, |key| {
        _ = black_box(router.decide(key, NOW, &[]));
    });
    report("route, known room", &keys, |key| {
        _ = black_box(router.route(key, NOW));
    });
    report("decide, known room", &keys, |key| {
        _ = black_box(router.decide(key, NOW, &[]));
    });
    if let (Some(before), Some(after)) = (before, resident()) {
        let bytes = after.saturating_sub(before);
        let (each, all) = (bytes / u64::from(ROOMS), bytes / 1_000_000);
        println!("{:24} {each:>6} bytes each, {all} MB in all", "memory of a pin");
    }
    in_all("sweep, nothing over", || _ = router.expire(NOW));
    in_all("digest", || _ = black_box(router.digest()));
    in_all("uses, all groups", || (0..=u8::MAX).for_each(|group| _ = black_box(router.used_since(group, NOW))));
    in_all("one leaf's pins", || _ = black_box(router.pins_of_group(7, Some(7), NOW)));

    let other = self::router()?;
    in_all("snapshot into another", || {
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let (pins, next) = router.next_chunk(from, CHUNK, NOW);
            pins.into_iter().for_each(|(key, pin)| _ = black_box(other.merge(key, pin, NOW)));
            cursor = next;
        }
    });
    println!("{:24} {:>6}", "and then they agree", router.digest() == other.digest());

    for (what, query) in [
        ("name, plain", "token=abcdef&room=TeamMeetingOfTuesday"),
        ("name, encoded twice", "room=caf%25c3%25a9%2520centr%25c3%25a1l"),
    ] {
        report(what, &keys, |_| {
            let query = black_box(query).as_bytes();
            if let Ok(Target::Room(name)) = classify(b"/xmpp-websocket", Some(query), "room") {
                black_box(hasher.key(&name));
            }
        });
    }
    Ok(())
}

fn router() -> Result<Router, Box<dyn std::error::Error>> {
    let router = Router::new(RouterSettings {
        ttl: Duration::from_secs(600),
        max_pins: ROOMS as usize,
        decider: DeciderId(1),
        registry: RegistrySettings::default(),
        restored_hold: Duration::from_secs(30),
    });
    let spec = |n| -> Result<ShardSpec, router_core::shard::ShardNameError> {
        Ok(ShardSpec {
            name: ShardName::new(&format!("shard-{n}"))?,
            addresses: vec![([127, 0, 0, n], 80).into()],
            weight: 1,
            state: ShardState::Ready,
            agent_port: None,
        })
    };
    let shards = (0..SHARDS).map(spec).collect::<Result<_, _>>()?;
    let hold_down = Duration::from_secs(30);
    router.handle(ShardInput::Discovered { source: "example".into(), shards, hold_down }, NOW);
    Ok(router)
}

fn in_all(what: &str, f: impl FnOnce()) {
    let start = Instant::now();
    f();
    println!("{what:24} {:>8.1?} in all", start.elapsed());
}

/// Bytes of memory in use by this process, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn report(what: &str, keys: &[RoomKey], mut each: impl FnMut(RoomKey)) {
    let start = Instant::now();
    keys.iter().for_each(|&key| each(key));
    let nanos = start.elapsed().as_nanos() / u128::from(ROOMS);
    println!("{what:24} {nanos:>6} ns each");
}
