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
    access_log::{self, EndedTunnel},
    edge::{Edge, PinUse, Routed},
    front::limits::Slot,
    metrics::{Direction, ShardMetrics, TunnelOutcome},
};

/// The future that is spawned for each tunnel. What is looked at only at its end is kept in one box.
pub(super) struct Session {
    relay: Relay,
    accounts: Option<Box<Accounts>>,
}

struct Accounts {
    counters: Arc<ShardMetrics>,
    edge: Arc<Edge>,
    pin: PinUse,
    peer: SocketAddr,
    opened: Instant,
    _slot: Slot,
}

impl Session {
    /// Counts and files a tunnel that the client has been told of; `relay` makes its relay.
    pub(super) fn open(
        edge: &Arc<Edge>,
        relay: impl FnOnce(Registered) -> Relay,
        routed: &Routed,
        peer: SocketAddr,
        slot: Slot,
    ) -> Self {
        let counters = edge.counters(routed);
        counters.tunnels.inc(TunnelOutcome::Opened);
        counters.tunnels_open.inc();
        let registered = edge.tunnels.register(routed.room.as_ref().map(|(key, name)| (*key, name)), routed.shard);
        if let Some(key) = routed.key()
            && !edge.router.tunnel_opened(key, routed.shard, edge.clock.now())
        {
            // The room moved while this tunnel was being opened.
            registered.tunnel().close(Order::Moved);
        }
        // Neither the room's name nor the set of shards is kept: a tunnel may live for hours.
        let accounts =
            Accounts { counters, edge: Arc::clone(edge), pin: routed.pin, peer, opened: Instant::now(), _slot: slot };
        Self { relay: relay(registered), accounts: Some(Box::new(accounts)) }
    }

    fn count(&self, before: Moved) {
        let now = self.relay.moved();
        if now != before
            && let Some(accounts) = &self.accounts
        {
            accounts.counters.tunnel_bytes.inc_by(Direction::ToShard, now.up - before.up);
            accounts.counters.tunnel_bytes.inc_by(Direction::ToClient, now.down - before.down);
        }
    }

    fn settle(&mut self, end: End) {
        if let Some(accounts) = self.accounts.take() {
            let Accounts { counters, edge, pin, peer, opened, _slot } = *accounts;
            counters.tunnels_open.dec();
            counters.tunnels_closed.inc(end.reason());
            let tunnel = self.relay.tunnel();
            if let Some(key) = tunnel.room() {
                edge.router.tunnel_closed(key, tunnel.shard(), edge.clock.now());
            }
            let ended = EndedTunnel {
                client: peer,
                room: tunnel.room(),
                shard: tunnel.shard(),
                pin,
                end,
                moved: self.relay.moved(),
                lived: opened.elapsed(),
            };
            access_log::tunnel(&edge, &ended);
        }
    }
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let before = this.relay.moved();
        let polled = Pin::new(&mut this.relay).poll(cx);
        this.count(before);
        polled.map(|end| this.settle(end))
    }
}

impl Drop for Session {
    /// Also when the runtime goes down with tunnels in it.
    fn drop(&mut self) {
        self.settle(End::Failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokio task adds 104 bytes and is aligned to 128; the allocator rounds the sum up to a power of two. One byte more
    /// here and every idle tunnel costs 256 bytes more. (Debug builds of mio add 8 bytes to each of the two sockets.)
    #[test]
    fn fits_a_task_of_256_bytes() {
        assert!(size_of::<Session>() <= 256 - 104, "{} bytes", size_of::<Session>());
    }
}
