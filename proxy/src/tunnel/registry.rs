//! All tunnels of this process: found by room to heal a split, and all at once to find idle ones and to shut down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
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

use crate::admin;

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
    place: Place,
    shard: ShardId,
    /// Second of the registry's clock in which a byte last moved.
    active: AtomicU32,
    half_closed: AtomicBool,
    /// 0: none.
    order: AtomicU8,
    task: AtomicWaker,
}

impl Tunnel {
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

    /// The first order stands.
    fn close(&self, order: Order) {
        if self.order.compare_exchange(0, order as u8 + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.task.wake();
        }
    }
}

/// Where a tunnel is filed: under its room, or on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Room(RoomKey),
    Roomless(u64),
}

/// Tunnels of one room.
#[derive(Debug, Default)]
struct Group {
    name: Option<Box<str>>,
    tunnels: Vec<Arc<Tunnel>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    groups: DashMap<Place, Group>,
    open: AtomicUsize,
    roomless: AtomicU64,
    /// Seconds since the process started, moved on by [`Tunnels::tick`]; reading it costs no system call.
    second: AtomicU32,
}

impl Tunnels {
    /// Files a new tunnel; it is taken out when the returned guard is dropped.
    pub(crate) fn register(self: &Arc<Self>, room: Option<(RoomKey, &RoomName)>, shard: ShardId) -> Registered {
        let place = match room {
            Some((key, _)) => Place::Room(key),
            None => Place::Roomless(self.roomless.fetch_add(1, Ordering::Relaxed)),
        };
        let tunnel = Arc::new(Tunnel {
            place,
            shard,
            active: AtomicU32::new(self.second.load(Ordering::Relaxed)),
            half_closed: AtomicBool::new(false),
            order: AtomicU8::new(0),
            task: AtomicWaker::new(),
        });
        let mut group = self.groups.entry(place).or_default();
        if let (None, Some((_, name))) = (&group.name, room) {
            group.name = Some(name.to_string().into());
        }
        group.tunnels.push(Arc::clone(&tunnel));
        drop(group);
        self.open.fetch_add(1, Ordering::Relaxed);
        Registered { tunnel, tunnels: Arc::clone(self) }
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
    pub(crate) async fn drain(&self, window: Duration) {
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
        self.groups.get(&Place::Room(room))?.name.as_deref().map(String::from)
    }

    fn close_room(&self, room: RoomKey, except: Option<ShardId>) -> usize {
        let Some(group) = self.groups.get(&Place::Room(room)) else { return 0 };
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
    tunnels: Arc<Tunnels>,
}

impl Registered {
    pub(super) fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// Notes that a byte moved.
    pub(super) fn touch(&self) {
        self.tunnel.active.store(self.tunnels.second.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Entry::Occupied(mut group) = self.tunnels.groups.entry(self.tunnel.place) {
            group.get_mut().tunnels.retain(|tunnel| !Arc::ptr_eq(tunnel, &self.tunnel));
            if group.get().tunnels.is_empty() {
                group.remove();
            }
        }
        self.tunnels.open.fetch_sub(1, Ordering::Relaxed);
    }
}
