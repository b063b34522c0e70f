//! What happens to a replica, handed to the part that deals with it.

use std::time::Duration;

use super::{
    Cluster, ClusterEvent, Lane, Node, Output, ReplicaId, ReplicaState,
    join::JoinStep,
    members::MemberEffect,
    message::Message,
    repair::{PinSource, RepairEffect, Repaired},
};
use crate::{pin::Pin, registry::ShardEvent, room::RoomKey, router::Router, time::Timestamp};

/// How long a joiner that has the table waits for connections to replicas that discovery knows, and no member does.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// And to live members.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// The table as it is now.
struct Table<'a>(&'a Router, Timestamp);

impl PinSource for Table<'_> {
    fn digest(&self) -> Vec<u64> {
        self.0.digest()
    }

    fn leaves(&self, group: u8) -> Vec<u64> {
        self.0.leaves(group)
    }

    fn pins_of_group(&self, group: u8) -> Vec<(RoomKey, Pin)> {
        self.0.pins_of_group(group, None, self.1)
    }

    fn pins_of_leaf(&self, group: u8, leaf: u8) -> Vec<(RoomKey, Pin)> {
        self.0.pins_of_group(group, Some(leaf), self.1)
    }
}

impl Cluster {
    pub(super) fn tick(&mut self, now: Timestamp) {
        let effects = self.members.tick(now);
        self.members_changed(effects, now);
        self.run_out_of_patience(now);
        self.heal_on(now);
        self.spread_on(now);
        self.join_on(now);
        let chunks = self.serving.tick(&Table(&self.router, now));
        self.bulk(chunks);
        let joining = self.members.state() == ReplicaState::Joining;
        let table = |(id, state)| (state != ReplicaState::Joining && !joining).then_some(id);
        let effects = self.repair.tick(self.members.linked().filter_map(table), &Table(&self.router, now), now);
        self.repaired(effects);
    }

    pub(super) fn link_up(&mut self, node: Node, now: Timestamp) {
        let effects = self.members.link_up(node, now);
        self.members_changed(effects, now);
        let status = self.own_status(now);
        self.urgent(node.id, Message::Status(status));
        self.repair.link_up(node.id);
        self.links_changed(now);
        self.tell_contests(node.id);
    }

    pub(super) fn link_down(&mut self, id: ReplicaId, now: Timestamp) {
        self.links_changed(now);
        let effects = self.members.link_down(id, now);
        self.join.link_down(id);
        self.repair.link_down(id);
        let chunks = self.serving.link_down(id, &Table(&self.router, now));
        self.bulk(chunks);
        self.lost_link(id, now);
        self.members_changed(effects, now);
    }

    pub(super) fn received(&mut self, from: ReplicaId, message: Message, now: Timestamp) {
        match message {
            Message::Gossip(datagram) => {
                let effects = self.members.gossip(from, &datagram, now);
                self.members_changed(effects, now);
            }
            Message::Status(status) => self.status(from, status, now),
            Message::Claim { id, key, lost, relayed } => self.claimed(from, (id, key, lost, relayed), now),
            Message::Granted { id, pin } => self.granted(from, id, pin, now),
            Message::Refused { id, why } => self.refused(from, id, why, now),
            Message::Propose { id, key, pin } => self.proposed(from, id, key, pin, now),
            Message::Accepted { id } => self.accepted(id, now),
            Message::Existing { id, pin } => self.existing(id, pin, now),
            Message::Pins(pins) => self.merge_all(pins, now),
            Message::SnapshotPins(pins) => {
                self.join.took(from, pins.len(), now);
                self.merge_all(pins, now);
            }
            Message::Seen(uses) => self.seen(uses, now),
            Message::Census(counts) => self.counted(from, counts, now),
            Message::Settled(pins) => self.settled(pins, now),
            Message::Digest(_) | Message::Leaves { .. } | Message::LeafPins { .. } => {
                let Repaired { effects, pins } = self.repair.received(from, message, &Table(&self.router, now), now);
                self.repaired(effects);
                self.merge_all(pins, now);
            }
            Message::SnapshotRequest => {
                let chunks = self.serving.request(from, &Table(&self.router, now));
                self.bulk(chunks);
            }
            Message::SnapshotEnd { pins } => {
                if self.join.end(from, pins) {
                    self.has_table = Some(now);
                    self.join_on(now);
                }
            }
            Message::Goodbye => {
                let effects = self.members.goodbye(from, now);
                self.lost_link(from, now);
                self.members_changed(effects, now);
            }
        }
    }

    pub(super) fn bulk_drained(&mut self, id: ReplicaId, now: Timestamp) {
        let chunks = self.serving.drained(id, &Table(&self.router, now));
        self.bulk(chunks);
    }

    /// From now on this replica owns nothing; it still answers.
    pub(super) fn leave(&mut self, now: Timestamp) {
        self.turn(ReplicaState::Draining, now);
    }

    pub(super) fn quit(&mut self, now: Timestamp) {
        let effects = self.members.leave(now);
        self.members_changed(effects, now);
        self.send_all(Lane::Urgent, &Message::Goodbye);
    }

    pub(super) fn members_changed(&mut self, effects: Vec<MemberEffect>, now: Timestamp) {
        for effect in effects {
            match effect {
                MemberEffect::Send { to, datagram } => self.urgent(to, Message::Gossip(datagram)),
                MemberEffect::Dial(address) => self.out.push(Output::Dial(address)),
                MemberEffect::Up(node) => self.event(ClusterEvent::MemberUp(node)),
                MemberEffect::State(id, state) => self.event(ClusterEvent::MemberState(id, state)),
                MemberEffect::Down(node) => {
                    self.spread.forget(node.id);
                    self.event(ClusterEvent::MemberDown(node));
                    self.lost_link(node.id, now);
                }
            }
        }
        self.look_for_owners(now);
    }

    pub(super) fn shards_changed(&mut self, events: Vec<ShardEvent>) {
        if !events.is_empty() {
            self.out.push(Output::Shards(events));
        }
    }

    fn join_on(&mut self, now: Timestamp) {
        if self.members.state() != ReplicaState::Joining {
            return;
        }
        if let Some(since) = self.has_table {
            // An owner confirms its decisions with the second in rank: not ready before it can reach everybody.
            let linked = |node: Node| node.id == self.me.id || self.members.is_linked(node.id);
            let reaches_all = self.members.live().all(|(node, _)| linked(node))
                && (self.join.is_expected_here(self.members.linked().count()) || now.since(since) >= STRAGGLERS);
            if reaches_all || now.since(since) >= GIVEN_UP {
                self.turn(ReplicaState::Ready, now);
            }
            return;
        }
        match self.join.next(self.me.id, self.members.linked(), now) {
            Some(JoinStep::Ask(replica)) => {
                self.out.push(Output::Send { to: replica, lane: Lane::Bulk, message: Message::SnapshotRequest });
            }
            Some(JoinStep::Ready) => self.turn(ReplicaState::Ready, now),
            None => {}
        }
    }

    fn turn(&mut self, state: ReplicaState, now: Timestamp) {
        // Leaving is for good.
        if self.members.state() < state {
            self.members.set_state(state);
            // Whoever waits for an owner has one now.
            let waiting = self.claims.idle();
            self.event(ClusterEvent::MemberState(self.me.id, state));
            self.tell_status(now);
            for key in waiting {
                self.advance(key, now);
            }
        }
    }

    fn repaired(&mut self, effects: Vec<RepairEffect>) {
        for effect in effects {
            match effect {
                RepairEffect::Send { to, message } => self.bulk([(to, message)]),
                RepairEffect::Different { with, groups } => self.event(ClusterEvent::Different { with, groups }),
            }
        }
    }

    pub(super) fn urgent(&mut self, to: ReplicaId, message: Message) {
        self.out.push(Output::Send { to, lane: Lane::Urgent, message });
    }

    fn bulk(&mut self, messages: impl IntoIterator<Item = (ReplicaId, Message)>) {
        let send = |(to, message)| Output::Send { to, lane: Lane::Bulk, message };
        self.out.extend(messages.into_iter().map(send));
    }

    pub(super) fn send_all(&mut self, lane: Lane, message: &Message) {
        let send = |(to, _)| Output::Send { to, lane, message: message.clone() };
        self.out.extend(self.members.linked().map(send));
    }

    pub(super) fn event(&mut self, event: ClusterEvent) {
        self.out.push(Output::Event(event));
    }
}
