//! Which links there are, and which connection becomes one.
//!
//! One link per pair, without flapping, rests on these rules. Each is one step under the lock.
//! 1. A dialler that hears who answered goes on only if it has no link to that replica and no other dial under way; it
//!    then *claims* the replica until its dial has ended.
//! 2. An acceptor with a link says "duplicate".
//! 3. An acceptor without a link, but with a claim, waits for its own dial's end if its number is the smaller one, and
//!    goes on as if it had none if it is the larger one. So of two simultaneous dials the smaller number's becomes the
//!    link, and the other is turned away only when the link stands (or becomes the link, if the first fails).
//! 4. A dialler that is welcomed has its link, in place of any other: an acceptor welcomes only when it knows of none.
//! 5. A dialler told "duplicate" without knowing of a link dials again and names the link it has lost. An acceptor whose
//!    link is the one named drops it. So a half-dead connection does not keep a pair apart.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use router_core::cluster::{Node, ReplicaId};
use tokio::sync::{oneshot, watch};

use super::{
    counters::{Counters, Outcome, Side},
    hello::Hello,
    lanes::{LaneBounds, Lanes},
};

/// Replicas beside this one.
pub const MAX_LINKS: usize = 64;

/// A link, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// The replica at its other end.
    pub node: Node,
    /// Version of the messages, the newest that both speak.
    pub version: u16,
    /// Who opened the connection.
    pub side: Side,
    /// Bytes that wait to be sent: urgent, bulk.
    pub waiting: (usize, usize),
}

#[derive(Debug)]
pub(super) struct Table {
    inner: Mutex<Inner>,
    /// Counts changes.
    changed: watch::Sender<u64>,
    counters: Arc<Counters>,
    bounds: LaneBounds,
}

#[derive(Debug, Default)]
struct Inner {
    links: HashMap<ReplicaId, Entry>,
    claims: HashSet<ReplicaId>,
    leaving: bool,
}

#[derive(Debug)]
struct Entry {
    node: Node,
    tag: u64,
    version: u16,
    side: Side,
    lanes: Arc<Lanes>,
    /// Closes when the link's last event has been sent.
    ended: oneshot::Receiver<()>,
}

/// A place in the table, for the task that runs the link.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) tag: u64,
    pub(super) lanes: Arc<Lanes>,
    /// The link that this one replaces: nothing is told of the new one before that has ended.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// To be dropped after the last event.
    pub(super) ended: oneshot::Sender<()>,
}

/// What an acceptor does with a connection.
#[derive(Debug)]
pub(super) enum Admission {
    Link(Place),
    Duplicate(u64),
    /// Ask again when the table has changed.
    Wait,
    No(Outcome),
}

impl Table {
    pub(super) fn new(counters: Arc<Counters>, bounds: LaneBounds) -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(0), counters, bounds }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Tells of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Rule 1.
    pub(super) fn claim(self: &Arc<Self>, id: ReplicaId) -> Result<DialClaim, Outcome> {
        let mut inner = self.lock();
        if inner.leaving {
            return Err(Outcome::Leaving);
        }
        if inner.links.contains_key(&id) || !inner.claims.insert(id) {
            return Err(Outcome::Duplicate);
        }
        Ok(DialClaim { table: Arc::clone(self), id })
    }

    /// Rules 2, 3 and 5.
    pub(super) fn admit(&self, me: ReplicaId, other: &Hello, version: u16, tag: u64) -> Admission {
        let mut inner = self.lock();
        let id = other.node.id;
        if inner.leaving {
            return Admission::No(Outcome::Leaving);
        }
        match inner.links.get(&id) {
            Some(link) if link.tag != other.lost => return Admission::Duplicate(link.tag),
            Some(_) => {}
            None if inner.claims.contains(&id) && me < id => return Admission::Wait,
            None if inner.links.len() >= MAX_LINKS => return Admission::No(Outcome::Full),
            None => {}
        }
        Admission::Link(self.put(&mut inner, other.node, tag, version, Side::Accepted))
    }

    fn put(&self, inner: &mut Inner, node: Node, tag: u64, version: u16, side: Side) -> Place {
        let lanes = Arc::new(Lanes::new(self.bounds));
        let (ended, ending) = oneshot::channel();
        let entry = Entry { node, tag, version, side, lanes: Arc::clone(&lanes), ended: ending };
        let before = inner.links.insert(node.id, entry).map(|before| {
            before.lanes.kill();
            before.ended
        });
        self.counters.set_links(inner.links.len());
        self.tell();
        Place { node, tag, lanes, before, ended }
    }

    /// Takes a link out, unless another one has its place.
    pub(super) fn remove(&self, id: ReplicaId, tag: u64) {
        let mut inner = self.lock();
        if inner.links.get(&id).is_some_and(|link| link.tag == tag) {
            inner.links.remove(&id);
            self.counters.set_links(inner.links.len());
            self.tell();
        }
    }

    pub(super) fn has(&self, id: ReplicaId) -> bool {
        self.lock().links.contains_key(&id)
    }

    /// Whether there is a link to what listens at `address`, which is `id` as far as we know.
    pub(super) fn is_linked(&self, address: SocketAddr, id: Option<ReplicaId>) -> bool {
        let inner = self.lock();
        id.is_some_and(|id| inner.links.contains_key(&id))
            || inner.links.values().any(|link| link.node.address == address)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().links.is_empty()
    }

    pub(super) fn lanes(&self, id: ReplicaId) -> Option<Arc<Lanes>> {
        Some(Arc::clone(&self.lock().links.get(&id)?.lanes))
    }

    pub(super) fn list(&self) -> Vec<LinkInfo> {
        let info = |link: &Entry| LinkInfo {
            node: link.node,
            version: link.version,
            side: link.side,
            waiting: link.lanes.waiting(),
        };
        self.lock().links.values().map(info).collect()
    }

    /// No more links; those there are close.
    pub(super) fn leave(&self) {
        let mut inner = self.lock();
        inner.leaving = true;
        inner.links.values().for_each(|link| link.lanes.close());
    }
}

/// A dial under way to a replica that is known by now.
#[derive(Debug)]
pub(super) struct DialClaim {
    table: Arc<Table>,
    id: ReplicaId,
}

impl DialClaim {
    /// Rule 4.
    pub(super) fn succeed(self, node: Node, version: u16, tag: u64) -> Result<Place, Outcome> {
        let mut inner = self.table.lock();
        if inner.leaving {
            return Err(Outcome::Leaving);
        }
        if !inner.links.contains_key(&node.id) && inner.links.len() >= MAX_LINKS {
            return Err(Outcome::Full);
        }
        // In one step with the link, so that no acceptor finds neither.
        inner.claims.remove(&self.id);
        Ok(self.table.put(&mut inner, node, tag, version, Side::Dialled))
    }
}

impl Drop for DialClaim {
    fn drop(&mut self) {
        if self.table.lock().claims.remove(&self.id) {
            self.table.tell();
        }
    }
}

#[cfg(test)]
mod tests;
