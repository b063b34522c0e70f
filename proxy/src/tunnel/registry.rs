//! All tunnels of this process: found by room to heal a split, and all at once to find idle ones and to shut down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use futures_util::task::AtomicWaker;
use rand::seq::SliceRandom;
use router_core::{
    room::{RoomKey, RoomName},
    shard::ShardId,
};

use crate::{admin, config::defaults};

/// How long one side may stay silent after the other has finished (HAProxy's `timeout client-fin`, 50 s at 8x8).
const HALF_CLOSED: Duration = Duration::from_secs(30);

/// Over how long the tunnels of a shard that an operator took down are closed.
const SHARD_WINDOW: Duration = Duration::from_secs(3);

/// Why the proxy ends a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// No byte for too long.
    Idle,
    /// This process is leaving.
    Drain,
    /// The room is on another shard now.
    Moved,
}

impl Order {
    /// The WebSocket close code (RFC 6455 §7.4.1; 1012 "service restart" from the IANA registry).
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Idle => 1001,
            Self::Drain | Self::Moved => 1012,
        }
    }

    fn from_u8(value: u8) -> Option<Self> {
        [Self::Idle, Self::Drain, Self::Moved].into_iter().find(|&order| order as u8 + 1 == value)
    }
}

/// What the rest of the process knows of one tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The room's key; a random one of its own for a tunnel without a room.
    key: RoomKey,
    has_room: bool,
    shard: ShardId,
    /// Second of the registry's clock in which a byte last moved.
    active: AtomicU32,
    half_closed: AtomicBool,
    /// 0: none.
    order: AtomicU8,
    task: AtomicWaker,
    /// Where it is filed.
    tunnels: Arc<Tunnels>,
}

impl Tunnel {
    /// The room whose pin this tunnel holds.
    pub(super) fn room(&self) -> Option<RoomKey> {
        self.has_room.then_some(self.key)
    }

    pub(super) fn shard(&self) -> ShardId {
        self.shard
    }

    /// The order to end, if there is one.
    pub(super) fn order(&self) -> Option<Order> {
        Order::from_u8(self.order.load(Ordering::Acquire))
    }

    /// The task to wake when an order comes.
    pub(super) fn task(&self) -> &AtomicWaker {
        &self.task
    }

    pub(super) fn set_half_closed(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }

    /// Orders the tunnel to end; the first order stands.
    pub(super) fn close(&self, order: Order) {
        if self.order.compare_exchange(0, order as u8 + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.task.wake();
        }
    }
}

/// Tunnels of one room.
#[derive(Debug, Default)]
struct Group {
    name: Option<Box<str>>,
    tunnels: Vec<Arc<Tunnel>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tunnels {
    groups: DashMap<RoomKey, Group>,
    open: AtomicUsize,
    /// Most bytes that a relay reads at once, and so keeps for a slow peer.
    buffer_max: AtomicUsize,
    /// Seconds since the process started, moved on by [`Tunnels::tick`]; reading it costs no system call.
    second: AtomicU32,
    /// A tunnel that is opened now is ended at once: it was on its way when the drain began.
    draining: AtomicBool,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            groups: DashMap::new(),
            open: AtomicUsize::new(0),
            buffer_max: AtomicUsize::new(defaults::TUNNEL_BUFFER_MAX_BYTES),
            second: AtomicU32::new(0),
            draining: AtomicBool::new(false),
        }
    }
}

impl Tunnels {
    /// Files a new tunnel; it is taken out when the returned guard is dropped.
    pub(crate) fn register(self: &Arc<Self>, room: Option<(RoomKey, &RoomName)>, shard: ShardId) -> Registered {
        // Keys are uniform 128-bit hashes: a random one meets no other.
        let key = room.map_or_else(|| RoomKey(rand::random()), |(key, _)| key);
        let tunnel = Arc::new(Tunnel {
            key,
            has_room: room.is_some(),
            shard,
            active: AtomicU32::new(self.second.load(Ordering::Relaxed)),
            half_closed: AtomicBool::new(false),
            order: AtomicU8::new(0),
            task: AtomicWaker::new(),
            tunnels: Arc::clone(self),
        });
        let mut group = self.groups.entry(key).or_default();
        if let (None, Some((_, name))) = (&group.name, room) {
            group.name = Some(name.to_string().into());
        }
        group.tunnels.push(Arc::clone(&tunnel));
        drop(group);
        self.open.fetch_add(1, Ordering::Relaxed);
        // Looked at after filing, as `drain` looks at the files after setting it: one of the two sees the other.
        if self.draining.load(Ordering::SeqCst) {
            tunnel.close(Order::Drain);
        }
        Registered { tunnel }
    }

    /// From now on no relay keeps more than so many bytes per direction for a slow peer.
    pub(crate) fn set_buffer_max(&self, bytes: usize) {
        self.buffer_max.store(bytes, Ordering::Relaxed);
    }

    /// Tunnels open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Moves the coarse clock on, and ends the tunnels in which nothing moved for `idle`.
    pub(crate) fn tick(&self, uptime: Duration, idle: Duration) {
        let second = u32::try_from(uptime.as_secs()).unwrap_or(u32::MAX);
        self.second.store(second, Ordering::Relaxed);
        for group in &self.groups {
            for tunnel in &group.tunnels {
                let half_closed = tunnel.half_closed.load(Ordering::Relaxed);
                let limit = if half_closed { idle.min(HALF_CLOSED) } else { idle };
                let silent = second.saturating_sub(tunnel.active.load(Ordering::Relaxed));
                if Duration::from_secs(silent.into()) > limit {
                    tunnel.close(Order::Idle);
                }
            }
        }
    }

    /// Ends all tunnels, in random order and evenly over `window`, so that their clients do not come back at once.
    /// From now on a new tunnel ends as soon as it is opened.
    pub(crate) async fn drain(&self, window: Duration) {
        self.draining.store(true, Ordering::SeqCst);
        close_spread(self.groups.iter().flat_map(|group| group.tunnels.clone()).collect(), Order::Drain, window).await;
    }
}

/// Ends tunnels in random order and evenly over `window`.
async fn close_spread(mut tunnels: Vec<Arc<Tunnel>>, order: Order, window: Duration) {
    tunnels.shuffle(&mut rand::rng());
    let started = tokio::time::Instant::now();
    let count = u32::try_from(tunnels.len()).unwrap_or(u32::MAX).max(1);
    for (turn, tunnel) in (0u32..).zip(tunnels) {
        tokio::time::sleep_until(started + window / count * turn).await;
        tunnel.close(order);
    }
}

impl admin::Tunnels for Tunnels {
    fn open_on(&self, shard: ShardId) -> usize {
        let on_shard = |group: &Group| group.tunnels.iter().filter(|tunnel| tunnel.shard == shard).count();
        self.groups.iter().map(|group| on_shard(&group)).sum()
    }

    fn name_of(&self, room: RoomKey) -> Option<String> {
        self.groups.get(&room)?.name.as_deref().map(String::from)
    }

    fn close_room(&self, room: RoomKey, except: Option<ShardId>) -> usize {
        let Some(group) = self.groups.get(&room) else { return 0 };
        let elsewhere = group.tunnels.iter().filter(|tunnel| Some(tunnel.shard) != except);
        elsewhere.inspect(|tunnel| tunnel.close(Order::Moved)).count()
    }

    fn close_shard(&self, shard: ShardId) -> usize {
        let on_shard = |tunnel: &&Arc<Tunnel>| tunnel.shard == shard;
        let there =
            self.groups.iter().flat_map(|group| group.tunnels.iter().filter(on_shard).cloned().collect::<Vec<_>>());
        let there: Vec<_> = there.collect();
        let count = there.len();
        tokio::spawn(close_spread(there, Order::Moved, SHARD_WINDOW));
        count
    }
}

/// Keeps a tunnel filed while it lives.
#[derive(Debug)]
pub(crate) struct Registered {
    tunnel: Arc<Tunnel>,
}

impl Registered {
    pub(super) fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// Notes that a byte moved.
    pub(super) fn touch(&self) {
        let second = self.tunnel.tunnels.second.load(Ordering::Relaxed);
        self.tunnel.active.store(second, Ordering::Relaxed);
    }

    /// Most bytes to read at once; never 0, which would look like the end of a stream.
    pub(super) fn buffer_max(&self) -> usize {
        self.tunnel.tunnels.buffer_max.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let tunnels = &self.tunnel.tunnels;
        if let Entry::Occupied(mut group) = tunnels.groups.entry(self.tunnel.key) {
            group.get_mut().tunnels.retain(|tunnel| !Arc::ptr_eq(tunnel, &self.tunnel));
            if group.get().tunnels.is_empty() {
                group.remove();
            }
        }
        tunnels.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
