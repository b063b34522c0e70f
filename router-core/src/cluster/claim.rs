//! Claims: where an unknown room goes, asked of its owner, one question per room at a time.
//!
//! The owner decides and asks the second in rank first ([`Message::Propose`]). Views of who is there may differ by a
//! member for a moment; then the two replicas that both think they own a room are first and second in rank of the
//! union, and one of them asks the other before it answers anybody. So they cannot tell two people different things,
//! whatever their clocks say. Until the second has answered, nobody else hears of a decision; the second is asked even
//! if it is the one that wants the room. Once it has answered, two replicas know, so that no single death loses a
//! decision that somebody was told of: if its maker goes, the second tells everybody.
//!
//! A joiner decides nothing, and is ready only when it can reach all members, for else it could not ask the second.

mod wanted;

use std::time::Duration;

pub(super) use self::wanted::Claims;
use self::wanted::{MAX_WAITERS, MAX_WANTED, Step, Waiter, Wanted, confirm, patience};
use super::{
    ClaimOutcome, Cluster, ClusterEvent, Output, ReplicaId, ReplicaState,
    message::{ClaimRefusal, Message},
    owner,
};
use crate::{
    pin::Pin,
    room::RoomKey,
    router::{Decision, Inserted, Merged, Outcome, Refusal},
    shard::ShardName,
    time::Timestamp,
};

impl Cluster {
    /// A request of this replica wants a room.
    pub(super) fn wanted(&mut self, key: RoomKey, ticket: u64, now: Timestamp) {
        let lost = self.router.get(key, now).map(|(pin, ..)| pin.shard);
        self.wait(key, Waiter::Request { ticket }, lost, false, now);
    }

    /// Another replica wants a room.
    pub(super) fn claimed(&mut self, from: ReplicaId, claim: (u32, RoomKey, Option<ShardName>, bool), now: Timestamp) {
        let (id, key, lost, relayed) = claim;
        if self.members.state() == ReplicaState::Joining {
            return self.urgent(from, Message::Refused { id, why: ClaimRefusal::NotReady });
        }
        let mutual = self.claims.wanted.get(&key).is_some_and(|wanted| {
            let asks_back = matches!(wanted.step, Step::Asking { replica, .. } if replica == from);
            asks_back && owner::order(key, [self.me.id, from].into_iter()).first() == Some(&self.me.id)
        });
        self.wait(key, Waiter::Claim { from, id }, lost, relayed, now);
        if mutual {
            // Each waits for the other; of the two, the one that ranks higher decides.
            self.decide(key, now);
        }
    }

    /// Another replica has decided and wants to know whether this one knows better.
    pub(super) fn proposed(&mut self, from: ReplicaId, id: u32, key: RoomKey, pin: Pin, now: Timestamp) {
        if let Some(pin) = self.router.usable(key, now) {
            return self.urgent(from, Message::Existing { id, pin });
        }
        let first = owner::order(key, [self.me.id, from].into_iter()).first() == Some(&self.me.id);
        if let Some(wanted) = self.claims.wanted.get_mut(&key)
            && let Step::Proposing { replica, .. } = wanted.step
            && (replica != from || first)
        {
            // What becomes of our own decision is not known yet; the answer waits for it. Of two that propose to each
            // other, the one that ranks lower gives in, or both would wait in vain.
            if wanted.waiters.len() < MAX_WAITERS {
                wanted.waiters.push(Waiter::Proposal { from, id });
            }
            return;
        }
        let inserted = self.router.insert(key, pin, now);
        if matches!(inserted, Err(Refusal::TableFull)) {
            // A room that only its maker knows would get 503 here; then better nobody lets it in.
            self.urgent(from, Message::Refused { id, why: ClaimRefusal::TableFull });
            return self.refuse(key, Refusal::TableFull, now);
        }
        self.claims.accepted.note(from, key, now);
        self.urgent(from, Message::Accepted { id });
        self.resolve(key, inserted, ClaimOutcome::Owner, now);
    }

    /// A claim was answered with a pin.
    pub(super) fn granted(&mut self, from: ReplicaId, id: u32, pin: Pin, now: Timestamp) {
        if let Some(key) = self.claims.answered(id) {
            let inserted = self.router.insert(key, pin, now);
            let first = self.ranking(key).first() == Some(&from);
            let outcome = if first { ClaimOutcome::Owner } else { ClaimOutcome::Successor };
            self.resolve(key, inserted, outcome, now);
        }
    }

    /// A claim was answered without a pin.
    pub(super) fn refused(&mut self, from: ReplicaId, id: u32, why: ClaimRefusal, now: Timestamp) {
        let Some(key) = self.claims.answered(id) else { return };
        let refusal = match why {
            ClaimRefusal::NoShard => Refusal::NoShard,
            ClaimRefusal::TableFull => Refusal::TableFull,
            ClaimRefusal::Awaited => Refusal::Awaited,
            ClaimRefusal::NotReady => return self.next(key, from, now),
        };
        self.refuse(key, refusal, now);
    }

    /// The second in rank has taken our decision down.
    pub(super) fn accepted(&mut self, id: u32, now: Timestamp) {
        let Some(key) = self.claims.answered(id) else { return };
        if let Some(wanted) = self.claims.wanted.get_mut(&key)
            && let Step::Proposing { replica, .. } = wanted.step
        {
            // If it asked for the room, it knows by now.
            wanted.waiters.retain(|waiter| !matches!(waiter, Waiter::Claim { from, .. } if *from == replica));
        }
        self.commit(key, now);
    }

    /// The second in rank knows a pin; ours was told to nobody and is dropped.
    pub(super) fn existing(&mut self, id: u32, pin: Pin, now: Timestamp) {
        if let Some(key) = self.claims.answered(id) {
            let inserted = self.router.insert(key, pin, now);
            self.push(key, now);
            self.resolve(key, inserted, ClaimOutcome::Own, now);
        }
    }

    /// No answer will come from a replica any more.
    pub(super) fn lost_link(&mut self, replica: ReplicaId, now: Timestamp) {
        for key in self.claims.waiting_for(replica) {
            self.next(key, replica, now);
        }
        // What it decided it may have told nobody else.
        for key in self.claims.accepted.take(replica, now) {
            self.push(key, now);
        }
    }

    /// Goes on where somebody has been waited for long enough.
    pub(super) fn run_out_of_patience(&mut self, now: Timestamp) {
        while let Some(key) = self.claims.due(now) {
            let Some(wanted) = self.claims.wanted.get(&key) else { continue };
            match wanted.step {
                Step::Proposing { .. } => {
                    self.event(ClusterEvent::Unconfirmed);
                    self.commit(key, now);
                }
                Step::Asking { replica, .. } => self.next(key, replica, now),
                Step::Begin => self.advance(key, now),
            }
        }
    }

    fn wait(&mut self, key: RoomKey, waiter: Waiter, lost: Option<ShardName>, relayed: bool, now: Timestamp) {
        if let Some((pin, decision)) = self.found(key, now) {
            return self.tell(waiter, &pin, decision);
        }
        if let Some(wanted) = self.claims.wanted.get_mut(&key) {
            if wanted.waiters.len() < MAX_WAITERS {
                return wanted.waiters.push(waiter);
            }
            return self.tell_refusal(waiter, Refusal::TableFull);
        }
        if self.claims.wanted.len() >= MAX_WANTED {
            return self.tell_refusal(waiter, Refusal::TableFull);
        }
        let deadline = now + self.settings.claim_timeout;
        let wanted = Wanted {
            waiters: vec![waiter],
            since: now,
            deadline,
            until: deadline,
            tried: Vec::new(),
            lost,
            relayed,
            step: Step::Begin,
        };
        self.claims.wanted.insert(key, wanted);
        self.claims.wake(key, deadline);
        self.advance(key, now);
    }

    /// The pin that is there already, as a decision.
    fn found(&self, key: RoomKey, now: Timestamp) -> Option<(Pin, Decision)> {
        let pin = self.router.usable(key, now)?;
        let shard = self.router.shards().by_name(pin.shard.as_str())?.id;
        Some((pin, Decision { shard, outcome: Outcome::Found }))
    }

    /// A pin has come unasked: whoever asked for its room need not wait for the answer.
    pub(super) fn arrived(&mut self, key: RoomKey, now: Timestamp) {
        let asking = |wanted: &Wanted| !matches!(wanted.step, Step::Proposing { .. });
        if self.claims.wanted.get(&key).is_some_and(asking)
            && let Some((pin, decision)) = self.found(key, now)
        {
            self.answer_all(key, &pin, decision, ClaimOutcome::Owner, now);
        }
    }

    /// Replicas that may own rooms, in the order in which they own this one.
    fn ranking(&self, key: RoomKey) -> Vec<ReplicaId> {
        owner::order(key, self.members.ready())
    }

    /// Somebody may have come who can be asked; matters to a joiner, which decides nothing.
    pub(super) fn look_for_owners(&mut self, now: Timestamp) {
        if self.members.state() == ReplicaState::Joining {
            for key in self.claims.idle() {
                self.advance(key, now);
            }
        }
    }

    /// Asks the first in rank that was not tried, or decides. A joiner without anybody to ask waits for somebody: to
    /// know nothing is no reason to think that there is nothing to know.
    pub(super) fn advance(&mut self, key: RoomKey, now: Timestamp) {
        let ranking = self.ranking(key);
        let Some(wanted) = self.claims.wanted.get_mut(&key) else { return };
        let joining = self.members.state() == ReplicaState::Joining;
        if wanted.deadline <= now && joining {
            return self.refuse(key, Refusal::Joining, now);
        }
        if wanted.deadline <= now || wanted.relayed {
            return self.decide(key, now);
        }
        let asks_us = |replica: ReplicaId| {
            let claims = |waiter: &Waiter| matches!(*waiter, Waiter::Claim { from, .. } if from == replica);
            wanted.waiters.iter().any(claims)
        };
        let open = |replica: &&ReplicaId| !wanted.tried.contains(replica) && self.members.is_linked(**replica);
        match ranking.iter().find(|replica| **replica == self.me.id || open(replica)) {
            Some(&replica) if replica != self.me.id && !asks_us(replica) => {
                let id = self.claims.question(key);
                let until = self.wait_for(key, replica, patience(self.settings.claim_timeout), now);
                let Some(wanted) = self.claims.wanted.get_mut(&key) else { return };
                // What others have asked us is passed on once, so that no question goes round in circles.
                let relayed = wanted.waiters.iter().any(|waiter| matches!(waiter, Waiter::Claim { .. }));
                wanted.step = Step::Asking { replica, id };
                wanted.until = until;
                let lost = wanted.lost.clone();
                self.claims.wake(key, until);
                self.urgent(replica, Message::Claim { id, key, lost, relayed });
            }
            _ if joining => wanted.until = wanted.deadline,
            _ => self.decide(key, now),
        }
    }

    /// Until when to wait for a replica's word: so long, if there is another one to go on with; else to the end, because
    /// all that is left is to decide without anybody, and a slow replica is likelier than a dead one.
    fn wait_for(&self, key: RoomKey, replica: ReplicaId, patience: Duration, now: Timestamp) -> Timestamp {
        let Some(wanted) = self.claims.wanted.get(&key) else { return now };
        let open = |other: ReplicaId| !wanted.tried.contains(&other) && self.members.is_linked(other);
        let others = self.members.ready().any(|other| other != self.me.id && other != replica && open(other));
        if others { wanted.deadline.min(now + patience) } else { wanted.deadline }
    }

    /// Gives up on `replica` and goes on with the next.
    fn next(&mut self, key: RoomKey, replica: ReplicaId, now: Timestamp) {
        let Some(wanted) = self.claims.wanted.get_mut(&key) else { return };
        wanted.tried.push(replica);
        let step = std::mem::replace(&mut wanted.step, Step::Begin);
        self.claims.drop_question(&step);
        match step {
            // Our decision stands; somebody else may confirm it.
            Step::Proposing { pin, .. } => self.propose(key, pin, now),
            Step::Asking { .. } | Step::Begin => self.advance(key, now),
        }
    }

    /// Decides where a room goes.
    fn decide(&mut self, key: RoomKey, now: Timestamp) {
        if let Some((pin, decision)) = self.found(key, now) {
            // It came by another way meanwhile.
            return self.answer_all(key, &pin, decision, ClaimOutcome::Own, now);
        }
        if let Some(wanted) = self.claims.wanted.get(&key) {
            let step = wanted.step.clone();
            self.claims.drop_question(&step);
        }
        match self.router.choose(key, now) {
            Ok(pin) => self.propose(key, pin, now),
            Err(refusal) => self.refuse(key, refusal, now),
        }
    }

    /// Asks the next in rank to confirm a decision; without one, it stands. If that one asked for the room, this is its
    /// answer: it must know better or take it down like anybody else, for it may have agreed to another's decision since.
    fn propose(&mut self, key: RoomKey, pin: Pin, now: Timestamp) {
        let ranking = self.ranking(key);
        let Some(wanted) = self.claims.wanted.get_mut(&key) else { return };
        let second = ranking.into_iter().find(|replica| {
            *replica != self.me.id && !wanted.tried.contains(replica) && self.members.is_linked(*replica)
        });
        match second {
            Some(replica) if now < wanted.deadline => {
                let id = self.claims.question(key);
                let until = self.wait_for(key, replica, confirm(self.settings.claim_timeout), now);
                let Some(wanted) = self.claims.wanted.get_mut(&key) else { return };
                wanted.until = until;
                wanted.step = Step::Proposing { replica, id, pin: pin.clone() };
                self.claims.wake(key, until);
                self.urgent(replica, Message::Propose { id, key, pin });
            }
            _ => {
                wanted.step = Step::Proposing { replica: self.me.id, id: 0, pin };
                self.commit(key, now);
            }
        }
    }

    /// The decision stands: it goes into the table, to whoever waits, and to everybody else.
    fn commit(&mut self, key: RoomKey, now: Timestamp) {
        let Some(wanted) = self.claims.wanted.get(&key) else { return };
        let Step::Proposing { pin, .. } = wanted.step.clone() else { return };
        let fallback = self.ranking(key).first() != Some(&self.me.id);
        let step = wanted.step.clone();
        self.claims.drop_question(&step);
        let inserted = match self.router.insert(key, pin, now) {
            Ok(inserted) => inserted,
            Err(refusal) => return self.refuse(key, refusal, now),
        };
        self.push(key, now);
        self.event(ClusterEvent::Decided(inserted.decision));
        let how = if fallback { ClaimOutcome::Fallback } else { ClaimOutcome::Own };
        self.resolve(key, Ok(inserted), how, now);
    }

    /// The room's pin is in the table, or could not be put there: everybody who waits hears of it.
    fn resolve(&mut self, key: RoomKey, inserted: Result<Inserted, Refusal>, how: ClaimOutcome, now: Timestamp) {
        let Inserted { decision, pin, merged } = match inserted {
            Ok(inserted) => inserted,
            Err(refusal) => return self.refuse(key, refusal, now),
        };
        if matches!(merged, Merged::Moved { .. }) {
            self.out.push(Output::CloseTunnels { key, except: Some(decision.shard) });
        }
        self.answer_all(key, &pin, decision, how, now);
    }

    pub(super) fn answer_all(
        &mut self,
        key: RoomKey,
        pin: &Pin,
        decision: Decision,
        how: ClaimOutcome,
        now: Timestamp,
    ) {
        let Some(wanted) = self.claims.wanted.remove(&key) else { return };
        self.claims.drop_question(&wanted.step);
        self.ended(&wanted, how, now);
        let mut decision = decision;
        for waiter in wanted.waiters {
            self.tell(waiter, pin, decision);
            // One request makes a pin; those that waited with it find it.
            if matches!(waiter, Waiter::Request { .. }) {
                decision.outcome = Outcome::Found;
            }
        }
    }

    fn refuse(&mut self, key: RoomKey, refusal: Refusal, now: Timestamp) {
        let Some(wanted) = self.claims.wanted.remove(&key) else { return };
        self.claims.drop_question(&wanted.step);
        self.ended(&wanted, ClaimOutcome::Refused, now);
        for waiter in wanted.waiters {
            self.tell_refusal(waiter, refusal);
        }
    }

    fn ended(&mut self, wanted: &Wanted, outcome: ClaimOutcome, now: Timestamp) {
        if wanted.waiters.iter().any(|waiter| matches!(waiter, Waiter::Request { .. })) {
            let waited = now.since(wanted.since);
            self.event(ClusterEvent::Claimed { outcome, waited });
        }
    }

    fn tell(&mut self, waiter: Waiter, pin: &Pin, decision: Decision) {
        match waiter {
            Waiter::Request { ticket } => self.out.push(Output::Answer { ticket, result: Ok(decision) }),
            Waiter::Claim { from, id } => self.urgent(from, Message::Granted { id, pin: pin.clone() }),
            Waiter::Proposal { from, id } => self.urgent(from, Message::Existing { id, pin: pin.clone() }),
        }
    }

    fn tell_refusal(&mut self, waiter: Waiter, refusal: Refusal) {
        match waiter {
            Waiter::Request { ticket } => self.out.push(Output::Answer { ticket, result: Err(refusal) }),
            Waiter::Claim { from, id } => {
                let why = match refusal {
                    Refusal::NoShard => ClaimRefusal::NoShard,
                    Refusal::TableFull => ClaimRefusal::TableFull,
                    Refusal::Awaited => ClaimRefusal::Awaited,
                    Refusal::Joining => ClaimRefusal::NotReady,
                };
                self.urgent(from, Message::Refused { id, why });
            }
            // We have no better idea than its maker.
            Waiter::Proposal { from, id } => self.urgent(from, Message::Accepted { id }),
        }
    }
}
