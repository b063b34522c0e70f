//! The comparison: tiles, table, plots, method.

use maud::{Markup, html};

use super::{
    figure,
    plot::{self, Axis, Line},
};
use crate::{
    result::Latency,
    versus::{
        result::{Round, SubjectRun, VersusRun},
        rows::{Cell, Group, Row, show, show_count, through},
        splits::REPLICAS,
        stats::median,
        table::{ratio_text, speaks_for_ours, text},
    },
};

/// When and where.
pub(super) fn byline(run: &VersusRun) -> Markup {
    html! {
        p.soft {
            (run.at) " · " (run.machine.cpu) ", " (run.machine.cores) " cores, " (show_count(usize::try_from(run.machine.memory_mib).unwrap_or(0)))
            " MiB · Linux " (run.machine.kernel)
        }
    }
}

/// Everything about one comparison.
pub(super) fn sections(run: &VersusRun) -> Markup {
    let groups = run.groups();
    html! {
        section id="versus" {
            h2 { "Beside HAProxy" }
            (tiles(run, &groups))
            (table(run, &groups))
            p.note {
                "Medians of " (run.settings.rounds) " rounds; small print: least and most. Ratios: ours in terms of the other, "
                "median of the rounds; green where it speaks for ours by 2% or more, red where against."
            }
        }
        section id="latency" {
            h2 { "Latency at half load" }
            p { "Both sides get the same fixed rate, half of the lowest peak. Times count from when a message was to go out." }
            div.figures {
                (latency(run, &format!("Round trips through tunnels, {}/s", show(run.half.tunnels)), |r| &r.tunnels_half.run.latency))
                (latency(run, &format!("Sticky requests, {}/s", show(run.half.requests)), |r| &r.requests_half.run.latency))
            }
        }
        section id="memory" {
            h2 { "Memory of idle tunnels" }
            div.figures { (memory(run)) }
        }
        section id="splits" {
            h2 { "Rooms split" }
            p {
                "Two participants of a room that nobody knows yet, the second a moment after the first; shards answer after "
                (run.settings.split_delay_ms) " ms. A room is split when they land on different shards: they cannot see each other."
            }
            p { b { (run.splits_in_words()) } }
            div.figures {
                @for replicas in REPLICAS { (splits(run, replicas)) }
            }
        }
        (method(run))
    }
}

/// The names and colours of those proxies that `has` holds for.
fn legend(run: &VersusRun, has: impl Fn(&SubjectRun) -> bool) -> Vec<(&str, usize)> {
    let subjects = run.subjects.iter().enumerate().filter(|(_, subject)| has(subject));
    subjects.map(|(index, subject)| (subject.name.as_str(), index)).collect()
}

fn tiles(run: &VersusRun, groups: &[Group]) -> Markup {
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let find = |label: &str| rows().find(|row| row.label == label);
    let other = run.subjects.get(1).map_or("the other", |subject| &subject.name);
    let ratio = |label: &str| find(label).and_then(|row| Some((row, (*row.ratios.first()?)?)));
    html! {
        div.tiles {
            @for label in ["tunnel round trips", "sticky requests", "RSS per tunnel"] {
                @if let Some((row, ratio)) = ratio(label) {
                    div.tile { b { (ratio_text(Some(ratio))) } span { (row.label) ": " (row.cells.first().map(text).unwrap_or_default()) " " (row.unit) ", against " (other) } }
                }
            }
            @if let Some(row) = find("one process, 0 ms apart") {
                div.tile {
                    b { (row.cells.first().map(text).unwrap_or_default()) "%" }
                    span { "of rooms split at 0 ms; " (other) ": " (row.cells.get(1).map(text).unwrap_or_default()) "%" }
                }
            }
        }
    }
}

fn table(run: &VersusRun, groups: &[Group]) -> Markup {
    let names: Vec<&str> = run.subjects.iter().map(|subject| subject.name.as_str()).collect();
    html! {
        table {
            thead { tr {
                th {}
                @for name in &names { th { (name) } }
                @for name in names.iter().skip(1) { th { "ours ÷ " (name) } }
            } }
            @for group in groups {
                tbody {
                    tr { th.group colspan=(2 * names.len()) { (group.title) } }
                    @for row in &group.rows { (table_row(row, &names)) }
                }
            }
        }
    }
}

fn table_row(row: &Row, names: &[&str]) -> Markup {
    html! {
        tr {
            th scope="row" { (row.label) @if !row.unit.is_empty() { span.soft { " (" (row.unit) ")" } } }
            @for (cell, name) in row.cells.iter().zip(names) {
                td data-of=(name) {
                    span {
                        (text(cell))
                        @if let Cell::Value { low, high, .. } = cell { @if low < high { small { (show(*low)) "–" (show(*high)) } } }
                    }
                }
            }
            @for (&ratio, name) in row.ratios.iter().zip(names.iter().skip(1)) {
                @let class = match speaks_for_ours(row, ratio) { Some(true) => "good", Some(false) => "bad", None => "" };
                td class=(class) data-of={ "ours ÷ " (name) } { (ratio_text(ratio)) }
            }
        }
    }
}

/// The latency curve of each proxy's middle round, by its 99th percentile.
fn latency(run: &VersusRun, title: &str, of: fn(&Round) -> &Latency) -> Markup {
    let middle = |subject: &SubjectRun| {
        let mut rounds: Vec<&Latency> = subject.rounds.iter().map(of).collect();
        rounds.sort_by_key(|latency| latency.p99_us);
        rounds.get(rounds.len() / 2).map(|latency| latency.curve.clone()).unwrap_or_default()
    };
    #[allow(clippy::cast_precision_loss, reason = "a picture")]
    let line = |(colour, subject): (usize, &SubjectRun)| {
        let points = middle(subject).into_iter().map(|(percentile, us)| (percentile, us as f64));
        Line { colour, points: points.collect() }
    };
    let lines: Vec<_> = run.subjects.iter().enumerate().map(line).collect();
    let svg = plot::percentiles(
        &lines,
        Axis { title: "share that is faster (%)", show: &plot::show_nines },
        Axis { title: "time (µs)", show: &plot::tick },
    );
    figure(title, &legend(run, |_| true), &svg)
}

/// Resident memory over tunnels; of numbers measured several times, the median.
#[allow(clippy::cast_precision_loss, reason = "a picture")]
fn memory(run: &VersusRun) -> Markup {
    let line = |(colour, subject): (usize, &SubjectRun)| {
        let mut counts: Vec<usize> = subject.memory.iter().map(|run| run.tunnels).collect();
        counts.sort_unstable();
        counts.dedup();
        let at = |tunnels: usize| {
            let runs = subject.memory.iter().filter(|run| run.tunnels == tunnels);
            let mib: Vec<f64> = runs.map(|run| run.rss_after_kib as f64 / 1024.0).collect();
            Some((tunnels as f64, median(&mib)?))
        };
        let before: Vec<f64> = subject.memory.iter().map(|run| run.rss_before_kib as f64 / 1024.0).collect();
        let start = median(&before).map(|mib| (0.0, mib));
        Line { colour, points: start.into_iter().chain(counts.into_iter().filter_map(at)).collect() }
    };
    let lines: Vec<_> = run.subjects.iter().enumerate().map(line).collect();
    let svg = plot::lines(
        &lines,
        Axis { title: "idle tunnels (number)", show: &plot::tick },
        Axis { title: "resident memory (MiB)", show: &plot::tick },
    );
    figure("The process' memory with this many tunnels open", &legend(run, |_| true), &svg)
}

fn splits(run: &VersusRun, replicas: usize) -> Markup {
    let measured = |subject: &SubjectRun| subject.splits.iter().any(|split| split.replicas == replicas);
    let mut gaps: Vec<u64> =
        run.subjects.iter().flat_map(|subject| &subject.splits).map(|split| split.gap_ms).collect();
    gaps.sort_unstable();
    gaps.dedup();
    let group = |gap: u64| {
        let subjects = run.subjects.iter().enumerate();
        let share = subjects.filter_map(|(colour, subject)| {
            let mut splits = subject.splits.iter();
            let split = splits.find(|split| (split.gap_ms, split.replicas) == (gap, replicas))?;
            Some((colour, split.run.split_share * 100.0))
        });
        (gap.to_string(), share.collect())
    };
    let groups: Vec<_> = gaps.into_iter().map(group).collect();
    let svg = plot::shares(&groups, "time between the two (ms)", "rooms split (%)");
    let title = match replicas {
        1 => "Through one process".to_owned(),
        _ => format!("Through {} that know each other", through(replicas)),
    };
    figure(&title, &legend(run, measured), &svg)
}

fn method(run: &VersusRun) -> Markup {
    let settings = &run.settings;
    html! {
        section id="method" {
            h2 { "How it was measured" }
            dl {
                dt { "Machine" } dd { (run.machine.cpu) ", " (run.machine.cores) " cores, " (show_count(usize::try_from(run.machine.memory_mib).unwrap_or(0))) " MiB" }
                dt { "System" } dd { (run.machine.system) ", Linux " (run.machine.kernel) }
                @for subject in &run.subjects { dt { (subject.name) } dd { (subject.version) } }
                dt { "Cores" }
                dd {
                    @match settings.proxy_core {
                        Some(core) => { "the proxy under test alone on core " (core) ", with one worker thread; shards and generator on the others" }
                        None => { "no pinning: this machine has one core, and the figures say little" }
                    }
                }
                dt { "Turns" } dd { (settings.rounds) " rounds of " (settings.seconds) " s per run, a fresh process each, the first place rotating" }
                dt { "Tunnels" } dd { (settings.tunnels) ", one message of " (settings.message_bytes) " bytes under way in each at peak load" }
                dt { "Requests" } dd { (settings.connections) " kept-alive connections, " (show_count(settings.rooms)) " rooms" }
                dt { "Splits" } dd { (show_count(settings.split_rooms)) " new rooms through each number of replicas, " (show_count(settings.split_rooms_others)) " for the others, in equal parts for each gap; " (settings.shards) " shards that answer after " (settings.split_delay_ms) " ms" }
                dt { "Seed" } dd { (settings.seed) }
            }
            p { "Made by" }
            pre { code { (run.command) } }
        }
    }
}
