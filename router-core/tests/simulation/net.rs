//! The network: one connection for each pair of replicas, with two lanes in each direction that keep their order.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use router_core::cluster::{Input, Lane, message::Message};

use super::world::{Event, Host, MS, Micros, Slot, World, tell};

/// One connection, from its two ends.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) ends: [Slot; 2],
    /// Each end has heard that it is there, and not yet that it is gone.
    pub(crate) up: [bool; 2],
    up_at: [Micros; 2],
    /// Nothing arrives any more.
    pub(crate) dead: bool,
    /// By sender and lane: when the last message arrives.
    last: [[Micros; 2]; 2],
    /// By sender: bulk messages on their way.
    bulk: [u32; 2],
    /// By sender: what waits for the way to be free again.
    held: [Vec<(Lane, Vec<u8>)>; 2],
    /// It will be looked at for silence.
    watched: bool,
    /// One end has died without a word.
    silent: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) conns: Vec<Conn>,
    /// The last connection of each pair, the lower slot first.
    pub(crate) pairs: BTreeMap<(Slot, Slot), usize>,
    /// Ways on which nothing arrives, from host to host.
    pub(crate) blocked: BTreeSet<(Host, Host)>,
    /// Connections whose urgent queue is full, from slot to slot.
    pub(crate) full: BTreeSet<(Slot, Slot)>,
    /// Extra time on ways, from host to host.
    pub(crate) slow: BTreeMap<(Host, Host), Micros>,
}

fn pair(a: Slot, b: Slot) -> (Slot, Slot) {
    (a.min(b), a.max(b))
}

fn lane_number(lane: Lane) -> usize {
    match lane {
        Lane::Urgent => 0,
        Lane::Bulk => 1,
    }
}

impl Conn {
    /// One end is dead; the other one will notice by its silence.
    pub(crate) fn expect_silence(&mut self) {
        self.watched = true;
        self.silent = true;
    }
}

impl World {
    fn host_of(&self, conn: usize, end: usize) -> Host {
        self.replicas[self.net.conns[conn].ends[end]].host
    }

    fn is_blocked(&self, from: Host, to: Host) -> bool {
        !self.net.blocked.is_empty() && self.net.blocked.contains(&(from, to))
    }

    pub(crate) fn connect(&mut self, a: Slot, b: Slot) {
        if !self.replicas[a].alive || !self.replicas[b].alive {
            return;
        }
        if let Some(&old) = self.net.pairs.get(&pair(a, b)) {
            let old = &self.net.conns[old];
            if !old.dead || old.up != [false, false] {
                return;
            }
        }
        let (x, y) = (self.replicas[a].host, self.replicas[b].host);
        if self.is_blocked(x, y) || self.is_blocked(y, x) {
            let again = self.rng.random_range(50 * MS..400 * MS);
            return self.after(again, Event::Connect(a, b));
        }
        let (first, second) = (self.rng.random_range(200..3 * MS), self.rng.random_range(200..3 * MS));
        let up_at = if self.chance(50) {
            [self.now + first, self.now + first + second]
        } else {
            [self.now + first + second, self.now + first]
        };
        let conn = self.net.conns.len();
        let (a, b) = pair(a, b);
        self.net.conns.push(Conn {
            ends: [a, b],
            up: [false, false],
            up_at,
            dead: false,
            last: [[0; 2]; 2],
            bulk: [0; 2],
            held: [Vec::new(), Vec::new()],
            watched: false,
            silent: false,
        });
        self.net.pairs.insert((a, b), conn);
        for (end, at) in up_at.into_iter().enumerate() {
            self.at(at, Event::Up { conn, end });
        }
    }

    pub(crate) fn link_is_up(&mut self, conn: usize, end: usize) {
        let link = &mut self.net.conns[conn];
        if link.dead || !self.replicas[link.ends[end]].alive {
            return;
        }
        link.up[end] = true;
        let (slot, peer) = (link.ends[end], link.ends[1 - end]);
        let node = self.replicas[peer].node;
        self.input(slot, Input::LinkUp(node));
        self.links_changed();
    }

    pub(crate) fn link_is_down(&mut self, conn: usize, end: usize) {
        let link = &mut self.net.conns[conn];
        let (slot, peer) = (link.ends[end], link.ends[1 - end]);
        let was = std::mem::take(&mut link.up[end]);
        let over = link.up == [false, false];
        self.check.broken |= self.check.healing;
        if was && self.replicas[slot].alive {
            let id = self.replicas[peer].node.id;
            self.input(slot, Input::LinkDown(id));
        }
        if over {
            let backoff = self.rng.random_range(20 * MS..600 * MS);
            self.after(backoff, Event::Connect(slot, peer));
        }
    }

    /// A connection is gone, with what is on its way; its ends notice at once or after so much time.
    pub(crate) fn kill(&mut self, conn: usize, notice: [Micros; 2]) {
        let link = &mut self.net.conns[conn];
        if link.dead {
            return;
        }
        link.dead = true;
        link.held = [Vec::new(), Vec::new()];
        let up_at = link.up_at;
        for (end, notice) in notice.into_iter().enumerate() {
            // Not before it was noticed to be there.
            if !self.replicas[self.net.conns[conn].ends[end]].alive || up_at[end] > self.now {
                self.net.conns[conn].up[end] = false;
            }
            self.after(notice, Event::Down { conn, end });
        }
    }

    /// The living connections of a replica.
    pub(crate) fn conns_of(&self, slot: Slot) -> Vec<usize> {
        let of = |(pair, _): &(&(Slot, Slot), &usize)| pair.0 == slot || pair.1 == slot;
        self.net.pairs.iter().filter(of).map(|(_, &conn)| conn).filter(|&conn| !self.net.conns[conn].dead).collect()
    }

    pub(crate) fn conn_between(&self, a: Slot, b: Slot) -> Option<usize> {
        let conn = *self.net.pairs.get(&pair(a, b))?;
        (!self.net.conns[conn].dead).then_some(conn)
    }

    pub(crate) fn send(&mut self, from: Slot, to: Slot, lane: Lane, message: &Message) {
        let Some(conn) = self.conn_between(from, to) else { return };
        if lane == Lane::Urgent && !self.net.full.is_empty() && self.net.full.contains(&(from, to)) {
            return;
        }
        let bytes = message.encode();
        self.stats.messages += 1;
        self.stats.bytes += bytes.len() as u64;
        self.replicas[from].sent.0 += 1;
        self.replicas[from].sent.1 += bytes.len() as u64;
        self.replicas[to].got += bytes.len() as u64;
        let end = usize::from(self.net.conns[conn].ends[1] == from);
        if !self.net.conns[conn].up[end] {
            return;
        }
        let slow = if self.net.slow.is_empty() {
            0
        } else {
            self.net.slow.get(&(self.replicas[from].host, self.replicas[to].host)).copied().unwrap_or(0)
        };
        let most = if lane == Lane::Urgent { 3 * MS } else { 6 * MS };
        let delay = self.rng.random_range(200..most) + self.rng.random_range(0..=slow);
        let link = &mut self.net.conns[conn];
        let last = &mut link.last[end][lane_number(lane)];
        let at = (*last).max(self.now + delay).max(link.up_at[1 - end]);
        *last = at;
        if lane == Lane::Bulk {
            link.bulk[end] += 1;
        }
        self.at(at, Event::Deliver { conn, from: end, lane, bytes });
    }

    pub(crate) fn arrived(&mut self, conn: usize, from: usize, lane: Lane, bytes: Vec<u8>) {
        let to = 1 - from;
        if self.net.conns[conn].dead {
            return;
        }
        if self.is_blocked(self.host_of(conn, from), self.host_of(conn, to)) {
            self.net.conns[conn].held[from].push((lane, bytes));
            if !std::mem::replace(&mut self.net.conns[conn].watched, true) {
                let patience = self.rng.random_range(self.plan.silence.clone());
                self.after(patience, Event::KeepAlive { conn });
            }
            return;
        }
        self.deliver(conn, from, lane, &bytes);
    }

    fn deliver(&mut self, conn: usize, from: usize, lane: Lane, bytes: &[u8]) {
        let link = &mut self.net.conns[conn];
        let (sender, receiver) = (link.ends[from], link.ends[1 - from]);
        let mut drained = false;
        if lane == Lane::Bulk {
            link.bulk[from] -= 1;
            drained = link.bulk[from] == 0 && link.up[from];
        }
        if link.up[1 - from] && self.replicas[receiver].alive {
            match Message::decode(bytes) {
                Ok(message) => {
                    let from = self.replicas[sender].node.id;
                    self.input(receiver, Input::Received { from, message });
                }
                Err(error) => self.fail(&format!("a message of replica {sender} does not decode: {error}")),
            }
        }
        if drained && self.replicas[sender].alive {
            let id = self.replicas[receiver].node.id;
            self.input(sender, Input::BulkDrained(id));
        }
    }

    /// The connection has been silent for long; it is given up if it still is.
    pub(crate) fn keep_alive(&mut self, conn: usize) {
        self.net.conns[conn].watched = false;
        if self.net.conns[conn].silent || self.net.conns[conn].held.iter().any(|held| !held.is_empty()) {
            tell!(self, "replicas {:?} give their connection up", self.net.conns[conn].ends);
            let other = self.rng.random_range(0..500 * MS);
            let notice = if self.chance(50) { [0, other] } else { [other, 0] };
            self.kill(conn, notice);
        }
    }

    /// What was held on ways that are free now arrives.
    pub(crate) fn release(&mut self) {
        for conn in 0..self.net.conns.len() {
            for from in 0..2 {
                if self.net.conns[conn].held[from].is_empty()
                    || self.is_blocked(self.host_of(conn, from), self.host_of(conn, 1 - from))
                {
                    continue;
                }
                for (lane, bytes) in std::mem::take(&mut self.net.conns[conn].held[from]) {
                    self.deliver(conn, from, lane, &bytes);
                }
            }
        }
    }

    /// Whether every two living replicas have a connection that both know of.
    pub(crate) fn all_linked(&self) -> bool {
        let living = self.living();
        living.iter().enumerate().all(|(n, &a)| {
            living[n + 1..].iter().all(|&b| {
                let up = self.conn_between(a, b).map(|conn| self.net.conns[conn].up);
                up == Some([true, true])
            })
        })
    }
}
