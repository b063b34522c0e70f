//! Faults between a client and the double: refusals, hangs, lost answers, late and broken watches, outages, and the
//! death of a client after a given number of writes. What is random comes from a seed.
//!
//! A fault hits all identities but the test's own client, unless it names one with [`Fault::by`].

mod crash;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::crash::CrashPoint;
use crate::ApiServer;
use crate::server::{Failure, Interceptor, Seen, Verdict};

/// The identity of a harness's own client, which only a fault that names it can hit.
pub const TEST: &str = "test";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Conflict,
    TooMany { retry_after: u32 },
    Broken { code: u16 },
    Hang,
    HangAfter,
    LoseAnswer,
    Refuse,
    Delay(Duration),
    DelayAnswer(Duration),
    DropWatch(Duration),
    LagWatch(Duration),
}

/// One kind of trouble: whom it hits, what it hits, how often and how long.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    who: Option<String>,
    resource: Option<String>,
    verbs: Vec<String>,
    share: f64,
    times: Option<u32>,
    lasting: Option<Duration>,
}

impl Fault {
    fn of(kind: Kind) -> Self {
        Self { kind, who: None, resource: None, verbs: Vec::new(), share: 1.0, times: None, lasting: None }
    }

    /// 409 for updates and patches, as if another had been quicker. Nothing is done.
    pub fn conflict() -> Self {
        Self::of(Kind::Conflict)
    }

    /// 429 with `Retry-After`. Nothing is done.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::of(Kind::TooMany { retry_after })
    }

    /// A 5xx. Nothing is done.
    pub fn server_error(code: u16) -> Self {
        Self::of(Kind::Broken { code })
    }

    /// Nothing is done, and no answer ever comes.
    pub fn hang() -> Self {
        Self::of(Kind::Hang)
    }

    /// A write is done, and its answer never comes.
    pub fn hang_after_write() -> Self {
        Self::of(Kind::HangAfter)
    }

    /// A write is done, and the connection breaks before its answer.
    pub fn lost_answer() -> Self {
        Self::of(Kind::LoseAnswer)
    }

    /// The connection breaks, and nothing is done.
    pub fn refused_connection() -> Self {
        Self::of(Kind::Refuse)
    }

    /// A request is served only after a while.
    pub fn slow(by: Duration) -> Self {
        Self::of(Kind::Delay(by))
    }

    /// A request is served at once, and answered after a while.
    pub fn slow_answer(by: Duration) -> Self {
        Self::of(Kind::DelayAnswer(by))
    }

    /// A watch that is opened breaks after a while.
    pub fn dropped_watch(after: Duration) -> Self {
        Self::of(Kind::DropWatch(after))
    }

    /// A watch that is opened shows everything this much later: a stale cache.
    pub fn watch_lag(by: Duration) -> Self {
        Self::of(Kind::LagWatch(by))
    }

    /// Only this identity's requests, be it the test's own.
    #[must_use]
    pub fn by(mut self, who: &str) -> Self {
        self.who = Some(who.to_owned());
        self
    }

    /// Only requests for this resource (its plural, as in `pods` or `pods/status`).
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only these verbs.
    #[must_use]
    pub fn verbs(mut self, verbs: &[&str]) -> Self {
        self.verbs = verbs.iter().map(|&verb| verb.to_owned()).collect();
        self
    }

    /// Only this share of the requests, drawn from the seed.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only so long, from the moment it is added.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasting = Some(time);
        self
    }

    /// Whether this fault means such a request.
    fn means(&self, seen: &Seen) -> bool {
        let whom = match &self.who {
            Some(who) => *who == seen.who,
            None => seen.who != TEST,
        };
        let what = self.resource.as_ref().is_none_or(|wanted| match wanted.split_once('/') {
            Some((resource, sub)) => seen.resource == resource && seen.subresource == sub,
            None => seen.resource == *wanted,
        });
        let sort = match self.kind {
            Kind::Conflict => matches!(seen.verb.as_str(), "update" | "patch"),
            Kind::HangAfter | Kind::LoseAnswer => seen.writes(),
            Kind::DropWatch(_) | Kind::LagWatch(_) => seen.verb == "watch",
            _ => true,
        };
        whom && what && sort && (self.verbs.is_empty() || self.verbs.contains(&seen.verb))
    }

    fn verdict(&self, seen: &Seen) -> Verdict {
        match self.kind {
            Kind::Conflict => {
                Verdict::Fail(Failure::conflict(&seen.group, &seen.resource, seen.name.as_deref().unwrap_or_default()))
            }
            Kind::TooMany { retry_after } => Verdict::Fail(Failure::too_many_requests(retry_after)),
            Kind::Broken { code: 503 } => Verdict::Fail(Failure::unavailable()),
            Kind::Broken { code: 504 } => Verdict::Fail(Failure::new(504, "Timeout", "the request timed out")),
            Kind::Broken { code } => Verdict::Fail(Failure { code, ..Failure::internal("a fault of the test") }),
            Kind::Hang => Verdict::Hang,
            Kind::HangAfter => Verdict::LoseAnswerAndHang,
            Kind::LoseAnswer => Verdict::LoseAnswer,
            Kind::Refuse => Verdict::Refuse,
            Kind::Delay(by) => Verdict::Delay(by),
            Kind::DelayAnswer(by) => Verdict::DelayAnswer(by),
            Kind::DropWatch(after) => Verdict::DropWatchAfter(after),
            Kind::LagWatch(by) => Verdict::LagWatch(by),
        }
    }
}

/// Names a fault that was added, to take it away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(u64);

/// The faults of one double; a clone is the same set.
#[derive(Clone)]
pub struct Faults {
    server: ApiServer,
    state: Arc<Mutex<State>>,
    crashed: watch::Sender<u64>,
}

struct State {
    rng: StdRng,
    next: u64,
    faults: BTreeMap<FaultId, (Fault, Option<Instant>)>,
    crash: crash::Crashes,
    hits: u64,
}

impl Faults {
    /// Stands between the double and its clients from now on, without doing anything yet.
    pub fn install(server: &ApiServer) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(0),
            next: 0,
            faults: BTreeMap::new(),
            crash: crash::Crashes::default(),
            hits: 0,
        };
        let faults =
            Self { server: server.clone(), state: Arc::new(Mutex::new(state)), crashed: watch::Sender::new(0) };
        let gate = Gate { state: faults.state.clone(), crashed: faults.crashed.clone() };
        server.set_interceptor(Arc::new(gate));
        faults
    }

    /// Begins the draw of random faults anew.
    pub fn seed(&self, seed: u64) {
        self.lock().rng = StdRng::seed_from_u64(seed);
    }

    /// Adds a fault. Of several that mean a request the first added decides.
    pub fn add(&self, fault: Fault) -> FaultId {
        let end = fault.lasting.map(|time| Instant::now() + time);
        // A watch that is open already was opened without the fault; let it be opened anew.
        let on_watches = matches!(fault.kind, Kind::DropWatch(_) | Kind::LagWatch(_));
        let id = {
            let mut state = self.lock();
            state.next += 1;
            let id = FaultId(state.next);
            state.faults.insert(id, (fault, end));
            id
        };
        if on_watches {
            self.server.drop_watches();
        }
        id
    }

    /// Takes a fault away.
    pub fn remove(&self, id: FaultId) {
        self.lock().faults.remove(&id);
    }

    /// Takes all faults and crash points away. What hangs stays hanging.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.crash = crash::Crashes::default();
    }

    /// The API cannot be reached for a while, by anybody but the test or by one identity. Open watches break:
    /// everybody's, since a connection is not told by its owner, but the others may reopen theirs at once.
    pub fn outage(&self, who: Option<&str>, time: Duration) -> FaultId {
        let fault = Fault::refused_connection().lasting(time);
        let id = self.add(match who {
            Some(who) => fault.by(who),
            None => fault,
        });
        self.server.drop_watches();
        id
    }

    /// Breaks every open watch now.
    pub fn drop_watches(&self) {
        self.server.drop_watches();
    }

    /// How many requests a fault has hit so far.
    pub fn hits(&self) -> u64 {
        self.lock().hits
    }

    /// Lets an identity die at a point; see [`CrashPoint`]. A second point for it replaces the first.
    pub fn crash(&self, point: CrashPoint) {
        self.lock().crash.set(point);
    }

    /// Whether an identity has reached its crash point.
    pub fn has_crashed(&self, who: &str) -> bool {
        self.lock().crash.is_dead(who)
    }

    /// Waits until an identity has reached its crash point.
    pub async fn crashed(&self, who: &str) {
        let mut changes = self.crashed.subscribe();
        while !self.has_crashed(who) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets a dead identity in again, as a new process of it would be.
    pub fn revive(&self, who: &str) {
        self.lock().crash.revive(who);
    }

    /// How many writes an identity has made that a crash point would count.
    pub fn writes(&self, who: &str) -> u32 {
        self.lock().crash.writes(who)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Gate {
    state: Arc<Mutex<State>>,
    crashed: watch::Sender<u64>,
}

impl Interceptor for Gate {
    fn before<'a>(&'a self, seen: &'a Seen) -> BoxFuture<'a, Verdict> {
        let verdict = self.decide(seen);
        if matches!(verdict, Verdict::Refuse | Verdict::LoseAnswer) {
            self.crashed.send_modify(|count| *count += 1);
        }
        Box::pin(std::future::ready(verdict))
    }
}

impl Gate {
    fn decide(&self, seen: &Seen) -> Verdict {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The dead do not get as far as any other fault.
        if state.crash.is_dead(&seen.who) {
            return Verdict::Refuse;
        }
        if let Some(verdict) = state.trouble(seen) {
            state.hits += 1;
            return verdict;
        }
        crate::rbac::remember(seen);
        let died = state.crash.count(seen);
        if died.is_some() {
            self.crashed.send_modify(|count| *count += 1);
        }
        died.unwrap_or(Verdict::Pass)
    }
}

impl State {
    fn trouble(&mut self, seen: &Seen) -> Option<Verdict> {
        let now = Instant::now();
        self.faults.retain(|_, (fault, end)| end.is_none_or(|end| now < end) && fault.times != Some(0));
        for (fault, _) in self.faults.values_mut() {
            if fault.means(seen) && (fault.share >= 1.0 || self.rng.random_bool(fault.share.clamp(0.0, 1.0))) {
                fault.times = fault.times.map(|times| times - 1);
                return Some(fault.verdict(seen));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
