//! The command line, and what its outcomes are worth as exit codes.

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::demo::{DemoError, Options, Outcome};

/// How long `demo --once` lasts.
const ONCE: Duration = Duration::from_secs(10);

/// Stub shards, conferences and tunnels to try a Roompin proxy with.
#[derive(Debug, Parser)]
#[command(name = "roompin-loadtest", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shards, two proxies and conferences on this machine, and a table of who sits where
    Demo(DemoArgs),
    /// A stub shard that says its name: pages, BOSH, WebSocket echo
    Stub(StubArgs),
}

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

/// Arguments of `stub`.
#[derive(Debug, Args)]
pub struct StubArgs {
    /// The shard's name: letters, digits, '.', '_' and '-'
    #[arg(long)]
    pub name: String,
    /// Where to serve; port 0 takes any free one, which is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where to speak HAProxy's agent-check protocol
    #[arg(long, value_name = "ADDRESS")]
    pub agent: Option<SocketAddr>,
    /// Do not send X-Jitsi-Shard, so that the proxy has to
    #[arg(long)]
    pub no_jitsi_header: bool,
}

/// Exit codes; 64 and 69 are those of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is as it should be.
    Passed = 0,
    /// There were splits or errors.
    Failed = 1,
    /// The command line is wrong.
    Usage = 64,
    /// Something needed could not be started.
    Unavailable = 69,
    /// Interrupted before there was a result.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
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

/// A time such as `500ms`, `10s`, `2m`, `1h`; a bare number is in seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "needs a number and a unit, such as 30s".to_owned())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("has the unit {unit:?}; known are ms, s, m and h")),
    };
    match milliseconds {
        Some(0) => Err("must not be zero".to_owned()),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err("is too long".to_owned()),
    }
}
