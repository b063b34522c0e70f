//! Everything `/metrics` shows, counted in one registry of its own.
//!
//! The hot path holds handles and never looks a label up. What the router knows anyway (pins, table size, shard
//! states) is not counted twice: it is read from the router when somebody scrapes.

mod cluster;
mod labels;
mod process;
mod register;
mod runtime;
mod shard;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};
use router_core::{
    registry::ProbeKind,
    router::{Decision, Outcome, Router},
    shard::{ShardId, ShardName, ShardState},
    shard_set::ShardSet,
    time::Timestamp,
};

use self::{cluster::ClusterMetrics, register as reg, runtime::Runtimes, shard::ShardFamilies};
pub use self::{
    labels::{CloseReason, Direction, FrontRefusal, Label, ProbeResult, RequestOutcome, Success, TunnelOutcome},
    shard::{Counters, ShardMetrics, probe_name},
};

/// From 250 ns, a quarter of the budget of a known room's decision, to 100 ms, a claim's round trip gone wrong.
const DECISION_BUCKETS: [f64; 10] = [250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 100e-6, 1e-3, 10e-3, 100e-3];
/// 250 µs to 10 s, above any sensible probe timeout.
const PROBE_BUCKETS: [f64; 9] = [0.00025, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 2.5, 10.0];

/// The proxy's metrics.
pub struct Metrics {
    registry: Registry,
    /// Client connections open now, tunnels included.
    pub connections_open: IntGauge,
    /// Client connections accepted.
    pub connections: IntCounter,
    /// Clients sent away at the front door, by reason.
    pub refusals: Counters<FrontRefusal>,
    /// From a room's key to its shard, without any connect.
    pub decision_seconds: Histogram,
    /// Requests and tunnels whose room was pinned already.
    pub pins_found: IntCounter,
    /// Pins removed because nobody asked for their room within `rooms.ttl`.
    pub pins_expired: IntCounter,
    /// New rooms refused because `rooms.max_pins` was reached.
    pub table_refusals: IntCounter,
    /// Writing and reading the snapshot.
    pub snapshot: SnapshotMetrics,
    /// Sharing with other replicas.
    pub(crate) cluster: ClusterMetrics,
    config_reloads: Counters<Success>,
    discovery_answers: IntCounterVec,
    discovery_answered_at: prometheus::GaugeVec,
    discovery_errors: IntCounterVec,
    probe_seconds: [Histogram; 3],
    table_entries: IntGauge,
    table_limit: IntGauge,
    ready: IntGauge,
    runtimes: Runtimes,
    families: ShardFamilies,
    shards: ArcSwap<Vec<Option<Arc<Known>>>>,
    /// Counts for shards that [`Metrics::sync_shards`] has not heard of; never shown.
    unknown: Arc<ShardMetrics>,
    syncing: Mutex<()>,
}

struct Known {
    name: ShardName,
    metrics: Arc<ShardMetrics>,
}

/// `roompin_snapshot_*`
pub struct SnapshotMetrics {
    /// Attempts to write it.
    pub writes: Counters<Success>,
    /// Unix seconds of the last good write; 0 before the first.
    pub last_success: prometheus::Gauge,
    /// Time that the last good write took.
    pub duration: prometheus::Gauge,
    /// Size of the last good write.
    pub bytes: IntGauge,
    /// Pins taken over from the snapshot at start.
    pub restored_pins: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with every series that can exist before the first shard.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let to = &registry;
        reg::gauges(to, "roompin_build_info", "1; the label says which version runs.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        reg::collector(to, process::ProcessCollector::new());
        let refusals = reg::counters(
            to,
            "roompin_front_refusals_total",
            "Clients sent away at the front door, by reason.",
            &["reason"],
        );
        let reloads = reg::counters(
            to,
            "roompin_config_reloads_total",
            "Reloads of the configuration (SIGHUP), by result; after an error the old one stays in force.",
            &["result"],
        );
        let probe_seconds =
            reg::histograms(to, "roompin_probe_duration_seconds", "Time a probe took.", &["probe"], &PROBE_BUCKETS);
        Self {
            connections_open: reg::gauge(
                to,
                "roompin_connections_open",
                "Client connections open now, tunnels included.",
            ),
            connections: reg::counter(to, "roompin_connections_total", "Client connections accepted."),
            refusals: Counters::new(|reason| refusals.with_label_values(&[reason])),
            decision_seconds: reg::histogram(
                to,
                "roompin_decision_seconds",
                "Time from a room's key to its shard, without any connect.",
                &DECISION_BUCKETS,
            ),
            pins_found: reg::counter(
                to,
                "roompin_pins_found_total",
                "Requests and tunnels whose room was pinned already.",
            ),
            pins_expired: reg::counter(
                to,
                "roompin_pins_expired_total",
                "Pins removed because nobody asked for their room within rooms.ttl.",
            ),
            table_refusals: reg::counter(
                to,
                "roompin_table_refusals_total",
                "New rooms refused because rooms.max_pins was reached.",
            ),
            snapshot: SnapshotMetrics::new(to),
            cluster: ClusterMetrics::new(to),
            config_reloads: Counters::new(|result| reloads.with_label_values(&[result])),
            discovery_answers: reg::counters(
                to,
                "roompin_discovery_answers_total",
                "Usable answers of a discovery source.",
                &["source"],
            ),
            discovery_answered_at: reg::seconds_by(
                to,
                "roompin_discovery_answered_timestamp_seconds",
                "When a discovery source last gave a usable answer, in Unix time: what it lists is as old as that.",
                &["source"],
            ),
            discovery_errors: reg::counters(
                to,
                "roompin_discovery_errors_total",
                "Failed look-ups of a discovery source, by kind; the shards known so far stay.",
                &["source", "kind"],
            ),
            probe_seconds: [ProbeKind::Tcp, ProbeKind::Http, ProbeKind::Agent]
                .map(|probe| probe_seconds.with_label_values(&[probe_name(probe)])),
            table_entries: reg::gauge(to, "roompin_table_entries", "Pins in the table."),
            table_limit: reg::gauge(to, "roompin_table_limit", "Most pins the table may hold (rooms.max_pins)."),
            ready: reg::gauge(to, "roompin_ready", "1 while /readyz answers 200."),
            runtimes: Runtimes::new(to),
            families: ShardFamilies::new(to),
            shards: ArcSwap::default(),
            unknown: Arc::new(ShardFamilies::new(&Registry::new()).open(&unknown_name())),
            syncing: Mutex::new(()),
            registry,
        }
    }

    /// The counters of a shard. One that [`Metrics::sync_shards`] has not heard of counts into the void.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> Arc<ShardMetrics> {
        let shards = self.shards.load();
        let known = shards.get(usize::from(id.0)).and_then(Option::as_ref);
        Arc::clone(known.map_or(&self.unknown, |known| &known.metrics))
    }

    /// Makes series for new shards and removes those of gone ones, once their last tunnel has ended.
    ///
    /// To be called after every change that [`Router::handle`] reports; each scrape calls it too.
    pub fn sync_shards(&self, set: &ShardSet) {
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known: Vec<Option<Arc<Known>>> = self.shards.load().as_ref().clone();
        for shard in set.iter() {
            let index = usize::from(shard.id.0);
            if known.len() <= index {
                known.resize_with(index + 1, || None);
            }
            let entry = known[index].get_or_insert_with(|| {
                Arc::new(Known { name: shard.name.clone(), metrics: Arc::new(self.families.open(&shard.name)) })
            });
            entry.metrics.show(shard.state, shard.weight, shard.present);
        }
        let ids = 0_u16..;
        for (id, slot) in ids.map(ShardId).zip(&mut known) {
            if let Some(entry) = slot.as_ref().filter(|_| set.get(id).is_none()) {
                entry.metrics.show(ShardState::Down, 0, false);
                if entry.metrics.tunnels_open.get() <= 0 {
                    self.families.close(&entry.name);
                    *slot = None;
                }
            }
        }
        self.shards.store(Arc::new(known));
    }

    /// Counts a decision of this replica.
    pub fn decided(&self, decision: Decision) {
        match decision.outcome {
            Outcome::Found => {}
            Outcome::Made => self.shard(decision.shard).pins_made.inc(),
            Outcome::Moved { from } => self.pin_moved(from, decision.shard),
        }
    }

    /// Counts a room that moved.
    pub fn pin_moved(&self, from: ShardId, to: ShardId) {
        self.shard(from).pins_moved_away.inc();
        self.shard(to).pins_moved_here.inc();
    }

    /// Counts a probe and the time it took.
    pub fn probed(&self, shard: ShardId, probe: ProbeKind, ok: bool, took: Duration) {
        let result = if ok { ProbeResult::Ok } else { ProbeResult::Failed };
        self.shard(shard).probed(probe, result);
        let [tcp, http, agent] = &self.probe_seconds;
        let histogram = match probe {
            ProbeKind::Tcp => tcp,
            ProbeKind::Http => http,
            ProbeKind::Agent => agent,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// Counts a usable answer of a discovery source. Sources come from the configuration, so they are few.
    pub fn discovery_answered(&self, source: &str, now: Timestamp) {
        self.discovery_answers.with_label_values(&[source]).inc();
        self.discovery_answered_at.with_label_values(&[source]).set(now.since(Timestamp(0)).as_secs_f64());
    }

    /// Counts a failed look-up of a discovery source; `kind` is one of [`crate::discovery::DiscoveryError::kind`].
    pub fn discovery_failed(&self, source: &str, kind: &'static str) {
        self.discovery_errors.with_label_values(&[source, kind]).inc();
    }

    /// Counts a reload of the configuration.
    pub fn config_reloaded(&self, result: impl Into<Success>) {
        self.config_reloads.inc(result.into());
    }

    /// Shows a tokio runtime under `name` from now on.
    pub fn watch_runtime(&self, name: &str, handle: tokio::runtime::Handle) {
        self.runtimes.watch(name, handle);
    }

    /// Shows what `/readyz` says.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Reads what the router knows into the gauges that show it.
    pub fn sample(&self, router: &Router) {
        self.sync_shards(&router.shards());
        self.table_entries.set(as_gauge(router.len()));
        self.table_limit.set(as_gauge(router.limits().1));
        for (id, known) in (0_u16..).map(ShardId).zip(self.shards.load().iter()) {
            if let Some(known) = known {
                known.metrics.pins.set(router.rooms_on(id).into());
            }
        }
    }

    /// All series in Prometheus' text format. Reads /proc, so not for a worker thread.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.runtimes.sample();
        let mut text = Vec::with_capacity(32 * 1024);
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("invariant: writing to a Vec does not fail and gathered families are consistent");
        text
    }
}

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

impl SnapshotMetrics {
    fn new(to: &Registry) -> Self {
        let writes =
            reg::counters(to, "roompin_snapshot_writes_total", "Attempts to write the snapshot of pins.", &["result"]);
        Self {
            writes: Counters::new(|result| writes.with_label_values(&[result])),
            last_success: reg::seconds(
                to,
                "roompin_snapshot_last_success_timestamp_seconds",
                "When the snapshot was last written, in Unix time; 0 before the first time.",
            ),
            duration: reg::seconds(to, "roompin_snapshot_duration_seconds", "Time that the last good write took."),
            bytes: reg::gauge(to, "roompin_snapshot_size_bytes", "Size of the snapshot last written."),
            restored_pins: reg::gauge(
                to,
                "roompin_snapshot_restored_pins",
                "Pins taken over from the snapshot when this process started.",
            ),
        }
    }
}

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unknown_name() -> ShardName {
    ShardName::new("unknown").expect("invariant: a valid name")
}
