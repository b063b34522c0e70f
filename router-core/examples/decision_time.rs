//! How long the decisions take that every request waits for: `cargo run --release --example decision_time`.
//!
//! The design's budget: at most 1 µs for a known room.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use router_core::{
    pin::DeciderId,
    registry::{RegistrySettings, ShardInput},
    room::{KeyHasher, RoomKey, RoomName, Target, classify},
    router::{Router, RouterSettings},
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};

const ROOMS: u32 = 1_000_000;
const SHARDS: u8 = 20;
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hasher = KeyHasher::default();
    let keys: Vec<RoomKey> = (0..ROOMS).map(|n| hasher.key(&RoomName::new("", &format!("room-{n}")))).collect();
    let router = router()?;

    report("decide, new room", &keys, |key| {
        _ = black_box(router.decide(key, NOW, &[]));
    });
    report("route, known room", &keys, |key| {
        _ = black_box(router.route(key, NOW));
    });
    report("decide, known room", &keys, |key| {
        _ = black_box(router.decide(key, NOW, &[]));
    });
    let start = Instant::now();
    router.expire(NOW);
    println!("{:24} {:>8.1?} in all", "sweep, nothing over", start.elapsed());

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

fn report(what: &str, keys: &[RoomKey], mut each: impl FnMut(RoomKey)) {
    let start = Instant::now();
    keys.iter().for_each(|&key| each(key));
    let nanos = start.elapsed().as_nanos() / u128::from(ROOMS);
    println!("{what:24} {nanos:>6} ns each");
}
