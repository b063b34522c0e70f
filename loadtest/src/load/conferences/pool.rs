//! A bounded number of connections to the replicas: opened and warmed before they are needed, reused while they live.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::super::{
    TIMEOUT,
    frame::{self, CLOSE, PING, PONG, PingPong},
    http::{Answer, Reader, Shards, get},
    reactor::{Reactor, Ready, Wire, scratch},
};

/// Between two looks for what takes too long.
const LOOK: Duration = Duration::from_millis(250);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Longest frame from a tunnel: echoes are short.
const MAX_FRAME: usize = 1 << 10;

/// Who uses a connection: room's slot, its serial number, person.
pub(super) type User = (usize, u64, usize);

/// What happened to a connection in use.
#[derive(Debug)]
pub(super) enum Event {
    /// It can carry a request now.
    Ready { user: User },
    /// Its request was answered; the body, if bodies are kept. An accepted handshake makes it a tunnel.
    Answer { user: User, id: usize, answer: Answer, body: Vec<u8>, at: Instant },
    /// It is gone.
    Cut { user: User, id: usize, was: Was, why: String },
}

/// What a connection that is gone was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// Getting ready, which should have worked.
    Opening,
    /// Ready for a request; a server may tire of that.
    Ready,
    /// Waiting for an answer.
    Asking,
    /// An open tunnel.
    Tunnel,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    targets: Vec<SocketAddr>,
    most: usize,
    warm: bool,
    keep_body: bool,
    message: PingPong,
    reactor: Reactor,
    ready: Vec<Ready>,
    scratch: Box<[u8]>,
    shards: Shards,
    wires: Vec<Option<Conn>>,
    vacant: Vec<usize>,
    /// Ready and nobody's, for each target.
    free: Vec<Vec<usize>>,
    look: Instant,
}

#[derive(Debug)]
struct Conn {
    wire: Wire,
    target: usize,
    state: State,
    since: Instant,
    reader: Reader,
    user: Option<User>,
}

#[derive(Debug)]
enum State {
    Connecting,
    Warming,
    Ready,
    Asking,
    /// Bytes of a frame that is not complete, and since when an echo is awaited.
    Tunnel(Vec<u8>, Option<Instant>),
    Goodbye,
}

impl Pool {
    /// At most `most` sockets. `warm`: a request without a room first, so that the replica is connected on, too.
    pub(super) fn new(targets: Vec<SocketAddr>, most: usize, warm: bool, keep_body: bool) -> io::Result<Self> {
        Ok(Self {
            free: vec![Vec::new(); targets.len()],
            targets,
            most,
            warm,
            keep_body,
            message: PingPong::new(24, 1),
            reactor: Reactor::new()?,
            ready: Vec::new(),
            scratch: scratch(),
            shards: Shards::default(),
            wires: Vec::new(),
            vacant: Vec::new(),
            look: Instant::now(),
        })
    }

    /// The replica with this number.
    pub(super) fn target(&self, target: usize) -> SocketAddr {
        self.targets[target]
    }

    /// How many more could be taken.
    pub(super) fn available(&self) -> usize {
        self.most - self.open() + self.free.iter().map(Vec::len).sum::<usize>()
    }

    /// Sockets open now.
    pub(super) fn open(&self) -> usize {
        self.wires.len() - self.vacant.len()
    }

    /// Takes a connection to a target, one that is ready if there is, else a new one; `None` when there are too many.
    ///
    /// # Errors
    /// When the system refuses a new one.
    pub(super) fn take(&mut self, target: usize, user: User) -> io::Result<Option<usize>> {
        if let Some(id) = self.free[target].pop() {
            if let Some(conn) = self.wires[id].as_mut() {
                conn.user = Some(user);
            }
            return Ok(Some(id));
        }
        if self.open() >= self.most {
            // One that is ready for another target makes room.
            let Some(id) = self.free.iter_mut().find_map(Vec::pop) else { return Ok(None) };
            self.close(id);
        }
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.wires.push(None);
            self.wires.len() - 1
        });
        match self.reactor.connect(self.targets[target], id) {
            Ok(wire) => {
                let (state, reader) = (State::Connecting, Reader::new(self.keep_body));
                self.wires[id] = Some(Conn { wire, target, state, since: Instant::now(), reader, user: Some(user) });
                Ok(Some(id))
            }
            Err(error) => {
                self.vacant.push(id);
                Err(error)
            }
        }
    }

    /// Whether a connection can carry a request.
    pub(super) fn is_ready(&self, id: usize) -> bool {
        matches!(self.wires[id], Some(Conn { state: State::Ready, .. }))
    }

    /// Sends a request over a connection that is ready.
    pub(super) fn ask(&mut self, id: usize, request: &[u8], events: &mut Vec<Event>) {
        let Some(conn) = self.wires[id].as_mut() else { return };
        conn.state = State::Asking;
        conn.since = Instant::now();
        if let Err(error) = conn.wire.send(request) {
            self.cut(id, &error.to_string(), events);
        }
    }

    /// Sends a message through a tunnel, to be echoed in time.
    pub(super) fn ping(&mut self, id: usize, events: &mut Vec<Event>) {
        let Some(Conn { wire, state: State::Tunnel(_, awaited), .. }) = self.wires[id].as_mut() else { return };
        if awaited.is_none() {
            *awaited = Some(Instant::now());
            if let Err(error) = wire.send(&self.message.out) {
                self.cut(id, &error.to_string(), events);
            }
        }
    }

    /// Nobody needs it now. A tunnel says goodbye; what is ready waits for the next; the rest is closed.
    /// Does nothing if it was closed meanwhile, even if its number has been given to another.
    pub(super) fn give_back(&mut self, id: usize, user: User) {
        let Some(conn) = self.wires[id].as_mut().filter(|conn| conn.user == Some(user)) else { return };
        conn.user = None;
        match conn.state {
            State::Ready => self.free[conn.target].push(id),
            State::Tunnel(..) => {
                conn.state = State::Goodbye;
                conn.since = Instant::now();
                if conn.wire.send(&frame::client(CLOSE, &1000_u16.to_be_bytes(), [1, 2, 3, 4])).is_err() {
                    self.close(id);
                }
            }
            _ => self.close(id),
        }
    }

    /// Waits until something happens, or until then; appends what did.
    pub(super) fn turn(&mut self, until: Instant, events: &mut Vec<Event>) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.reactor.wait(until.min(self.look), &mut ready);
        for ready in &ready {
            if let Err(why) = self.handle(*ready, events) {
                self.cut(ready.id, &why, events);
            }
        }
        self.ready = ready;
        self.look_around(events);
        waited
    }

    fn handle(&mut self, ready: Ready, events: &mut Vec<Event>) -> Result<(), String> {
        let words = |error: io::Error| error.to_string();
        let Some(conn) = self.wires.get_mut(ready.id).and_then(Option::as_mut) else { return Ok(()) };
        if ready.writable {
            if matches!(conn.state, State::Connecting) && conn.wire.connected().map_err(words)? {
                if self.warm {
                    conn.state = State::Warming;
                    conn.wire.send(&get(&self.targets[conn.target].to_string(), "/_unlock")).map_err(words)?;
                } else {
                    conn.became_ready(ready.id, &mut self.free, events);
                }
            }
            conn.wire.flush().map_err(words)?;
        }
        if !ready.readable {
            return Ok(());
        }
        while let Some(n) = conn.wire.receive(&mut self.scratch).map_err(words)? {
            let bytes = &self.scratch[..n];
            match &mut conn.state {
                State::Goodbye if n > 0 => {}
                State::Tunnel(held, awaited) if n > 0 => {
                    held.extend_from_slice(bytes);
                    let taken = frames(held, awaited, &mut conn.wire, &self.message)?;
                    held.drain(..taken);
                }
                State::Warming | State::Asking => {
                    let answer = if n == 0 { conn.reader.end() } else { conn.reader.feed(bytes, &mut self.shards)? };
                    if answer.is_none() && n == 0 {
                        return Err("cut before the answer".to_owned());
                    }
                    let Some(answer) = answer else { continue };
                    let again = answer.keep_alive && n > 0;
                    if matches!(conn.state, State::Warming) {
                        if !again {
                            return Err("it does not keep connections".to_owned());
                        }
                        conn.became_ready(ready.id, &mut self.free, events);
                    } else {
                        let tunnel = answer.shard_if_tunnel().is_some();
                        conn.state = if tunnel { State::Tunnel(Vec::new(), None) } else { State::Ready };
                        if let Some(user) = conn.user {
                            let body = conn.reader.body().to_vec();
                            events.push(Event::Answer { user, id: ready.id, answer, body, at: Instant::now() });
                        }
                        if !tunnel && (!again || answer.status == 101) {
                            self.close(ready.id);
                            return Ok(());
                        }
                    }
                }
                _ if n == 0 => return Err("cut".to_owned()),
                _ => return Err("bytes that nobody asked for".to_owned()),
            }
            if n < self.scratch.len() && !ready.ended {
                break;
            }
        }
        Ok(())
    }

    /// Now and then gives up what takes too long.
    fn look_around(&mut self, events: &mut Vec<Event>) {
        let now = Instant::now();
        if now < self.look {
            return;
        }
        self.look = now + LOOK;
        for id in 0..self.wires.len() {
            let overdue = self.wires[id].as_ref().is_some_and(|conn| match conn.state {
                State::Ready => false,
                State::Tunnel(_, awaited) => awaited.is_some_and(|since| now > since + TIMEOUT),
                State::Goodbye => now > conn.since + GOODBYE,
                State::Connecting | State::Warming | State::Asking => now > conn.since + TIMEOUT,
            });
            if overdue {
                self.cut(id, "no answer within 5 s", events);
            }
        }
    }

    fn cut(&mut self, id: usize, why: &str, events: &mut Vec<Event>) {
        let Some(conn) = self.wires[id].as_ref() else { return };
        let was = match conn.state {
            State::Connecting | State::Warming => Was::Opening,
            State::Ready => Was::Ready,
            State::Asking => Was::Asking,
            State::Tunnel(..) | State::Goodbye => Was::Tunnel,
        };
        if let Some(user) = conn.user {
            events.push(Event::Cut { user, id, was, why: format!("{}: {why}", self.targets[conn.target]) });
        }
        self.close(id);
    }

    fn close(&mut self, id: usize) {
        let Some(conn) = self.wires[id].take() else { return };
        self.vacant.push(id);
        self.free[conn.target].retain(|free| *free != id);
    }
}

impl Conn {
    fn became_ready(&mut self, id: usize, free: &mut [Vec<usize>], events: &mut Vec<Event>) {
        self.state = State::Ready;
        match self.user {
            Some(user) => events.push(Event::Ready { user }),
            None => free[self.target].push(id),
        }
    }
}

/// Reads the frames of a tunnel; the bytes they took.
fn frames(held: &[u8], awaited: &mut Option<Instant>, wire: &mut Wire, message: &PingPong) -> Result<usize, String> {
    let mut taken = 0;
    while let Some(frame) = frame::parse(&held[taken..], MAX_FRAME)? {
        match frame.first {
            CLOSE => return Err("the tunnel was closed".to_owned()),
            PING => {
                let pong = frame::client(PONG, frame.payload, [4, 3, 2, 1]);
                wire.send(&pong).map_err(|error| error.to_string())?;
            }
            PONG => {}
            _ if held[taken..].starts_with(&message.back) && awaited.take().is_some() => {}
            _ => return Err("something else than the echo".to_owned()),
        }
        taken += frame.length;
    }
    Ok(taken)
}
