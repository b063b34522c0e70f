//! `tunnels`: messages through WebSockets, or the memory of idle ones.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::{
    Exit, duration,
    load::{Pace, carry_out, times},
};
use crate::load::{self, IdlePlan, TunnelPlan};

/// Arguments of `tunnels`.
#[derive(Debug, Args)]
pub struct TunnelsArgs {
    /// Where to open tunnels: a proxy, or a stub shard itself
    #[arg(long, value_name = "ADDRESS")]
    pub target: SocketAddr,
    /// How many
    #[arg(long, default_value_t = 64)]
    pub tunnels: usize,
    /// Rooms that they are for, in turn
    #[arg(long, default_value_t = 64)]
    pub rooms: usize,
    /// Payload of a message
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub message_bytes: usize,
    /// How much, and for how long.
    #[command(flatten)]
    pub pace: Pace,
    /// Handshakes under way at once while opening
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub opening: usize,
    /// Open the tunnels, leave them idle, and read what they cost the process given with --pid
    #[arg(long, requires = "pid")]
    pub idle: bool,
    /// The process that holds the tunnels
    #[arg(long, requires = "idle")]
    pub pid: Option<u32>,
    /// Tunnels opened before the first reading of the memory
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub warm: usize,
    /// Wait before reading the memory
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub settle: Duration,
    /// Names the rooms and fills the messages
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl TunnelsArgs {
    /// What to run without `--idle`.
    #[must_use]
    pub fn plan(&self) -> TunnelPlan {
        TunnelPlan {
            target: self.target,
            tunnels: self.tunnels,
            rooms: self.rooms,
            message_bytes: self.message_bytes,
            mode: self.pace.mode(self.tunnels),
            warm_up: self.pace.warm_up,
            duration: self.pace.duration,
            max_round_trips: self.pace.max,
            opening: self.opening,
            seed: self.seed,
        }
    }

    /// What to run with `--idle`.
    #[must_use]
    pub fn idle_plan(&self, pid: u32) -> IdlePlan {
        IdlePlan {
            target: self.target,
            pid,
            tunnels: self.tunnels,
            rooms: self.rooms,
            warm: self.warm,
            settle: self.settle,
            opening: self.opening,
            seed: self.seed,
        }
    }
}

/// Runs it to its end.
#[must_use]
pub fn run(args: &TunnelsArgs) -> Exit {
    if let Some(pid) = args.pid {
        let plan = args.idle_plan(pid);
        return carry_out(
            args.pace.json,
            None,
            async |watch| load::idle_with(&plan, &watch).await,
            |run| {
                format!(
                    "{} idle tunnels through {}: {:.0} bytes each ({} KiB before, {} KiB after), opened in {:.2} s",
                    run.tunnels,
                    run.target,
                    run.bytes_per_tunnel,
                    run.rss_before_kib,
                    run.rss_after_kib,
                    run.accept_seconds
                )
            },
            |_| true,
        );
    }
    let plan = args.plan();
    carry_out(
        args.pace.json,
        args.pace.total(),
        async |watch| load::tunnels_with(&plan, &watch).await,
        |run| {
            format!(
                "{} tunnels through {}, opened at {:.0} per second\n{:.0} round trips per second ({} in {:.2} s)\n{}\n\
                 {} errors; the generator used {:.0}% of its core",
                run.tunnels,
                run.target,
                run.connects_per_second,
                run.per_second,
                run.round_trips,
                run.seconds,
                times(&run.latency),
                run.errors,
                run.generator_cpu * 100.0
            )
        },
        |run| run.errors == 0 && run.round_trips > 0,
    )
}
