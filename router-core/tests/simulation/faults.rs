//! What goes wrong, and what people do to a cluster.

use rand::RngExt;
use router_core::{cluster::Input, shard::ShardState};

use super::{
    replica::shard_name,
    world::{Event, Host, MS, Micros, SECOND, World, tell},
};

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A process starts, with the snapshot that the last one there left, if it is to be restored.
    Start {
        host: Host,
        restored: bool,
    },
    /// It ends; silent: its host does, and nobody resets its connections.
    Crash {
        host: Host,
        silent: bool,
    },
    /// SIGTERM.
    Leave {
        host: Host,
    },
    /// Its end.
    Quit {
        host: Host,
    },
    /// Nothing passes; with a reset both ends notice at once.
    Block {
        ways: Vec<(Host, Host)>,
        reset: bool,
    },
    /// Everything passes.
    Unblock,
    /// As `Unblock`; from now on replicas have to agree in time.
    Heal,
    /// The urgent queue of a connection is full for a while, and what comes is dropped.
    Overflow {
        host: Host,
        other: Host,
        lasts: Micros,
    },
    /// It takes messages again.
    Drained {
        slot: usize,
        to: usize,
    },
    Slow {
        ways: Vec<(Host, Host)>,
        extra: Micros,
    },
    ShardDown {
        shard: usize,
    },
    ShardUp {
        shard: usize,
    },
    /// A healthy shard looks dead from a host.
    Blind {
        host: Host,
        shard: usize,
    },
    Sees {
        host: Host,
        shard: usize,
    },
    Order {
        host: Host,
        shard: usize,
        state: Option<ShardState>,
    },
    /// All that went wrong is put right: hosts run, shards are up.
    Calm,
    /// All replicas must agree by now.
    Agree,
    /// Everybody must sit on the agreed shard by now.
    Seated,
    /// The connections of a replica that quits end.
    Gone {
        slot: usize,
    },
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        tell!(self, "*** {fault:?}");
        match fault {
            Fault::Start { host, restored } => {
                if self.hosts[host].is_none() {
                    let pins = self.clients.snapshots.get(&host).filter(|_| restored).cloned();
                    self.start(host, pins.unwrap_or_default());
                }
            }
            Fault::Crash { host, silent } => self.crash(host, silent),
            Fault::Leave { host } => {
                if let Some(slot) = self.hosts[host] {
                    self.replicas[slot].leaving = true;
                    self.input(slot, Input::Leave);
                    self.send_people_away(slot);
                }
            }
            Fault::Quit { host } => self.quit(host),
            Fault::Gone { slot } => {
                for conn in self.conns_of(slot) {
                    let notice = [self.rng.random_range(0..2 * MS), self.rng.random_range(0..2 * MS)];
                    self.kill(conn, notice);
                }
            }
            Fault::Block { ways, reset } => {
                self.net.blocked.extend(ways.iter().copied());
                if reset {
                    self.reset(&ways);
                }
            }
            Fault::Unblock => {
                self.net.blocked.clear();
                self.release();
            }
            Fault::Heal => {
                self.net.blocked.clear();
                self.release();
                self.healed();
            }
            Fault::Overflow { host, other, lasts } => {
                if let (Some(slot), Some(to)) = (self.hosts[host], self.hosts[other]) {
                    self.net.full.insert((slot, to));
                    self.after(lasts, Event::Fault(Fault::Drained { slot, to }));
                }
            }
            Fault::Drained { slot, to } => {
                self.net.full.remove(&(slot, to));
                if self.replicas[slot].alive && self.replicas[to].alive {
                    let id = self.replicas[to].node.id;
                    self.input(slot, Input::Overflowed(id));
                }
            }
            Fault::Slow { ways, extra } => self.net.slow.extend(ways.into_iter().map(|way| (way, extra))),
            Fault::ShardDown { shard } => {
                self.shards[shard].down = true;
                self.shards[shard].lost_until = Some(Micros::MAX);
                self.probe_all(shard);
                self.shard_ends(shard);
            }
            Fault::ShardUp { shard } => self.shard_up(shard),
            Fault::Blind { host, shard } => {
                self.shards[shard].unseen_from.push(host);
                self.probe_soon(host, shard);
            }
            Fault::Sees { host, shard } => {
                self.shards[shard].unseen_from.retain(|other| *other != host);
                self.probe_soon(host, shard);
            }
            Fault::Order { host, shard, state } => {
                if let Some(slot) = self.hosts[host] {
                    self.shards[shard].ordered = Some((self.now, state));
                    self.input(slot, Input::Ordered { shard: shard_name(shard), state });
                }
            }
            Fault::Calm => self.calm_down(),
            Fault::Agree => self.check_agreement(),
            Fault::Seated => self.check_seats(),
        }
    }

    fn crash(&mut self, host: Host, silent: bool) {
        let Some(slot) = self.hosts[host].take() else { return };
        let pins = self.pins_of(slot);
        self.clients.snapshots.insert(host, pins);
        self.replicas[slot].alive = false;
        for conn in self.conns_of(slot) {
            let end = usize::from(self.net.conns[conn].ends[1] == slot);
            if silent {
                // What it sent still arrives; then nothing.
                self.net.conns[conn].up[end] = false;
                let patience = self.rng.random_range(self.plan.silence.clone());
                self.at(self.now + patience, Event::KeepAlive { conn });
                self.net.conns[conn].expect_silence();
            } else {
                let notice = self.rng.random_range(0..3 * MS);
                self.kill(conn, [notice, notice]);
            }
        }
        self.replica_is_gone(slot);
    }

    fn quit(&mut self, host: Host) {
        let Some(slot) = self.hosts[host].take() else { return };
        let pins = self.pins_of(slot);
        self.clients.snapshots.insert(host, pins);
        self.input(slot, Input::Quit);
        self.replicas[slot].alive = false;
        // What it has said still arrives.
        self.after(7 * MS, Event::Fault(Fault::Gone { slot }));
        self.replica_is_gone(slot);
    }

    fn reset(&mut self, ways: &[(Host, Host)]) {
        for &(a, b) in ways {
            let (Some(a), Some(b)) = (self.hosts[a], self.hosts[b]) else { continue };
            if let Some(conn) = self.conn_between(a, b) {
                let notice = [self.rng.random_range(0..3 * MS), self.rng.random_range(0..3 * MS)];
                self.kill(conn, notice);
            }
        }
    }

    fn shard_up(&mut self, shard: usize) {
        if std::mem::take(&mut self.shards[shard].down) {
            self.shards[shard].lost_until = Some(self.now + 4 * SECOND);
            self.probe_all(shard);
        }
    }

    fn probe_all(&mut self, shard: usize) {
        for host in 0..self.hosts.len() {
            self.probe_soon(host, shard);
        }
    }

    /// Three probes give a verdict.
    fn probe_soon(&mut self, host: Host, shard: usize) {
        let first = self.rng.random_range(0..300 * MS);
        for n in 0..3 {
            self.after(first + n * 300 * MS, Event::Probe { host, shard });
        }
    }

    fn calm_down(&mut self) {
        self.net.slow.clear();
        for host in 0..self.hosts.len() {
            if self.hosts[host].is_some_and(|slot| self.replicas[slot].leaving) {
                self.quit(host);
            }
            if self.hosts[host].is_none() {
                self.start(host, Vec::new());
            }
        }
        for shard in 0..self.shards.len() {
            self.shard_up(shard);
            for host in std::mem::take(&mut self.shards[shard].unseen_from) {
                self.probe_soon(host, shard);
            }
        }
    }
}
