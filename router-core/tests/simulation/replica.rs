//! One process: a router and a cluster, and what becomes of the cluster's wishes.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use rand::RngExt;
use router_core::{
    cluster::{ClaimOutcome, Cluster, ClusterEvent, ClusterSettings, Input, Node, Output, ReplicaId, message::Message},
    pin::{DeciderId, Pin},
    registry::{ProbeKind, RegistrySettings, ShardInput},
    room::RoomKey,
    router::{Outcome, Router, RouterSettings},
    shard::{ShardId, ShardName, ShardSpec, ShardState},
};

use super::world::{Event, Host, MS, Micros, Slot, TICK, World, tell};

pub(crate) const CLAIM_TIMEOUT: Duration = Duration::from_millis(150);

pub(crate) struct Replica {
    pub(crate) host: Host,
    pub(crate) node: Node,
    pub(crate) router: Arc<Router>,
    pub(crate) cluster: Cluster,
    pub(crate) alive: bool,
    /// The load balancer sends no new requests.
    pub(crate) leaving: bool,
    /// Messages and bytes.
    pub(crate) sent: (u64, u64),
    pub(crate) got: u64,
    pub(crate) tickets: u64,
    /// Who waits for which answer.
    pub(crate) waiting: BTreeMap<u64, usize>,
}

/// A shard as it really is.
#[derive(Debug, Default)]
pub(crate) struct ShardTruth {
    pub(crate) down: bool,
    /// Hosts from which it looks dead though it is not.
    pub(crate) unseen_from: Vec<Host>,
    /// When an operator's last word was spoken, and which.
    pub(crate) ordered: Option<(Micros, Option<ShardState>)>,
    /// The last time at which a majority may have had reason to leave it.
    pub(crate) lost_until: Option<Micros>,
}

pub(crate) fn shard_name(shard: usize) -> ShardName {
    ShardName::new(&format!("shard-{shard}")).expect("a name")
}

pub(crate) fn shard_number(name: &ShardName) -> usize {
    name.as_str().strip_prefix("shard-").and_then(|n| n.parse().ok()).expect("a shard of this world")
}

pub(crate) fn address(host: Host) -> SocketAddr {
    ([10, 0, 0, u8::try_from(host).expect("few hosts")], 7946).into()
}

impl World {
    pub(crate) fn start(&mut self, host: Host, snapshot: Vec<(RoomKey, Pin)>) {
        let slot = self.replicas.len();
        let id = ReplicaId(self.rng.random());
        let skew = self.skew[host];
        let started = self.clock_at(host);
        let node = Node { id, address: address(host), started };
        let router = Arc::new(Router::new(RouterSettings {
            ttl: self.plan.ttl,
            max_pins: self.plan.max_pins,
            decider: DeciderId(id.0),
            registry: RegistrySettings::default(),
            restored_hold: Duration::from_secs(30),
        }));
        let settings = ClusterSettings { claim_timeout: CLAIM_TIMEOUT, seed: self.rng.random() };
        let cluster = Cluster::new(node, Arc::clone(&router), settings, started);
        tell!(
            self,
            "replica {slot} = {id} starts at host {host}, clock {skew} ms off, {} pins restored",
            snapshot.len()
        );
        router.restore(snapshot, started);
        self.replicas.push(Replica {
            host,
            node,
            router,
            cluster,
            alive: true,
            leaving: false,
            sent: (0, 0),
            got: 0,
            tickets: 0,
            waiting: BTreeMap::new(),
        });
        self.slots.insert(id, slot);
        self.hosts[host] = Some(slot);
        let specs = (0..self.plan.shards).map(|shard| ShardSpec {
            name: shard_name(shard),
            addresses: vec![([127, 0, 1, u8::try_from(shard).expect("few shards")], 80).into()],
            weight: 1,
            state: ShardState::Ready,
            agent_port: None,
        });
        let input = ShardInput::Discovered {
            source: "list".into(),
            shards: specs.collect(),
            hold_down: Duration::from_secs(5),
        };
        self.replicas[slot].router.handle(input, started);
        for shard in 0..self.plan.shards {
            self.probe(host, shard);
            if self.looks_dead(host, shard) {
                self.after(300 * MS, Event::Probe { host, shard });
            }
        }
        let expected = self.plan.expected;
        self.input(slot, Input::Peers((0..expected).map(address).collect()));
        let phase = self.rng.random_range(0..TICK);
        self.after(phase, Event::Tick(slot));
        for peer in self.living() {
            if peer != slot {
                let after = self.rng.random_range(MS..60 * MS);
                self.after(after, Event::Connect(slot, peer));
            }
        }
    }

    pub(crate) fn looks_dead(&self, host: Host, shard: usize) -> bool {
        self.shards[shard].down || self.shards[shard].unseen_from.contains(&host)
    }

    /// A probe of a shard, as often as it takes for a verdict.
    pub(crate) fn probe(&mut self, host: Host, shard: usize) {
        let Some(slot) = self.hosts[host] else { return };
        let result = if self.looks_dead(host, shard) { Err("no answer".to_string()) } else { Ok(()) };
        let now = self.clock(slot);
        let input = ShardInput::Probed { shard: shard_name(shard), probe: ProbeKind::Tcp, result };
        let events = self.replicas[slot].router.handle(input, now);
        if !events.is_empty() {
            tell!(self, "replica {slot} probes: {events:?}");
        }
    }

    /// Hands an input to a replica and carries out what it wants.
    pub(crate) fn input(&mut self, slot: Slot, input: Input) {
        let now = self.clock(slot);
        if self.told && is_telling(&input) {
            tell!(self, "replica {slot} <- {input:?}");
        }
        let outputs = self.replicas[slot].cluster.handle(input, now);
        for output in outputs {
            self.output(slot, output);
        }
    }

    fn output(&mut self, slot: Slot, output: Output) {
        match output {
            Output::Send { to, lane, message } => {
                if self.told && is_telling_message(&message) {
                    tell!(self, "replica {slot} -> {} {lane:?} {message:?}", self.slots[&to]);
                }
                let to = self.slots[&to];
                self.send(slot, to, lane, &message);
            }
            Output::Dial(_) => {}
            Output::Answer { ticket, result } => {
                let Some(client) = self.replicas[slot].waiting.remove(&ticket) else {
                    return self.fail(&format!("replica {slot} answers ticket {ticket} again, or unasked"));
                };
                match result {
                    Ok(decision) => {
                        tell!(self, "replica {slot} answers client {client}: {decision:?}");
                        self.told_where(slot, client, decision.shard);
                    }
                    Err(refusal) => {
                        tell!(self, "replica {slot} refuses client {client}: {refusal}");
                        self.stats.refusals += 1;
                        self.come_back(client, 400 * MS..900 * MS);
                    }
                }
            }
            Output::CloseTunnels { key, except } => {
                let shard = except.map(|shard| self.shard_at(slot, shard));
                self.close_tunnels(slot, key, shard);
            }
            Output::Shards(events) => {
                tell!(self, "replica {slot}: {events:?}");
            }
            Output::Event(event) => self.noted(slot, &event),
        }
    }

    fn noted(&mut self, slot: Slot, event: &ClusterEvent) {
        tell!(self, "replica {slot}: {event:?}");
        match event {
            ClusterEvent::Claimed { outcome: ClaimOutcome::Fallback, .. } => self.stats.fallbacks += 1,
            ClusterEvent::Decided(decision) => {
                self.stats.decided += 1;
                if !matches!(decision.outcome, Outcome::Found) {
                    self.check_new_room(slot, decision.shard);
                }
            }
            ClusterEvent::Unconfirmed => self.stats.unconfirmed += 1,
            ClusterEvent::Conflict { .. } => self.stats.conflicts += 1,
            _ => {}
        }
    }

    /// A shard's number in the world, from that in a process.
    pub(crate) fn shard_at(&self, slot: Slot, shard: ShardId) -> usize {
        shard_number(self.replicas[slot].router.shards().name(shard).expect("the router gave it out"))
    }

    /// What a snapshot of a replica would hold.
    pub(crate) fn pins_of(&self, slot: Slot) -> Vec<(RoomKey, Pin)> {
        let mut pins = Vec::new();
        self.replicas[slot].router.for_each_pin(self.clock(slot), |key, view| pins.push((key, view.pin)));
        pins.sort_unstable_by_key(|(key, _)| *key);
        pins
    }
}

fn is_telling(input: &Input) -> bool {
    match input {
        Input::Tick | Input::BulkDrained(_) => false,
        Input::Received { message, .. } => is_telling_message(message),
        _ => true,
    }
}

/// The others would fill the trace with what happens all the time.
fn is_telling_message(message: &Message) -> bool {
    !matches!(
        message,
        Message::Gossip(_) | Message::Status(_) | Message::Digest(_) | Message::Leaves { .. } | Message::Seen(_)
    )
}
