//! Sockets and time on one thread: what is ready, and exactly when to wake up.
//!
//! Below tokio, because a generator handles thousands of sockets with a few lines each: no task, no waker, no lock, and
//! timers finer than a millisecond.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream, unix::SourceFd};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// Longest sleep, so that a stop is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// Events taken at once.
const EVENTS: usize = 1_024;
/// Bytes read at once.
const READ: usize = 64 << 10;
/// What a wire may hold unsent: more than any single message here.
const MAX_UNSENT: usize = 1 << 20;
const TIMER: Token = Token(usize::MAX);

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// The number that the socket was opened with.
    pub(super) id: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side has ended, so after the bytes there is more to learn from reading on.
    pub(super) ended: bool,
}

/// Waits for sockets and time.
#[derive(Debug)]
pub(super) struct Reactor {
    poll: Poll,
    events: Events,
    timer: TimerFd,
    armed: Option<Instant>,
}

impl Reactor {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // Edge-triggered, so that each expiry is one event and nobody has to read it away.
        let fd = timer.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), TIMER, Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS), timer, armed: None })
    }

    /// Begins to connect. The wire is there when its id is first writable and [`Wire::connected`] agrees.
    pub(super) fn connect(&self, address: SocketAddr, id: usize) -> io::Result<Wire> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        self.poll.registry().register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Wire { stream, unsent: Vec::new() })
    }

    /// Waits until a socket is ready, `until` has come, or a moment has passed; fills `ready` with what is.
    pub(super) fn wait(&mut self, until: Instant, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let now = Instant::now();
        let left = until.saturating_duration_since(now);
        let sleep = if left < LONGEST_SLEEP { self.arm(until, left)? } else { LONGEST_SLEEP };
        match self.poll.poll(&mut self.events, Some(sleep)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            if event.token() == TIMER {
                self.armed = None;
                continue;
            }
            let ended = event.is_read_closed() || event.is_error();
            let readable = event.is_readable() || ended;
            ready.push(Ready { id: event.token().0, readable, writable: event.is_writable(), ended });
        }
        Ok(())
    }

    /// Sets the timer, whose steps are finer than those of a poll's timeout; what to pass to the poll.
    fn arm(&mut self, until: Instant, left: Duration) -> io::Result<Duration> {
        if left.is_zero() {
            return Ok(Duration::ZERO);
        }
        if self.armed != Some(until) {
            let spec = Expiration::OneShot(TimeSpec::from_duration(left));
            self.timer.set(spec, TimerSetTimeFlags::empty())?;
            self.armed = Some(until);
        }
        Ok(LONGEST_SLEEP)
    }
}

/// A buffer to read into, one for all wires.
pub(super) fn scratch() -> Box<[u8]> {
    vec![0; READ].into()
}

/// A connection that never blocks.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    unsent: Vec<u8>,
}

impl Wire {
    /// Whether it is connected, to be asked when it is writable.
    ///
    /// # Errors
    /// Why it never will be.
    pub(super) fn connected(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends, and keeps for [`Wire::flush`] what the kernel does not take.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.unsent.is_empty() { self.write(bytes)? } else { 0 };
        if self.unsent.len() + bytes.len() - sent > MAX_UNSENT {
            return Err(io::Error::other("the peer does not read"));
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Goes on sending, when the wire is writable.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let sent = self.write(&unsent)?;
            self.unsent = unsent;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        use io::Write;
        let mut sent = 0;
        while sent < bytes.len() {
            match (&self.stream).write(&bytes[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Bytes that have arrived; `None` when there are none, and 0 of them when there never will be. When it is ready, a
    /// wire is read until `None`, or until fewer bytes come than fit in, unless it has [`Ready::ended`]: then the
    /// kernel has no more, and will say so when it has.
    pub(super) fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        use io::Read;
        loop {
            match (&self.stream).read(into) {
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
