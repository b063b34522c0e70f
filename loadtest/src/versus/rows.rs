//! The rows of the comparison, for the terminal, for Markdown and for HTML alike.

use super::{
    result::{Measured, Round, SubjectRun, VersusRun},
    splits::{GAPS_MS, REPLICAS},
    stats::{median, range, ratio},
};
use crate::result::Latency;

/// Rows that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are about.
    pub title: String,
    /// They.
    pub rows: Vec<Row>,
}

/// One measure of all proxies.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub label: String,
    /// In what.
    pub unit: &'static str,
    /// Which way is good.
    pub better: Better,
    /// One per proxy, ours first.
    pub cells: Vec<Cell>,
    /// Ours in terms of each other one.
    pub ratios: Vec<Option<f64>>,
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
    /// Says something about the measurement and not about the proxy.
    Neither,
}

/// What one proxy reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Over its turns.
    Value {
        /// The middle one.
        median: f64,
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// It was not measured.
    Missing,
}

impl Row {
    /// A row of one number per proxy and turn, perhaps with ratios.
    fn of(label: impl Into<String>, unit: &'static str, better: Better, values: &[Vec<f64>]) -> Self {
        let cell = |values: &Vec<f64>| match (median(values), range(values)) {
            (Some(median), Some((low, high))) => Cell::Value { median, low, high },
            _ => Cell::Missing,
        };
        let others = values.iter().skip(1);
        let ratios = others.map(|theirs| if better == Better::Neither { None } else { ratio(values.first()?, theirs) });
        Self { label: label.into(), unit, better, ratios: ratios.collect(), cells: values.iter().map(cell).collect() }
    }
}

impl VersusRun {
    /// All rows.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let group = |title: String, rows| Group { title, rows };
        vec![
            group("One core, as much as it does".to_owned(), self.peak()),
            group(
                format!(
                    "At half load: {} round trips/s, {} requests/s",
                    show(self.half.tunnels),
                    show(self.half.requests)
                ),
                self.half_load(),
            ),
            group(format!("Memory, {} idle tunnels", show_count(self.most_idle())), vec![self.memory()]),
            group("Rooms split, two who come one after the other".to_owned(), self.splits()),
            group("Can this be believed?".to_owned(), self.credibility()),
        ]
    }

    fn row(&self, label: &str, unit: &'static str, better: Better, value: impl Fn(&Round) -> Option<f64>) -> Row {
        let of = |subject: &SubjectRun| subject.rounds.iter().filter_map(&value).collect();
        Row::of(label, unit, better, &self.subjects.iter().map(of).collect::<Vec<_>>())
    }

    fn peak(&self) -> Vec<Row> {
        use Better::{Higher, Lower};
        vec![
            self.row("tunnel round trips", "/s", Higher, |r| Some(r.tunnels_peak.run.per_second)),
            self.row("core busy per round trip", "µs", Lower, |r| busy(&r.tunnels_peak)),
            self.row("sticky requests", "/s", Higher, |r| Some(r.requests_peak.run.per_second)),
            self.row("core busy per request", "µs", Lower, |r| busy(&r.requests_peak)),
            self.row("tunnels opened", "/s", Higher, |r| Some(r.tunnels_peak.run.connects_per_second)),
        ]
    }

    fn half_load(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (of, latency) in [
            ("round trip", (|r| &r.tunnels_half.run.latency) as fn(&Round) -> &Latency),
            ("request", |r| &r.requests_half.run.latency),
        ] {
            for (name, value) in
                [("median", (|l| l.p50_us) as fn(&Latency) -> u64), ("99%", |l| l.p99_us), ("99.9%", |l| l.p999_us)]
            {
                rows.push(self.row(&format!("{of}, {name}"), "µs", Better::Lower, |r| Some(float(value(latency(r))))));
            }
        }
        rows.push(self.row("core busy per round trip", "µs", Better::Lower, |r| busy(&r.tunnels_half)));
        rows.push(self.row("core busy per request", "µs", Better::Lower, |r| busy(&r.requests_half)));
        rows
    }

    /// The largest number of idle tunnels measured.
    #[must_use]
    pub fn most_idle(&self) -> usize {
        self.subjects.iter().flat_map(|subject| &subject.memory).map(|run| run.tunnels).max().unwrap_or_default()
    }

    fn memory(&self) -> Row {
        let most = self.most_idle();
        let of = |subject: &SubjectRun| {
            let runs = subject.memory.iter().filter(|run| run.tunnels == most);
            runs.map(|run| run.bytes_per_tunnel / 1024.0).collect()
        };
        Row::of("RSS per tunnel", "KiB", Better::Lower, &self.subjects.iter().map(of).collect::<Vec<_>>())
    }

    fn splits(&self) -> Vec<Row> {
        REPLICAS.into_iter().flat_map(|replicas| self.splits_through(replicas)).collect()
    }

    /// How many rooms there were, and how many of them were split at each gap. Ours is 0 or a mistake, so there are no
    /// ratios.
    fn splits_through(&self, replicas: usize) -> impl Iterator<Item = Row> {
        let place = through(replicas);
        let row = move |label, unit, better, value: &dyn Fn(&SubjectRun) -> Vec<f64>| {
            let mut row = Row::of(label, unit, better, &self.subjects.iter().map(value).collect::<Vec<_>>());
            row.ratios.fill(None);
            row
        };
        let rooms = row(format!("{place}, rooms"), "", Better::Neither, &|subject| {
            let (rooms, _) = subject.rooms_and_splits(Some(replicas));
            vec![float(rooms)]
        });
        let gaps = GAPS_MS.map(|gap_ms| {
            row(format!("{place}, {gap_ms} ms apart"), "%", Better::Lower, &|subject| {
                let same = subject.splits.iter().filter(|run| (run.replicas, run.gap_ms) == (replicas, gap_ms));
                same.map(|split| split.run.split_share * 100.0).collect()
            })
        });
        std::iter::once(rooms).chain(gaps)
    }

    /// For each proxy, how many of all the rooms were split, in one line.
    #[must_use]
    pub fn splits_in_words(&self) -> String {
        let words = self.subjects.iter().map(|subject| {
            let (rooms, splits) = subject.rooms_and_splits(None);
            let count = |number| show_count(usize::try_from(number).unwrap_or(usize::MAX));
            format!("{}: {} of {}", subject.name, count(splits), count(rooms))
        });
        format!("Rooms split, all gaps, 1, 2 and 5 replicas. {}", words.collect::<Vec<_>>().join("; "))
    }

    fn credibility(&self) -> Vec<Row> {
        let share = |share: f64| Some(share * 100.0);
        let core = |r: &Round, of: fn(&super::result::CoreUse) -> f64| {
            let all = [r.tunnels_peak.core, r.requests_peak.core, r.tunnels_half.core, r.requests_half.core];
            all.iter().flatten().map(of).reduce(f64::max).and_then(share)
        };
        let row =
            |label: &str, unit, value: &dyn Fn(&Round) -> Option<f64>| self.row(label, unit, Better::Neither, value);
        let mut rows = vec![
            row("proxy's core busy, tunnels at peak", "%", &|r| share(r.tunnels_peak.core?.busy)),
            row("proxy's core busy, requests at peak", "%", &|r| share(r.requests_peak.core?.busy)),
            row("generator's core, tunnels at peak", "%", &|r| share(r.tunnels_peak.run.generator_cpu)),
            row("generator's core, requests at peak", "%", &|r| share(r.requests_peak.run.generator_cpu)),
            row("stolen by the hypervisor, at most", "%", &|r| core(r, |core| core.stolen)),
            row("errors, wrong shards", "", &|r| Some(float(r.failures()))),
        ];
        for replicas in REPLICAS.into_iter().filter(|&replicas| replicas > 1) {
            let late = |subject: &SubjectRun| {
                let runs = subject.splits.iter().filter(|split| split.replicas == replicas);
                let late: Option<Vec<u64>> = runs.map(|split| split.late).collect();
                late.filter(|late| !late.is_empty()).map(|late| float(late.iter().sum())).into_iter().collect()
            };
            let label = format!("decisions without the others in time, {}", through(replicas));
            rows.push(Row::of(label, "", Better::Neither, &self.subjects.iter().map(late).collect::<Vec<_>>()));
        }
        for row in &mut rows {
            row.ratios.fill(None);
        }
        rows
    }

    /// What went wrong: failed requests, tunnels and joins, answers from the wrong shard; rooms that were to be opened
    /// and were not; and splits by ours.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let rounds = self.subjects.iter().flat_map(|subject| &subject.rounds).map(Round::failures);
        let runs = self.subjects.iter().flat_map(|subject| &subject.splits);
        let joins = runs.map(|split| split.run.errors + (split.asked.saturating_sub(split.run.rooms)) as u64);
        let ours = self.subjects.first().map_or(0, |ours| ours.rooms_and_splits(None).1);
        rounds.chain(joins).sum::<u64>() + ours
    }
}

impl SubjectRun {
    /// Rooms in which two people met, and how many of them were split; of all runs, or of those through so many replicas.
    #[must_use]
    pub fn rooms_and_splits(&self, replicas: Option<usize>) -> (u64, u64) {
        let runs = self.splits.iter().filter(|split| replicas.is_none_or(|replicas| split.replicas == replicas));
        runs.fold((0, 0), |(rooms, splits), split| (rooms + split.run.rooms as u64, splits + split.run.splits))
    }
}

impl Round {
    fn failures(&self) -> u64 {
        let tunnels = self.tunnels_peak.run.errors + self.tunnels_half.run.errors;
        let requests = [&self.requests_peak.run, &self.requests_half.run];
        tunnels + requests.into_iter().map(|run| run.errors + run.wrong_shard).sum::<u64>()
    }
}

/// So many replicas in words.
#[must_use]
pub fn through(replicas: usize) -> String {
    match replicas {
        1 => "one process".to_owned(),
        2 => "two replicas".to_owned(),
        5 => "five replicas".to_owned(),
        more => format!("{more} replicas"),
    }
}

fn busy<R>(measured: &Measured<R>) -> Option<f64> {
    measured.core.map(|core| core.busy_us_per_operation)
}

#[allow(clippy::cast_precision_loss, reason = "shown with four digits")]
fn float(number: u64) -> f64 {
    number as f64
}

/// A whole number with separators.
#[must_use]
pub fn show_count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with as many decimals as help: `12,345`, `123`, `12.3`, `1.23`, `0`.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded and positive where it is cast")]
pub fn show(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if !number.is_finite() => "—".to_owned(),
        number if number.abs() < 9.995 => format!("{number:.2}"),
        number if number.abs() < 99.95 => format!("{number:.1}"),
        number if number > 0.0 && number < 1e15 => show_count(number.round() as usize),
        number => format!("{number:.0}"),
    }
}
