//! Who is there: SWIM (`foca`), its datagrams carried over the connections between replicas.
//!
//! A member is live while anybody can reach it: one that does not answer is asked for through others, then suspected,
//! then, unless it objects in time, down. A lost connection is a suspicion at once. Nothing is lost on a connection
//! that stands, so without a fault nobody is ever down by mistake.

mod identity;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod timers;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    net::SocketAddr,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use bytes::{Buf, BufMut};
use foca::{
    Codec as _, Config, Foca, Header, Identity as _, Member, NoCustomBroadcast, PeriodicParams, State, Timer,
    TimerToken,
};
use rand::{SeedableRng, rngs::SmallRng};

use self::{
    identity::{Codec, Identity, plain},
    timers::{Asked, Timers},
};
use super::{Node, ReplicaId, ReplicaState};
use crate::time::Timestamp;

/// Connections at most; more are as good as none.
const MAX_LINKS: usize = 64;
/// Members at most that are remembered, the down ones included. Datagrams that would add more are dropped.
const MAX_KNOWN: usize = 256;
/// How long a replica stays excluded after its goodbye, and one that is down remembered: far longer than any rumour
/// that it is alive takes to die.
const REMEMBERED: Duration = Duration::from_mins(5);
/// Between two attempts to dial one address.
const DIAL_EVERY: Duration = Duration::from_secs(1);
/// Between two lives of this replica: two that dispute one address must not do it at the speed of the network.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Time in which a suspect may object.
const SUSPICION: Duration = Duration::from_millis(600);
/// Bytes of a datagram at most.
const MAX_DATAGRAM: usize = 1_400;

/// Chosen by measurement: see `simulation.rs`.
fn config() -> Config {
    let some = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    let every =
        |millis, members| Some(PeriodicParams { frequency: Duration::from_millis(millis), num_members: some(members) });
    Config {
        probe_period: Duration::from_millis(300),
        probe_rtt: Duration::from_millis(100),
        num_indirect_probes: some(3),
        // foca computes 4 for ten members, with which the news of a death takes seconds to reach the last.
        max_transmissions: NonZeroU8::new(15).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: SUSPICION,
        remove_down_after: Some(REMEMBERED),
        max_packet_size: some(MAX_DATAGRAM),
        notify_down_members: true,
        periodic_announce: every(5_000, 1),
        // Leads to a dial when there is no connection: that is how the halves of a partition find together.
        periodic_announce_to_down_members: every(5_000, 2),
        // Sent only while there is news. An objection has to be back within `SUSPICION`.
        periodic_gossip: every(100, 3),
    }
}

/// What membership wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemberEffect {
    /// Send [`super::Message::Gossip`] to a linked replica.
    Send {
        /// The replica.
        to: ReplicaId,
        /// What to say.
        datagram: Vec<u8>,
    },
    /// A replica is live.
    Up(Node),
    /// It is not any more.
    Down(Node),
    /// A linked or live replica says that it has another state.
    State(ReplicaId, ReplicaState),
    /// Connect to a member without a connection.
    Dial(SocketAddr),
}

/// The replicas that this one knows, and its own state.
pub(super) struct Members {
    me: Node,
    state: ReplicaState,
    foca: Foca<Identity, Codec, SmallRng, NoCustomBroadcast>,
    timers: Timers,
    token: TimerToken,
    links: BTreeMap<ReplicaId, Node>,
    /// What linked and live replicas say of themselves.
    states: BTreeMap<ReplicaId, ReplicaState>,
    live: BTreeMap<ReplicaId, Node>,
    /// Those that said goodbye, and when.
    gone: BTreeMap<ReplicaId, Timestamp>,
    dialled: BTreeMap<SocketAddr, Timestamp>,
    /// This replica is held to be down and comes back in a new life, not before this time.
    renew: Option<Timestamp>,
    may_renew: Timestamp,
    left: bool,
    out: Vec<MemberEffect>,
}

/// Foca has no form to print.
impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Members");
        all.field("me", &self.me).field("state", &self.state).field("live", &self.live).field("links", &self.links);
        all.finish_non_exhaustive()
    }
}

impl Members {
    /// A replica that knows nobody, and is joining.
    pub(super) fn new(me: Node, seed: u64, now: Timestamp) -> Self {
        let me = Node { address: plain(me.address), ..me };
        Self {
            me,
            state: ReplicaState::Joining,
            foca: Foca::new(Identity::first(me), config(), SmallRng::seed_from_u64(seed), Codec),
            timers: Timers::new(now),
            token: TimerToken::default(),
            links: BTreeMap::new(),
            states: BTreeMap::new(),
            live: BTreeMap::new(),
            gone: BTreeMap::new(),
            dialled: BTreeMap::new(),
            renew: None,
            may_renew: now,
            left: false,
            out: Vec::new(),
        }
    }

    /// An authenticated connection is there.
    pub(super) fn link_up(&mut self, node: Node, now: Timestamp) -> Vec<MemberEffect> {
        self.timers.advance(now);
        let node = Node { address: plain(node.address), ..node };
        if self.left || node.id == self.me.id || self.gone.contains_key(&node.id) || self.links.len() >= MAX_LINKS {
            return Vec::new();
        }
        self.links.insert(node.id, node);
        if let Some(member) = self.known(node.id).filter(|member| member.state() == State::Suspect) {
            // It must hear of the suspicion to object. Rumours may have been spent on the broken connection.
            self.tell(&member);
        }
        self.announce(node);
        self.finish()
    }

    /// A connection is gone.
    pub(super) fn link_down(&mut self, id: ReplicaId, now: Timestamp) -> Vec<MemberEffect> {
        self.timers.advance(now);
        if self.left || self.links.remove(&id).is_none() {
            return Vec::new();
        }
        if !self.live.contains_key(&id) {
            self.states.remove(&id);
        } else if let Some(member) = self.known(id) {
            let (identity, incarnation) = (*member.id(), member.incarnation());
            self.apply(Member::new(identity, incarnation, State::Suspect));
            // What foca would do at the end of a failed probe. A suspicion raised twice ends with the earlier timer.
            let token = self.token;
            let down = Timer::ChangeSuspectToDown { member_id: identity, incarnation, token };
            self.timers.add(down, SUSPICION);
            self.foca(|foca, asked| foca.gossip(asked));
        }
        self.finish()
    }

    /// A datagram came over the connection to a replica. One that is not its sender's, or not a datagram, is dropped.
    pub(super) fn gossip(&mut self, from: ReplicaId, bytes: &[u8], now: Timestamp) -> Vec<MemberEffect> {
        self.timers.advance(now);
        if !self.left && self.links.contains_key(&from) && self.is_welcome(from, bytes) {
            self.foca(|foca, asked| foca.handle_data(bytes, asked));
        }
        self.finish()
    }

    /// A replica tells its state.
    pub(super) fn status(&mut self, from: ReplicaId, state: ReplicaState) -> Vec<MemberEffect> {
        if self.links.contains_key(&from) && self.states.insert(from, state) != Some(state) {
            self.out.push(MemberEffect::State(from, state));
        }
        std::mem::take(&mut self.out)
    }

    /// A replica leaves on purpose: down at once, and not heard any more.
    pub(super) fn goodbye(&mut self, from: ReplicaId, now: Timestamp) -> Vec<MemberEffect> {
        self.timers.advance(now);
        let link = self.links.remove(&from);
        let identity = self.known(from).map(|member| *member.id()).or(link.map(Identity::first));
        let Some(identity) = identity.filter(|_| !self.left) else { return Vec::new() };
        if self.gone.len() >= MAX_KNOWN {
            let oldest = self.gone.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id);
            oldest.and_then(|id| self.gone.remove(&id));
        }
        self.gone.insert(from, now);
        self.states.remove(&from);
        self.apply(Member::down(identity));
        self.finish()
    }

    /// This replica leaves on purpose: says so to a few, and does nothing from then on.
    pub(super) fn leave(&mut self, now: Timestamp) -> Vec<MemberEffect> {
        self.timers.advance(now);
        if self.left {
            return Vec::new();
        }
        self.foca(|foca, asked| foca.leave_cluster(asked));
        self.left = true;
        self.finish()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<MemberEffect> {
        self.timers.advance(now);
        if self.left {
            return Vec::new();
        }
        while let Some(timer) = self.timers.due() {
            self.foca(|foca, asked| foca.handle_timer(timer, asked));
        }
        self.gone.retain(|_, at| now.since(*at) < REMEMBERED);
        self.finish()
    }

    /// The live replicas, this one first.
    pub(super) fn live(&self) -> impl Iterator<Item = (Node, ReplicaState)> + '_ {
        let others = self.live.values().map(|node| (*node, self.state_of(node.id)));
        std::iter::once((self.me, self.state)).chain(others)
    }

    /// Whether a replica is live; this one always is.
    pub(super) fn is_live(&self, id: ReplicaId) -> bool {
        id == self.me.id || self.live.contains_key(&id)
    }

    /// Whether there is a connection to it.
    pub(super) fn is_linked(&self, id: ReplicaId) -> bool {
        self.links.contains_key(&id)
    }

    /// Those to whom there is a connection, with what they said of themselves: joining until they say otherwise.
    pub(super) fn linked(&self) -> impl Iterator<Item = (ReplicaId, ReplicaState)> + '_ {
        self.links.keys().map(|&id| (id, self.state_of(id)))
    }

    /// Those that may own rooms, this one included if it may.
    pub(super) fn ready(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.live().filter(|(_, state)| *state == ReplicaState::Ready).map(|(node, _)| node.id)
    }

    /// Whether a replica may own rooms.
    pub(super) fn is_ready(&self, id: ReplicaId) -> bool {
        if id == self.me.id {
            return self.state == ReplicaState::Ready;
        }
        self.is_live(id) && self.state_of(id) == ReplicaState::Ready
    }

    /// What this replica may be used for.
    pub(super) fn state(&self) -> ReplicaState {
        self.state
    }

    /// Sets what this replica may be used for. Telling the others is the caller's.
    pub(super) fn set_state(&mut self, state: ReplicaState) {
        self.state = state;
    }

    fn state_of(&self, id: ReplicaId) -> ReplicaState {
        self.states.get(&id).copied().unwrap_or(ReplicaState::Joining)
    }

    /// What foca knows of a replica: its latest life, if it had several at several addresses.
    fn known(&self, id: ReplicaId) -> Option<Member<Identity>> {
        let same = self.foca.iter_membership_state().filter(|member| member.id().node.id == id);
        same.max_by_key(|member| (member.state() != State::Down, member.id().life)).cloned()
    }

    /// Whether a datagram is well-formed, its sender's own, and adds no more members than are remembered.
    fn is_welcome(&self, from: ReplicaId, mut bytes: &[u8]) -> bool {
        if bytes.len() > MAX_DATAGRAM {
            return false;
        }
        let Ok(header) = Codec.decode_header(&mut bytes) else { return false };
        let known = |identity: &Identity| self.foca.iter_membership_state().any(|m| m.id().addr() == identity.addr());
        let mut all = self.foca.iter_membership_state().len() + usize::from(!known(&header.src));
        if bytes.remaining() >= 2 {
            for _ in 0..bytes.get_u16() {
                let Ok(member) = Codec.decode_member(&mut bytes) else { return false };
                all += usize::from(!known(member.id()));
            }
        }
        header.src.node.id == from && all <= MAX_KNOWN && !bytes.has_remaining()
    }

    /// Calls foca and keeps what it asks for. Its errors are about datagrams that are dropped, or a failed invariant
    /// of its own from which it goes on by itself.
    fn foca(
        &mut self,
        call: impl FnOnce(&mut Foca<Identity, Codec, SmallRng, NoCustomBroadcast>, &mut Asked) -> Result<(), foca::Error>,
    ) {
        let mut asked = Asked::default();
        let _ = call(&mut self.foca, &mut asked);
        self.token = asked.token.unwrap_or(self.token);
        for (timer, after) in asked.timers {
            self.timers.add(timer, after);
        }
        for (to, datagram) in asked.sends {
            self.send(to.node, datagram);
        }
        if asked.defunct && !self.left {
            self.renew = Some(self.may_renew.max(self.timers.now()));
        }
        if asked.changed {
            self.count();
        }
    }

    fn apply(&mut self, member: Member<Identity>) {
        self.foca(|foca, asked| foca.apply_many(std::iter::once(member), true, asked));
    }

    fn announce(&mut self, node: Node) {
        let known = self.known(node.id).map(|member| *member.id());
        let identity = known.filter(|identity| identity.node == node).unwrap_or(Identity::first(node));
        self.foca(|foca, asked| foca.announce(identity, asked));
    }

    /// Tells a linked member what is thought of it.
    fn tell(&mut self, member: &Member<Identity>) {
        // An incarnation is news only when it is higher; the lowest says nothing.
        let header = Header {
            src: *self.foca.identity(),
            src_incarnation: 0,
            dst: *member.id(),
            message: foca::Message::Gossip,
        };
        let mut datagram = Vec::new();
        let encoded = Codec.encode_header(&header, &mut datagram).and_then(|()| {
            datagram.put_u16(1);
            Codec.encode_member(member, &mut datagram)
        });
        if encoded.is_ok() {
            self.send(member.id().node, datagram);
        }
    }

    fn send(&mut self, to: Node, datagram: Vec<u8>) {
        if self.links.contains_key(&to.id) {
            self.out.push(MemberEffect::Send { to: to.id, datagram });
        } else if !self.gone.contains_key(&to.id) && !self.left {
            self.dial(to.address);
        }
    }

    fn dial(&mut self, address: SocketAddr) {
        let now = self.timers.now();
        self.dialled.retain(|_, at| now.since(*at) < DIAL_EVERY);
        if let Entry::Vacant(entry) = self.dialled.entry(address) {
            entry.insert(now);
            self.out.push(MemberEffect::Dial(address));
        }
    }

    /// Compares who is live with who was.
    fn count(&mut self) {
        let mut live: BTreeMap<ReplicaId, Identity> = BTreeMap::new();
        for member in self.foca.iter_members() {
            let identity = *member.id();
            let id = identity.node.id;
            if id == self.me.id || self.gone.contains_key(&id) {
                continue;
            }
            // One that has changed its address is there twice for a while.
            let place = live.entry(id).or_insert(identity);
            if identity.win_addr_conflict(place) {
                *place = identity;
            }
        }
        let live: BTreeMap<_, _> = live.into_iter().map(|(id, identity)| (id, identity.node)).collect();
        let before = std::mem::replace(&mut self.live, live);
        for (id, node) in &before {
            if self.live.get(id) != Some(node) {
                self.out.push(MemberEffect::Down(*node));
                if !self.links.contains_key(id) {
                    self.states.remove(id);
                }
            }
        }
        let new = self.live.iter().filter(|(id, node)| before.get(id) != Some(node));
        self.out.extend(new.map(|(_, node)| MemberEffect::Up(*node)));
    }

    /// Comes back if the others think that this replica is down; hands out what is to be done.
    fn finish(&mut self) -> Vec<MemberEffect> {
        let now = self.timers.now();
        if self.renew.is_some_and(|at| at <= now) && !self.left {
            self.renew = None;
            self.may_renew = now + RENEW_EVERY;
            let life = self.foca.identity().life.saturating_add(1);
            let next = Identity { node: self.me, life };
            self.foca(|foca, asked| foca.change_identity(next, asked));
            // Foca starts to probe again when something is applied.
            self.foca(|foca, asked| foca.apply_many(std::iter::empty(), true, asked));
            let links: Vec<_> = self.links.values().copied().collect();
            for node in links {
                self.announce(node);
            }
        }
        std::mem::take(&mut self.out)
    }
}
