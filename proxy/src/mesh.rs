//! The mesh: one authenticated, encrypted connection to each other replica, and frames of bytes over it.
//!
//! It is transport only. What frames mean is the business of `router_core::cluster`; who is alive, too. The modules:
//! `noise` proves the key, `handshake` and `hello` introduce two replicas, `table` decides which connection is
//! the pair's link, `link` carries frames (`frame`) from two queues (`lanes`), `accept` keeps strangers cheap,
//! `dial` and `peers` find the others.
//!
//! Within one link, frames of a lane arrive in the order in which they were sent, or the link goes down. An event
//! [`MeshEvent::Up`] comes before a replica's frames, [`MeshEvent::Down`] after them, and never two of a kind in a row.
//! Who does not take events stops the reading of all links, not their writing; who keeps a replica's frames, that of its link.

mod accept;
mod advertise;
mod counters;
mod dial;
mod frame;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod handshake;
mod hello;
mod key;
mod lanes;
mod link;
mod noise;
mod peers;
mod table;

use std::{
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use router_core::cluster::{Lane, Node, ReplicaId, message::PROTOCOL};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

pub use self::{
    advertise::AdvertiseError,
    counters::{Counters, Direction, Outcome, Side},
    frame::{MAX_BULK_BYTES, MAX_URGENT_BYTES},
    key::{KeyError, MeshKey},
    lanes::{LaneBounds, Sent},
    noise::Keys,
    table::{LinkInfo, MAX_LINKS},
};
use self::{dial::Targets, hello::Hello, link::Link, noise::Recent, peers::PeerList, table::Table};
use crate::{
    config::{Advertise, Cluster, Peer, secret, secret::SecretError},
    discovery::Hosts,
};

/// Between two warnings about strangers.
const GRUMBLE: Duration = Duration::from_secs(10);
/// After [`MeshHandle::shutdown`], until links that do not end are cut.
const LEAVE: Duration = Duration::from_millis(1500);

/// Everything a mesh needs to know.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// Where others connect.
    pub listen: SocketAddr,
    /// What others are told to dial; `None` finds out.
    pub advertise: Option<Advertise>,
    /// Whom to dial.
    pub peers: Vec<Peer>,
    /// DNS servers for names of peers; empty means those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// What makes a stranger a replica.
    pub keys: Keys,
    /// `KeyHasher::fingerprint`. Replicas with another one are refused: their pins are of other rooms.
    pub room_key: u64,
    /// Versions of the messages that this process speaks.
    pub versions: RangeInclusive<u16>,
    /// Of each link's queues.
    pub lanes: LaneBounds,
    /// Times and counts.
    pub limits: Limits,
}

impl MeshConfig {
    /// From the file; reads the keys. `advertise` is the command line's, for which the file's stands in.
    ///
    /// # Errors
    /// The field and what is wrong with its file.
    pub fn new(
        cluster: &Cluster,
        advertise: Option<Advertise>,
        room_key: u64,
    ) -> Result<Self, (&'static str, SecretError)> {
        Ok(Self {
            listen: cluster.listen,
            advertise: advertise.or(cluster.advertise),
            peers: cluster.peers.clone(),
            servers: cluster.servers.clone(),
            keys: Keys::load(cluster)?,
            room_key,
            versions: PROTOCOL.saturating_sub(1).max(1)..=PROTOCOL,
            lanes: LaneBounds::default(),
            limits: Limits::default(),
        })
    }
}

impl Keys {
    /// Reads the files of the keys: at start, and again when they may have changed, for [`MeshHandle::set_keys`].
    ///
    /// # Errors
    /// The field and what is wrong with its file.
    pub fn load(cluster: &Cluster) -> Result<Self, (&'static str, SecretError)> {
        let current = secret::read_mesh_key(&cluster.key_file).map_err(|error| ("cluster.key_file", error))?;
        let previous = cluster.previous_key_file.as_deref().map(secret::read_mesh_key).transpose();
        let previous = previous.map_err(|error| ("cluster.previous_key_file", error))?;
        Ok(Self { current, previous })
    }
}

/// Times and counts that bound what others can cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a whole handshake, on either side. 2 s.
    pub handshake: Duration,
    /// For a TCP connection. 1 s.
    pub connect: Duration,
    /// Connections at once that have not proved the key; with more, the oldest is closed. 256.
    pub half_open: usize,
    /// First pause between two dials of one address. 100 ms.
    pub backoff_min: Duration,
    /// Longest pause. 500 ms: the end of a partition is to be noticed within a second.
    pub backoff_max: Duration,
    /// Between look-ups of peers while there is no link. 5 s.
    pub refresh_alone: Duration,
    /// Between look-ups of peers otherwise. 30 s.
    pub refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(2),
            connect: Duration::from_secs(1),
            half_open: 256,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_millis(500),
            refresh_alone: Duration::from_secs(5),
            refresh: Duration::from_secs(30),
        }
    }
}

/// What the mesh has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeshEvent {
    /// There is a link to a replica.
    Up(Node),
    /// It is gone.
    Down(ReplicaId),
    /// A frame came over it. While more than 128 KiB of one replica's frames are kept, nothing more is read from it.
    Frame {
        /// The replica that sent it.
        from: ReplicaId,
        /// What it sent. To be dropped soon, see above.
        bytes: Bytes,
    },
    /// A bulk frame has gone out, and less than half of what the bulk lane may hold is waiting.
    BulkDrained(ReplicaId),
    /// Urgent frames were dropped. Told once, until the queue is half empty again.
    Overflowed(ReplicaId),
    /// Addresses at which other replicas are expected; told when they change. This replica's own is left out, as far as
    /// it is the one advertised.
    Found(Vec<SocketAddr>),
}

/// A mesh that listens and does nothing else yet: connections wait until it is started.
#[derive(Debug)]
pub struct Mesh {
    config: MeshConfig,
    listener: TcpListener,
    address: SocketAddr,
}

impl Mesh {
    /// Binds the socket.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(config: MeshConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { config, listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What others are to dial: as configured, or the address listened on if it is specific, or else that of the
    /// interface through which peers are reached. May look names up, for some seconds.
    ///
    /// # Errors
    /// When there is no way to find out.
    pub async fn advertised(&self) -> Result<SocketAddr, AdvertiseError> {
        let hosts = Hosts::new(self.config.servers.clone());
        advertise::find(self.config.advertise, self.address, &self.config.peers, &hosts).await
    }

    /// Starts to accept and to dial, as `me`. Events go to `events`; the mesh ends when its handle is dropped.
    ///
    /// Must be called within a tokio runtime.
    #[must_use = "dropping the handle ends the mesh"]
    pub fn start(self, me: Node, events: mpsc::Sender<MeshEvent>) -> MeshHandle {
        let Self { config, listener, .. } = self;
        let counters = Arc::<Counters>::default();
        let shared = Arc::new(Shared {
            me,
            room_key: config.room_key,
            versions: config.versions,
            limits: config.limits,
            keys: ArcSwap::from_pointee(config.keys),
            recent: Recent::default(),
            table: Arc::new(Table::new(Arc::clone(&counters), config.lanes)),
            counters,
            events,
            grumbled: Mutex::new(None),
            stop: watch::Sender::new(false),
        });
        let targets = Arc::new(Targets::new(Arc::clone(&shared)));
        let peers = watch::Sender::new(PeerList { peers: config.peers, servers: config.servers });
        let accept = shared.spawn(accept::run(listener, Arc::clone(&shared)));
        shared.spawn(peers::run(Arc::clone(&shared), Arc::clone(&targets), peers.subscribe()));
        MeshHandle { shared, targets, peers, accept: Mutex::new(Some(accept)) }
    }
}

/// A running mesh. Dropping it cuts all links at once; [`Self::shutdown`] is the polite way.
#[derive(Debug)]
pub struct MeshHandle {
    shared: Arc<Shared>,
    targets: Arc<Targets>,
    peers: watch::Sender<PeerList>,
    accept: Mutex<Option<JoinHandle<()>>>,
}

impl MeshHandle {
    /// Queues a frame for a replica. Never waits.
    pub fn send(&self, to: ReplicaId, lane: Lane, bytes: Bytes) -> Sent {
        let sent = self.shared.table.lanes(to).map_or(Sent::NoLink, |lanes| lanes.push(lane, bytes));
        if sent == Sent::Full {
            self.shared.counters.drop_frame(lane);
        }
        sent
    }

    /// Dials an address at once, and then with pauses for half a minute, unless there is a link to it. Orders for one
    /// address within a second are one order.
    pub fn dial(&self, address: SocketAddr) {
        self.targets.order(address);
    }

    /// Takes another list of peers, and the DNS servers that know their names. Links stay as they are.
    pub fn set_peers(&self, peers: Vec<Peer>, servers: Vec<SocketAddr>) {
        let new = PeerList { peers, servers };
        self.peers.send_if_modified(|old| {
            let changed = *old != new;
            *old = new;
            changed
        });
    }

    /// Takes other keys, for connections from now on. Links stay as they are.
    pub fn set_keys(&self, keys: Keys) {
        self.shared.keys.store(Arc::new(keys));
    }

    /// Closes the link to a replica once its urgent frames are out, within a second. Nothing keeps either side from
    /// making a new one.
    pub fn close(&self, to: ReplicaId) {
        if let Some(lanes) = self.shared.table.lanes(to) {
            lanes.close();
        }
    }

    /// What is counted, for as long as anybody wants to read it.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// The links there are.
    #[must_use]
    pub fn links(&self) -> Vec<LinkInfo> {
        self.shared.table.list()
    }

    /// Ends: no new links, and those there are close once their urgent frames are out. Returns when all are closed, or
    /// after a second and a half. Links end with [`MeshEvent::Down`], if anybody still listens.
    pub async fn shutdown(&self) {
        let accept = self.accept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accept) = accept {
            accept.abort();
            let _ = accept.await;
        }
        let mut changes = self.shared.table.changes();
        self.shared.table.leave();
        self.targets.stop();
        let closed = async {
            while !self.shared.table.is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LEAVE, closed).await;
        // Link tasks may still have their last event to send; the handle's end is their end.
    }
}

impl Drop for MeshHandle {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
    }
}

/// What all tasks of a mesh share.
#[derive(Debug)]
struct Shared {
    me: Node,
    room_key: u64,
    versions: RangeInclusive<u16>,
    limits: Limits,
    keys: ArcSwap<Keys>,
    recent: Recent,
    table: Arc<Table>,
    counters: Arc<Counters>,
    events: mpsc::Sender<MeshEvent>,
    /// When a stranger was last complained about.
    grumbled: Mutex<Option<Instant>>,
    stop: watch::Sender<bool>,
}

impl Shared {
    /// Runs a task until the mesh ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let mut stop = self.stop.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = task => {}
            }
        })
    }

    fn hello(&self) -> Hello {
        Hello { versions: self.versions.clone(), node: self.me, room_key: self.room_key, lost: 0 }
    }

    fn link(&self) -> Link {
        Link { events: self.events.clone(), counters: Arc::clone(&self.counters), table: Arc::clone(&self.table) }
    }

    /// Whether it is time for another warning about strangers; they must not fill the log.
    fn may_grumble(&self) -> bool {
        let mut last = self.grumbled.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= GRUMBLE);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    /// Tells why a replica with the right key is refused.
    fn disagree(&self, other: &Hello, reason: Outcome) {
        if !self.may_grumble() {
            return;
        }
        let (replica, address) = (other.node.id, other.node.address);
        match reason {
            Outcome::RoomKey => tracing::warn!(
                %replica, %address,
                "refused a replica whose rooms.key_file differs from ours; it must be the same everywhere"
            ),
            _ => tracing::warn!(
                %replica, %address, its = ?other.versions, ours = ?self.versions,
                "refused a replica that speaks no version of ours; update one release at a time"
            ),
        }
    }
}
