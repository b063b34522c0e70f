//! What the load subcommands share: progress on a terminal, Ctrl-C, the result's way out.

use std::{
    future::Future,
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Exit, complain, duration, interruption, one_thread, print_json};
use crate::{
    load::{LoadError, Watch},
    result::{Latency, Mode},
};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// How much load, and for how long; the same for all that measures.
#[derive(Debug, Args)]
pub struct Pace {
    /// Per second by the clock, over all connections [default: a closed loop]
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "in_flight")]
    pub rate: Option<f64>,
    /// Under way at once in a closed loop [default: one per connection]
    #[arg(long, value_name = "N")]
    pub in_flight: Option<usize>,
    /// Time under load before measuring
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub warm_up: Duration,
    /// Time to measure
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub duration: Duration,
    /// End the measuring after so many
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub max: u64,
    /// Print the result as one JSON line
    #[arg(long)]
    pub json: bool,
}

impl Pace {
    /// Whether load is offered by the clock or in a closed loop: a rate wins, else `in_flight`, else one per connection.
    #[must_use]
    pub fn mode(&self, connections: usize) -> Mode {
        match self.rate {
            Some(per_second) => Mode::Rate { per_second },
            None => Mode::ClosedLoop { in_flight: self.in_flight.unwrap_or(connections) },
        }
    }

    /// How many there will be, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        (self.max < u64::MAX).then_some(self.max)
    }
}

/// Runs a generator to its end or to Ctrl-C, shows how far it is, prints the result as JSON or in words, and judges it.
pub(super) fn carry_out<T: Serialize, F: Future<Output = Result<T, LoadError>>>(
    json: bool,
    total: Option<u64>,
    start: impl FnOnce(Arc<Watch>) -> F,
    words: impl FnOnce(&T) -> String,
    passed: impl FnOnce(&T) -> bool,
) -> Exit {
    let ran = one_thread().and_then(|runtime| {
        runtime.block_on(async {
            let interrupted = interruption()?;
            Ok(attend(total, start, interrupted).await)
        })
    });
    let (result, interrupted) = match ran {
        Ok((Ok(result), interrupted)) => (result, interrupted),
        Ok((Err(error @ LoadError::Plan(_)), false)) => {
            complain(&error);
            return Exit::Usage;
        }
        Ok((Err(_), true)) => return Exit::Interrupted,
        Ok((Err(error), false)) => return complain(&error),
        Err(error) => return complain(&error),
    };
    let printed = if json { print_json(&result) } else { writeln!(io::stdout(), "{}", words(&result)) };
    match printed {
        Err(error) => complain(&error),
        Ok(()) if interrupted => Exit::Interrupted,
        Ok(()) if passed(&result) => Exit::Passed,
        Ok(()) => Exit::Failed,
    }
}

/// Waits for a generator; whether it was interrupted comes with its result.
async fn attend<T, F: Future<Output = Result<T, LoadError>>>(
    total: Option<u64>,
    start: impl FnOnce(Arc<Watch>) -> F,
    interruption: impl Future<Output = ()>,
) -> (Result<T, LoadError>, bool) {
    let watch = Arc::new(Watch::default());
    let bar = io::stderr().is_terminal().then(|| bar(total));
    let (run, interruption) = (start(Arc::clone(&watch)), interruption);
    tokio::pin!(run, interruption);
    let mut interrupted = false;
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            () = &mut interruption, if !interrupted => {
                interrupted = true;
                watch.stop();
            }
            () = tokio::time::sleep(LOOK), if bar.is_some() => {
                if let Some(bar) = &bar {
                    bar.set_position(watch.done());
                    bar.set_message(seen(&watch));
                }
            }
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    (result, interrupted)
}

fn seen(watch: &Watch) -> String {
    format!("{} open, {} splits, {} errors", watch.opened(), watch.splits(), watch.errors())
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{elapsed} {wide_bar} {human_pos}/{human_len} {per_sec} {msg} eta {eta}")
        }
        None => (ProgressBar::new_spinner(), "{elapsed} {spinner} {human_pos} done, {per_sec}; {msg}"),
    };
    let style = ProgressStyle::with_template(template).expect("invariant: the two templates above are valid");
    bar.with_style(style)
}

/// A distribution in one line.
pub(super) fn times(latency: &Latency) -> String {
    let ms = |us: u64| format!("{}.{:03}", us / 1_000, us % 1_000);
    format!(
        "p50 {} ms, p90 {} ms, p99 {} ms, p99.9 {} ms, longest {} ms",
        ms(latency.p50_us),
        ms(latency.p90_us),
        ms(latency.p99_us),
        ms(latency.p999_us),
        ms(latency.max_us)
    )
}
