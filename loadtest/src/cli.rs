//! The command line, and what its outcomes are worth as exit codes.
//!
//! One file per subcommand: its arguments, and `run`, which carries them out and says how it ended.

pub mod chaos;
pub mod conferences;
pub mod demo;
pub mod join;
mod load;
pub mod report;
pub mod requests;
pub mod stub;
pub mod tunnels;
pub mod versus;

#[cfg(test)]
mod tests;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

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
    /// Conferences while replicas and shards are killed, cut off, slowed, added and removed; and who broke a promise
    Chaos(chaos::ChaosArgs),
    /// Shards, two proxies and conferences on this machine, and a table of who sits where
    Demo(demo::DemoArgs),
    /// A stub shard that says its name: pages, BOSH, WebSocket echo
    Stub(stub::StubArgs),
    /// People who join rooms, and whether they find each other
    Conferences(conferences::ConferencesArgs),
    /// Round trips through WebSocket tunnels, or the memory of idle ones
    Tunnels(tunnels::TunnelsArgs),
    /// Sticky requests over kept-alive connections
    Requests(requests::RequestsArgs),
    /// A replica joins others that hold a million pins and open rooms: its memory, its time, and how long rooms wait
    Join(join::JoinArgs),
    /// Our proxy beside another one, in turns, on this machine
    Versus(versus::VersusArgs),
    /// One HTML file from the results of `versus` and `chaos`
    Report(report::ReportArgs),
}

impl Command {
    /// Carries it out.
    #[must_use]
    pub fn run(&self) -> Exit {
        match self {
            Self::Chaos(args) => chaos::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Stub(args) => stub::run(args),
            Self::Conferences(args) => conferences::run(args),
            Self::Tunnels(args) => tunnels::run(args),
            Self::Requests(args) => requests::run(args),
            Self::Join(args) => join::run(args),
            Self::Versus(args) => versus::run(args),
            Self::Report(args) => report::run(args),
        }
    }
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

/// A runtime with a thread per core, for what runs proxies, shards and clients at once.
///
/// # Errors
/// When the system has no threads or descriptors left.
pub fn many_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// A runtime on this thread only.
///
/// # Errors
/// When the system has no descriptors left.
pub fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// One line of JSON on stdout.
///
/// # Errors
/// When stdout does not take it.
pub fn print_json(result: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(result).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{line}")
}

/// Says on stderr why there is no result.
pub fn complain(error: &dyn Display) -> Exit {
    // When even stderr is gone, the exit code has to do.
    let _ = writeln!(io::stderr(), "roompin-loadtest: {error}");
    Exit::Unavailable
}

/// Ready at Ctrl-C, at SIGTERM, or when the terminal goes away.
///
/// # Errors
/// When signals cannot be listened to.
pub fn interruption() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// A time such as `500ms`, `10s`, `2m`, `1h`; a bare number is in seconds.
///
/// # Errors
/// What is wrong with it, to follow its name.
pub fn duration(text: &str) -> Result<Duration, String> {
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
