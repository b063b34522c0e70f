//! Making a metric and adding it to the registry in one step.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

/// Names, labels and buckets are constants of this crate and every test makes a whole [`super::Metrics`], so an
/// invalid or repeated one does not get past `make test`.
const CONSTANT: &str = "invariant: metric names and labels are valid and distinct constants";

fn add<C: Collector + Clone + 'static>(to: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect(CONSTANT);
    to.register(Box::new(metric.clone())).expect(CONSTANT);
    metric
}

pub(super) fn counter(to: &Registry, name: &str, help: &str) -> IntCounter {
    add(to, IntCounter::new(name, help))
}

pub(super) fn counters(to: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    add(to, IntCounterVec::new(Opts::new(name, help), labels))
}

pub(super) fn gauge(to: &Registry, name: &str, help: &str) -> IntGauge {
    add(to, IntGauge::new(name, help))
}

pub(super) fn gauges(to: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    add(to, IntGaugeVec::new(Opts::new(name, help), labels))
}

pub(super) fn seconds(to: &Registry, name: &str, help: &str) -> prometheus::Gauge {
    add(to, prometheus::Gauge::new(name, help))
}

pub(super) fn seconds_by(to: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::GaugeVec {
    add(to, prometheus::GaugeVec::new(Opts::new(name, help), labels))
}

pub(super) fn histogram(to: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    add(to, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

pub(super) fn histograms(to: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    add(to, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

pub(super) fn collector(to: &Registry, collector: prometheus::Result<impl Collector + 'static>) {
    to.register(Box::new(collector.expect(CONSTANT))).expect(CONSTANT);
}
