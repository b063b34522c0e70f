//! The accepting side: strangers are many and slow, and must not matter.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::{
    Shared,
    counters::{Outcome, Side},
    handshake,
    hello::Verdict,
    link,
    table::Admission,
};

/// After an accept that failed, usually for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until aborted.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let half_open = Arc::new(HalfOpen::default());
    let mut serial = 0;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                serial += 1;
                half_open.spawn(serial, &shared, stream, from);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a mesh connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Connections that have not proved the key yet, oldest first.
#[derive(Debug, Default)]
struct HalfOpen(Mutex<BTreeMap<u64, AbortHandle>>);

impl HalfOpen {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a handshake. With too many under way the oldest is given up: a replica needs a few milliseconds for its
    /// own, so those that linger are not replicas.
    fn spawn(self: &Arc<Self>, serial: u64, shared: &Arc<Shared>, stream: TcpStream, from: SocketAddr) {
        let stranger = Stranger { half_open: Arc::clone(self), serial };
        let mut open = self.lock();
        let oldest = if open.len() >= shared.limits.half_open { open.pop_first() } else { None };
        // Under the lock, so that a task that ends at once finds its entry to remove.
        let task = shared.spawn(answer(Arc::clone(shared), stream, from, stranger));
        open.insert(serial, task.abort_handle());
        drop(open);
        if let Some((_, oldest)) = oldest {
            oldest.abort();
            shared.counters.count(Side::Accepted, Outcome::Evicted);
        }
    }
}

/// Holds a place among the half-open.
struct Stranger {
    half_open: Arc<HalfOpen>,
    serial: u64,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.half_open.lock().remove(&self.serial);
    }
}

async fn answer(shared: Arc<Shared>, mut stream: TcpStream, from: SocketAddr, stranger: Stranger) {
    let handshake = tokio::time::timeout(shared.limits.handshake, meet(&shared, &mut stream, stranger)).await;
    let outcome = match handshake.unwrap_or(Err(Outcome::Timeout)) {
        Ok(accepted) => {
            let Accepted { session, place, verdict } = *accepted;
            let node = place.node;
            // The verdict goes out first thing on the link.
            shared.spawn(shared.link().run(stream, session, place, verdict));
            tracing::debug!(replica = %node.id, %from, "accepted");
            Outcome::Linked
        }
        Err(outcome) => outcome,
    };
    shared.counters.count(Side::Accepted, outcome);
    if matches!(outcome, Outcome::NotMesh | Outcome::WrongKey | Outcome::Replayed | Outcome::Malformed)
        && shared.may_grumble()
    {
        tracing::warn!(%from, why = outcome.as_str(), "refused a connection to the mesh (there may be more like it)");
    }
}

struct Accepted {
    session: super::noise::Session,
    place: super::table::Place,
    verdict: Vec<u8>,
}

async fn meet(shared: &Shared, stream: &mut TcpStream, stranger: Stranger) -> Result<Box<Accepted>, Outcome> {
    link::prepare(stream).map_err(|_| Outcome::Closed)?;
    let me = shared.hello();
    let met = handshake::accept(stream, &shared.keys.load_full(), &shared.recent, &me).await?;
    // From here on it is no stranger.
    drop(stranger);
    let handshake::Met { mut session, hello } = met;
    let verdict = match me.agree(&hello) {
        Ok(version) => {
            let mut changes = shared.table.changes();
            loop {
                changes.borrow_and_update();
                match shared.table.admit(me.node.id, &hello, version, session.tag) {
                    Admission::Link(place) => {
                        let verdict = handshake::sealed_verdict(&mut session, Verdict::Welcome);
                        return Ok(Box::new(Accepted { session, place, verdict }));
                    }
                    // The sender lives in the table.
                    Admission::Wait => changes.changed().await.map_err(|_| Outcome::Leaving)?,
                    Admission::Duplicate(tag) => break Verdict::Duplicate(tag),
                    Admission::No(reason) => break Verdict::No(reason),
                }
            }
        }
        Err(reason) => {
            shared.disagree(&hello, reason);
            Verdict::No(reason)
        }
    };
    let sealed = handshake::sealed_verdict(&mut session, verdict);
    stream.write_all(&sealed).await.map_err(|_| Outcome::Closed)?;
    Err(verdict.outcome())
}
