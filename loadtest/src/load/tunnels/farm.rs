//! Many tunnels to one address: opening them, sending through them, noticing when they break.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::super::{
    LoadError, TIMEOUT, Watch,
    frame::PingPong,
    http::{Reader, Shards, handshake},
    reactor::{Reactor, Ready, Wire, scratch},
};

/// A message that came back.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Back {
    /// The tunnel, free again.
    pub(in super::super) id: usize,
    /// When the message was to go out.
    pub(in super::super) intended: Instant,
    /// When it was back.
    pub(in super::super) at: Instant,
}

/// The tunnels.
#[derive(Debug)]
pub(in super::super) struct Farm {
    target: SocketAddr,
    rooms: usize,
    seed: u64,
    message: PingPong,
    reactor: Reactor,
    ready: Vec<Ready>,
    scratch: Box<[u8]>,
    shards: Shards,
    tunnels: Vec<Option<Tunnel>>,
    opened: usize,
    alive: usize,
    errors: u64,
    /// Messages lost with their tunnels, until asked for.
    lost: usize,
    last_error: String,
}

#[derive(Debug)]
struct Tunnel {
    wire: Wire,
    state: State,
}

#[derive(Debug)]
enum State {
    Connecting,
    Handshake(Box<Reader>),
    Free,
    Busy { intended: Instant, got: usize },
}

impl Farm {
    /// None yet. Rooms are named after the seed.
    pub(in super::super) fn new(
        target: SocketAddr,
        rooms: usize,
        seed: u64,
        message: PingPong,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            target,
            rooms,
            seed,
            message,
            reactor: Reactor::new()?,
            ready: Vec::new(),
            scratch: scratch(),
            shards: Shards::default(),
            tunnels: Vec::new(),
            opened: 0,
            alive: 0,
            errors: 0,
            lost: 0,
            last_error: "nothing was tried".to_owned(),
        })
    }

    /// Opens `count` more, at most `at_once` at a time. Some may fail, a tenth at most.
    pub(in super::super) fn open(&mut self, count: usize, at_once: usize, watch: &Watch) -> Result<(), LoadError> {
        let end = self.tunnels.len() + count;
        let most_errors = self.errors + count as u64 / 10;
        let mut back = Vec::new();
        // Every try has the same time, so the oldest is always the first to be given up.
        let mut trying: VecDeque<(usize, Instant)> = VecDeque::new();
        loop {
            while let Some((id, deadline)) = trying.front().copied() {
                let still = self.tunnels[id].as_ref().is_some_and(Tunnel::is_opening);
                if still && Instant::now() < deadline {
                    break;
                }
                trying.pop_front();
                if still {
                    self.give_up(id, "no tunnel within 5 s");
                }
            }
            if self.errors > most_errors {
                return Err(self.failed());
            }
            let under_way = trying.iter().filter(|(id, _)| self.tunnels[*id].as_ref().is_some_and(Tunnel::is_opening));
            let under_way = under_way.count();
            for _ in 0..at_once.saturating_sub(under_way).min(end - self.tunnels.len()) {
                let id = self.tunnels.len();
                match self.reactor.connect(self.target, id) {
                    Ok(wire) => self.tunnels.push(Some(Tunnel { wire, state: State::Connecting })),
                    Err(error) => {
                        self.tunnels.push(None);
                        self.errors += 1;
                        self.last_error = error.to_string();
                    }
                }
                trying.push_back((id, Instant::now() + TIMEOUT));
            }
            if trying.is_empty() && self.tunnels.len() == end {
                break;
            }
            if watch.stopped() {
                break;
            }
            let deadline = trying.front().map_or_else(Instant::now, |(_, deadline)| *deadline);
            self.turn(deadline, &mut back)?;
            watch.set_opened(self.opened as u64);
        }
        if self.alive == 0 { Err(self.failed()) } else { Ok(()) }
    }

    fn failed(&self) -> LoadError {
        LoadError::Target { target: self.target.to_string(), why: self.last_error.clone() }
    }

    /// Tunnels open now.
    pub(in super::super) fn alive(&self) -> usize {
        self.alive
    }

    /// Tunnels that failed or broke so far.
    pub(in super::super) fn errors(&self) -> u64 {
        self.errors
    }

    /// What went wrong last, in words.
    pub(in super::super) fn last_error(&self) -> &str {
        &self.last_error
    }

    /// Tunnels that could carry a message.
    pub(in super::super) fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.tunnels.len()).filter(|id| self.is_free(*id))
    }

    /// Whether a tunnel could carry a message.
    pub(in super::super) fn is_free(&self, id: usize) -> bool {
        matches!(self.tunnels[id], Some(Tunnel { state: State::Free, .. }))
    }

    /// When the messages under way were to go out.
    pub(in super::super) fn under_way(&self) -> impl Iterator<Item = Instant> {
        self.tunnels.iter().flatten().filter_map(|tunnel| match tunnel.state {
            State::Busy { intended, .. } => Some(intended),
            _ => None,
        })
    }

    /// Messages lost since last asked.
    pub(in super::super) fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
    }

    /// Sends the message through a free tunnel.
    pub(in super::super) fn send(&mut self, id: usize, intended: Instant) {
        let Some(tunnel) = self.tunnels[id].as_mut() else { return };
        tunnel.state = State::Busy { intended, got: 0 };
        if let Err(error) = tunnel.wire.send(&self.message.out) {
            self.give_up(id, &error.to_string());
        }
    }

    /// Waits until something happens, or until then; appends what came back.
    pub(in super::super) fn turn(&mut self, until: Instant, back: &mut Vec<Back>) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.reactor.wait(until, &mut ready);
        for ready in &ready {
            if let Err(why) = self.handle(*ready, back) {
                self.give_up(ready.id, &why);
            }
        }
        self.ready = ready;
        waited
    }

    fn handle(&mut self, ready: Ready, back: &mut Vec<Back>) -> Result<(), String> {
        let words = |error: io::Error| error.to_string();
        let Some(tunnel) = self.tunnels.get_mut(ready.id).and_then(Option::as_mut) else { return Ok(()) };
        if ready.writable {
            if matches!(tunnel.state, State::Connecting) && tunnel.wire.connected().map_err(words)? {
                let room = format!("load-{:x}-{}", self.seed, ready.id % self.rooms);
                tunnel.state = State::Handshake(Box::new(Reader::new(false)));
                tunnel.wire.send(&handshake(&self.target.to_string(), &room)).map_err(words)?;
            }
            tunnel.wire.flush().map_err(words)?;
        }
        if !ready.readable {
            return Ok(());
        }
        while let Some(n) = tunnel.wire.receive(&mut self.scratch).map_err(words)? {
            if n == 0 {
                return Err("the tunnel was cut".to_owned());
            }
            let bytes = &self.scratch[..n];
            match &mut tunnel.state {
                State::Connecting => return Err("bytes before any request".to_owned()),
                State::Handshake(reader) => {
                    if let Some(answer) = reader.feed(bytes, &mut self.shards)? {
                        if answer.shard_if_tunnel().is_none() {
                            return Err(format!("no tunnel of a stub shard, status {}", answer.status));
                        }
                        tunnel.state = State::Free;
                        self.opened += 1;
                        self.alive += 1;
                    }
                }
                State::Free => return Err(unasked(bytes)),
                State::Busy { intended, got } => {
                    let expected = &self.message.back[*got..];
                    if !expected.starts_with(bytes) {
                        return Err(unasked(bytes));
                    }
                    *got += n;
                    if *got == self.message.back.len() {
                        back.push(Back { id: ready.id, intended: *intended, at: Instant::now() });
                        tunnel.state = State::Free;
                    }
                }
            }
            if n < self.scratch.len() && !ready.ended {
                break;
            }
        }
        Ok(())
    }

    fn give_up(&mut self, id: usize, why: &str) {
        let Some(tunnel) = self.tunnels[id].take() else { return };
        self.errors += 1;
        self.alive -= usize::from(!tunnel.is_opening());
        self.lost += usize::from(matches!(tunnel.state, State::Busy { .. }));
        why.clone_into(&mut self.last_error);
        tracing::debug!(target = %self.target, id, why, "tunnel given up");
    }

    /// Goes on for a while with nothing to send.
    pub(in super::super) fn rest(&mut self, time: Duration, watch: &Watch) -> io::Result<()> {
        let (until, mut back) = (Instant::now() + time, Vec::new());
        while Instant::now() < until && !watch.stopped() {
            self.turn(until, &mut back)?;
        }
        Ok(())
    }
}

impl Tunnel {
    fn is_opening(&self) -> bool {
        matches!(self.state, State::Connecting | State::Handshake(_))
    }
}

fn unasked(bytes: &[u8]) -> String {
    format!("something else than the echo, beginning with {:02x?}", &bytes[..bytes.len().min(8)])
}
