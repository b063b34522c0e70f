//! Claims between a few replicas, message by message: what chance seldom brings about in the simulator, and what mutants
//! of it survived there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use router_core::{
    cluster::{Cluster, ClusterEvent, ClusterSettings, Input, Node, Output, ReplicaId, ReplicaState, message::Message},
    pin::{DeciderId, Pin},
    registry::{ProbeKind, RegistrySettings, ShardInput},
    room::RoomKey,
    router::{Router, RouterSettings},
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};

struct Replica {
    node: Node,
    router: Arc<Router>,
    cluster: Cluster,
}

/// Replicas that all have links to each other. Messages wait until a test delivers them.
struct Circle {
    now: Timestamp,
    replicas: Vec<Replica>,
    /// Sender, receiver, message.
    wire: VecDeque<(usize, usize, Message)>,
    answered: Vec<(usize, u64)>,
    unconfirmed: usize,
}

impl Circle {
    /// So many ready ones, who have nothing to say any more.
    fn of(count: u8) -> Self {
        let replicas = (0..count).map(Replica::new).collect();
        let mut circle =
            Self { now: Timestamp(1_000_000), replicas, wire: VecDeque::new(), answered: Vec::new(), unconfirmed: 0 };
        for (a, b) in pairs(count.into()) {
            let node = circle.replicas[b].node;
            circle.tell(a, Input::LinkUp(node));
        }
        let ready = |replica: &Replica| {
            let mut live = replica.cluster.live();
            live.by_ref().filter(|(_, state)| *state == ReplicaState::Ready).count() == usize::from(count)
        };
        for _ in 0..1_000 {
            circle.tick();
            if circle.replicas.iter().all(ready) {
                break;
            }
        }
        assert!(circle.replicas.iter().all(ready), "they find each other");
        circle
    }

    fn tick(&mut self) {
        self.now = self.now + Duration::from_millis(10);
        for n in 0..self.replicas.len() {
            self.tell(n, Input::Tick);
        }
        self.deliver_all();
    }

    fn tell(&mut self, n: usize, input: Input) {
        for output in self.replicas[n].cluster.handle(input, self.now) {
            match output {
                Output::Send { to, message, .. } => {
                    let to = self.replicas.iter().position(|replica| replica.node.id == to);
                    self.wire.extend(to.map(|to| (n, to, message)));
                }
                Output::Answer { ticket, result } => {
                    result.unwrap();
                    self.answered.push((n, ticket));
                }
                Output::Event(ClusterEvent::Unconfirmed) => self.unconfirmed += 1,
                _ => {}
            }
        }
    }

    fn deliver(&mut self, at: usize) {
        let (from, to, message) = self.wire.remove(at).unwrap();
        let from = self.replicas[from].node.id;
        self.tell(to, Input::Received { from, message });
    }

    fn deliver_all(&mut self) {
        while !self.wire.is_empty() {
            self.deliver(0);
        }
    }

    /// Delivers the one message between two replicas that is of a kind.
    fn deliver_one(&mut self, from: usize, to: usize, kind: fn(&Message) -> bool) {
        let at = self.wire.iter().position(|(a, b, message)| (*a, *b) == (from, to) && kind(message));
        self.deliver(at.unwrap_or_else(|| panic!("nothing like it from {from} to {to}: {:?}", self.wire)));
    }

    fn pin(&self, n: usize, room: RoomKey) -> Option<Pin> {
        self.replicas[n].router.get(room, self.now).map(|(pin, ..)| pin)
    }
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).filter(move |b| *b != a).map(move |b| (a, b)))
}

impl Replica {
    fn new(n: u8) -> Self {
        let id = ReplicaId(u64::from(n) + 1);
        let now = Timestamp(1_000_000);
        let address = |port| SocketAddr::from(([10, 0, 0, n], port));
        let node = Node { id, address: address(7946), started: now };
        let router = Arc::new(Router::new(RouterSettings {
            ttl: Duration::from_secs(600),
            max_pins: 1_000,
            decider: DeciderId(id.0),
            registry: RegistrySettings::default(),
            restored_hold: Duration::from_secs(30),
        }));
        let shards: Vec<_> = (0..3)
            .map(|shard| ShardSpec {
                name: ShardName::new(&format!("shard-{shard}")).unwrap(),
                addresses: vec![([127, 0, 1, shard], 80).into()],
                weight: 1,
                state: ShardState::Ready,
                agent_port: None,
            })
            .collect();
        let names: Vec<_> = shards.iter().map(|shard| shard.name.clone()).collect();
        router.handle(ShardInput::Discovered { source: "list".into(), shards, hold_down: Duration::ZERO }, now);
        for shard in names {
            router.handle(ShardInput::Probed { shard, probe: ProbeKind::Tcp, result: Ok(()) }, now);
        }
        let settings = ClusterSettings { claim_timeout: Duration::from_millis(150), seed: id.0 };
        let cluster = Cluster::new(node, Arc::clone(&router), settings, now);
        Self { node, router, cluster }
    }
}

fn proposal(message: &Message) -> bool {
    matches!(message, Message::Propose { .. })
}

/// A room that replica 0 owns, with 1 as the second and 2 as the third; found out by asking others like them.
fn room() -> RoomKey {
    let mut others = Circle::of(3);
    for n in 0..1_000 {
        let room = RoomKey(n << 64 | n);
        others.tell(0, Input::Wanted { key: room, ticket: 0 });
        let first_two = others.wire.iter().any(|(a, b, message)| (*a, *b) == (0, 1) && proposal(message));
        others.deliver_all();
        if first_two {
            return room;
        }
    }
    panic!("each third room of each second");
}

#[test]
fn a_decision_is_known_to_all_and_took_no_time() {
    let (mut circle, room) = (Circle::of(3), room());
    circle.tell(2, Input::Wanted { key: room, ticket: 7 });
    assert_eq!(circle.pin(0, room), None, "asked, not decided");
    circle.deliver_one(2, 0, |message| matches!(message, Message::Claim { .. }));
    circle.deliver_one(0, 1, proposal);
    assert!(circle.answered.is_empty(), "nobody hears of it before the second has said so");
    circle.deliver_all();
    assert_eq!(circle.answered, [(2, 7)]);
    let pin = circle.pin(0, room);
    assert!(pin.is_some() && circle.pin(1, room) == pin && circle.pin(2, room) == pin);
}

/// The owner decides for a request of its own, and the second at the same time for somebody who passed a claim on to it.
/// Each proposes to the other; the one that ranks lower gives in, at once. Would both wait, both would stand by what they
/// have decided after a while, unconfirmed.
#[test]
fn of_two_that_propose_to_each_other_the_lower_gives_in() {
    for owner_hears_first in [true, false] {
        let (mut circle, room) = (Circle::of(3), room());
        circle.tell(0, Input::Wanted { key: room, ticket: 1 });
        let third = circle.replicas[2].node.id;
        let message = Message::Claim { id: 99, key: room, lost: None, relayed: true };
        circle.tell(1, Input::Received { from: third, message });
        assert_eq!(circle.wire.iter().filter(|(.., message)| proposal(message)).count(), 2, "{:?}", circle.wire);
        let order = if owner_hears_first { [(1, 0), (0, 1)] } else { [(0, 1), (1, 0)] };
        for (from, to) in order {
            circle.deliver_one(from, to, proposal);
        }
        let granted = |message: &(usize, usize, Message)| match message {
            (1, 2, Message::Granted { id: 99, pin }) => Some(pin.clone()),
            _ => None,
        };
        // Without a tick: time stands still.
        let mut told = None;
        while !circle.wire.is_empty() {
            told = told.or_else(|| granted(&circle.wire[0]));
            circle.deliver(0);
        }
        assert_eq!(circle.answered, [(0, 1)], "the owner's request has its answer");
        let pin = circle.pin(0, room).expect("the room is somewhere");
        assert_eq!(pin.decider, DeciderId(circle.replicas[0].node.id.0), "the owner's word stands");
        assert_eq!(told.map(|pin| pin.shard), Some(pin.shard.clone()), "and the third heard the same");
        for n in 1..3 {
            assert_eq!(circle.pin(n, room).as_ref(), Some(&pin), "{n}");
        }
        for _ in 0..20 {
            circle.tick();
        }
        assert_eq!(circle.unconfirmed, 0);
    }
}

/// The owner told somebody and then died before it told everybody: the second, which took the decision down, tells them.
#[test]
fn what_a_dead_owner_decided_is_told_by_the_second() {
    let (mut circle, room) = (Circle::of(3), room());
    circle.tell(0, Input::Wanted { key: room, ticket: 1 });
    circle.deliver_one(0, 1, proposal);
    circle.deliver_one(1, 0, |message| matches!(message, Message::Accepted { .. }));
    assert_eq!(circle.answered, [(0, 1)], "its own people know");
    let dead = circle.replicas[0].node.id;
    // Its last words are lost.
    circle.wire.retain(|(from, to, _)| *from != 0 && *to != 0);
    assert_eq!(circle.pin(2, room), None);
    for n in [1, 2] {
        circle.tell(n, Input::LinkDown(dead));
    }
    circle.deliver_all();
    let pin = circle.pin(0, room);
    assert!(pin.is_some());
    assert_eq!(circle.pin(2, room), pin, "no tick, no repair: it is told at once");
}
