//! `conferences`: people who join rooms, and whether they find each other.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Exit, duration,
    load::{carry_out, times},
};
use crate::{
    load::{self, Arrival, Choice, ConferencePlan, Method},
    result::{ConferenceRun, Transport},
};

/// Arguments of `conferences`.
#[derive(Debug, Args)]
pub struct ConferencesArgs {
    /// Replicas that participants come through; several with commas or by giving it again
    #[arg(long, value_name = "ADDRESS", required = true, value_delimiter = ',')]
    pub target: Vec<SocketAddr>,
    /// Draw the replica for each participant, instead of taking one after the other
    #[arg(long)]
    pub random: bool,
    /// Conferences to hold
    #[arg(long, default_value_t = 1_000)]
    pub rooms: usize,
    /// Participants of each
    #[arg(long, default_value_t = 2)]
    pub participants: usize,
    /// Time within which the participants of a room join; 0 is all at once
    #[arg(long, value_name = "MS", default_value_t = 0, conflicts_with = "gap_ms")]
    pub window_ms: u64,
    /// Exact time from one participant of a room to the next
    #[arg(long, value_name = "MS")]
    pub gap_ms: Option<u64>,
    /// How participants come
    #[arg(long, value_enum, default_value_t = By::Get)]
    pub by: By,
    /// How long a room stays together; without, it ends when all are in
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stay: Option<Duration>,
    /// While staying, time between two requests or messages of a participant, about
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub poll: Duration,
    /// How often each participant leaves and comes back while staying
    #[arg(long, value_name = "N", default_value_t = 0, requires = "stay")]
    pub rejoins: u32,
    /// Conferences held at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub at_once: usize,
    /// Most sockets open at once
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    pub max_sockets: usize,
    /// End after this time, whatever is left to do
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub duration: Duration,
    /// Prefix of the rooms' names, so that two runs do not meet
    #[arg(long, default_value = "conf")]
    pub prefix: String,
    /// Do not fail because of splits
    #[arg(long)]
    pub allow_splits: bool,
    /// Do not fail because of errors
    #[arg(long)]
    pub allow_errors: bool,
    /// Print the result as one JSON line
    #[arg(long)]
    pub json: bool,
    /// Draws arrivals and replicas, names rooms
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// How participants come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A WebSocket
    Websocket,
    /// A BOSH session
    Bosh,
    /// One GET of /http-bind
    Get,
    /// One POST to /http-bind
    Post,
}

impl ConferencesArgs {
    /// What to run.
    #[must_use]
    pub fn plan(&self) -> ConferencePlan {
        let ms = Duration::from_millis;
        ConferencePlan {
            targets: self.target.clone(),
            choice: if self.random { Choice::Random } else { Choice::RoundRobin },
            rooms: self.rooms,
            participants: self.participants,
            arrival: self.gap_ms.map_or(Arrival::Window(ms(self.window_ms)), |gap| Arrival::Gap(ms(gap))),
            stagger: Duration::ZERO,
            transport: match self.by {
                By::Websocket => Transport::WebSocket,
                By::Bosh => Transport::Bosh,
                By::Get | By::Post => Transport::Plain,
            },
            method: if self.by == By::Post { Method::Post } else { Method::Get },
            stay: self.stay.unwrap_or_default(),
            poll: self.poll,
            rejoins: self.rejoins,
            at_once: self.at_once,
            max_sockets: self.max_sockets,
            deadline: self.duration,
            prefix: self.prefix.clone(),
            seed: self.seed,
        }
    }

    /// Whether a run shows what it should: every room was held, nobody was alone, nothing failed.
    #[must_use]
    pub fn passed(&self, run: &ConferenceRun) -> bool {
        let together = run.splits == 0 || self.allow_splits;
        let sound = run.errors == 0 && run.rooms == self.rooms || self.allow_errors;
        together && sound && run.rooms > 0
    }
}

/// Runs it to its end.
#[must_use]
pub fn run(args: &ConferencesArgs) -> Exit {
    let plan = args.plan();
    carry_out(
        args.json,
        Some(args.rooms as u64),
        async |watch| load::conferences_with(&plan, &watch).await,
        words,
        |run| args.passed(run),
    )
}

fn words(run: &ConferenceRun) -> String {
    format!(
        "{} rooms of {} through {}: {} split ({:.2}%)\njoined within: {}\n\
         {} moved, {} disconnects, {} errors (seed {})",
        run.rooms,
        run.participants_per_room,
        run.targets.join(", "),
        run.splits,
        run.split_share * 100.0,
        times(&run.joins),
        run.moved_rooms,
        run.disconnects,
        run.errors,
        run.seed
    )
}
