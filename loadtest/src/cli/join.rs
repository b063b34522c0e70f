//! `join`: a replica joins others that hold a million pins, while rooms open.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{Exit, complain, duration, interruption, many_threads, print_json};
use crate::{
    child::ChildError,
    join::{self, JoinRun, Options},
    roompin,
    versus::VersusError,
};

/// Arguments of `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The proxy's binary [default: roompin-proxy beside this one, else on the PATH]
    #[arg(long, value_name = "PATH")]
    pub proxy: Option<PathBuf>,
    /// Pins that replicas hold before; a replica is asked for as many rooms first, which takes a minute
    #[arg(long, default_value_t = 1_000_000)]
    pub pins: usize,
    /// Take the pins from this snapshot instead, of shards named shard-1 and shard-2
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// Replicas that are joined
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub replicas: u8,
    /// Rooms that open each second, over all replicas
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5_000.0)]
    pub rate: f64,
    /// How long rooms open before the joiner starts, and after it is ready
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    pub around: Duration,
    /// Print the result as one JSON line
    #[arg(long)]
    pub json: bool,
    /// Names the rooms
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl JoinArgs {
    /// What to run.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            proxy: self.proxy.clone().unwrap_or_else(roompin::default_binary),
            pins: self.pins,
            snapshot: self.snapshot.clone(),
            replicas: self.replicas.into(),
            per_second: self.rate,
            around: self.around,
            seed: self.seed,
        }
    }
}

/// Runs it, and holds what was measured against the budgets.
#[must_use]
pub fn run(args: &JoinArgs) -> Exit {
    let options = args.options();
    let failed = |source| VersusError::from(ChildError::io("runtime")(source));
    let end = many_threads().map_err(failed).and_then(|runtime| {
        runtime.block_on(async {
            let interrupted = interruption().map_err(failed)?;
            tokio::select! {
                run = join::run(&options) => run.map(Some),
                () = interrupted => Ok(None),
            }
        })
    });
    match end {
        Ok(Some(run)) => match tell(args.json, &run) {
            Ok(()) if run.is_right() && run.budgets().iter().all(|budget| budget.kept) => Exit::Passed,
            Ok(()) => Exit::Failed,
            Err(error) => complain(&error),
        },
        Ok(None) => Exit::Interrupted,
        Err(error) => complain(&error),
    }
}

fn tell(json: bool, run: &JoinRun) -> io::Result<()> {
    if json {
        return print_json(run);
    }
    let mut out = io::stdout();
    writeln!(out, "joining replicas of {} pins while {:.0} rooms a second open", run.pins, run.per_second)?;
    for budget in run.budgets() {
        writeln!(out, "{} {}", if budget.kept { "kept  " } else { "MISSED" }, budget.says)?;
    }
    let right = if run.is_right() { "right " } else { "WRONG " };
    writeln!(
        out,
        "{right} {} rooms opened, {} errors, {} conflicts, {} of the sample split, tables of {:?}",
        run.rooms, run.errors, run.conflicts, run.split, run.tables
    )
}
