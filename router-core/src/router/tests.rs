//! The router's promises; the numbers of invariants are those of the design.

mod bound;
mod choose;
mod concurrent;
mod merge;
mod model;
mod restore;
mod shards;
mod spread;
mod votes;

use super::*;
use crate::{
    pin::Pin,
    shard::{ShardName, ShardSpec},
};

const TTL: Duration = Duration::from_secs(600);
const HOLD: Duration = Duration::from_secs(30);
const DECIDER: DeciderId = DeciderId(42);

fn name(name: &str) -> ShardName {
    ShardName::new(name).unwrap()
}

fn key(n: u64) -> RoomKey {
    let hash = blake3::hash(&n.to_be_bytes());
    RoomKey(u128::from_be_bytes(hash.as_bytes()[..16].try_into().unwrap()))
}

/// A router and the time, which tests move by hand.
struct Bench {
    router: Router,
    now: Timestamp,
}

impl Bench {
    fn new(shards: &[&str]) -> Self {
        Self::bounded(shards, 10_000)
    }

    fn bounded(shards: &[&str], max_pins: usize) -> Self {
        let registry = RegistrySettings::default();
        let settings = RouterSettings { ttl: TTL, max_pins, decider: DECIDER, registry, restored_hold: HOLD };
        let bench = Self { router: Router::new(settings), now: Timestamp(1_000_000) };
        bench.list(shards);
        bench
    }

    fn list(&self, shards: &[&str]) -> Vec<ShardEvent> {
        let spec = |shard: &&str| ShardSpec {
            name: name(shard),
            addresses: vec![([127, 0, 0, 1], 80).into()],
            weight: 1,
            state: ShardState::Ready,
            agent_port: None,
        };
        let shards = shards.iter().map(spec).collect();
        let input = ShardInput::Discovered { source: "dns".into(), shards, hold_down: HOLD };
        self.router.handle(input, self.now)
    }

    fn operator(&self, shard: ShardId, state: ShardState) {
        let shard = self.router.shards().name(shard).unwrap().clone();
        let input = ShardInput::Operator { shard, state: Some(state) };
        assert!(self.router.handle(input, self.now).len() <= 1);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn id(&self, shard: &str) -> ShardId {
        self.router.shards().by_name(shard).unwrap().id
    }

    fn decide(&self, n: u64) -> Decision {
        self.router.decide(key(n), self.now, &[]).unwrap()
    }

    fn route(&self, n: u64) -> Route {
        self.router.route(key(n), self.now)
    }

    fn pin(&self, n: u64) -> Pin {
        self.router.lookup(key(n), self.now).unwrap().pin
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_room_is_decided_once_and_found_ever_after() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    assert_eq!(bench.route(1), Route::Unknown);
    let made = bench.decide(1);
    assert_eq!(made.outcome, Outcome::Made);
    for _ in 0..10 {
        bench.pass(TTL - secs(1));
        assert_eq!(bench.route(1), Route::Pinned(made.shard));
        assert_eq!(bench.decide(1), Decision { shard: made.shard, outcome: Outcome::Found });
    }
    let pin = bench.pin(1);
    assert_eq!((pin.epoch, pin.created, pin.last_seen), (1, Timestamp(1_000_000), bench.now));
    assert_eq!((pin.decider, pin.ended), (DECIDER, false));
    assert_eq!((bench.router.len(), bench.router.rooms_on(made.shard)), (1, 1));
}

#[test]
fn a_page_shows_where_the_room_would_go_and_writes_nothing() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    for n in 0..50 {
        let preview = bench.router.preview(key(n), bench.now);
        assert_eq!((bench.route(n), bench.router.len() as u64), (Route::Unknown, n));
        assert_eq!(preview, Some(bench.decide(n).shard));
        assert_eq!(preview, bench.router.preview(key(n), bench.now));
    }
    // Looking at the page does not keep the pin.
    bench.pass(TTL - secs(1));
    _ = bench.router.preview(key(1), bench.now);
    bench.pass(secs(1));
    assert_eq!(bench.route(1), Route::Unknown);
}

#[test]
fn a_pin_ends_after_its_time_and_begins_a_new_epoch() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.decide(1);
    bench.pass(TTL);
    assert_eq!(bench.route(1), Route::Unknown);
    assert_eq!(bench.router.lookup(key(1), bench.now), None);
    assert_eq!(bench.decide(1).outcome, Outcome::Made);
    assert_eq!((bench.pin(1).epoch, bench.router.len()), (2, 1));
    bench.decide(2);
    bench.pass(TTL);
    assert_eq!(bench.router.expire(bench.now), 2);
    assert_eq!(bench.router.len(), 0);
    assert_eq!(bench.router.rooms_on(bench.id("a")) + bench.router.rooms_on(bench.id("b")), 0);
}

#[test]
fn tunnels_keep_a_pin_alive() {
    let mut bench = Bench::new(&["a", "b"]);
    let shard = bench.decide(1).shard;
    assert!(bench.router.tunnel_opened(key(1), shard, bench.now));
    assert!(bench.router.tunnel_opened(key(1), shard, bench.now));
    bench.pass(secs(86_400));
    bench.router.tunnel_closed(key(1), shard, bench.now);
    bench.pass(secs(86_400));
    assert_eq!(bench.router.expire(bench.now), 0);
    assert_eq!(bench.router.lookup(key(1), bench.now).unwrap().tunnels, 1);
    assert_eq!(bench.route(1), Route::Pinned(shard));
    bench.pass(secs(86_400));
    bench.router.tunnel_closed(key(1), shard, bench.now);
    bench.pass(TTL - secs(1));
    assert_eq!(bench.router.expire(bench.now), 0);
    bench.pass(secs(1));
    assert_eq!(bench.router.expire(bench.now), 1);
    // A close too many is nobody else's close.
    bench.router.tunnel_closed(key(1), shard, bench.now);
    assert_eq!(bench.route(1), Route::Unknown);
}

#[test]
fn a_tunnel_that_opens_late_pins_its_room_or_is_told() {
    let bench = Bench::new(&["a", "b"]);
    let shard = bench.decide(1).shard;
    assert!(bench.router.unpin(key(1), bench.now));
    // Unknown by now: somebody sits there, so the next one must get there too.
    assert!(bench.router.tunnel_opened(key(1), shard, bench.now));
    assert_eq!(bench.route(1), Route::Pinned(shard));
    // Moved by now: the tunnel is in the wrong place.
    let other = if shard == bench.id("a") { name("b") } else { name("a") };
    assert_eq!(bench.router.pin(key(1), &other, bench.now), Ok(Outcome::Moved { from: shard }));
    assert!(!bench.router.tunnel_opened(key(1), shard, bench.now));
    assert_eq!(bench.router.lookup(key(1), bench.now).unwrap().tunnels, 2);
}

#[test]
fn operators_pin_and_unpin() {
    let bench = Bench::new(&["a", "b"]);
    let (a, b) = (bench.id("a"), bench.id("b"));
    assert_eq!(bench.router.pin(key(1), &name("x"), bench.now), Err(PinError::UnknownShard));
    assert_eq!(bench.router.pin(key(1), &name("a"), bench.now), Ok(Outcome::Made));
    assert_eq!(bench.router.pin(key(1), &name("a"), bench.now), Ok(Outcome::Found));
    assert_eq!(bench.pin(1).epoch, 1);
    assert_eq!(bench.router.pin(key(1), &name("b"), bench.now), Ok(Outcome::Moved { from: a }));
    assert_eq!((bench.pin(1).epoch, bench.route(1)), (2, Route::Pinned(b)));
    assert_eq!((bench.router.rooms_on(a), bench.router.rooms_on(b)), (0, 1));
    assert!(bench.router.unpin(key(1), bench.now));
    assert!(!bench.router.unpin(key(1), bench.now));
    assert_eq!((bench.route(1), bench.router.len()), (Route::Unknown, 0));
    assert_eq!(bench.router.rooms_on(b), 0);
}

#[test]
fn unpinning_leaves_the_tunnels_counted() {
    let bench = Bench::new(&["a", "b"]);
    let shard = bench.decide(1).shard;
    bench.router.tunnel_opened(key(1), shard, bench.now);
    assert!(bench.router.unpin(key(1), bench.now));
    assert_eq!((bench.route(1), bench.router.rooms_on(shard)), (Route::Unknown, 0));
    assert_eq!(bench.router.lookup(key(1), bench.now), None);
    let mut listed = 0;
    bench.router.for_each_pin(bench.now, |_, _| listed += 1);
    assert_eq!(listed, 0);
    assert!(!bench.router.unpin(key(1), bench.now));
    assert_eq!(bench.decide(1).outcome, Outcome::Made);
    let view = bench.router.lookup(key(1), bench.now).unwrap();
    assert_eq!((view.pin.epoch, view.tunnels), (2, 1));
    // Ended, and the tunnel closes: nothing is left behind.
    bench.router.unpin(key(1), bench.now);
    bench.router.tunnel_closed(key(1), shard, bench.now);
    assert_eq!((bench.router.expire(bench.now), bench.router.len()), (1, 0));
}

#[test]
fn all_pins_are_listed() {
    let bench = Bench::new(&["a", "b"]);
    let mut expected: Vec<_> = (0..300).map(|n| (key(n), bench.decide(n).shard)).collect();
    let mut listed = Vec::new();
    bench.router.for_each_pin(bench.now, |key, view| {
        assert_eq!(Some(&view.pin.shard), bench.router.shards().name(view.shard));
        listed.push((key, view.shard));
    });
    expected.sort();
    listed.sort();
    assert_eq!(listed, expected);
}

#[test]
fn who_cannot_connect_asks_again() {
    let bench = Bench::new(&["a", "b", "c"]);
    let first = bench.decide(1).shard;
    let again = |failed: &[ShardId]| bench.router.decide_again(key(1), bench.now, failed);
    let moved = again(&[first]).unwrap();
    assert_eq!(moved.outcome, Outcome::Moved { from: first });
    assert_ne!(moved.shard, first);
    assert_eq!(bench.pin(1).epoch, 2);
    let last = again(&[first, moved.shard]).unwrap().shard;
    assert_eq!(again(&[first, moved.shard, last]), Err(Refusal::NoShard));
    assert_eq!(bench.route(1), Route::Pinned(last));
    // Now somebody else was sent there, so it stays there (invariant 1).
    assert_eq!(again(&[last]), Ok(Decision { shard: last, outcome: Outcome::Found }));
}

#[test]
fn asking_again_moves_nobody_else() {
    let bench = Bench::new(&["a", "b"]);
    let found = |shard| Ok(Decision { shard, outcome: Outcome::Found });
    // By a second decision, by a tunnel, by an operator.
    let shard = bench.decide(1).shard;
    bench.decide(1);
    assert_eq!(bench.router.decide_again(key(1), bench.now, &[shard]), found(shard));
    let shard = bench.decide(2).shard;
    bench.router.tunnel_opened(key(2), shard, bench.now);
    assert_eq!(bench.router.decide_again(key(2), bench.now, &[shard]), found(shard));
    bench.router.pin(key(3), &name("a"), bench.now).unwrap();
    let a = bench.id("a");
    assert_eq!(bench.router.decide_again(key(3), bench.now, &[a]), found(a));
    // By a request that came later.
    let shard = bench.decide(5).shard;
    let later = bench.now + secs(1);
    assert_eq!(bench.router.route(key(5), later), Route::Pinned(shard));
    assert_eq!(bench.router.decide_again(key(5), later, &[shard]), found(shard));
    // By another failure than that of its own shard.
    let shard = bench.decide(6).shard;
    let other = if shard == a { bench.id("b") } else { a };
    assert_eq!(bench.router.decide_again(key(6), bench.now, &[other]), found(shard));
    // And `decide` moves nobody off a living shard, whatever is to be avoided (invariant 4).
    let shard = bench.decide(4).shard;
    assert_eq!(bench.router.decide(key(4), bench.now, &[shard]), found(shard));
}

#[test]
fn roomless_requests_go_to_ready_shards() {
    let bench = Bench::new(&["a", "b"]);
    let b = bench.id("b");
    assert!((0..100).any(|nonce| bench.router.any(nonce) == Some(b)));
    bench.operator(b, ShardState::Draining);
    assert!((0..100).all(|nonce| bench.router.any(nonce) == Some(bench.id("a"))));
    assert_eq!(bench.router.len(), 0);
}
