//! What people see of a run: a line for everything done and every broken promise, and on a terminal, where it stands.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
};

use super::result::{ChaosEvent, ChaosPoint, ChaosRun, Violation};

/// Violations shown one by one; all are in the sum and in the JSON file.
const MAX_SHOWN: usize = 20;
/// Points between two lines where there is no terminal.
const POINTS_PER_LINE: usize = 10;

/// Lines on stdout. A stdout that takes none ends nothing.
#[derive(Debug)]
pub(super) struct View {
    live: bool,
    points: usize,
    shown: usize,
}

impl View {
    pub(super) fn begin(run: &ChaosRun, notice: Option<&str>) -> Self {
        let mut view = Self { live: io::stdout().is_terminal(), points: 0, shown: 0 };
        let spread = if run.spread { "spread over all replicas" } else { "each kept to one replica" };
        view.line(&format!(
            "chaos: {} with {} replicas, {} shards; {} rooms of {}, {spread}; seed {}; partitions by {}",
            run.target, run.replicas, run.shards, run.rooms, run.participants_per_room, run.seed, run.isolation
        ));
        if let Some(notice) = notice {
            view.line(&format!("!! {notice}"));
        }
        view
    }

    pub(super) fn event(&mut self, event: &ChaosEvent) {
        let took = event.done_ms.saturating_sub(event.t_ms);
        self.line(&format!("{}  {}  ({took} ms)", time(event.t_ms), event.what));
    }

    pub(super) fn failure(&mut self, t_ms: u64, words: &str) {
        self.line(&format!("{}  FAILED  {words}", time(t_ms)));
    }

    pub(super) fn violations(&mut self, violations: &[Violation]) {
        for violation in violations {
            if self.shown < MAX_SHOWN {
                let Violation { invariant, t_ms, room, text } = violation;
                self.line(&format!("{}  BROKEN {invariant}  {room}: {text}", time(*t_ms)));
            } else if self.shown == MAX_SHOWN {
                self.line("…  more is in the sum below, and in words in the file of --json");
            }
            self.shown += 1;
        }
    }

    pub(super) fn point(&mut self, point: &ChaosPoint, violations: u64) {
        let ChaosPoint { t_ms, participants, splits_alive, .. } = point;
        let text = format!(
            "{}  {participants} in session, {splits_alive} rooms split, {violations} promises broken",
            time(*t_ms)
        );
        if self.live {
            // Written over by whatever comes next.
            let _ = write!(io::stdout(), "\r\x1b[K{text}").and_then(|()| io::stdout().flush());
        } else if self.points.is_multiple_of(POINTS_PER_LINE) {
            self.line(&text);
        }
        self.points += 1;
    }

    pub(super) fn end(&mut self, run: &ChaosRun) {
        let totals = run.totals;
        self.line(&format!(
            "\n{} rooms, {} sessions, {} answers; {} disconnects, {} moves, {} splits, {} errors ({} of them 503)",
            totals.rooms,
            totals.sessions,
            totals.contacts,
            totals.disconnects,
            totals.moves,
            totals.splits,
            totals.errors,
            totals.refused
        ));
        if let Some(late) = run.late {
            self.line(&format!("{late} decisions without the other replicas in time"));
        }
        let mut counts = BTreeMap::<u8, u64>::new();
        for violation in &run.violations {
            *counts.entry(violation.invariant).or_default() += 1;
        }
        for (invariant, count) in counts {
            self.line(&format!("invariant {invariant} broken {count} times: {}", promise(invariant)));
        }
        let verdict = if run.passed() { "passed" } else { "FAILED" };
        let (broken, failures) = (run.violations_total, run.failures.len());
        self.line(&format!("{verdict}: {broken} promises broken, {failures} failures of the run itself"));
    }

    fn line(&mut self, text: &str) {
        let clear = if self.live { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stdout(), "{clear}{text}");
    }
}

fn time(t_ms: u64) -> String {
    format!("{:>3}.{:03} s", t_ms / 1_000, t_ms % 1_000)
}

fn promise(invariant: u8) -> &'static str {
    match invariant {
        1 => "without a partition, a room is on one shard",
        2 => "after a partition, all agree within 2 s and sit together within 5 s",
        3 => "a replica's crash or restart moves no room",
        4 => "a draining shard gets no new room, and a room leaves a shard for a reason only",
        _ => "a full table refuses new rooms with 503 and keeps those in use",
    }
}
