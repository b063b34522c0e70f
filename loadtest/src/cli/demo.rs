//! `demo`: shards, two proxies and conferences on this machine.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Exit, complain, duration, interruption, many_threads, print_json};
use crate::demo::{self, DemoError, Options, Outcome};

/// How long `demo --once` lasts.
const ONCE: Duration = Duration::from_secs(10);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The proxy's binary [default: roompin-proxy beside this one, else on the PATH]
    #[arg(long, value_name = "PATH")]
    pub proxy: Option<PathBuf>,
    /// End after this time, such as 30s or 2m [default: on Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Run for 10 s (or --duration), print one JSON line on stdout, exit 0 only without splits and errors
    #[arg(long)]
    pub once: bool,
    /// Print the result as one JSON line on stdout, and the table on stderr
    #[arg(long)]
    pub json: bool,
    /// Seed of who comes when and how
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl DemoArgs {
    /// The demo asked for.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            proxy: self.proxy.clone(),
            duration: self.duration.or(self.once.then_some(ONCE)),
            json: self.json || self.once,
            seed: self.seed,
        }
    }
}

/// The exit code for a demo's end. Interrupting is how a demo without a duration ends, so it is judged all the same;
/// one that was to run for a time has not shown what it should.
#[must_use]
pub fn judge(options: &Options, end: &Result<Outcome, DemoError>) -> Exit {
    match end {
        Err(_) => Exit::Unavailable,
        Ok(Outcome { interrupted: true, .. }) if options.duration.is_some() => Exit::Interrupted,
        Ok(Outcome { interrupted: true, verdict }) if verdict.participants == 0 => Exit::Interrupted,
        Ok(Outcome { verdict, .. }) if verdict.passed() => Exit::Passed,
        Ok(_) => Exit::Failed,
    }
}

/// Runs it to its end.
#[must_use]
pub fn run(args: &DemoArgs) -> Exit {
    let options = args.options();
    let end = many_threads().and_then(|runtime| {
        runtime.block_on(async {
            let interrupted = interruption()?;
            Ok(demo::run(&options, interrupted).await)
        })
    });
    let end = match end {
        Ok(end) => end,
        Err(error) => return complain(&error),
    };
    match &end {
        Ok(outcome) if options.json => {
            if let Err(error) = print_json(&outcome.verdict) {
                return complain(&error);
            }
        }
        Ok(_) => {}
        Err(error) => {
            complain(error);
        }
    }
    judge(&options, &end)
}
