//! Everything `/metrics` shows, in one registry of its own.

mod rest;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

pub use self::rest::{GroupSeen, Heard, RestMetrics};
use crate::api::Phase;

/// From a look that finds nothing to do to ten seconds, a request's timeout.
const BUCKETS: [f64; 8] = [0.01, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0];
const PHASES: [Phase; 9] = [
    Phase::Pending,
    Phase::Starting,
    Phase::Ready,
    Phase::Degraded,
    Phase::Progressing,
    Phase::Draining,
    Phase::Drained,
    Phase::Paused,
    Phase::Invalid,
];

/// A shard as metrics see it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Where it stands.
    pub phase: Phase,
    /// Since when it drains, in Unix seconds.
    pub draining_since: Option<i64>,
}

/// The controller's metrics.
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    failures: IntCounterVec,
    webhooks: IntCounterVec,
    leader: IntGauge,
    shards: IntGaugeVec,
    draining: IntGauge,
    oldest_drain: Gauge,
    seen: Mutex<BTreeMap<(String, String), Seen>>,
    /// What comes in by REST, and the groups.
    pub rest: RestMetrics,
    groups: Mutex<Option<Groups>>,
}

/// All groups, as they stand when somebody asks.
type Groups = Box<dyn Fn() -> Vec<GroupSeen> + Send>;

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with all families under our own names.
    #[must_use]
    pub fn new() -> Self {
        Self::with(false)
    }

    /// A registry with all families, and, if so wanted, some of them once more under the names of jitsi-autoscaler.
    #[must_use]
    pub fn with(autoscaler_names: bool) -> Self {
        let registry = Registry::new();
        let to = &registry;
        let build = kept(
            to,
            GaugeVec::new(
                Opts::new("roompin_controller_build_info", "1; the label says which version runs."),
                &["version"],
            ),
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let counters = |name, help, labels: &[&str]| kept(to, IntCounterVec::new(Opts::new(name, help), labels));
        Self {
            reconciles: counters(
                "roompin_controller_reconciles_total",
                "Resources looked at, by kind and result.",
                &["kind", "result"],
            ),
            seconds: kept(
                to,
                HistogramVec::new(
                    HistogramOpts::new("roompin_controller_reconcile_seconds", "How long a look took, by kind.")
                        .buckets(BUCKETS.to_vec()),
                    &["kind"],
                ),
            ),
            failures: counters(
                "roompin_controller_errors_total",
                "Requests to the API that ended a reconcile, by kind of resource and reason.",
                &["kind", "reason"],
            ),
            webhooks: counters(
                "roompin_controller_webhooks_total",
                "Reports of recorders, by what was done about them or why they were refused.",
                &["result"],
            ),
            leader: kept(to, IntGauge::new("roompin_controller_leader", "1 while this replica leads.")),
            shards: kept(
                to,
                IntGaugeVec::new(
                    Opts::new("roompin_controller_shards", "Shards by phase, as the leader last saw them."),
                    &["phase"],
                ),
            ),
            draining: kept(to, IntGauge::new("roompin_controller_drains", "Shards that drain now.")),
            oldest_drain: kept(
                to,
                Gauge::new(
                    "roompin_controller_oldest_drain_start_timestamp_seconds",
                    "When the longest drain under way began; 0 without one.",
                ),
            ),
            seen: Mutex::default(),
            rest: RestMetrics::new(to, autoscaler_names),
            groups: Mutex::default(),
            registry,
        }
    }

    /// A reconcile ended; `failure` is the error's word.
    pub fn reconciled(&self, kind: &str, took: Duration, failure: Option<&str>) {
        let result = if failure.is_some() { "error" } else { "ok" };
        self.reconciles.with_label_values(&[kind, result]).inc();
        self.seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
        if let Some(reason) = failure {
            self.failures.with_label_values(&[kind, reason]).inc();
        }
    }

    /// A report of a recorder was carried out or refused.
    pub fn webhook(&self, result: &str) {
        self.webhooks.with_label_values(&[result]).inc();
    }

    /// Whether this replica leads. One that does not knows nothing about shards.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
        if !leads {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// A shard was looked at; `None`: it is gone.
    pub fn shard(&self, namespace: &str, name: &str, seen: Option<Seen>) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        match seen {
            Some(seen) => all.insert(key, seen),
            None => all.remove(&key),
        };
    }

    /// From where groups are known. Only a replica that leads shows them, so that sums over replicas are right.
    pub fn know_groups(&self, groups: impl Fn() -> Vec<GroupSeen> + Send + 'static) {
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(groups));
    }

    /// Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        {
            let all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for phase in PHASES {
                let number = all.values().filter(|seen| seen.phase == phase).count();
                self.shards.with_label_values(&[phase.as_str()]).set(i64::try_from(number).unwrap_or(i64::MAX));
            }
            let since: Vec<_> = all.values().filter_map(|seen| seen.draining_since).collect();
            self.draining.set(i64::try_from(since.len()).unwrap_or(i64::MAX));
            #[allow(clippy::cast_precision_loss, reason = "seconds of this millennium fit")]
            self.oldest_drain.set(since.iter().min().map_or(0.0, |since| *since as f64));
        }
        let groups = match &*self.groups.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(groups) if self.leader.get() == 1 => groups(),
            _ => Vec::new(),
        };
        self.rest.show(&groups);
        let mut text = Vec::new();
        // Into memory, so it cannot fail but for a family without samples, which is left out.
        let families: Vec<_> =
            self.registry.gather().into_iter().filter(|family| !family.get_metric().is_empty()).collect();
        let _ = TextEncoder::new().encode(&families, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Registered. Names are constants, so a mistake shows in the first test that makes a registry.
fn kept<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    #[allow(clippy::expect_used, reason = "names and labels are constants")]
    let collector = collector.expect("a good name");
    #[allow(clippy::expect_used, reason = "each family is registered once, in a registry of its own")]
    registry.register(Box::new(collector.clone())).expect("a name of its own");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_was_counted() {
        let metrics = Metrics::new();
        metrics.reconciled("Jitsi", Duration::from_millis(3), None);
        metrics.reconciled("Jitsi", Duration::from_millis(3), Some("conflict"));
        metrics.leads(true);
        metrics.shard("a", "x-0", Some(Seen { phase: Phase::Draining, draining_since: Some(100) }));
        let text = metrics.text();
        for line in [
            "roompin_controller_reconciles_total{kind=\"Jitsi\",result=\"error\"} 1",
            "roompin_controller_errors_total{kind=\"Jitsi\",reason=\"conflict\"} 1",
            "roompin_controller_leader 1",
            "roompin_controller_shards{phase=\"Draining\"} 1",
            "roompin_controller_shards{phase=\"Ready\"} 0",
            "roompin_controller_drains 1",
            "roompin_controller_oldest_drain_start_timestamp_seconds 100",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
        metrics.leads(false);
        assert!(metrics.text().contains("roompin_controller_drains 0"));
    }
}
