//! Signals, and the way out: not ready, still serving, tunnels closed one after the other, gone.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::Instant,
};

use super::reload::Reloader;
use crate::{config::Shutdown, edge::Edge, front::limits::Connections};

/// After the window, for farewells under way.
const GRACE: Duration = Duration::from_secs(3);
/// How often we look whether everybody has left.
const LOOK: Duration = Duration::from_millis(50);

/// The signals we act on.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are ours.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    /// Reloads on SIGHUP; returns on SIGTERM, or with `true` on SIGINT, which is in a hurry.
    pub(super) async fn serve_until_told(&mut self, reloader: &mut Reloader) -> bool {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reloader.reload().await,
                _ = self.terminate.recv() => return false,
                _ = self.interrupt.recv() => return true,
            }
        }
    }

    /// Resolves on SIGTERM or SIGINT.
    pub(super) async fn told_to_leave(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What the way out needs.
pub(super) struct Leaving {
    pub(super) edge: Arc<Edge>,
    pub(super) connections: Connections,
    /// Stops accepting.
    pub(super) close: watch::Sender<bool>,
    /// Ends kept-alive connections.
    pub(super) leave: watch::Sender<bool>,
}

impl Leaving {
    /// Leaves within `drain_delay` + `drain_window` and a little; at once when told a second time.
    pub(super) async fn drain(self, times: &Shutdown, urgent: bool, signals: &mut Signals) {
        let (delay, window) =
            if urgent { (Duration::ZERO, Duration::ZERO) } else { (times.drain_delay, times.drain_window) };
        tracing::info!(tunnels = self.edge.tunnels.open(), ?delay, ?window, "leaving");
        tokio::select! {
            () = self.go(delay, window) => {}
            () = signals.told_to_leave() => tracing::warn!("told again: leaving now"),
        }
        let left = self.connections.open();
        if left > 0 {
            tracing::warn!(connections = left, "leaving with connections open");
        }
    }

    async fn go(&self, delay: Duration, window: Duration) {
        tokio::time::sleep(delay).await;
        self.close.send_replace(true);
        self.leave.send_replace(true);
        let end = Instant::now() + window + GRACE;
        let everybody_gone = async {
            while self.connections.open() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let drain = async {
            self.edge.tunnels.drain(window).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = everybody_gone => {}
            () = drain => {}
            () = tokio::time::sleep_until(end) => {}
        }
    }
}
