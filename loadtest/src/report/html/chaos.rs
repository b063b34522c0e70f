//! Chaos: the same script against several targets, side by side over time.

use maud::{Markup, html};

use super::{
    figure,
    plot::{self, ALARM, Panel, Timeline},
};
use crate::{
    chaos::result::{ChaosPoint, ChaosRun},
    versus::rows::show_count,
};

/// Broken promises shown in words.
const SHOWN: usize = 10;

pub(super) fn section(runs: &[ChaosRun]) -> Markup {
    let mut runs: Vec<&ChaosRun> = runs.iter().collect();
    // Ours first, as everywhere.
    runs.sort_by_key(|run| run.target != "roompin");
    let runs = &runs[..];
    let seconds = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
    let most = |of: fn(&ChaosPoint) -> u64| runs.iter().flat_map(|run| &run.series).map(of).max().unwrap_or_default();
    let most = [most(|point| point.splits_alive), most(|point| point.disconnects)];
    html! {
        section id="chaos" {
            h2 { "Chaos" }
            p {
                "Conferences run while replicas and shards are killed, restarted, cut off and slowed, shards are added and "
                "removed. The same script for each target, on the same scales. An observer keeps its own record of who was "
                "answered by which shard when."
            }
            (totals(runs))
            div.figures { @for (index, run) in runs.iter().enumerate() { (timeline(run, index, seconds, most)) } }
            @for run in runs { (words(run)) }
        }
    }
}

fn totals(runs: &[&ChaosRun]) -> Markup {
    type Row = (&'static str, fn(&ChaosRun) -> u64);
    let rows: [Row; 9] = [
        ("rooms", |run| run.totals.rooms),
        ("sessions", |run| run.totals.sessions),
        ("answers", |run| run.totals.contacts),
        ("sessions lost", |run| run.totals.disconnects),
        ("times a room was split", |run| run.totals.splits),
        ("times a room moved", |run| run.totals.moves),
        ("failed requests", |run| run.totals.errors),
        ("of those, refused with 503", |run| run.totals.refused),
        ("promises broken", |run| run.violations_total),
    ];
    html! {
        table {
            thead { tr { th {} @for run in runs { th { (run.target) } } } }
            tbody {
                @for (label, of) in rows {
                    tr { th scope="row" { (label) } @for run in runs { td data-of=(run.target) { span { (show_count(usize::try_from(of(run)).unwrap_or(usize::MAX))) } } } }
                }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a picture")]
fn timeline(run: &ChaosRun, colour: usize, seconds: f64, most: [u64; 2]) -> Markup {
    let panel = |title, most: u64, of: fn(&ChaosPoint) -> u64, colour| {
        let points = run.series.iter().map(|point| (point.t_ms as f64 / 1000.0, of(point) as f64));
        Panel { title, most: most as f64, steps: std::iter::once((0.0, 0.0)).chain(points).collect(), colour }
    };
    let svg = plot::timeline(&Timeline {
        seconds: seconds.max(1.0),
        panels: [
            panel("split (rooms)", most[0], |point| point.splits_alive, ALARM),
            panel("lost (sessions)", most[1], |point| point.disconnects, colour),
        ],
        moments: run.events.iter().map(|event| event.t_ms as f64 / 1000.0).collect(),
    });
    figure(
        &format!("{}: {} replicas", run.target, run.replicas),
        &[("rooms split now", ALARM), ("sessions lost per half second", colour)],
        &svg,
    )
}

fn words(run: &ChaosRun) -> Markup {
    html! {
        h3 { (run.target) }
        p.soft {
            (run.rooms) " rooms of " (run.participants_per_room) ", " (run.shards) " shards, partitions by " (run.isolation) ", seed " (run.seed) ". "
            @if run.spread { "Participants of a room come through all replicas." }
            @else { "Each room keeps to one replica: an easier task than coming through all." }
        }
        ol { @for event in &run.events { li { (format!("{:.1}", milliseconds(event.t_ms))) " s: " (event.what) } } }
        @if !run.violations.is_empty() {
            p { "Promises broken: " (run.violations_total) }
            ul { @for violation in run.violations.iter().take(SHOWN) {
                li { (format!("{:.1}", milliseconds(violation.t_ms))) " s, invariant " (violation.invariant) ", " (violation.room) ": " (violation.text) }
            } }
        }
        @for failure in &run.failures { p { "The run itself failed: " (failure) } }
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn milliseconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
