//! A client's connection, as pingora may see it: one request at a time.
//!
//! Pingora takes any stream that implements its `IO`. Ours is a bare `TcpStream` and one buffer, so that an idle
//! connection holds no memory worth naming and a tunnel can take the socket out again. While pingora serves a request it
//! sees that request's body and not one byte more; what a client sends early stays in `ahead` for the next round.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{
    chunks::ChunkFollower,
    head::{self, Framing, Head, HeadError},
    limits::Slot,
};

/// Most bytes a client may send ahead of an answer before we stop reading it.
const AHEAD_MAX: usize = 16 * 1024;

/// Most body bytes handed over in one read.
const BODY_CHUNK: usize = 16 * 1024;

/// Most bytes of an answer that wait. Pingora writes a head and the body after it in two calls and flushes once: together they are
/// one system call and one wake-up of the client, apart two of each. Only the head waits: a body that breaks off must have
/// reached the client as far as it came.
const BEHIND_MAX: usize = 16 * 1024;

/// After a refusal, how much and how long we read on, so that the answer is not lost to a connection reset
/// (RFC 9112 §9.6).
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_millis(500);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; AHEAD_MAX].into());
}

/// A connection from a client.
pub(crate) struct ClientStream {
    tcp: TcpStream,
    peer: SocketAddr,
    /// Read from the socket, not yet consumed.
    ahead: BytesMut,
    /// Written by pingora, not yet sent. Empty between requests, and then it holds no memory.
    behind: BytesMut,
    /// What pingora may still read of the current request's body.
    body: Body,
    slot: Slot,
}

/// The part of the current request's body that was not handed over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// So many bytes.
    Length(u64),
    /// Up to the last chunk's end.
    Chunked(ChunkFollower),
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkFollower::new()),
        }
    }
}

/// How waiting for a head ended, other than with one.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The client left between requests, or in the middle of a head.
    Closed,
    /// No whole head in time; `started` tells whether there was a first byte.
    TimedOut { started: bool },
    /// No end within the limit.
    TooLarge,
    /// A head that is refused.
    Refused(HeadError),
}

impl ClientStream {
    pub(crate) fn new(tcp: TcpStream, peer: SocketAddr, slot: Slot) -> Self {
        Self { tcp, peer, ahead: BytesMut::new(), behind: BytesMut::new(), body: Body::Length(0), slot }
    }

    /// The other end's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until the next request's first byte is here, holding no buffer meanwhile. `false`: the client left.
    pub(crate) async fn wait_for_request(&mut self) -> io::Result<bool> {
        if !self.ahead.is_empty() {
            return Ok(true);
        }
        self.ahead = BytesMut::new();
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// One read into `ahead`, by way of the thread's buffer: that is larger than what usually waits, and a short read tells
    /// tokio that the socket is drained, without a second system call. `false`: the client left.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buf))?;
            self.ahead.extend_from_slice(buf.filled());
            Poll::Ready(Ok(!buf.filled().is_empty()))
        })
    }

    /// Reads a whole head of at most `max` bytes before `deadline`, checks it, and takes it off the stream.
    pub(crate) async fn read_head(&mut self, max: usize, deadline: Instant) -> Result<(Head, BytesMut), NoHead> {
        let mut seen = 0;
        loop {
            if seen == 0 {
                let empty = head::leading_empty_lines(&self.ahead);
                self.ahead.advance(empty);
            }
            if let Some(end) = head::find_end(&self.ahead, seen).map_err(NoHead::Refused)? {
                if end > max {
                    return Err(NoHead::TooLarge);
                }
                let bytes = self.ahead.split_to(end);
                let head = head::parse(&bytes).map_err(NoHead::Refused)?;
                self.body = head.framing.into();
                return Ok((head, bytes));
            }
            if self.ahead.len() >= max {
                return Err(NoHead::TooLarge);
            }
            seen = self.ahead.len();
            match tokio::time::timeout_at(deadline, poll_fn(|cx| self.poll_fill(cx))).await {
                Err(_) => return Err(NoHead::TimedOut { started: seen > 0 }),
                Ok(Ok(false) | Err(_)) => return Err(NoHead::Closed),
                Ok(Ok(true)) => {}
            }
        }
    }

    /// Whether the last request's body is fully consumed and its answer sent, so that what comes next is a head.
    pub(crate) fn at_request_boundary(&self) -> bool {
        self.body == Body::Length(0) && self.behind.is_empty()
    }

    /// Sends a last answer and closes without losing it to a reset.
    pub(crate) async fn answer_and_close(mut self, answer: &[u8]) {
        let farewell = async {
            self.flush().await?;
            self.tcp.write_all(answer).await?;
            close_gently(&mut self.tcp).await
        };
        // Nobody is left to tell when this fails.
        let _ = tokio::time::timeout(LINGER_TIME, farewell).await;
    }

    /// Resolves when the client leaves. What it sends meanwhile is kept, up to a limit.
    pub(crate) async fn gone(&mut self) {
        // A broken connection is as gone as a closed one.
        let _ = poll_fn(|cx| self.poll_ahead(cx)).await;
    }

    /// The bare socket, what was read from it already, and its place among the connections.
    pub(crate) fn into_parts(self) -> (TcpStream, BytesMut, Slot) {
        (self.tcp, self.ahead, self.slot)
    }

    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.behind.is_empty() {
            match ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.behind))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.behind.advance(sent),
            }
        }
        self.behind = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Reads into `ahead` while pingora waits for the answer, only to notice that the client leaves.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD_MAX {
            if !ready!(self.poll_fill(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        // Full: no waker on purpose. The answer, not this client, moves things on.
        Poll::Pending
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let visible = match this.body {
            Body::Length(0) => return this.poll_ahead(cx),
            Body::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Body::Chunked(_) => usize::MAX,
        };
        let visible = visible.min(buf.remaining()).min(BODY_CHUNK);
        if this.ahead.is_empty() {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(visible));
            ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut part))?;
            let read = part.filled();
            let ours = this.body.take(read)?;
            this.ahead.extend_from_slice(&read[ours..]);
            buf.advance(ours);
        } else {
            let visible = visible.min(this.ahead.len());
            let ours = this.body.take(&this.ahead[..visible])?;
            buf.put_slice(&this.ahead[..ours]);
            this.ahead.advance(ours);
        }
        Poll::Ready(Ok(()))
    }
}

impl Body {
    /// Takes note of bytes that are handed over, and tells how many of them belong to this body.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Length(left) => {
                *left -= bytes.len() as u64;
                Ok(bytes.len())
            }
            Self::Chunked(chunks) => match chunks.pass(bytes) {
                Ok(None) => Ok(bytes.len()),
                Ok(Some(ours)) => {
                    *self = Self::Length(0);
                    Ok(ours)
                }
                Err(broken) => Err(io::Error::new(io::ErrorKind::InvalidData, broken)),
            },
        }
    }
}

/// Ends our side and reads on for a while, so that what was sent is not lost to a reset. To be limited by the caller.
async fn drain_after_shutdown(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut scrap = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match tcp.read(&mut scrap).await? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
    }
    Ok(())
}

/// Closes a connection without losing what was sent to a reset; takes half a second at most.
pub(crate) async fn close_gently(tcp: &mut TcpStream) -> io::Result<()> {
    tokio::time::timeout(LINGER_TIME, drain_after_shutdown(tcp)).await?
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let head_alone = self.behind.is_empty() && bytes.starts_with(b"HTTP/1.");
        if head_alone && bytes.len() <= BEHIND_MAX {
            self.behind.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.behind.is_empty() || self.behind.len() + bytes.len() > BEHIND_MAX {
            ready!(self.poll_send(cx))?;
            return Pin::new(&mut self.tcp).poll_write(cx, bytes);
        }
        self.behind.extend_from_slice(bytes);
        // Taken in any case: what the socket does not take now goes with the next write or flush.
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // It may be gone already; then there is nothing to shut down.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.tcp.as_raw_fd()
    }
}

impl Ssl for ClientStream {}

#[async_trait]
impl Peek for ClientStream {}

// Pingora's digests cost a getpeername per request; we know the peer since accept.
impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.peer)
    }
}
