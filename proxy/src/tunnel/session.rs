//! A tunnel's life as a task: the relay, and the accounts that are settled with every move and at the end.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::{
    registry::{Order, Registered},
    relay::{End, Moved, Relay},
};
use crate::{
    access_log,
    edge::{Edge, Routed},
    front::limits::Slot,
    metrics::{Direction, ShardMetrics, TunnelOutcome},
};

/// The future that is spawned for each tunnel. What is looked at only at its end is kept in one box.
pub(super) struct Session {
    relay: Relay,
    counted: Moved,
    counters: Arc<ShardMetrics>,
    end: Option<Box<Accounts>>,
}

struct Accounts {
    edge: Arc<Edge>,
    routed: Routed,
    peer: SocketAddr,
    opened: Instant,
    _slot: Slot,
}

impl Session {
    /// Counts and files a tunnel that the client has been told of; `relay` makes its relay.
    pub(super) fn open(
        edge: &Arc<Edge>,
        relay: impl FnOnce(Registered) -> Relay,
        routed: Routed,
        peer: SocketAddr,
        slot: Slot,
    ) -> Self {
        let counters = edge.counters(&routed);
        counters.tunnels.inc(TunnelOutcome::Opened);
        counters.tunnels_open.inc();
        let registered = edge.tunnels.register(routed.room.as_ref().map(|(key, name)| (*key, name)), routed.shard);
        if let Some(key) = routed.key()
            && !edge.router.tunnel_opened(key, routed.shard, edge.clock.now())
        {
            // The room moved while this tunnel was being opened.
            registered.tunnel().close(Order::Moved);
        }
        let accounts = Accounts { edge: Arc::clone(edge), routed, peer, opened: Instant::now(), _slot: slot };
        Self { relay: relay(registered), counted: Moved::default(), counters, end: Some(Box::new(accounts)) }
    }

    fn count(&mut self, moved: Moved) {
        if moved != self.counted {
            self.counters.tunnel_bytes.inc_by(Direction::ToShard, moved.up - self.counted.up);
            self.counters.tunnel_bytes.inc_by(Direction::ToClient, moved.down - self.counted.down);
            self.counted = moved;
        }
    }

    fn settle(&mut self, end: End) {
        if let Some(accounts) = self.end.take() {
            let Accounts { edge, routed, peer, opened, _slot } = *accounts;
            self.counters.tunnels_open.dec();
            self.counters.tunnels_closed.inc(end.reason());
            if let Some(key) = routed.key() {
                edge.router.tunnel_closed(key, routed.shard, edge.clock.now());
            }
            access_log::tunnel(&edge, peer, &routed, end, self.counted, opened.elapsed());
        }
    }
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.relay).poll(cx);
        this.count(this.relay.moved());
        polled.map(|end| this.settle(end))
    }
}

impl Drop for Session {
    /// Also when the runtime goes down with tunnels in it.
    fn drop(&mut self) {
        self.settle(End::Failed);
    }
}
