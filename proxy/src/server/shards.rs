//! The desk where everything that is said about shards arrives, in one order, and from which every change goes out.

use std::{sync::Arc, time::Duration};

use router_core::{
    registry::{ShardEvent, ShardInput},
    router::Router,
    shard_set::ShardSet,
};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};

use crate::{
    admin::Readiness,
    clock::Clock,
    discovery::{DiscoveryEvent, DiscoveryEvents},
    metrics::Metrics,
    probe::ProbeEvents,
};

/// How often hold-downs are looked at.
const TICK: Duration = Duration::from_millis(500);

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct ShardDesk {
    router: Arc<Router>,
    metrics: Arc<Metrics>,
    published: watch::Sender<Arc<ShardSet>>,
}

impl ShardDesk {
    pub(super) fn new(router: Arc<Router>, metrics: Arc<Metrics>) -> Self {
        let published = watch::Sender::new(router.shards());
        Self { router, metrics, published }
    }

    /// The shards as they change, for the prober.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<ShardSet>> {
        self.published.subscribe()
    }

    /// Takes inputs until all their senders are gone.
    pub(super) async fn run(self, mut inbox: mpsc::Receiver<ShardInput>, clock: Clock) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                input = inbox.recv() => match input {
                    Some(input) => input,
                    None => return,
                },
                _ = tick.tick() => ShardInput::Tick,
            };
            let events = self.router.handle(input, clock.now());
            self.publish(&events);
        }
    }

    /// Tells logs, metrics and the prober what has changed.
    pub(crate) fn publish(&self, events: &[ShardEvent]) {
        if events.is_empty() {
            return;
        }
        for event in events {
            log_event(event);
        }
        // Read inside the channel's lock: of two at a time (the admin port has its own), the last to publish must not
        // leave the older picture behind.
        self.published.send_modify(|published| {
            *published = self.router.shards();
            self.metrics.sync_shards(published);
        });
    }
}

fn log_event(event: &ShardEvent) {
    match event {
        ShardEvent::Changed { shard, from, to, why } => {
            tracing::warn!(%shard, from = from.as_str(), to = to.as_str(), why, "shard changed state");
        }
        ShardEvent::Gone(shard) => tracing::warn!(%shard, "shard gone"),
        ShardEvent::Refused { shard, why } => tracing::warn!(%shard, why, "shard refused"),
        ShardEvent::Added(shard) => tracing::info!(%shard, "shard added"),
        other => tracing::info!("{other:?}"),
    }
}

/// Counts what discovery reports, and tells `/readyz` which sources have answered.
pub(super) fn discovery_events(metrics: &Arc<Metrics>, readiness: &Readiness, clock: Clock) -> DiscoveryEvents {
    let (metrics, readiness) = (Arc::clone(metrics), readiness.clone());
    Arc::new(move |event| match event {
        DiscoveryEvent::Answered { source, .. } => {
            metrics.discovery_answered(&source, clock.now());
            readiness.clear(&source);
        }
        DiscoveryEvent::Failed { source, error } => metrics.discovery_failed(&source, error.kind()),
    })
}

/// Counts what probes find.
pub(super) fn probe_events(router: &Arc<Router>, metrics: &Arc<Metrics>) -> ProbeEvents {
    let (router, metrics) = (Arc::clone(router), Arc::clone(metrics));
    Arc::new(move |event| {
        if let Some(shard) = router.shards().by_name(event.shard.as_str()) {
            metrics.probed(shard.id, event.kind, event.ok(), event.elapsed);
        }
    })
}
