//! `roompin-loadtest chaos`: conferences run while replicas and shards are killed, restarted, slowed, cut off, added and
//! removed, and an observer who trusts no proxy says which promises were broken.

mod crowd;
mod ground;
pub mod observer;
pub mod result;
pub mod script;
mod targets;
mod view;
mod world;

use std::{future::Future, io, path::PathBuf, sync::Arc, thread, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep_until, timeout},
};

use crate::{cli::many_threads, roompin::default_binary};
use ground::Ground;
use observer::Observer;
use result::{ChaosEvent, ChaosRun};
use script::{Node, Script, ScriptError};
pub use targets::TargetError;
use targets::{Fleet, Haproxy, Random, Roompin, Setup, Target};
use view::View;
use world::World;

/// Time between two points of the series.
const SAMPLE: Duration = Duration::from_millis(500);
/// For participants to leave, after the end.
const GOODBYE: Duration = Duration::from_secs(2);
/// Most failures kept in words.
const MAX_FAILURES: usize = 100;
/// Life of a pin, where the target can be told: longer than a script keeps anybody away, short enough to see it end.
const TTL_S: u64 = 20;

/// What chaos is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Our proxy; `None` looks beside our own binary, then on the PATH.
    Roompin(Option<PathBuf>),
    /// HAProxy with the published configuration.
    Haproxy(PathBuf),
    /// A proxy that is broken on purpose: each connection goes to any shard.
    Random,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// To whom.
    pub target: Choice,
    /// Replicas, at least 1.
    pub replicas: usize,
    /// Shards at the start, at least 1.
    pub shards: usize,
    /// Conferences that last for the whole run.
    pub rooms: usize,
    /// Participants of each.
    pub participants: usize,
    /// Most pins of a replica.
    pub max_pins: usize,
    /// Participants of one room come through all replicas.
    pub spread: bool,
    /// What is done.
    pub script: Script,
    /// Decides who comes when.
    pub seed: u64,
    /// How long replicas of ours wait for each other, on a machine that may be too busy for the default.
    pub claim_timeout: Option<Duration>,
    /// Use network namespaces where that is allowed.
    pub namespaces: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The script does not fit.
    #[error("script: {0}")]
    Script(#[from] ScriptError),
    /// A target did not start.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Shards or replicas did not start.
    #[error("{0}")]
    Start(String),
    /// This machine refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// It was told to end before the script had.
    #[error("interrupted")]
    Interrupted,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> ChaosError {
    move |source| ChaosError::Io { what, source }
}

/// Carries a script out, on a thread with a runtime of its own: it may move to another network namespace, and the
/// caller's threads stay where they are. `interrupted` makes, on that runtime, the future that ends the run early.
/// All processes it started have ended when it returns.
///
/// # Errors
/// See [`ChaosError`].
pub fn run<F: Future<Output = ()>>(
    options: &Options,
    interrupted: impl FnOnce() -> io::Result<F> + Send,
) -> Result<ChaosRun, ChaosError> {
    options.script.check(options.replicas, options.shards)?;
    let work = || {
        let ground = Ground::open(options.namespaces);
        let runtime = many_threads().map_err(failed("runtime"))?;
        runtime.block_on(async {
            let interrupted = interrupted().map_err(failed("signals"))?;
            tokio::pin!(interrupted);
            tokio::select! {
                () = &mut interrupted => Err(ChaosError::Interrupted),
                done = carry_out(options, ground) => done,
            }
        })
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn carry_out(options: &Options, ground: Ground) -> Result<ChaosRun, ChaosError> {
    let folder = tempfile::Builder::new().prefix("roompin-chaos-").tempdir().map_err(failed("temporary directory"))?;
    let places = (1..=options.replicas).map(|number| ground.place(Node::Replica(number)));
    let places: Vec<_> = places.collect::<Result<_, _>>().map_err(failed("network of a replica"))?;
    let addresses = places.iter().map(|place| place.serve).collect();
    let doors = Arc::new(crowd::Doors { addresses, spread: options.spread });
    let setup = Setup {
        folder: folder.path().to_owned(),
        places: places.clone(),
        ttl_s: TTL_S,
        max_pins: options.max_pins,
        claim_timeout: options.claim_timeout,
    };
    let target: Box<dyn Target> = match &options.target {
        Choice::Roompin(binary) => {
            let binary = binary.clone().unwrap_or_else(default_binary);
            Box::new(Fleet::new(Roompin::new(binary, setup)?)?)
        }
        Choice::Haproxy(binary) => Box::new(Fleet::new(Haproxy::new(binary.clone(), setup))?),
        Choice::Random => Box::new(Random::new(setup)),
    };
    let mut run = ChaosRun {
        target: target.name().to_owned(),
        isolation: ground.name().to_owned(),
        replicas: options.replicas,
        shards: options.shards,
        rooms: options.rooms,
        participants_per_room: options.participants,
        spread: options.spread,
        seed: options.seed,
        script: options.script.to_string(),
        ..ChaosRun::default()
    };
    let mut view = View::begin(&run, ground.notice.as_deref());

    let rules = target.rules();
    // Started before anybody can be observed; the observer's time begins when all is ready.
    let starting = Observer::new(rules);
    let mut world = World::start(ground, places, options.shards, target, starting, Arc::clone(&doors))
        .await
        .map_err(ChaosError::Start)?;
    let observer = Observer::new(rules);
    world.observed_by(observer.clone());

    let (stop, stopped) = watch::channel(false);
    let plan = crowd::Plan { rooms: options.rooms, participants: options.participants, seed: options.seed };
    let crowd = {
        let (doors, observer) = (Arc::clone(&doors), observer.clone());
        tokio::spawn(async move { crowd::hold(&plan, &doors, &observer, &stopped).await })
    };
    // Dropped, as by an interruption, it takes the participants with it.
    let crowd = AbortOnDrop(crowd);

    let script = play(&options.script, &mut world, &observer, &mut run, &mut view);
    script.await;

    run.seconds = options.script.until.as_secs_f64();
    run.totals = observer.totals();
    run.late = world.late().await;
    (run.violations, run.violations_total) = observer.violations(0);
    stop.send_replace(true);
    let mut crowd = crowd;
    // Who does not leave in time is dropped; the record is closed.
    let _ = timeout(GOODBYE, &mut crowd.0).await;
    drop(crowd);
    world.end().await;
    view.end(&run);
    drop(folder);
    Ok(run)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does one step after the other, each at its time or, when the one before took longer, right after it; samples
/// meanwhile.
async fn play(script: &Script, world: &mut World, observer: &Observer, run: &mut ChaosRun, view: &mut View) {
    let (mut events, mut failures) = (Vec::new(), Vec::new());
    let (news, mut told) = tokio::sync::mpsc::unbounded_channel();
    let steps = async {
        for step in &script.steps {
            sleep_until(observer.at(step.at)).await;
            if let Some(words) = world.ended().await {
                let _ = news.send((observer.now(), None, Some(words)));
            }
            let (t_ms, what) = (observer.now(), step.action.to_string());
            let done = world.carry_out(&step.action).await;
            let event = ChaosEvent { t_ms, done_ms: observer.now(), what: what.clone() };
            let problem = done.err().map(|problem| format!("{what}: {problem}"));
            let _ = news.send((t_ms, Some(event), problem));
        }
        sleep_until(observer.at(script.until)).await;
        if let Some(words) = world.ended().await {
            let _ = news.send((observer.now(), None, Some(words)));
        }
    };
    tokio::pin!(steps);
    let mut tick = interval(SAMPLE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = 0;
    loop {
        let over = tokio::select! {
            () = &mut steps => true,
            _ = tick.tick() => false,
        };
        while let Ok((t_ms, event, problem)) = told.try_recv() {
            if let Some(event) = event {
                view.event(&event);
                events.push(event);
            }
            if let Some(problem) = problem
                && failures.len() < MAX_FAILURES
            {
                view.failure(t_ms, &problem);
                failures.push(problem);
            }
        }
        let (violations, total) = observer.violations(shown);
        shown += violations.len();
        view.violations(&violations);
        let point = observer.sample();
        view.point(&point, total);
        run.series.push(point);
        if over {
            break;
        }
    }
    (run.events, run.failures) = (events, failures);
}
