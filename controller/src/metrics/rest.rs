//! What comes in by REST, and the groups.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::kept;
use crate::api::{GroupKind, GroupStatus};

/// Those of the autoscaler's own histogram.
const BUCKETS: [f64; 8] = [0.003, 0.01, 0.05, 0.1, 0.3, 1.0, 2.5, 10.0];

/// A group as metrics see it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSeen {
    /// Namespace of its shard.
    pub namespace: String,
    /// Its shard.
    pub shard: String,
    /// Its kind.
    pub kind: GroupKind,
    /// Its name in the REST API.
    pub name: String,
    /// At least so many.
    pub min: i32,
    /// At most so many.
    pub max: i32,
    /// As the controller last saw it.
    pub status: GroupStatus,
    /// Names of all periods of its schedule.
    pub periods: Vec<String>,
}

/// What became of a call of a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Written down.
    Written,
    /// Nothing new, so nothing written.
    Same,
    /// No pod of ours.
    Unknown,
    /// Somebody who may not speak for that pod.
    Refused,
    /// It could not be written.
    Failed,
}

impl Heard {
    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Same => "same",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A family, and its value for a group.
type Column = (GaugeVec, fn(&GroupSeen) -> Option<f64>);

/// Families of the REST API and of groups.
pub struct RestMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    sidecar: IntCounterVec,
    tokens: IntCounterVec,
    keys: IntCounterVec,
    groups: [Column; 10],
    autoscaler: Option<Autoscaler>,
}

/// The same under the names of jitsi-autoscaler, for dashboards that exist.
struct Autoscaler {
    managed: Gauge,
    groups: [Column; 6],
    period: GaugeVec,
    launched: IntCounterVec,
    downscaled: IntCounterVec,
    transitions: IntCounterVec,
    stats: IntCounter,
    stats_errors: IntCounter,
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: prometheus::IntGaugeVec,
}

fn counters(to: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    kept(to, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(to: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    kept(to, GaugeVec::new(Opts::new(name, help), labels))
}

impl RestMetrics {
    pub(super) fn new(to: &Registry, autoscaler: bool) -> Self {
        let group = |name: &str, help: &str| gauges(to, name, help, &["namespace", "shard", "kind"]);
        Self {
            requests: counters(
                to,
                "roompin_controller_rest_requests_total",
                "Requests to the REST API, by route and status.",
                &["route", "code"],
            ),
            seconds: kept(
                to,
                HistogramVec::new(
                    HistogramOpts::new("roompin_controller_rest_request_seconds", "How long they took, by route.")
                        .buckets(BUCKETS.to_vec()),
                    &["route"],
                ),
            ),
            in_flight: kept(to, IntGauge::new("roompin_controller_rest_requests_in_flight", "Requests under way.")),
            sidecar: counters(
                to,
                "roompin_controller_sidecar_calls_total",
                "Calls of sidecars, by route and what became of what they said.",
                &["route", "result"],
            ),
            tokens: counters(
                to,
                "roompin_controller_rest_tokens_refused_total",
                "Tokens that were refused, by reason.",
                &["reason"],
            ),
            keys: counters(
                to,
                "roompin_controller_rest_key_fetches_total",
                "Public keys asked of the key server, by result.",
                &["result"],
            ),
            groups: [
                (group("roompin_controller_group_desired", "Instances asked for."), |seen| {
                    Some(seen.status.desired.into())
                }),
                (group("roompin_controller_group_instances", "Instances that count towards it."), |seen| {
                    Some(seen.status.count.into())
                }),
                (group("roompin_controller_group_ready", "Instances that take work."), |seen| {
                    Some(seen.status.ready.into())
                }),
                (group("roompin_controller_group_starting", "Instances that start."), |seen| {
                    Some(seen.status.starting.into())
                }),
                (group("roompin_controller_group_draining", "Instances on their way out."), |seen| {
                    Some(seen.status.draining.into())
                }),
                (group("roompin_controller_group_min", "The least number."), |seen| Some(seen.min.into())),
                (group("roompin_controller_group_max", "The largest number."), |seen| Some(seen.max.into())),
                (group("roompin_controller_group_idle", "Recorders that are free."), |seen| {
                    seen.kind.is_recorder().then(|| seen.status.idle.into())
                }),
                (group("roompin_controller_group_busy", "Recorders that record."), |seen| {
                    seen.kind.is_recorder().then(|| seen.status.busy.into())
                }),
                (group("roompin_controller_group_stress", "Mean stress; absent while nobody reports."), |seen| {
                    seen.status.stress.as_ref()?.parse().ok()
                }),
            ],
            autoscaler: autoscaler.then(|| Autoscaler::new(to)),
        }
    }

    /// A request begins.
    pub fn begins(&self, method: &str) {
        self.in_flight.inc();
        if let Some(names) = &self.autoscaler {
            names.in_flight.with_label_values(&[method]).inc();
        }
    }

    /// A request ended. `route` is a route as it is written down, never what the caller made up.
    pub fn ends(&self, method: &str, route: &str, code: u16, took: Duration) {
        self.in_flight.dec();
        let code = code.to_string();
        self.requests.with_label_values(&[route, &code]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
        if let Some(names) = &self.autoscaler {
            names.in_flight.with_label_values(&[method]).dec();
            names.requests.with_label_values(&[method, code.as_str(), route]).inc();
            names.seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
        }
    }

    /// A sidecar called.
    pub fn heard(&self, route: &str, what: Heard) {
        self.sidecar.with_label_values(&[route, what.as_str()]).inc();
        if let Some(names) = &self.autoscaler {
            names.stats.inc();
            if what == Heard::Failed {
                names.stats_errors.inc();
            }
        }
    }

    /// A token was refused.
    pub fn refused(&self, reason: &str) {
        self.tokens.with_label_values(&[reason]).inc();
    }

    /// The key server was asked.
    pub fn asked_for_key(&self, result: &str) {
        self.keys.with_label_values(&[result]).inc();
    }

    /// Instances were made or taken away, or the schedule moved on.
    pub fn moved(&self, group: &str, launched: u64, downscaled: u64, transitions: u64) {
        let Some(names) = &self.autoscaler else { return };
        names.launched.with_label_values(&[group]).inc_by(launched);
        names.downscaled.with_label_values(&[group]).inc_by(downscaled);
        names.transitions.with_label_values(&[group]).inc_by(transitions);
    }

    /// All groups, before they are shown. What is gone is forgotten.
    pub(super) fn show(&self, seen: &[GroupSeen]) {
        for (family, value) in &self.groups {
            family.reset();
            for one in seen {
                if let Some(value) = value(one) {
                    let labels = [one.namespace.as_str(), &one.shard, one.kind.as_str()];
                    family.with_label_values(&labels).set(value);
                }
            }
        }
        if let Some(names) = &self.autoscaler {
            names.show(seen);
        }
    }
}

impl Autoscaler {
    fn new(to: &Registry) -> Self {
        let group = |name: &str, help: &str| gauges(to, name, help, &["group"]);
        let counter = |name: &str, help: &str| counters(to, name, help, &["group"]);
        Self {
            managed: kept(to, Gauge::new("autoscaling_groups_managed", "Groups that are looked after.")),
            groups: [
                (group("autoscaling_desired_count", "Instances asked for."), |seen| Some(seen.status.desired.into())),
                (group("autoscaling_maximum_count", "The largest number."), |seen| Some(seen.max.into())),
                (group("autoscaling_minimum_count", "The least number."), |seen| Some(seen.min.into())),
                (group("autoscaling_instance_count", "Instances that count towards it."), |seen| {
                    Some(seen.status.count.into())
                }),
                (group("autoscaling_instance_running", "Instances that take work."), |seen| {
                    Some(seen.status.ready.into())
                }),
                (group("autoscaling_cloud_instance_count", "Pods, those on their way out included."), |seen| {
                    Some((seen.status.count + seen.status.draining).into())
                }),
            ],
            period: gauges(
                to,
                "scheduled_scaling_active_period",
                "1 for the active period of a schedule, 0 for the others.",
                &["group", "period"],
            ),
            launched: counter("autoscaling_instance_launched_total", "Instances made."),
            downscaled: counter("autoscaling_instance_downscaled_total", "Instances taken away."),
            transitions: counter("scheduled_scaling_transitions_total", "Edges of schedules that were passed."),
            stats: kept(to, IntCounter::new("autoscaler_stats_handled", "Calls of sidecars.")),
            stats_errors: kept(to, IntCounter::new("autoscaler_stats_errors", "Calls of sidecars that failed.")),
            requests: counters(
                to,
                "http_server_requests_total",
                "Requests to the REST API.",
                &["method", "code", "uri"],
            ),
            seconds: kept(
                to,
                HistogramVec::new(
                    HistogramOpts::new("http_server_request_duration_seconds", "How long they took.")
                        .buckets(BUCKETS.to_vec()),
                    &["method", "uri"],
                ),
            ),
            in_flight: kept(
                to,
                prometheus::IntGaugeVec::new(
                    Opts::new("http_server_requests_in_flight", "Requests under way."),
                    &["method"],
                ),
            ),
        }
    }

    fn show(&self, seen: &[GroupSeen]) {
        #[allow(clippy::cast_precision_loss, reason = "there are not so many groups")]
        self.managed.set(seen.len() as f64);
        for (family, value) in &self.groups {
            family.reset();
            for one in seen {
                if let Some(value) = value(one) {
                    family.with_label_values(&[one.name.as_str()]).set(value);
                }
            }
        }
        self.period.reset();
        for one in seen {
            for period in &one.periods {
                let active = one.status.period.as_ref() == Some(period);
                self.period.with_label_values(&[one.name.as_str(), period]).set(active.into());
            }
        }
    }
}
