//! The task that owns the state machine.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use router_core::{
    cluster::{Cluster, ClusterEvent, ClusterSettings, Input, Node, Output, ReplicaId, ReplicaState, message::Message},
    router::{Decision, Refusal, Router},
    shard::ShardId,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::MissedTickBehavior,
};

use super::{Ask, ClusterHandle, INBOX, LaneBytes, Link, Member, View};
use crate::{
    admin::{Readiness, Tunnels as _},
    clock::Clock,
    mesh::{Mesh, MeshEvent, MeshHandle},
    metrics::Metrics,
    server::ShardDesk,
    tunnel::registry::Tunnels,
};

/// Between two looks at the clock: a fifth of what the state machine asks for, since claims are timed by it.
const TICK: Duration = Duration::from_millis(10);
/// Ticks between two reports of tunnels and views of the cluster.
const REPORT_EVERY: u32 = 100;
/// Events of the mesh that may wait; beyond it the mesh stops reading.
const EVENTS: usize = 4096;

/// What the task works with.
pub(crate) struct ClusterParts {
    pub(crate) router: Arc<Router>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) desk: ShardDesk,
    pub(crate) readiness: Readiness,
    pub(crate) claim_timeout: Duration,
}

struct Task {
    me: Node,
    cluster: Cluster,
    mesh: Arc<MeshHandle>,
    parts: ClusterParts,
    waiting: HashMap<u64, oneshot::Sender<Result<Decision, Refusal>>>,
    tickets: u64,
    view: watch::Sender<Arc<View>>,
    /// The view shows others than there are.
    members_changed: bool,
}

/// Starts to take part as `me`.
pub(crate) fn start(mesh: Mesh, me: Node, parts: ClusterParts) -> (ClusterHandle, Arc<MeshHandle>) {
    let (events, happened) = mpsc::channel(EVENTS);
    let mesh = Arc::new(mesh.start(me, events));
    let settings = ClusterSettings { claim_timeout: parts.claim_timeout, seed: rand::random() };
    let cluster = Cluster::new(me, Arc::clone(&parts.router), settings, parts.clock.now());
    parts.readiness.set_joining(true);
    let (inbox, asked) = mpsc::channel(INBOX);
    let (view, seen) = watch::channel(Arc::default());
    let task = Task {
        me,
        cluster,
        mesh: Arc::clone(&mesh),
        parts,
        waiting: HashMap::new(),
        tickets: 0,
        view,
        members_changed: false,
    };
    tokio::spawn(task.run(asked, happened));
    (ClusterHandle { inbox, view: seen }, mesh)
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>, mut happened: mpsc::Receiver<MeshEvent>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            tokio::select! {
                event = happened.recv() => match event {
                    Some(event) => self.mesh_event(event),
                    None => return,
                },
                ask = asked.recv() => match ask {
                    Some(ask) => self.ask(ask),
                    None => return,
                },
                _ = tick.tick() => {
                    if turn % REPORT_EVERY == 0 {
                        self.report();
                    }
                    turn = turn.wrapping_add(1);
                    self.handle(Input::Tick);
                }
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Room { key, answer } => {
                self.tickets += 1;
                self.waiting.insert(self.tickets, answer);
                self.handle(Input::Wanted { key, ticket: self.tickets });
            }
            Ask::Order { shard, state, taken } => {
                self.handle(Input::Ordered { shard, state });
                // The operator may have hung up.
                let _ = taken.send(());
            }
            Ask::Changed(key) => self.handle(Input::Changed { key }),
            Ask::ClaimTimeout(timeout) => self.cluster.set_claim_timeout(timeout),
            Ask::Leave => self.handle(Input::Leave),
            Ask::Quit(said) => {
                self.handle(Input::Quit);
                let mesh = Arc::clone(&self.mesh);
                tokio::spawn(async move {
                    mesh.shutdown().await;
                    // Whoever waited may have given up.
                    let _ = said.send(());
                });
            }
        }
    }

    fn mesh_event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Up(node) => self.handle(Input::LinkUp(node)),
            MeshEvent::Down(id) => self.handle(Input::LinkDown(id)),
            MeshEvent::BulkDrained(id) => self.handle(Input::BulkDrained(id)),
            MeshEvent::Overflowed(id) => self.handle(Input::Overflowed(id)),
            MeshEvent::Found(addresses) => self.handle(Input::Peers(addresses)),
            MeshEvent::Frame { from, bytes } => match Message::decode(&bytes) {
                Ok(message) => self.handle(Input::Received { from, message }),
                Err(error) => {
                    self.parts.metrics.cluster.undecodable.inc();
                    tracing::error!(replica = %from, "a message makes no sense, closing the link: {error}");
                    self.mesh.close(from);
                }
            },
        }
    }

    fn handle(&mut self, input: Input) {
        for output in self.cluster.handle(input, self.parts.clock.now()) {
            self.carry_out(output);
        }
        if std::mem::take(&mut self.members_changed) {
            self.show();
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            // What cannot be sent is made good by repair.
            Output::Send { to, lane, message } => drop(self.mesh.send(to, lane, Bytes::from(message.encode()))),
            Output::Dial(address) => self.mesh.dial(address),
            Output::Answer { ticket, result } => {
                if let Some(answer) = self.waiting.remove(&ticket) {
                    // The request may have been given up.
                    let _ = answer.send(result);
                }
            }
            Output::CloseTunnels { key, except } => {
                let closed = self.parts.tunnels.close_room(key, except);
                self.parts.metrics.cluster.healed_tunnels.inc_by(closed as u64);
                if closed > 0 {
                    let shard = except.map_or_else(|| "(none)".into(), |shard| self.name(shard));
                    tracing::info!(room = %key, shard, tunnels = closed, "room is elsewhere now; closing its tunnels");
                }
            }
            Output::Shards(events) => self.parts.desk.publish(&events),
            Output::Event(event) => self.event(&event),
        }
    }

    fn event(&mut self, event: &ClusterEvent) {
        self.parts.metrics.cluster.count(event);
        self.members_changed |=
            matches!(event, ClusterEvent::MemberUp(_) | ClusterEvent::MemberDown(_) | ClusterEvent::MemberState(..));
        match event {
            ClusterEvent::Decided(decision) => self.parts.metrics.decided(*decision),
            ClusterEvent::MemberUp(node) => {
                tracing::info!(replica = %node.id, address = %node.address, "replica up");
            }
            ClusterEvent::MemberDown(node) => {
                tracing::warn!(replica = %node.id, address = %node.address, "replica down");
                // What is left of the connection only waits for TCP to try again, more and more rarely; dials do not.
                self.mesh.close(node.id);
            }
            ClusterEvent::MemberState(id, state) => {
                tracing::info!(replica = %id, state = state.as_str(), "replica changed state");
                if *id == self.me.id && *state == ReplicaState::Ready {
                    self.parts.readiness.set_joining(false);
                }
            }
            ClusterEvent::Conflict { key } => {
                tracing::warn!(room = %key, "room pinned to two shards; counting its people");
            }
            ClusterEvent::Settled { key, shard } => {
                tracing::info!(room = %key, shard = self.name(*shard), "contested room settled");
            }
            ClusterEvent::Claimed { .. } | ClusterEvent::Unconfirmed | ClusterEvent::Different { .. } => {}
        }
    }

    fn name(&self, shard: ShardId) -> String {
        self.parts.router.shards().name(shard).map_or_else(|| "?".into(), ToString::to_string)
    }

    /// What changes slowly: this replica's tunnels, for the others, and the picture of it all for operators.
    fn report(&mut self) {
        let shards = self.parts.router.shards();
        let open = |shard: &router_core::shard_set::Shard| {
            let tunnels = self.parts.metrics.shard(shard.id).tunnels_open.get();
            (shard.name.clone(), u32::try_from(tunnels).unwrap_or(0))
        };
        self.handle(Input::Tunnels(shards.iter().map(open).collect()));
        self.show();
    }

    /// The picture for operators, as of now.
    fn show(&mut self) {
        let shards = self.parts.router.shards();
        let links = self.mesh.links();
        let link = |id: ReplicaId| {
            let info = links.iter().find(|link| link.node.id == id)?;
            let (urgent, bulk) = info.waiting;
            Some(Link { version: info.version, waiting: LaneBytes { urgent, bulk }, lag: info.lag })
        };
        let member = |(node, state): (Node, ReplicaState)| Member {
            node,
            state,
            own: node.id == self.me.id,
            link: link(node.id),
        };
        let members: Vec<_> = self.cluster.live().map(member).collect();
        let tunnels = shards.iter().map(|shard| (shard.name.clone(), self.cluster.tunnels_on(&shard.name))).collect();
        self.parts.metrics.cluster.show(&members, &self.mesh.counters());
        self.view.send_replace(Arc::new(View { members, tunnels }));
    }
}
