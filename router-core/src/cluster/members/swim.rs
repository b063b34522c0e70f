//! Between [`Members`] and foca: what goes in, and what comes out.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use bytes::{Buf, BufMut};
use foca::{Codec as _, Config, Header, Identity as _, Member, PeriodicParams, State};

use super::{
    DIAL_EVERY, MAX_DATAGRAM, MAX_KNOWN, MemberEffect, Members, REMEMBERED, RENEW_EVERY, SUSPICION, Swim,
    identity::{Codec, Identity},
    timers::Asked,
};
use crate::cluster::{Node, ReplicaId};

/// Chosen by measurement: see `simulation.rs`.
pub(super) fn config() -> Config {
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

impl Members {
    /// What foca knows of a replica: its latest life, if it had several at several addresses.
    pub(super) fn known(&self, id: ReplicaId) -> Option<Member<Identity>> {
        let same = self.foca.iter_membership_state().filter(|member| member.id().node.id == id);
        same.max_by_key(|member| (member.state() != State::Down, member.id().life)).cloned()
    }

    /// Whether a datagram is well-formed, its sender's own, and adds no more members than are remembered.
    pub(super) fn is_welcome(&self, from: ReplicaId, mut bytes: &[u8]) -> bool {
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
    pub(super) fn foca(&mut self, call: impl FnOnce(&mut Swim, &mut Asked) -> Result<(), foca::Error>) {
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

    pub(super) fn apply(&mut self, member: Member<Identity>) {
        self.foca(|foca, asked| foca.apply_many(std::iter::once(member), true, asked));
    }

    /// Those that are connected and no members: they may never have heard of us.
    pub(super) fn call_the_silent(&mut self) {
        let silent = |node: &&Node| !self.live.contains_key(&node.id) && !self.gone.contains_key(&node.id);
        let silent: Vec<_> = self.links.values().filter(silent).copied().collect();
        for node in silent {
            self.announce(node);
        }
    }

    pub(super) fn announce(&mut self, node: Node) {
        let known = self.known(node.id).map(|member| *member.id());
        let identity = known.filter(|identity| identity.node == node).unwrap_or(Identity::first(node));
        self.foca(|foca, asked| foca.announce(identity, asked));
    }

    /// Tells a linked member what is thought of it.
    pub(super) fn tell(&mut self, member: &Member<Identity>) {
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
    pub(super) fn finish(&mut self) -> Vec<MemberEffect> {
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
