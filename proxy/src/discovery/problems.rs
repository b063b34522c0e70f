//! Problems in the log: when they change, not each time they are met.

use super::Reporter;

/// Logs a source's problems when they change, not every time.
#[derive(Default)]
pub(super) struct ProblemLog {
    last: Vec<String>,
}

impl ProblemLog {
    pub(super) fn report(&mut self, mut problems: Vec<String>, reporter: &Reporter) {
        problems.sort_unstable();
        if problems == self.last {
            return;
        }
        let source = &reporter.source;
        match problems.split_first() {
            None => tracing::info!(%source, "discovery is well again"),
            Some((problem, [])) => tracing::warn!(%source, problem, "discovery"),
            Some((problem, more)) => {
                tracing::warn!(%source, problem, more = more.len(), "discovery");
            }
        }
        self.last = problems;
    }
}
