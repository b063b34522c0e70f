//! The dialling side: a task for each address at which a replica may be.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use router_core::cluster::ReplicaId;
use tokio::{net::TcpStream, sync::Notify, task::AbortHandle, time::Instant};

use super::{
    Shared,
    counters::{Outcome, Side},
    handshake,
    hello::Verdict,
    link,
};

/// Addresses dialled at most.
const MAX_TARGETS: usize = 256;
/// How long an order to dial stands.
const ORDER: Duration = Duration::from_secs(30);
/// Orders for one address that come faster than this are one order.
const FRESH: Duration = Duration::from_secs(1);
/// A link that lasted so long was a good one: dialling starts afresh.
const LASTING: Duration = Duration::from_secs(1);

/// Everything that is dialled.
#[derive(Debug)]
pub(super) struct Targets {
    shared: Arc<Shared>,
    map: Mutex<HashMap<SocketAddr, (Arc<Target>, AbortHandle)>>,
}

#[derive(Debug)]
struct Target {
    address: SocketAddr,
    /// Discovery names it.
    listed: AtomicBool,
    /// When it was last ordered.
    ordered: Mutex<Option<Instant>>,
    nudge: Notify,
}

impl Targets {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, map: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, (Arc<Target>, AbortHandle)>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dials these addresses for as long as they are listed.
    pub(super) fn list(self: &Arc<Self>, addresses: &BTreeSet<SocketAddr>) {
        let mut map = self.lock();
        map.retain(|address, (target, task)| {
            let stays = addresses.contains(address);
            target.listed.store(stays, Ordering::Relaxed);
            let keep = stays || target.is_ordered();
            if !keep {
                task.abort();
            }
            keep
        });
        for address in addresses {
            if !map.contains_key(address) {
                self.add(&mut map, *address, None);
            }
        }
    }

    /// Dials an address now, and then for half a minute.
    pub(super) fn order(self: &Arc<Self>, address: SocketAddr) {
        let mut map = self.lock();
        let now = Instant::now();
        let Some((target, _)) = map.get(&address) else {
            return self.add(&mut map, address, Some(now));
        };
        let before = target.ordered.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if before.is_none_or(|before| now - before > FRESH) {
            target.nudge.notify_one();
        }
    }

    fn add(
        self: &Arc<Self>,
        map: &mut HashMap<SocketAddr, (Arc<Target>, AbortHandle)>,
        address: SocketAddr,
        ordered: Option<Instant>,
    ) {
        // What we tell others to dial needs no trying.
        if address == self.shared.me.address || map.len() >= MAX_TARGETS {
            return;
        }
        let target = Arc::new(Target {
            address,
            listed: AtomicBool::new(ordered.is_none()),
            ordered: Mutex::new(ordered),
            nudge: Notify::new(),
        });
        let task = self.shared.spawn(Dialler::new(Arc::clone(self), Arc::clone(&target)).run());
        map.insert(address, (target, task.abort_handle()));
    }

    /// Ends a target that nobody wants any more; `false` if somebody does.
    fn retire(&self, target: &Target) -> bool {
        let mut map = self.lock();
        let unwanted = !target.listed.load(Ordering::Relaxed) && !target.is_ordered();
        if unwanted {
            map.remove(&target.address);
        }
        unwanted
    }

    /// Dials no more.
    pub(super) fn stop(&self) {
        self.lock().drain().for_each(|(_, (_, task))| task.abort());
    }
}

impl Target {
    fn is_ordered(&self) -> bool {
        let ordered = *self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.is_some_and(|at| at.elapsed() < ORDER)
    }
}

struct Dialler {
    targets: Arc<Targets>,
    shared: Arc<Shared>,
    target: Arc<Target>,
    /// Who answered last.
    who: Option<ReplicaId>,
    /// A link that the other side believes in and we do not.
    lost: Option<(ReplicaId, u64)>,
    backoff: Backoff,
    /// The previous key is next; the other side may not have the current one yet.
    previous: bool,
    last: Option<Outcome>,
}

impl Dialler {
    fn new(targets: Arc<Targets>, target: Arc<Target>) -> Self {
        let shared = Arc::clone(&targets.shared);
        let backoff = Backoff::new(shared.limits.backoff_min, shared.limits.backoff_max);
        Self { targets, shared, target, who: None, lost: None, backoff, previous: false, last: None }
    }

    async fn run(mut self) {
        let mut at_once = true;
        loop {
            let linked = self.while_linked().await;
            if self.targets.retire(&self.target) {
                return;
            }
            if linked.is_some_and(|time| time >= LASTING) {
                self.backoff.reset();
                at_once = true;
            }
            if !std::mem::take(&mut at_once) {
                let pause = self.backoff.next(rand::random());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.target.nudge.notified() => self.backoff.reset(),
                }
                // The other side may have been faster.
                if self.shared.table.is_linked(self.target.address, self.who) {
                    continue;
                }
            }
            let lost = self.lost;
            let outcome = self.attempt().await;
            self.shared.counters.count(Side::Dialled, outcome);
            self.log(outcome);
            match outcome {
                // It will not become another process while we live.
                Outcome::Itself => return std::future::pending().await,
                Outcome::Duplicate => at_once = self.lost != lost,
                Outcome::WrongKey | Outcome::Closed => self.previous = !self.previous,
                _ => {}
            }
        }
    }

    /// Waits while there is a link to whoever is at the address; for how long there was one.
    async fn while_linked(&self) -> Option<Duration> {
        let mut changes = self.shared.table.changes();
        let mut since = None;
        loop {
            changes.borrow_and_update();
            if !self.shared.table.is_linked(self.target.address, self.who) {
                return since.map(|since: Instant| since.elapsed());
            }
            since.get_or_insert_with(Instant::now);
            if changes.changed().await.is_err() {
                // The table is gone, and so are we, soon.
                return std::future::pending().await;
            }
        }
    }

    async fn attempt(&mut self) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let connect = TcpStream::connect(self.target.address);
        let Ok(Ok(mut stream)) = tokio::time::timeout(shared.limits.connect, connect).await else {
            return Outcome::Unreachable;
        };
        if link::prepare(&stream).is_err() {
            return Outcome::Unreachable;
        }
        let met = tokio::time::timeout(shared.limits.handshake, self.meet(&mut stream)).await;
        match met.unwrap_or(Err(Outcome::Timeout)) {
            Ok(met) => {
                let (session, place) = *met;
                self.lost = None;
                shared.spawn(shared.link().run(stream, session, place, Vec::new()));
                Outcome::Linked
            }
            Err(outcome) => outcome,
        }
    }

    async fn meet(
        &mut self,
        stream: &mut TcpStream,
    ) -> Result<Box<(super::noise::Session, super::table::Place)>, Outcome> {
        let keys = self.shared.keys.load_full();
        let key = keys.previous.as_ref().filter(|_| self.previous).unwrap_or(&keys.current);
        let handshake::Met { mut session, hello } = handshake::dial(stream, key).await?;
        let id = hello.node.id;
        self.who = Some(id);
        let mut me = self.shared.hello();
        me.lost = self.lost.filter(|(lost, _)| *lost == id).map_or(0, |(_, tag)| tag);
        let version = match me.agree(&hello) {
            Ok(version) => version,
            Err(Outcome::Itself) => return Err(Outcome::Itself),
            Err(reason) => {
                self.shared.disagree(&hello, reason);
                // So that the other side knows too; what it says to it changes nothing.
                let _ = handshake::introduce(stream, &mut session, &me).await;
                return Err(reason);
            }
        };
        let claim = self.shared.table.claim(id)?;
        match handshake::introduce(stream, &mut session, &me).await? {
            Verdict::Welcome => {
                let place = claim.succeed(hello.node, version, session.tag)?;
                Ok(Box::new((session, place)))
            }
            Verdict::Duplicate(tag) => {
                drop(claim);
                if !self.shared.table.has(id) {
                    self.lost = Some((id, tag));
                }
                Err(Outcome::Duplicate)
            }
            Verdict::No(reason) => Err(reason),
        }
    }

    /// Says what is wrong when it starts, not at every attempt.
    fn log(&mut self, outcome: Outcome) {
        let (address, why) = (self.target.address, outcome.as_str());
        let news = self.last != Some(outcome);
        self.last = Some(outcome);
        match outcome {
            Outcome::Linked | Outcome::Duplicate => {}
            Outcome::Itself => tracing::info!(%address, "this replica itself is at this address"),
            // Both sides have said more than this.
            Outcome::RoomKey | Outcome::Version => {}
            Outcome::Closed if news => {
                tracing::warn!(%address, why, "hung up on without an answer; is its key another?");
            }
            _ if news => tracing::warn!(%address, why, "cannot link to a replica, trying again"),
            _ => tracing::debug!(%address, why, "cannot link to a replica, trying again"),
        }
    }
}

/// Pauses that double, each with a random half taken off, so that replicas that fail together do not return together.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    fn reset(&mut self) {
        self.next = self.min;
    }

    /// The next pause; `chance` is from 0 to 1.
    fn next(&mut self, chance: f64) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.max);
        pause.mul_f64(1.0 - 0.5 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_vary() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(5_000));
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(0.0)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000].map(ms));
        assert_eq!(backoff.next(1.0), ms(2_500));
        backoff.reset();
        assert_eq!(backoff.next(0.5), ms(75));
    }
}
