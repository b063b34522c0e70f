//! Who is there: SWIM (`foca`), its datagrams carried over the connections between replicas.
//!
//! A member is live while anybody can reach it: one that does not answer is asked for through others, then suspected,
//! then, unless it objects in time, down. A lost connection is a suspicion at once. Nothing is lost on a connection
//! that stands, so without a fault nobody is ever down by mistake.

mod identity;
#[cfg(test)]
mod simulation;
mod swim;
#[cfg(test)]
mod tests;
mod timers;
mod view;

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use foca::{Foca, Member, NoCustomBroadcast, State, Timer, TimerToken};
use rand::{SeedableRng, rngs::SmallRng};

use self::{
    identity::{Codec, Identity, plain},
    swim::config,
    timers::Timers,
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
/// Between two calls to a replica that is connected and no member: a full queue may have lost the first one.
const CALL_EVERY: Duration = Duration::from_secs(1);
/// Time in which a suspect may object.
const SUSPICION: Duration = Duration::from_millis(600);
/// Bytes of a datagram at most.
const MAX_DATAGRAM: usize = 1_400;

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

type Swim = Foca<Identity, Codec, SmallRng, NoCustomBroadcast>;

/// The replicas that this one knows, and its own state.
pub(super) struct Members {
    me: Node,
    state: ReplicaState,
    foca: Swim,
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
    /// When those connected that are no members are called again.
    next_call: Timestamp,
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
            next_call: now + CALL_EVERY,
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
        if self.next_call <= now {
            self.next_call = now + CALL_EVERY;
            self.call_the_silent();
        }
        self.gone.retain(|_, at| now.since(*at) < REMEMBERED);
        self.finish()
    }
}
