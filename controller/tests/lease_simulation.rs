//! Acceptance 4: controllers that fight for one lease, while everything goes wrong that can.
//!
//! Each seed runs four minutes of two candidates (the real [`Elector`], under paused time) against a lease that is kept
//! in memory, with slow, lost and late requests, lost answers, frozen processes, crashes, restarts, graceful ends, wall clocks that
//! jump by hours, and people who delete the lease. It checks that
//! - never two lead at one instant, and nothing that a leader wrote arrives while another one leads;
//! - nobody is without a leader for longer than one lease while a candidate can reach the API. That time counts from when
//!   the last leader ended, or from a change of the lease whose writer did not learn of it, if that is later: such a write
//!   is a lease taken by somebody who does not know, and no rival can tell it from one taken by somebody who does. The same
//!   holds for who made a deleted lease anew, and waits before leading.
//!
//! `ROOMPIN_LEASE_SEED=s` runs one seed and tells all that happens; `ROOMPIN_LEASE_SEEDS=n` runs n in place of 1,000.
#![allow(clippy::unwrap_used, reason = "all of this is tests, its helpers too")]

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use controller::lease::{
    Elector, Leadership, State, Timing,
    elector::LeaseApi,
    machine::{Found, Record, WriteFailure},
};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep, sleep_until},
};

const LENGTH: Duration = Duration::from_secs(240);
const LEASE: Duration = Duration::from_secs(15);
const CANDIDATES: usize = 2;

/// What is wrong between a candidate and the API at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Requests and answers take up to 4 s each.
    Slow,
    /// Half of the requests never arrive.
    LostWrites,
    /// All arrive, half of the answers do not.
    LostAnswers,
    /// 500 at once, sometimes after the write was done.
    Errors,
    /// Nothing arrives.
    Cut,
}

struct World {
    seed: u64,
    loud: bool,
    origin: Instant,
    rng: StdRng,
    stored: Option<Found>,
    version: u64,
    fault: [Fault; CANDIDATES],
    /// Before this moment, what the candidate sent or did was disturbed.
    disturbed_until: [Instant; CANDIDATES],
    alive: [bool; CANDIDATES],
    frozen_until: [Instant; CANDIDATES],
    handles: [Option<Leadership>; CANDIDATES],
    clock_offset: [SignedDuration; CANDIDATES],
    /// Since when nobody leads, or until when the last one may.
    led_until: Instant,
    /// The last change whose writer may not know of it.
    unwitnessed: Instant,
    /// There was no lease, and nobody has led since: whoever made it anew is waiting, and may die over it.
    anew: bool,
    leaders: u32,
    writes: u32,
    longest_gap: Duration,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

impl World {
    fn say(&self, what: impl FnOnce() -> String) {
        if self.loud {
            println!("{:9.3} {}", self.origin.elapsed().as_secs_f64(), what());
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "seed {}, after {:?}: {what}\nreplay: ROOMPIN_LEASE_SEED={} cargo test -p controller --test lease_simulation -- --nocapture",
            self.seed,
            self.origin.elapsed(),
            self.seed
        );
    }

    fn leads(&self, who: usize) -> bool {
        self.handles[who].as_ref().is_some_and(|handle| handle.check().is_ok())
    }

    /// Nobody leads: has it lasted too long for a candidate that could have taken over?
    fn check_gap(&mut self) {
        let now = Instant::now();
        if (0..CANDIDATES).any(|who| self.leads(who)) {
            return;
        }
        let since = self.led_until.max(self.unwitnessed);
        for who in 0..CANDIDATES {
            let able = self.alive[who] && self.fault[who] == Fault::None && self.disturbed_until[who] <= now;
            if able {
                let gap = now.saturating_duration_since(since.max(self.disturbed_until[who]));
                self.longest_gap = self.longest_gap.max(gap);
                if gap > LEASE {
                    self.fail(&format!("nobody led for {gap:?}, and {who} could have"));
                }
            }
        }
    }

    /// The candidate cannot act as it should before `until`.
    fn disturb(&mut self, who: usize, until: Instant) {
        self.check_gap();
        self.disturbed_until[who] = self.disturbed_until[who].max(until);
    }

    /// A candidate published something.
    fn published(&mut self, who: usize, state: &State) {
        let now = Instant::now();
        self.say(|| format!("{who}: {state:?}"));
        match state {
            State::Leading { until } if *until > now => {
                if let Some(other) = (0..CANDIDATES).find(|other| *other != who && self.leads(*other)) {
                    self.fail(&format!("{who} leads, and so does {other}"));
                }
                // What passed without a leader ends here; `check_gap` saw it grow only at other events.
                let since = self.led_until.max(self.unwitnessed).max(self.disturbed_until[who]);
                if self.led_until < now {
                    self.leaders += 1;
                    let gap = now.saturating_duration_since(since);
                    if self.fault[who] == Fault::None && gap > LEASE {
                        self.fail(&format!("nobody led for {gap:?} before {who} did"));
                    }
                }
                self.led_until = *until;
                let mine = format!("candidate-{who}-");
                if self.stored.as_ref().is_some_and(|found| found.record.holder.starts_with(&mine)) {
                    self.anew = false;
                }
            }
            _ => {
                if !(0..CANDIDATES).any(|who| self.leads(who)) {
                    self.led_until = self.led_until.min(now);
                }
            }
        }
    }
}

/// One candidate's way to the lease. What it sends travels by itself, whether the sender still waits or not.
#[derive(Clone)]
struct SimApi {
    world: Shared,
    who: usize,
    /// Of this life of the process.
    epoch: Arc<()>,
}

enum Request {
    Read,
    Write(Record, Option<String>),
}

enum Answer {
    Found(Option<Found>),
    Written(String),
    Conflict,
    Error,
}

impl SimApi {
    async fn send(&self, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        let (to, back, arrives, returns, breaks) = {
            let mut world = lock(&self.world);
            let fault = world.fault[self.who];
            let disturbed = Instant::now() + Timing::default().request;
            if fault != Fault::None {
                world.disturb(self.who, disturbed);
            }
            let rng = &mut world.rng;
            let mut travel = |slow: bool| Duration::from_millis(rng.random_range(1..if slow { 4000 } else { 50 }));
            let (to, back) = (travel(fault == Fault::Slow), travel(fault == Fault::Slow));
            let half = rng.random_bool(0.5);
            let other_half = rng.random_bool(0.5);
            (
                to,
                back,
                !(fault == Fault::Cut || fault == Fault::LostWrites && half || fault == Fault::Errors && half),
                !(fault == Fault::LostAnswers && half),
                fault == Fault::Errors && (half || other_half),
            )
        };
        let (shared, who) = (self.world.clone(), self.who);
        let waiting = Arc::downgrade(&self.epoch);
        tokio::spawn(async move {
            sleep(to).await;
            let result = if arrives { serve(&shared, who, request) } else { Answer::Error };
            sleep(back).await;
            if breaks {
                let _ = answer.send(Answer::Error);
            } else if arrives && returns && waiting.strong_count() > 0 {
                // If nobody waits any more, the writer does not know what it did.
                let _ = answer.send(result);
            } else {
                // Never: the sender waits until it gives up.
                sleep(LENGTH).await;
                drop(answer);
            }
        });
        answered.await.unwrap_or(Answer::Error)
    }
}

fn serve(world: &Shared, who: usize, request: Request) -> Answer {
    let mut world = lock(world);
    match request {
        Request::Read => Answer::Found(world.stored.clone()),
        Request::Write(record, version) => {
            if world.stored.as_ref().map(|found| &found.version) != version.as_ref() {
                return Answer::Conflict;
            }
            world.version += 1;
            let version = world.version.to_string();
            world.say(|| format!("{who}: version {version} written for {:?}", record.holder));
            world.stored = Some(Found { record, version: version.clone() });
            // Until its writer publishes that it leads, it may never learn of it.
            if !world.leads(who) {
                world.check_gap();
                let able = world.fault[who] == Fault::None && world.frozen_until[who] <= Instant::now();
                if !able || !world.alive[who] || world.anew {
                    world.unwitnessed = Instant::now();
                }
            } else if world.fault[who] != Fault::None {
                world.unwitnessed = Instant::now();
            }
            Answer::Written(version)
        }
    }
}

impl LeaseApi for SimApi {
    async fn read(&self) -> Result<Option<Found>, String> {
        match self.send(Request::Read).await {
            Answer::Found(found) => Ok(found),
            _ => Err("500".to_owned()),
        }
    }

    async fn write(&self, record: Record, version: Option<String>) -> Result<String, (WriteFailure, String)> {
        match self.send(Request::Write(record, version)).await {
            Answer::Written(version) => Ok(version),
            Answer::Conflict => Err((WriteFailure::Conflict, "409".to_owned())),
            _ => Err((WriteFailure::Unknown, "500".to_owned())),
        }
    }
}

/// Does what the reconcilers do: looks whether it leads, and writes. What it sent arrives up to 1.9 s later, whether the
/// sender still lives or not. Asked to end, it waits for the answer to what it sent.
async fn writer(world: Shared, who: usize, leadership: Leadership, end: oneshot::Receiver<()>) {
    let mut end = std::pin::pin!(end);
    loop {
        let (pause, travel) = {
            let mut world = lock(&world);
            (world.rng.random_range(50..600), world.rng.random_range(1..1900))
        };
        tokio::select! {
            biased;
            _ = &mut end => return,
            () = sleep(Duration::from_millis(pause)) => {}
        }
        let (arrives, answered) = oneshot::channel::<()>();
        let (shared, mine) = (world.clone(), leadership.clone());
        let write = async move {
            {
                let mut world = lock(&shared);
                world.writes += 1;
                assert!(mine.check().is_ok());
                if let Some(other) = (0..CANDIDATES).find(|other| *other != who && world.leads(*other)) {
                    world.fail(&format!("{who} writes, and {other} leads"));
                }
            }
            tokio::spawn(async move {
                sleep(Duration::from_millis(travel)).await;
                let world = lock(&shared);
                if let Some(other) = (0..CANDIDATES).find(|other| *other != who && world.leads(*other)) {
                    world.fail(&format!("a write of {who} arrives after {travel} ms, and {other} leads"));
                }
                drop(world);
                let _ = arrives.send(());
            });
            let _ = answered.await;
        };
        let _ = leadership.write(Duration::from_secs(4), write).await;
    }
}

/// Lets a process stand still: nothing of it runs, and its timers have passed when it goes on.
struct Freezable<F> {
    world: Shared,
    who: usize,
    inner: Pin<Box<F>>,
    thaw: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let until = lock(&self.world).frozen_until[self.who];
        if Instant::now() < until {
            let mut thaw = Box::pin(sleep_until(until));
            if thaw.as_mut().poll(context).is_pending() {
                self.thaw = Some(thaw);
                return Poll::Pending;
            }
        }
        self.thaw = None;
        self.inner.as_mut().poll(context)
    }
}

/// Starts a process. The answer ends it: gracefully by sending, at once by aborting.
fn start(world: &Shared, who: usize, life: u32) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (end, ended) = oneshot::channel::<()>();
    let api = SimApi { world: world.clone(), who, epoch: Arc::new(()) };
    let clock = world.clone();
    let wall = move || {
        let world = lock(&clock);
        let since = SignedDuration::try_from(world.origin.elapsed()).unwrap();
        Timestamp::from_second(1_800_000_000).unwrap() + since + world.clock_offset[who]
    };
    let (elector, leadership) = Elector::new(api, format!("candidate-{who}-{life}"), Timing::default(), wall);
    {
        let mut world = lock(world);
        world.say(|| format!("{who}: life {life} starts"));
        world.alive[who] = true;
        // Another process: what the last one suffered is over. A fault of the network is not.
        world.disturbed_until[who] = Instant::now();
        world.frozen_until[who] = Instant::now();
        world.handles[who] = Some(leadership.clone());
    }
    // Seen from outside, at the instant it is published.
    let (mut published, observer) = (leadership.subscribe(), world.clone());
    tokio::spawn(async move {
        while published.changed().await.is_ok() {
            let state = published.borrow_and_update().clone();
            lock(&observer).published(who, &state);
        }
    });
    let process = {
        let world = world.clone();
        async move {
            let (stopped, writer_stopped) = oneshot::channel::<()>();
            let run = elector.run(async {
                let _ = writer_stopped.await;
            });
            tokio::pin!(run);
            tokio::select! {
                biased;
                () = &mut run => unreachable!("nobody asked it to end"),
                () = writer(world, who, leadership, ended) => {}
            }
            let _ = stopped.send(());
            run.await;
        }
    };
    let process = Freezable { world: world.clone(), who, inner: Box::pin(process), thaw: None };
    (end, tokio::spawn(process))
}

/// Breaks things, one after the other, and mends them.
async fn trouble(world: Shared) {
    let mut lives = [0u32; CANDIDATES];
    let mut processes = Vec::new();
    for who in 0..CANDIDATES {
        processes.push(Some(start(&world, who, 0)));
        let gap = lock(&world).rng.random_range(0..3000);
        sleep(Duration::from_millis(gap)).await;
    }
    let end = Instant::now() + LENGTH;
    while Instant::now() < end {
        let (wait, who, what, length) = {
            let rng = &mut lock(&world).rng;
            (
                rng.random_range(0..12_000),
                rng.random_range(0..CANDIDATES),
                rng.random_range(0..12),
                Duration::from_millis(rng.random_range(100..40_000)),
            )
        };
        sleep(Duration::from_millis(wait)).await;
        let fault = match what {
            0 => Fault::Slow,
            1 => Fault::LostWrites,
            2 => Fault::LostAnswers,
            3 => Fault::Errors,
            4 => Fault::Cut,
            _ => Fault::None,
        };
        match what {
            0..=4 => {
                let mut guard = lock(&world);
                guard.check_gap();
                guard.say(|| format!("{who}: {fault:?} for {length:?}"));
                guard.fault[who] = fault;
                drop(guard);
                let shared = world.clone();
                tokio::spawn(async move {
                    sleep(length).await;
                    let mut world = lock(&shared);
                    if world.fault[who] == fault {
                        world.say(|| format!("{who}: all well"));
                        world.fault[who] = Fault::None;
                        let now = Instant::now();
                        world.disturbed_until[who] = world.disturbed_until[who].max(now);
                    }
                });
            }
            5..=6 => {
                let mut world = lock(&world);
                let thaws = Instant::now() + length;
                world.say(|| format!("{who}: frozen for {length:?}"));
                world.disturb(who, thaws + Timing::default().request);
                world.frozen_until[who] = thaws;
                if !world.leads(who) {
                    // A write under way may be done without its sender's knowing in time.
                    world.unwitnessed = world.unwitnessed.max(Instant::now() + Duration::from_millis(50));
                }
            }
            7..=8 => {
                let mut world = lock(&world);
                let hours = world.rng.random_range(-48i64..48);
                world.say(|| format!("{who}: clock {hours} h off"));
                world.clock_offset[who] = SignedDuration::from_hours(hours);
            }
            9 => {
                // A crash, and after a while another process.
                if let Some((_, process)) = processes[who].take() {
                    let mut guard = lock(&world);
                    guard.check_gap();
                    guard.say(|| format!("{who}: crashes"));
                    process.abort();
                    guard.alive[who] = false;
                    if guard.leads(who) {
                        guard.led_until = Instant::now();
                    }
                    guard.handles[who] = None;
                    // What it had sent may still arrive.
                    guard.unwitnessed = Instant::now() + Duration::from_millis(4100);
                }
            }
            10 => {
                if let Some((stop, process)) = processes[who].take() {
                    lock(&world).say(|| format!("{who}: ends gracefully"));
                    let _ = stop.send(());
                    let _ = process.await;
                    let mut guard = lock(&world);
                    guard.check_gap();
                    guard.alive[who] = false;
                    guard.handles[who] = None;
                }
            }
            _ => {
                let mut world = lock(&world);
                world.check_gap();
                world.say(|| "somebody deletes the lease".to_owned());
                world.stored = None;
                world.anew = true;
                world.unwitnessed = Instant::now();
            }
        }
        if processes[who].is_none() {
            let dead = lock(&world).rng.random_range(0..20_000);
            sleep(Duration::from_millis(dead)).await;
            lives[who] += 1;
            processes[who] = Some(start(&world, who, lives[who]));
        }
    }
    // All is well again: within a lease somebody leads.
    {
        let mut world = lock(&world);
        world.check_gap();
        world.fault = [Fault::None; CANDIDATES];
        let now = Instant::now();
        world.disturbed_until = world.disturbed_until.map(|until| until.max(now));
    }
    let settled = {
        let world = lock(&world);
        world.disturbed_until.iter().copied().max().unwrap().max(world.led_until).max(world.unwitnessed)
    };
    sleep_until(settled + LEASE).await;
    let world = lock(&world);
    if !(0..CANDIDATES).any(|who| world.leads(who)) {
        world.fail("all is well, and nobody leads");
    }
}

struct Outcome {
    leaders: u32,
    writes: u32,
    longest_gap: Duration,
}

fn run(seed: u64, loud: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let now = Instant::now();
        let world = Arc::new(Mutex::new(World {
            seed,
            loud,
            origin: now,
            rng: StdRng::seed_from_u64(seed),
            stored: None,
            version: 0,
            fault: [Fault::None; CANDIDATES],
            disturbed_until: [now; CANDIDATES],
            alive: [false; CANDIDATES],
            frozen_until: [now; CANDIDATES],
            handles: [None, None],
            clock_offset: [SignedDuration::ZERO; CANDIDATES],
            led_until: now,
            unwitnessed: now,
            anew: true,
            leaders: 0,
            writes: 0,
            longest_gap: Duration::ZERO,
        }));
        // A task that finds a violation panics; that must not pass unseen.
        let (broken, failed) = (trouble(world.clone()), world.clone());
        broken.await;
        assert!(!failed.is_poisoned());
        let world = lock(&world);
        Outcome { leaders: world.leaders, writes: world.writes, longest_gap: world.longest_gap }
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn never_two_writers_and_never_long_without_one() {
    if let Some(seed) = number("ROOMPIN_LEASE_SEED") {
        run(seed, true);
        return;
    }
    let seeds = number("ROOMPIN_LEASE_SEEDS").unwrap_or(1000);
    let next = std::sync::atomic::AtomicU64::new(0);
    let total = Mutex::new((0u64, 0u64, Duration::ZERO));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = run(seed, false);
                    let mut total = total.lock().unwrap();
                    total.0 += u64::from(outcome.leaders);
                    total.1 += u64::from(outcome.writes);
                    total.2 = total.2.max(outcome.longest_gap);
                }
            });
        }
    });
    let (leaders, writes, gap) = *total.lock().unwrap();
    println!("{seeds} seeds: {leaders} times somebody began to lead, {writes} writes, longest wait {gap:?}");
    assert!(leaders >= 3 * seeds && writes >= 100 * seeds, "the simulation hardly did anything");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let (first, second) = (run(7, false), run(7, false));
    assert_eq!((first.leaders, first.writes), (second.leaders, second.writes));
}
