//! What the tasks of one stub share: its name, its counters and its knobs.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{StatusCode, header::HeaderValue};

use super::StubShard;

/// Settings that tests turn while the stub runs.
#[derive(Debug)]
pub(super) struct Knobs {
    pub(super) delay: Duration,
    pub(super) failure: Option<StatusCode>,
    pub(super) health: StatusCode,
    pub(super) agent: String,
    pub(super) jitsi_header: bool,
}

#[derive(Debug)]
pub(super) struct State {
    name: String,
    header: HeaderValue,
    hits: AtomicU64,
    sessions: AtomicU64,
    tunnels: AtomicUsize,
    rooms: Mutex<HashMap<String, u64>>,
    knobs: Mutex<Knobs>,
}

impl State {
    /// # Errors
    /// When the name is empty or has characters that a header, a page or a session id would not carry.
    pub(super) fn new(name: &str, jitsi_header: bool) -> io::Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let refuse = || io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} cannot name a shard"));
        if name.is_empty() || !name.chars().all(fits) {
            return Err(refuse());
        }
        Ok(Self {
            name: name.to_owned(),
            header: HeaderValue::from_str(name).map_err(|_| refuse())?,
            hits: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            tunnels: AtomicUsize::new(0),
            rooms: Mutex::new(HashMap::new()),
            knobs: Mutex::new(Knobs {
                delay: Duration::ZERO,
                failure: None,
                health: StatusCode::OK,
                agent: "up ready 100%".to_owned(),
                jitsi_header,
            }),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    pub(super) fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(super) fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    pub(super) fn rooms(&self) -> BTreeMap<String, u64> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().map(|(room, hits)| (room.clone(), *hits)).collect()
    }

    /// Counts a request and notes its room, as long as there is space for new rooms.
    pub(super) fn note(&self, room: Option<&str>) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        let Some(room) = room else { return };
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hits) = rooms.get_mut(room) {
            *hits += 1;
        } else if rooms.len() < StubShard::MAX_ROOMS {
            rooms.insert(room.to_owned(), 1);
        }
    }

    /// A BOSH session id that only this shard knows as its own, as Prosody's are.
    pub(super) fn new_session(&self) -> String {
        format!("{}/{}", self.name, self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether [`State::new_session`] gave out this id.
    pub(super) fn knows_session(&self, sid: &str) -> bool {
        let number = sid.strip_prefix(self.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        number.and_then(|n| n.parse().ok()).is_some_and(|n: u64| n < self.sessions.load(Ordering::Relaxed))
    }

    /// Counts a tunnel for as long as the guard lives.
    pub(super) fn tunnel_opened(&self) -> OpenTunnel<'_> {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        OpenTunnel(self)
    }
}

/// A tunnel that is open. Tunnels end by being dropped, too.
#[derive(Debug)]
pub(super) struct OpenTunnel<'s>(&'s State);

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}
