//! Where a comparison is, on stderr: a bar on a terminal, else a line per step.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts steps down.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    step: usize,
    steps: usize,
}

impl Progress {
    /// For this many steps.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, step: 0, steps }
    }

    /// The next step begins.
    pub fn next(&mut self, what: &str) {
        self.step += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.step as u64 - 1);
                bar.set_message(what.to_owned());
            }
            // When nobody listens, the result is still worth having.
            None => {
                let _ = writeln!(io::stderr(), "[{}/{}] {what}", self.step, self.steps);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
