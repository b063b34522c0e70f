//! `roompin-loadtest demo`: shards, proxies and conferences on this machine, and a table of who sits where.

mod proxies;
mod view;

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    child::ChildError,
    observer::Observer,
    report::{Screen, Sink, Verdict},
    roompin::default_binary,
    scenario::{self, Plan, ROOMS, Spread, Target},
    stub::StubShard,
};
use proxies::Proxy;
use view::View;

/// Replicas share their pins, so a room's participants go to any.
const SPREAD: Spread = Spread::AnyReplica;
/// Stub shards.
const SHARDS: usize = 2;
/// Where the replicas serve when these ports are free.
const PREFERRED_PORTS: [u16; 2] = [8080, 8081];
/// Time between two tables on a terminal, and elsewhere.
const REDRAW: Duration = Duration::from_millis(500);
const REPRINT: Duration = Duration::from_secs(2);
/// For participants to leave in good order. Each of their steps ends within 5 s.
const GOODBYE: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The proxy's binary; `None` looks beside our own, then on the PATH.
    pub proxy: Option<PathBuf>,
    /// End after this time; `None` goes on until interrupted.
    pub duration: Option<Duration>,
    /// Print the verdict as one JSON line on stdout, and all else on stderr.
    pub json: bool,
    /// Seed of the conferences.
    pub seed: u64,
}

/// How a demo ended that had started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the observer saw.
    pub verdict: Verdict,
    /// Ended by its interruption and not by its duration.
    pub interrupted: bool,
}

/// Why a demo did not come to a verdict.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A proxy did not become ready.
    #[error(transparent)]
    Start(#[from] ChildError),
    /// This machine refused a socket, a directory or the terminal.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> DemoError {
    move |source| DemoError::Io { what, source }
}

/// Runs the demo until its duration is over or `interrupted` is ready. All processes it started have ended when it
/// returns, is dropped or panics.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(options: &Options, interrupted: impl Future<Output = ()>) -> Result<Outcome, DemoError> {
    tokio::pin!(interrupted);
    let folder = tempfile::Builder::new().prefix("roompin-demo-").tempdir().map_err(failed("temporary directory"))?;
    let mut shards = Vec::new();
    for number in 1..=SHARDS {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let shard = StubShard::start(&format!("shard-{number}"), any_port).await.map_err(failed("stub shard"))?;
        shards.push(shard);
    }

    let binary = options.proxy.clone().unwrap_or_else(default_binary);
    let starting = proxies::start_all(&binary, folder.path(), &PREFERRED_PORTS, &shards);
    let proxies = tokio::select! {
        started = starting => started?,
        () = &mut interrupted => {
            return Ok(Outcome { verdict: Observer::new([]).verdict(), interrupted: true });
        }
    };
    let outcome = confer(options, &shards, proxies, interrupted).await;
    drop(folder);
    outcome
}

/// Holds the conferences, draws, and judges.
async fn confer(
    options: &Options,
    shards: &[StubShard],
    mut proxies: Vec<Proxy>,
    mut interrupted: impl Future<Output = ()> + Unpin,
) -> Result<Outcome, DemoError> {
    let targets = proxies.iter().map(|proxy| Target { name: proxy.name.clone(), address: proxy.address }).collect();
    let rooms: Vec<String> = ROOMS.map(str::to_owned).into();
    let observer = Observer::new(rooms.clone());
    let plan = Plan { seed: options.seed, rooms, targets, spread: SPREAD };
    let view = View::new(options.seed, shards, &proxies);
    let screen = Screen::open(if options.json { Sink::Stderr } else { Sink::Stdout }).map_err(failed("terminal"))?;

    let (stop, stopped) = watch::channel(false);
    let started = Instant::now();
    let conferences = {
        let observer = Arc::clone(&observer);
        tokio::spawn(async move { scenario::run(&plan, &observer, &stopped).await })
    };

    let end = options.duration.and_then(|duration| started.checked_add(duration));
    let mut redraw = interval(if screen.is_live() { REDRAW } else { REPRINT });
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let interrupted = loop {
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => break false,
            () = &mut interrupted => break true,
            died = proxies::first_to_end(&mut proxies) => {
                observer.failed(&died);
                break false;
            }
            _ = redraw.tick() => {
                screen.show(&view.page(&observer, started.elapsed(), &screen)).map_err(failed("terminal"))?;
            }
        }
    };

    stop.send_replace(true);
    let conferences_abort = conferences.abort_handle();
    match tokio::time::timeout(GOODBYE, conferences).await {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => observer.failed(&panic),
        Err(_) => {
            conferences_abort.abort();
            observer.failed(&"participants did not leave in time");
        }
    }
    for proxy in proxies {
        proxy.end().await;
    }
    screen.close(&view.last_page(&observer, started.elapsed())).map_err(failed("terminal"))?;
    Ok(Outcome { verdict: observer.verdict(), interrupted })
}
