//! What is counted per shard, with handles that the hot path reaches without a label look-up.

use std::{marker::PhantomData, time::Duration};

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, core::MetricVecBuilder,
};
use router_core::{
    registry::ProbeKind,
    shard::{ShardName, ShardState},
};

use super::{
    labels::{CloseReason, Direction, Label, ProbeResult, RequestOutcome, TunnelOutcome},
    register::{counters, gauges, histograms},
};

/// One counter per value of a label; the value is the index.
#[derive(Debug)]
pub struct Counters<L> {
    each: Box<[IntCounter]>,
    label: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    pub(super) fn new(counter: impl Fn(&'static str) -> IntCounter) -> Self {
        Self { each: L::ALL.iter().map(|label| counter(label.as_str())).collect(), label: PhantomData }
    }

    /// Counts one.
    pub fn inc(&self, label: L) {
        self.get(label).inc();
    }

    /// Counts `n`.
    pub fn inc_by(&self, label: L, n: u64) {
        self.get(label).inc_by(n);
    }

    /// The counter itself, to keep.
    #[must_use]
    pub fn get(&self, label: L) -> &IntCounter {
        &self.each[label.index()]
    }
}

/// The counters of one shard. Cheap to reach through [`super::Metrics::shard`]; a tunnel may keep it for its life.
#[derive(Debug)]
pub struct ShardMetrics {
    /// Requests sent to the shard.
    pub requests: Counters<RequestOutcome>,
    /// Attempts to open a tunnel.
    pub tunnels: Counters<TunnelOutcome>,
    /// Tunnels open now.
    pub tunnels_open: IntGauge,
    /// Tunnels that ended.
    pub tunnels_closed: Counters<CloseReason>,
    /// Payload relayed, in bytes.
    pub tunnel_bytes: Counters<Direction>,
    /// Rooms pinned here for the first time.
    pub pins_made: IntCounter,
    /// Rooms moved here from another shard.
    pub pins_moved_here: IntCounter,
    /// Rooms moved from here to another shard.
    pub pins_moved_away: IntCounter,
    /// TCP connect, successful ones only.
    pub connect_seconds: Histogram,
    pub(super) pins: IntGauge,
    pub(super) weight: IntGauge,
    pub(super) present: IntGauge,
    pub(super) state: [IntGauge; 3],
    tcp: Counters<ProbeResult>,
    http: Counters<ProbeResult>,
    agent: Counters<ProbeResult>,
}

impl ShardMetrics {
    /// Counts what a probe of this shard found.
    pub fn probed(&self, probe: ProbeKind, result: ProbeResult) {
        match probe {
            ProbeKind::Tcp => self.tcp.inc(result),
            ProbeKind::Http => self.http.inc(result),
            ProbeKind::Agent => self.agent.inc(result),
        }
    }

    /// Shows the shard as the router sees it.
    pub(super) fn show(&self, state: ShardState, weight: u32, present: bool) {
        for (gauge, each) in self.state.iter().zip(STATES) {
            gauge.set((each == state).into());
        }
        self.weight.set(weight.into());
        self.present.set(present.into());
    }

    /// Notes how long a successful TCP connect took.
    pub fn connected_in(&self, took: Duration) {
        self.connect_seconds.observe(took.as_secs_f64());
    }
}

/// The word for a probe in metrics and the admin API.
#[must_use]
pub fn probe_name(probe: ProbeKind) -> &'static str {
    match probe {
        ProbeKind::Tcp => "tcp",
        ProbeKind::Http => "http",
        ProbeKind::Agent => "agent",
    }
}

/// The states in the order of [`ShardMetrics::state`].
pub(super) const STATES: [ShardState; 3] = [ShardState::Ready, ShardState::Draining, ShardState::Down];
const PROBES: [ProbeKind; 3] = [ProbeKind::Tcp, ProbeKind::Http, ProbeKind::Agent];

/// The metric families that have a `shard` label.
pub(super) struct ShardFamilies {
    requests: IntCounterVec,
    tunnels: IntCounterVec,
    tunnels_open: IntGaugeVec,
    tunnels_closed: IntCounterVec,
    tunnel_bytes: IntCounterVec,
    pins_made: IntCounterVec,
    pins_moved_here: IntCounterVec,
    pins_moved_away: IntCounterVec,
    connect_seconds: HistogramVec,
    pins: IntGaugeVec,
    weight: IntGaugeVec,
    present: IntGaugeVec,
    state: IntGaugeVec,
    probes: IntCounterVec,
}

/// 100 µs (same host) to 10 s (above any sensible `upstream.connect_timeout`).
const CONNECT_BUCKETS: [f64; 10] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 10.0];

impl ShardFamilies {
    pub(super) fn new(to: &Registry) -> Self {
        Self {
            requests: counters(
                to,
                "roompin_requests_total",
                "Requests sent to the shard, by outcome: the status class it answered, or what prevented an answer.",
                &["shard", "outcome"],
            ),
            tunnels: counters(
                to,
                "roompin_tunnels_total",
                "Attempts to open a tunnel (WebSocket) to the shard, by outcome.",
                &["shard", "outcome"],
            ),
            tunnels_open: gauges(to, "roompin_tunnels_open", "Tunnels open now.", &["shard"]),
            tunnels_closed: counters(
                to,
                "roompin_tunnels_closed_total",
                "Tunnels that ended, by what ended them. 'shard' includes a client's goodbye, 'client' is one that broke off, \
                 'moved' means that users were reloaded.",
                &["shard", "reason"],
            ),
            tunnel_bytes: counters(
                to,
                "roompin_tunnel_bytes_total",
                "Bytes relayed through tunnels.",
                &["shard", "direction"],
            ),
            pins_made: counters(to, "roompin_pins_made_total", "New rooms pinned to the shard.", &["shard"]),
            pins_moved_here: counters(
                to,
                "roompin_pins_moved_total",
                "Rooms moved to this shard because their own was down or gone, or an operator said so.",
                &["to"],
            ),
            pins_moved_away: counters(
                to,
                "roompin_pins_moved_away_total",
                "Rooms moved away from this shard; their users were reloaded. HAProxy calls this a redispatch.",
                &["from"],
            ),
            connect_seconds: histograms(
                to,
                "roompin_connect_seconds",
                "Time for a TCP connect to the shard, successful ones only.",
                &["shard"],
                &CONNECT_BUCKETS,
            ),
            pins: gauges(to, "roompin_pins", "Rooms pinned to the shard now.", &["shard"]),
            weight: gauges(
                to,
                "roompin_shard_weight",
                "Share of new rooms relative to the other shards, with what the agent check says taken in; \
                 configured weight 1 is 100.",
                &["shard"],
            ),
            present: gauges(
                to,
                "roompin_shard_present",
                "1 while discovery lists the shard, 0 while only the hold-down or a restored pin keeps it.",
                &["shard"],
            ),
            state: gauges(
                to,
                "roompin_shard_state",
                "1 for the state the shard is in, 0 for the others. ready takes new rooms, draining keeps only its own, \
                 down serves nobody.",
                &["shard", "state"],
            ),
            probes: counters(
                to,
                "roompin_probe_results_total",
                "Probes of the shard, by kind and result.",
                &["shard", "probe", "result"],
            ),
        }
    }

    /// Makes the handles of a shard, and with them its series at zero, so that `rate()` sees the first event too.
    pub(super) fn open(&self, shard: &ShardName) -> ShardMetrics {
        let shard = shard.as_str();
        let probe = |kind| Counters::new(|result| self.probes.with_label_values(&[shard, probe_name(kind), result]));
        ShardMetrics {
            requests: Counters::new(|outcome| self.requests.with_label_values(&[shard, outcome])),
            tunnels: Counters::new(|outcome| self.tunnels.with_label_values(&[shard, outcome])),
            tunnels_open: self.tunnels_open.with_label_values(&[shard]),
            tunnels_closed: Counters::new(|reason| self.tunnels_closed.with_label_values(&[shard, reason])),
            tunnel_bytes: Counters::new(|direction| self.tunnel_bytes.with_label_values(&[shard, direction])),
            pins_made: self.pins_made.with_label_values(&[shard]),
            pins_moved_here: self.pins_moved_here.with_label_values(&[shard]),
            pins_moved_away: self.pins_moved_away.with_label_values(&[shard]),
            connect_seconds: self.connect_seconds.with_label_values(&[shard]),
            pins: self.pins.with_label_values(&[shard]),
            weight: self.weight.with_label_values(&[shard]),
            present: self.present.with_label_values(&[shard]),
            state: STATES.map(|state| self.state.with_label_values(&[shard, state.as_str()])),
            tcp: probe(ProbeKind::Tcp),
            http: probe(ProbeKind::Http),
            agent: probe(ProbeKind::Agent),
        }
    }

    /// Removes every series of a shard. Handles that are still about count into the void.
    pub(super) fn close(&self, shard: &ShardName) {
        let shard = shard.as_str();
        for family in [&self.pins_made, &self.pins_moved_here, &self.pins_moved_away] {
            remove(family, &[shard]);
        }
        for family in [&self.tunnels_open, &self.pins, &self.weight, &self.present] {
            remove(family, &[shard]);
        }
        remove(&self.connect_seconds, &[shard]);
        remove_each::<RequestOutcome>(&self.requests, shard);
        remove_each::<TunnelOutcome>(&self.tunnels, shard);
        remove_each::<CloseReason>(&self.tunnels_closed, shard);
        remove_each::<Direction>(&self.tunnel_bytes, shard);
        for state in STATES {
            remove(&self.state, &[shard, state.as_str()]);
        }
        for kind in PROBES {
            for result in ProbeResult::ALL {
                remove(&self.probes, &[shard, probe_name(kind), result.as_str()]);
            }
        }
    }
}

fn remove_each<L: Label>(family: &IntCounterVec, shard: &str) {
    for label in L::ALL {
        remove(family, &[shard, label.as_str()]);
    }
}

/// A series that is already gone is as good as removed.
fn remove<B: MetricVecBuilder>(family: &prometheus::core::MetricVec<B>, labels: &[&str]) {
    drop(family.remove_label_values(labels));
}
