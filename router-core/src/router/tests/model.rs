//! The router against a model that keeps a plain map, over random lives of a few rooms on a few shards.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SHARDS: [&str; 3] = ["a", "b", "c"];
const MAX_PINS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Decide(u64),
    Route(u64),
    Open(u64),
    Close(usize),
    Pin(u64, usize),
    Unpin(u64),
    Order(usize, ShardState),
    Pass(u64),
    Expire,
}

fn steps() -> impl Strategy<Value = Step> {
    let room = || 0u64..6;
    let state =
        prop::sample::select(vec![ShardState::Ready, ShardState::Ready, ShardState::Draining, ShardState::Down]);
    prop_oneof![
        6 => room().prop_map(Step::Decide),
        4 => room().prop_map(Step::Route),
        2 => room().prop_map(Step::Open),
        2 => (0usize..8).prop_map(Step::Close),
        1 => (room(), 0usize..3).prop_map(|(room, shard)| Step::Pin(room, shard)),
        1 => room().prop_map(Step::Unpin),
        2 => (0usize..3, state).prop_map(|(shard, state)| Step::Order(shard, state)),
        3 => (0u64..400).prop_map(Step::Pass),
        1 => Just(Step::Expire),
    ]
}

/// What is known of a room: nobody is forgotten here but by the rules.
#[derive(Clone, Debug)]
struct Room {
    shard: ShardId,
    epoch: u32,
    seen: Timestamp,
    tunnels: u32,
    ended: bool,
}

struct Model {
    bench: Bench,
    ids: Vec<ShardId>,
    states: BTreeMap<ShardId, ShardState>,
    rooms: BTreeMap<u64, Room>,
    /// Open tunnels: room and the shard each goes to.
    tunnels: Vec<(u64, ShardId)>,
}

impl Model {
    fn new() -> Self {
        let bench = Bench::bounded(&SHARDS, MAX_PINS);
        let ids: Vec<_> = SHARDS.iter().map(|s| bench.id(s)).collect();
        let states = ids.iter().map(|&id| (id, ShardState::Ready)).collect();
        Self { bench, ids, states, rooms: BTreeMap::new(), tunnels: Vec::new() }
    }

    fn over(&self, room: &Room) -> bool {
        room.ended || (room.tunnels == 0 && self.bench.now.since(room.seen) >= TTL)
    }

    fn live(&self, n: u64) -> Option<&Room> {
        self.rooms.get(&n).filter(|room| !self.over(room))
    }

    fn expected_route(&self, n: u64) -> Route {
        match self.live(n) {
            None => Route::Unknown,
            Some(room) if self.states[&room.shard] == ShardState::Down => Route::Lost(room.shard),
            Some(room) => Route::Pinned(room.shard),
        }
    }

    /// Drops what the router may have swept, and must have if it took a new room.
    fn sweep(&mut self) {
        let over: Vec<_> = self.rooms.iter().filter(|(_, r)| self.over(r) && r.tunnels == 0).map(|(&n, _)| n).collect();
        over.iter().for_each(|n| _ = self.rooms.remove(n));
    }

    fn put(&mut self, n: u64, shard: ShardId, new: bool) {
        if new && !self.rooms.contains_key(&n) && self.rooms.len() >= MAX_PINS {
            self.sweep();
        }
        let old = self.rooms.get(&n);
        let (epoch, tunnels) = old.map_or((1, 0), |room| (room.epoch + 1, room.tunnels));
        let seen = self.bench.now;
        self.rooms.insert(n, Room { shard, epoch, seen, tunnels, ended: false });
    }

    fn touch(&mut self, n: u64) {
        let now = self.bench.now;
        self.rooms.get_mut(&n).unwrap().seen = now;
    }

    fn decide(&mut self, n: u64) -> Result<(), TestCaseError> {
        let answer = self.bench.router.decide(key(n), self.bench.now, &[]);
        let before = self.expected_route(n);
        if let Ok(Decision { shard, outcome: Outcome::Made | Outcome::Moved { .. } }) = answer {
            // Invariant 4: no new room for a shard that is not ready.
            prop_assert_eq!(self.states[&shard], ShardState::Ready);
        }
        let any_ready = self.states.values().any(|&s| s == ShardState::Ready);
        match (before, answer) {
            (Route::Pinned(at), Ok(Decision { shard, outcome: Outcome::Found })) => {
                prop_assert_eq!(at, shard);
                self.touch(n);
            }
            (Route::Lost(at), Ok(Decision { shard, outcome: Outcome::Moved { from } })) => {
                prop_assert_eq!(at, from);
                self.put(n, shard, false);
            }
            (Route::Unknown, Ok(Decision { shard, outcome: Outcome::Made })) => {
                self.put(n, shard, true);
                prop_assert!(self.rooms.len() <= MAX_PINS.max(self.tunnels.len() + MAX_PINS));
            }
            (Route::Unknown | Route::Lost(_), Err(Refusal::NoShard)) => prop_assert!(!any_ready),
            (Route::Unknown, Err(Refusal::TableFull)) => {
                // Only the rooms that could not be swept count, and none of them is free.
                prop_assert!(!self.rooms.contains_key(&n));
                self.sweep();
                prop_assert!(self.rooms.len() >= MAX_PINS);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.bench.now;
        match *step {
            Step::Decide(n) => self.decide(n)?,
            Step::Route(n) => {
                let expected = self.expected_route(n);
                prop_assert_eq!(self.bench.route(n), expected);
                if matches!(expected, Route::Pinned(_)) {
                    self.touch(n);
                }
            }
            Step::Open(n) => {
                // As the proxy does: only where it was sent.
                if let Some(shard) = self.live(n).map(|room| room.shard) {
                    prop_assert!(self.bench.router.tunnel_opened(key(n), shard, now));
                    self.touch(n);
                    self.rooms.get_mut(&n).unwrap().tunnels += 1;
                    self.tunnels.push((n, shard));
                }
            }
            Step::Close(which) => {
                if which < self.tunnels.len() {
                    let (n, shard) = self.tunnels.swap_remove(which);
                    self.bench.router.tunnel_closed(key(n), shard, now);
                    self.touch(n);
                    self.rooms.get_mut(&n).unwrap().tunnels -= 1;
                }
            }
            Step::Pin(n, shard) => self.pin(n, shard)?,
            Step::Unpin(n) => {
                let was_there = self.live(n).is_some();
                prop_assert_eq!(self.bench.router.unpin(key(n), now), was_there);
                match self.rooms.get_mut(&n) {
                    Some(room) if room.tunnels > 0 => (room.ended, room.seen) = (true, now),
                    _ => _ = self.rooms.remove(&n),
                }
            }
            Step::Order(shard, state) => {
                self.states.insert(self.ids[shard], state);
                self.bench.operator(self.ids[shard], state);
            }
            Step::Pass(seconds) => self.bench.pass(secs(seconds)),
            Step::Expire => {
                let before = self.rooms.len();
                self.sweep();
                let removed = self.bench.router.expire(now);
                // A full table may have been swept before, which the model leaves for now.
                prop_assert!(removed <= before - self.rooms.len());
                prop_assert_eq!(self.bench.router.len(), self.rooms.len());
            }
        }
        Ok(())
    }

    fn pin(&mut self, n: u64, shard: usize) -> Result<(), TestCaseError> {
        let live = self.live(n).map(|room| room.shard);
        let id = self.ids[shard];
        match (live, self.bench.router.pin(key(n), &name(SHARDS[shard]), self.bench.now)) {
            (Some(at), Ok(Outcome::Found)) => {
                prop_assert_eq!(at, id);
                self.touch(n);
            }
            (Some(at), Ok(Outcome::Moved { from })) => {
                prop_assert!(at == from && at != id);
                self.put(n, id, false);
            }
            (None, Ok(Outcome::Made)) => self.put(n, id, true),
            (None, Err(PinError::TableFull)) => {
                self.sweep();
                prop_assert!(self.rooms.len() >= MAX_PINS);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    /// What must hold after every step.
    fn check(&self) -> Result<(), TestCaseError> {
        for (&n, room) in &self.rooms {
            let view = self.bench.router.lookup(key(n), self.bench.now);
            let expected = (!self.over(room)).then_some((room.shard, room.epoch, room.seen, room.tunnels));
            let got = view.map(|v| (v.shard, v.pin.epoch, v.pin.last_seen, v.tunnels));
            prop_assert_eq!(got, expected, "room {}", n);
        }
        for &id in &self.ids {
            let live = |r: &&Room| r.shard == id && !self.over(r);
            let least = self.rooms.values().filter(live).count();
            let most = self.rooms.values().filter(|r| r.shard == id && !r.ended).count();
            let counted = self.bench.router.rooms_on(id) as usize;
            prop_assert!((least..=most).contains(&counted), "{least} {counted} {most}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rooms_live_by_the_rules(steps in prop::collection::vec(steps(), 1..80)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step)?;
            model.check()?;
        }
    }
}
