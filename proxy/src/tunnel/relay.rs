//! The relay: bytes between two sockets, as a hand-written future that stays small while nothing moves.
//!
//! All tunnels of a worker thread share one read buffer. What a peer does not take at once is kept aside, at most one
//! buffer's worth, and its sender is not read until it is gone; so a slow reader costs bounded memory and pushes back on
//! the other end, as TCP intends.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use crate::metrics::{CloseReason, Label};

use super::{
    frames::{FrameFollower, close_frame},
    registry::{Order, Registered, Tunnel},
};

/// Size of each worker thread's read buffer, and so the most that a direction keeps for a slow peer.
pub(super) const BUFFER: usize = 64 * 1024;

/// From an order to end until the sockets are dropped, answered or not.
const FAREWELL: Duration = Duration::from_secs(2);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client finished first.
    Client,
    /// The shard finished first.
    Shard,
    /// We ended it.
    Ordered(Order),
    /// A socket failed: reset, timed out.
    Failed,
}

impl End {
    /// The word in access logs.
    pub(crate) fn as_str(self) -> &'static str {
        self.reason().as_str()
    }

    /// The label in metrics.
    pub(crate) fn reason(self) -> CloseReason {
        match self {
            Self::Client => CloseReason::Client,
            Self::Shard => CloseReason::Shard,
            Self::Ordered(Order::Idle) => CloseReason::Idle,
            Self::Ordered(Order::Drain) => CloseReason::Drain,
            Self::Ordered(Order::Moved) => CloseReason::Moved,
            Self::Failed => CloseReason::Error,
        }
    }
}

/// Bytes moved in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Client to shard.
    pub(crate) up: u64,
    /// Shard to client.
    pub(crate) down: u64,
}

/// See the module. Resolves when both directions are done.
///
/// Its size is what an idle tunnel costs; see the test in `session.rs`.
#[derive(Debug)]
pub(crate) struct Relay {
    client: TcpStream,
    /// Gone once we only wait for the client to go.
    shard: Option<TcpStream>,
    up: Flow,
    down: Flow,
    frames: FrameFollower,
    registered: Registered,
    farewell: Option<Pin<Box<Sleep>>>,
    first_end: Option<End>,
    greeted: bool,
    /// By direction: the source has ended and the sink was told.
    up_finished: bool,
    down_finished: bool,
}

impl Relay {
    /// Relays between two sockets; `early` are bytes that the shard sent right after its 101 and that the client has not
    /// seen, `ahead` what the client sent before it.
    pub(crate) fn new(client: TcpStream, shard: TcpStream, ahead: &[u8], early: &[u8], registered: Registered) -> Self {
        let mut relay = Self {
            client,
            shard: Some(shard),
            up: Flow::default(),
            down: Flow::default(),
            frames: FrameFollower::default(),
            registered,
            first_end: None,
            farewell: None,
            greeted: false,
            up_finished: false,
            down_finished: false,
        };
        relay.up.keep(ahead);
        relay.frames.pass(early);
        relay.down.keep(early);
        relay
    }

    /// What was moved so far.
    pub(crate) fn moved(&self) -> Moved {
        Moved { up: self.up.moved, down: self.down.moved }
    }

    /// What the registry knows of this tunnel.
    pub(super) fn tunnel(&self) -> &Tunnel {
        self.registered.tunnel()
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<End> {
        if !self.greeted {
            // A task keeps its waker for life, so once is enough.
            self.greeted = true;
            self.registered.tunnel().task().register(cx.waker());
        }
        if self.farewell.is_none()
            && let Some(order) = self.registered.tunnel().order()
        {
            self.first_end.get_or_insert(End::Ordered(order));
            self.farewell = Some(Box::pin(tokio::time::sleep(FAREWELL)));
        }
        if self.farewell.is_some() {
            return self.poll_farewell(cx, scratch);
        }
        let Some(shard) = &mut self.shard else { return Poll::Ready(End::Failed) };
        let before = (self.up.moved, self.down.moved);
        let most = self.registered.buffer_max().min(scratch.len());
        let scratch = &mut scratch[..most];
        let up = match self.up_finished {
            true => Poll::Ready(Ok(())),
            false => self.up.poll(cx, &mut self.client, shard, scratch, |_| {}),
        };
        self.up_finished = matches!(up, Poll::Ready(Ok(())));
        let frames = &mut self.frames;
        let down = match self.down_finished {
            true => Poll::Ready(Ok(())),
            false => self.down.poll(cx, shard, &mut self.client, scratch, |bytes| frames.pass(bytes)),
        };
        self.down_finished = matches!(down, Poll::Ready(Ok(())));
        if before != (self.up.moved, self.down.moved) {
            self.registered.touch();
        }
        for (result, end) in [(&up, End::Client), (&down, End::Shard)] {
            match result {
                Poll::Ready(Err(_)) => return Poll::Ready(*self.first_end.get_or_insert(End::Failed)),
                Poll::Ready(Ok(())) => {
                    if self.first_end.is_none() {
                        self.first_end = Some(end);
                        self.registered.tunnel().set_half_closed();
                    }
                }
                Poll::Pending => {}
            }
        }
        match (up, down, self.first_end) {
            (Poll::Ready(_), Poll::Ready(_), Some(end)) => Poll::Ready(end),
            _ => Poll::Pending,
        }
    }

    /// Ends politely: the rest of the frame under way, a Close frame, FIN, and a moment for the client's answer.
    fn poll_farewell(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<End> {
        let end = self.first_end.unwrap_or(End::Failed);
        match self.poll_polite_end(cx, scratch) {
            Poll::Ready(_) => Poll::Ready(end),
            Poll::Pending => match &mut self.farewell {
                Some(sleep) => sleep.as_mut().poll(cx).map(|()| end),
                None => Poll::Ready(end),
            },
        }
    }

    fn poll_polite_end(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        while let Some(shard) = &mut self.shard {
            ready!(self.down.poll_flush(cx, &mut self.client))?;
            if self.down_finished {
                self.shard = None;
                break;
            }
            let offset = if self.frames.at_boundary() {
                Some(0)
            } else {
                let bytes = ready!(poll_read(cx, shard, scratch))?;
                if bytes.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let offset = self.frames.pass_to_boundary(bytes);
                self.down.keep(&bytes[..offset.unwrap_or(bytes.len())]);
                offset
            };
            if offset.is_some() {
                if let Some(End::Ordered(order)) = self.first_end {
                    self.down.keep(&close_frame(order.close_code()));
                }
                // The shard learns by a closed socket, not by a Close frame: that keeps the XMPP session resumable.
                self.shard = None;
            }
        }
        if !self.down_finished {
            ready!(self.down.poll_finish(cx, &mut self.client))?;
            self.down_finished = true;
        }
        while !ready!(poll_read(cx, &mut self.client, scratch))?.is_empty() {}
        Poll::Ready(Ok(()))
    }
}

impl Future for Relay {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        SCRATCH.with_borrow_mut(|scratch| this.poll_relay(cx, scratch))
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// Read but not taken by the sink; while it is there, the source is not read.
    backlog: Option<Box<Backlog>>,
    moved: u64,
}

#[derive(Debug)]
struct Backlog {
    bytes: Vec<u8>,
    written: usize,
}

impl Flow {
    /// Moves what can be moved; ready once the source has ended and everything is passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        scratch: &mut [u8],
        mut passing: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx, sink))?;
            let bytes = ready!(poll_read(cx, source, scratch))?;
            if bytes.is_empty() {
                return self.poll_finish(cx, sink);
            }
            passing(bytes);
            match Pin::new(&mut *sink).poll_write(cx, bytes)? {
                Poll::Ready(written) => {
                    self.moved += written as u64;
                    self.keep(&bytes[written..]);
                }
                Poll::Pending => {
                    self.keep(bytes);
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &mut TcpStream) -> Poll<io::Result<()>> {
        while let Some(backlog) = &mut self.backlog {
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, &backlog.bytes[backlog.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved += written as u64;
            backlog.written += written;
            if backlog.written == backlog.bytes.len() {
                self.backlog = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, sink: &mut TcpStream) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, sink))?;
        Pin::new(sink).poll_shutdown(cx)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.backlog {
            Some(backlog) => backlog.bytes.extend_from_slice(bytes),
            None => self.backlog = Some(Box::new(Backlog { bytes: bytes.to_vec(), written: 0 })),
        }
    }
}

/// One read into the shared buffer. It is larger than what usually waits, and a short read tells tokio that the socket is
/// drained without a second system call.
fn poll_read<'a>(cx: &mut Context<'_>, source: &mut TcpStream, scratch: &'a mut [u8]) -> Poll<io::Result<&'a [u8]>> {
    let mut buf = ReadBuf::new(scratch);
    ready!(Pin::new(source).poll_read(cx, &mut buf))?;
    let read = buf.filled().len();
    Poll::Ready(Ok(&scratch[..read]))
}

#[cfg(test)]
mod tests;
