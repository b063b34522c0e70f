//! `requests`: sticky requests over kept-alive connections.

use std::net::SocketAddr;

use clap::Args;

use super::{
    Exit,
    load::{Pace, carry_out, times},
};
use crate::load::{self, RequestPlan};

/// Arguments of `requests`.
#[derive(Debug, Args)]
pub struct RequestsArgs {
    /// Where to send requests: a proxy, or a stub shard itself
    #[arg(long, value_name = "ADDRESS")]
    pub target: SocketAddr,
    /// Connections, each carrying one request at a time
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Rooms that requests are for, drawn for each
    #[arg(long, default_value_t = 1_000)]
    pub rooms: usize,
    /// Ask for each room once, and for no room before measuring; end with the last one
    #[arg(long)]
    pub new_rooms: bool,
    /// Path of the requests; ?room= is appended
    #[arg(long, default_value = "/_unlock")]
    pub path: String,
    /// How much, and for how long.
    #[command(flatten)]
    pub pace: Pace,
    /// Names the rooms and draws which comes next
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl RequestsArgs {
    /// What to run.
    #[must_use]
    pub fn plan(&self) -> RequestPlan {
        RequestPlan {
            target: self.target,
            connections: self.connections,
            rooms: self.rooms,
            new_rooms: self.new_rooms,
            path: self.path.clone(),
            mode: self.pace.mode(self.connections),
            warm_up: self.pace.warm_up,
            duration: self.pace.duration,
            max_requests: self.pace.max,
            seed: self.seed,
        }
    }
}

/// Runs it to its end.
#[must_use]
pub fn run(args: &RequestsArgs) -> Exit {
    let plan = args.plan();
    carry_out(
        args.pace.json,
        args.pace.total(),
        async |watch| load::requests_with(&plan, &watch).await,
        |run| {
            format!(
                "{} rooms over {} connections to {}\n{:.0} requests per second ({} in {:.2} s)\n{}\n\
                 {} answers from a wrong shard, {} errors; the generator used {:.0}% of its core",
                run.rooms,
                run.connections,
                run.target,
                run.per_second,
                run.requests,
                run.seconds,
                times(&run.latency),
                run.wrong_shard,
                run.errors,
                run.generator_cpu * 100.0
            )
        },
        |run| run.errors == 0 && run.wrong_shard == 0 && run.requests > 0,
    )
}
