//! `versus`: our proxy beside another one.

use std::{
    env, fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};

use super::{Exit, complain, duration, interruption, one_thread};
use crate::{
    child, roompin,
    versus::{self, Options, result::VersusRun, table},
};

/// Debian's.
const HAPROXY: &str = "/usr/sbin/haproxy";
/// Most new rooms that HAProxy's splits are counted over: where a few in a hundred are split, more show no more.
const OTHERS: usize = 4_000;

/// Arguments of `versus`.
#[derive(Debug, Args)]
pub struct VersusArgs {
    /// Which other one.
    #[command(subcommand)]
    pub other: Other,
}

/// The other one.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// HAProxy, as published for Kubernetes and with a consistent hash
    Haproxy(HaproxyArgs),
}

/// Arguments of `versus haproxy`.
#[derive(Debug, Args)]
pub struct HaproxyArgs {
    /// Our proxy's binary [default: roompin-proxy beside this one, else on the PATH]
    #[arg(long, value_name = "PATH")]
    pub proxy: Option<PathBuf>,
    /// HAProxy's binary
    #[arg(long, value_name = "PATH", default_value = HAPROXY)]
    pub haproxy: PathBuf,
    /// Turns that each proxy takes [default: 5; 1 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub rounds: Option<u8>,
    /// Time measured in each run under load [default: 3s; 200ms with --quick]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Tunnels under load
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub tunnels: u16,
    /// Payload of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=32_768))]
    pub message: u16,
    /// New rooms that our proxy's splits are counted over, for each number of replicas; HAProxy gets 4000 of them
    /// at most [default: 100000; 240 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    pub split_rooms: Option<u32>,
    /// How long shards think about a first request while splits are counted
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "4ms")]
    pub split_delay: Duration,
    /// Seed of all loads
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Few and short runs: shows that everything works, and nothing about speed
    #[arg(long)]
    pub quick: bool,
    /// Write the result to this file, for `report`
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the table as Markdown to this file
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

impl HaproxyArgs {
    /// The comparison asked for.
    #[must_use]
    pub fn options(&self) -> Options {
        let quick = self.quick;
        let (rounds, milliseconds, split_rooms) = if quick { (1, 200, 240) } else { (5, 3_000, 100_000) };
        let split_rooms = self.split_rooms.map_or(split_rooms, |rooms| rooms as usize);
        Options {
            roompin: self.proxy.clone().unwrap_or_else(roompin::default_binary),
            haproxy: self.haproxy.clone(),
            rounds: self.rounds.unwrap_or(rounds).into(),
            duration: self.duration.unwrap_or(Duration::from_millis(milliseconds)),
            tunnels: self.tunnels.into(),
            message_bytes: self.message.into(),
            connections: 64,
            rooms: if quick { 100 } else { 1_000 },
            idle: if quick { vec![50] } else { vec![1_000, 2_000, 4_000, 4_000, 4_000] },
            split_rooms,
            split_rooms_others: split_rooms.min(OTHERS),
            split_delay: self.split_delay,
            // A quick run is for machines that are busy with something else, such as all other tests.
            claim_timeout: quick.then_some(Duration::from_secs(1)),
            shards: 2,
            seed: self.seed,
            command: env::args().collect::<Vec<_>>().join(" "),
            at: now(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a report says when it was made; nothing is decided by it")]
fn now() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// Compares, prints the table, writes what was asked for.
#[must_use]
pub fn run(args: &VersusArgs) -> Exit {
    let Other::Haproxy(args) = &args.other;
    let options = args.options();
    // One thread: what is waiting for processes shall not disturb the generator beside it.
    let end = one_thread().map_err(versus_io).and_then(|runtime| {
        runtime.block_on(async {
            let interrupted = interruption().map_err(versus_io)?;
            tokio::select! {
                run = versus::run(&options) => run.map(Some),
                () = interrupted => Ok(None),
            }
        })
    });
    match end {
        Ok(Some(run)) => match tell(args, &run) {
            // A comparison with failures compares failing.
            Ok(()) if run.failures() == 0 => Exit::Passed,
            Ok(()) => Exit::Failed,
            Err(error) => complain(&error),
        },
        Ok(None) => Exit::Interrupted,
        Err(error) => complain(&error),
    }
}

fn versus_io(source: io::Error) -> versus::VersusError {
    child::ChildError::io("runtime")(source).into()
}

fn tell(args: &HaproxyArgs, run: &VersusRun) -> io::Result<()> {
    let terminal = io::stdout().is_terminal();
    let width = terminal.then(|| crossterm::terminal::size().ok().map(|(width, _)| width)).flatten();
    writeln!(io::stdout(), "{}", table::terminal(run, terminal, width))?;
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string(run).map_err(io::Error::other)?)?;
    }
    if let Some(path) = &args.markdown {
        write(path, &table::markdown(run))?;
    }
    Ok(())
}

/// Writes a file, and names it when that fails.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
