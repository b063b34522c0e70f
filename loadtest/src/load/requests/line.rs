//! Kept-alive connections to one address; one that breaks is opened again.

use std::{
    io,
    time::{Duration, Instant},
};

use super::super::{
    LoadError, RequestPlan, TIMEOUT, Watch,
    http::{Reader, ShardId, Shards, get},
    reactor::{Reactor, Ready, Wire, scratch},
};

/// Between two looks for requests that take too long.
const LOOK: Duration = Duration::from_millis(250);
/// Errors that make a run pointless, when nothing at all succeeded.
const HOPELESS: u64 = 100;

/// What became of a request, or of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Done {
    /// A connection can carry a request.
    Free {
        /// Which.
        id: usize,
    },
    /// A request will not be answered.
    Lost,
    /// A request was answered with success, by a shard.
    Answer { room: usize, shard: ShardId, intended: Instant, at: Instant },
}

/// The connections.
#[derive(Debug)]
pub(super) struct Lines {
    plan: RequestPlan,
    requests: Vec<Box<[u8]>>,
    reactor: Reactor,
    ready: Vec<Ready>,
    scratch: Box<[u8]>,
    shards: Shards,
    lines: Vec<Option<Line>>,
    done: Vec<Done>,
    answers: u64,
    errors: u64,
    last_error: String,
    look: Instant,
}

#[derive(Debug)]
struct Line {
    wire: Wire,
    reader: Reader,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Connecting { since: Instant },
    Free,
    Busy { room: usize, intended: Instant, since: Instant },
}

/// The room that a plan's request number `room` is for, as it stands in the query.
pub(crate) fn name(seed: u64, room: usize) -> String {
    format!("load-{seed:x}-{room}")
}

fn request(plan: &RequestPlan, room: usize) -> Vec<u8> {
    get(&plan.target.to_string(), &format!("{}?room={}", plan.path, name(plan.seed, room)))
}

impl Lines {
    /// None open yet.
    pub(super) fn new(plan: &RequestPlan) -> Result<Self, LoadError> {
        // Rooms that are asked for once need no request made beforehand.
        let made = if plan.new_rooms { 0 } else { plan.rooms };
        Ok(Self {
            requests: (0..made).map(|room| request(plan, room).into_boxed_slice()).collect(),
            reactor: Reactor::new()?,
            ready: Vec::new(),
            scratch: scratch(),
            shards: Shards::default(),
            lines: (0..plan.connections).map(|_| None).collect(),
            done: Vec::new(),
            answers: 0,
            errors: 0,
            last_error: "nothing was tried".to_owned(),
            look: Instant::now(),
            plan: plan.clone(),
        })
    }

    /// Opens all.
    pub(super) fn open(&mut self, watch: &Watch) -> Result<(), LoadError> {
        // The kernel's queue of a listener is short: a few at a time.
        let until = Instant::now() + TIMEOUT + Duration::from_millis(self.plan.connections as u64);
        let (mut next, mut done) = (0, Vec::new());
        while self.free().count() < self.lines.len() && !watch.stopped() {
            let connecting = |line: &&Line| matches!(line.state, State::Connecting { .. });
            let under_way = self.lines.iter().flatten().filter(connecting).count();
            for _ in under_way..64 {
                if next < self.lines.len() {
                    self.connect(next);
                    next += 1;
                }
            }
            self.turn(Instant::now() + LOOK, &mut done)?;
            self.give_up_overdue();
            watch.set_opened(self.free().count() as u64);
            if Instant::now() > until || self.errors > HOPELESS {
                return Err(self.failed());
            }
        }
        Ok(())
    }

    fn connect(&mut self, id: usize) {
        let state = State::Connecting { since: Instant::now() };
        match self.reactor.connect(self.plan.target, id) {
            Ok(wire) => self.lines[id] = Some(Line { wire, reader: Reader::new(false), state }),
            Err(error) => {
                self.errors += 1;
                self.last_error = error.to_string();
            }
        }
    }

    /// Connections that could carry a request.
    pub(super) fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.lines.len()).filter(|id| self.is_free(*id))
    }

    /// Whether a connection could carry a request.
    pub(super) fn is_free(&self, id: usize) -> bool {
        matches!(self.lines[id], Some(Line { state: State::Free, .. }))
    }

    /// What failed so far.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    /// When the requests under way were to go out.
    pub(super) fn under_way(&self) -> impl Iterator<Item = Instant> {
        self.lines.iter().flatten().filter_map(|line| match line.state {
            State::Busy { intended, .. } => Some(intended),
            _ => None,
        })
    }

    /// # Errors
    /// When nothing has succeeded and much has failed.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        if self.answers == 0 && self.errors > HOPELESS { Err(self.failed()) } else { Ok(()) }
    }

    fn failed(&self) -> LoadError {
        LoadError::Target { target: self.plan.target.to_string(), why: self.last_error.clone() }
    }

    /// Sends the request for a room over a free connection.
    pub(super) fn send(&mut self, id: usize, room: usize, intended: Instant) {
        let Some(line) = self.lines[id].as_mut() else { return };
        line.state = State::Busy { room, intended, since: Instant::now() };
        let sent = match self.requests.get(room) {
            Some(request) => line.wire.send(request),
            None => line.wire.send(&request(&self.plan, room)),
        };
        if let Err(error) = sent {
            self.broke(id, &error.to_string());
        }
    }

    /// Waits until something happens, or until then; appends what did.
    pub(super) fn turn(&mut self, until: Instant, done: &mut Vec<Done>) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.reactor.wait(until, &mut ready);
        for ready in &ready {
            match self.handle(*ready) {
                Ok(true) => {}
                // Nothing was under way, so nothing failed: servers close connections they tire of.
                Ok(false) => self.connect(ready.id),
                Err(why) => self.broke(ready.id, &why),
            }
        }
        self.ready = ready;
        done.append(&mut self.done);
        waited
    }

    /// Whether the connection lives on.
    fn handle(&mut self, ready: Ready) -> Result<bool, String> {
        let words = |error: io::Error| error.to_string();
        let id = ready.id;
        let Some(line) = self.lines.get_mut(id).and_then(Option::as_mut) else { return Ok(true) };
        if ready.writable {
            if matches!(line.state, State::Connecting { .. }) && line.wire.connected().map_err(words)? {
                line.state = State::Free;
                self.done.push(Done::Free { id });
            }
            line.wire.flush().map_err(words)?;
        }
        if !ready.readable {
            return Ok(true);
        }
        while let Some(n) = line.wire.receive(&mut self.scratch).map_err(words)? {
            let answer =
                if n == 0 { line.reader.end() } else { line.reader.feed(&self.scratch[..n], &mut self.shards)? };
            match (answer, line.state) {
                (Some(answer), State::Busy { room, intended, .. }) => {
                    line.state = State::Free;
                    if let Some(shard) = answer.shard_if_ok() {
                        self.answers += 1;
                        self.done.push(Done::Answer { room, shard, intended, at: Instant::now() });
                    } else {
                        self.errors += 1;
                        self.last_error = format!("no success of a stub shard, status {}", answer.status);
                        self.done.push(Done::Lost);
                    }
                    if !answer.keep_alive || n == 0 {
                        return Ok(false);
                    }
                    self.done.push(Done::Free { id });
                }
                (Some(_), _) => return Err("an answer to nothing".to_owned()),
                (None, State::Free) if n == 0 && line.reader.is_idle() => return Ok(false),
                (None, _) if n == 0 => return Err("the connection was cut".to_owned()),
                (None, _) => {}
            }
            if n < self.scratch.len() && !ready.ended {
                break;
            }
        }
        Ok(true)
    }

    /// Looks now and then for what has taken too long, and for connections that could not be opened.
    pub(super) fn give_up_overdue(&mut self) {
        let now = Instant::now();
        if now < self.look {
            return;
        }
        self.look = now + LOOK;
        for id in 0..self.lines.len() {
            match self.lines[id].as_ref().map(|line| line.state) {
                Some(State::Connecting { since } | State::Busy { since, .. }) if now > since + TIMEOUT => {
                    self.broke(id, "no answer within 5 s");
                }
                _ => {}
            }
        }
        for id in 0..self.lines.len() {
            // One that broke waits for this look, so that a refusing target is not hammered.
            if self.lines[id].is_none() {
                self.connect(id);
            }
        }
    }

    fn broke(&mut self, id: usize, why: &str) {
        let Some(line) = self.lines[id].take() else { return };
        self.errors += 1;
        if matches!(line.state, State::Busy { .. }) {
            self.done.push(Done::Lost);
        }
        why.clone_into(&mut self.last_error);
        tracing::debug!(target = %self.plan.target, id, why, "connection broke");
    }
}
