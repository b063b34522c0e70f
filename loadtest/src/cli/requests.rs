//! `requests`: sticky requests over kept-alive connections.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::{
    Exit, duration,
    load::{carry_out, mode, times},
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
    /// Requests per second by the clock, over all connections [default: a closed loop]
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "in_flight")]
    pub rate: Option<f64>,
    /// Requests under way at once in a closed loop [default: one per connection]
    #[arg(long, value_name = "N")]
    pub in_flight: Option<usize>,
    /// Time under load before measuring
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub warm_up: Duration,
    /// Time to measure
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub duration: Duration,
    /// End the measuring after so many requests
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub max: u64,
    /// Print the result as one JSON line
    #[arg(long)]
    pub json: bool,
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
            mode: mode(self.rate, self.in_flight, self.connections),
            warm_up: self.warm_up,
            duration: self.duration,
            max_requests: self.max,
            seed: self.seed,
        }
    }
}

/// Runs it to its end.
#[must_use]
pub fn run(args: &RequestsArgs) -> Exit {
    let plan = args.plan();
    carry_out(
        args.json,
        (args.max < u64::MAX).then_some(args.max),
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
