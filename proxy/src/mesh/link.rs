//! A link: one connection, two lanes out, frames in.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use router_core::cluster::{Lane, ReplicaId};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    MeshEvent,
    counters::{Counters, Direction},
    frame::{self, FrameError},
    lanes::{Filled, Lanes, Phase, Report},
    noise::{Opener, Sealer, Session},
    table::{Place, Table},
};

/// Written data that nobody has acknowledged for so long means that the other end is gone. It also ends a link whose
/// other end does not read for so long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(8);
/// A silent connection is probed after this time, ...
const PROBE_AFTER: Duration = Duration::from_secs(4);
/// ... and again, so that with [`UNACKNOWLEDGED`] a dead end is noticed within 10 s.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// What the kernel may hold unsent: a frame of bulk at most goes before an urgent one.
const UNSENT: u32 = 16 * 1024;
/// A link that is closed has so long to get its urgent frames out and to hear the other end's goodbye.
const CLOSING: Duration = Duration::from_secs(1);
/// Of what came from one replica, so much may wait for whoever takes frames; then its link is not read. Four chunks of a
/// snapshot: a joiner is never behind by more, neither in memory nor in time.
const UNTAKEN: usize = 128 * 1024;
/// Reads small messages together.
const READ_BUFFER: usize = 16 * 1024;

/// What the socket is told, before the handshake.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    Ok(())
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the other replica")]
    Eof,
    #[error("closed by this replica")]
    Closed,
    #[error("replaced by a new connection")]
    Killed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a message that does not open")]
    Seal(#[from] snow::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("this process is ending")]
    NobodyListens,
}

/// A message, and the space that it takes until all its frames are dropped.
struct Opened {
    plain: Vec<u8>,
    _space: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Opened {
    fn as_ref(&self) -> &[u8] {
        &self.plain
    }
}

/// What a link shares with the mesh.
pub(super) struct Link {
    pub(super) events: mpsc::Sender<MeshEvent>,
    pub(super) counters: Arc<Counters>,
    pub(super) table: Arc<Table>,
}

impl Link {
    /// Runs a link to its end: `first` (a verdict, or nothing) goes out, then it is up, then it is down.
    pub(super) async fn run(self, stream: TcpStream, session: Session, place: Place, first: Vec<u8>) {
        let Place { node, tag, lanes, before, ended } = place;
        let (read, mut write) = stream.into_split();
        let opened = tokio::select! {
            opened = write.write_all(&first) => opened.map_err(End::from),
            () = lanes.reached(Phase::Dead) => Err(End::Killed),
        };
        if opened.is_err() {
            self.table.remove(node.id, tag);
        }
        if let Some(before) = before {
            // Its end is all there is to hear; nothing is ever sent.
            let _ = before.await;
        }
        let end = match opened {
            Ok(()) if self.events.send(MeshEvent::Up(node)).await.is_err() => End::NobodyListens,
            Ok(()) => {
                tracing::info!(replica = %node.id, address = %node.address, "linked");
                self.carry(read, write, session, node.id, &lanes).await
            }
            Err(error) => {
                tracing::debug!(replica = %node.id, %error, "the link ended before it was one");
                return;
            }
        };
        self.table.remove(node.id, tag);
        match &end {
            End::Seal(_) | End::Frame(_) => {
                self.counters.protocol_error();
                tracing::warn!(replica = %node.id, address = %node.address, why = %end, "link broken");
            }
            _ => tracing::info!(replica = %node.id, address = %node.address, why = %end, "link ended"),
        }
        // Nobody listens any more when this fails.
        let _ = self.events.send(MeshEvent::Down(node.id)).await;
        drop(ended);
    }

    async fn carry(
        &self,
        read: OwnedReadHalf,
        write: OwnedWriteHalf,
        session: Session,
        peer: ReplicaId,
        lanes: &Lanes,
    ) -> End {
        let end = |ended: Result<End, End>| ended.unwrap_or_else(|end| end);
        tokio::select! {
            ended = self.receive(read, session.opener, peer) => end(ended),
            ended = self.transmit(write, session.sealer, lanes) => end(ended),
            ended = self.report(peer, lanes) => ended,
            () = lanes.reached(Phase::Dead) => End::Killed,
            () = async { lanes.reached(Phase::Closing).await; tokio::time::sleep(CLOSING).await } => End::Closed,
        }
    }

    /// Reads for as long as frames are taken; a slow taker stops the reading.
    async fn receive(&self, read: OwnedReadHalf, mut opener: Opener, peer: ReplicaId) -> Result<End, End> {
        let mut read = BufReader::with_capacity(READ_BUFFER, read);
        let mut sealed = Vec::new();
        let space = Arc::new(Semaphore::new(UNTAKEN));
        loop {
            let length = match read.read_u16().await {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(End::Eof),
                Err(error) => return Err(error.into()),
            };
            sealed.resize(usize::from(length), 0);
            read.read_exact(&mut sealed).await?;
            self.counters.wire(Direction::In, 2 + sealed.len());
            // Given back with the last frame of the message. The semaphore is never closed.
            let space = Arc::clone(&space).acquire_many_owned(length.into()).await.map_err(|_| End::NobodyListens)?;
            let message = Opened { plain: opener.open(&sealed)?, _space: space };
            for frame in frame::split(Bytes::from_owner(message)) {
                let (lane, bytes) = frame?;
                self.counters.frame(lane, Direction::In, 1, bytes.len());
                if self.events.send(MeshEvent::Frame { from: peer, bytes }).await.is_err() {
                    return Ok(End::NobodyListens);
                }
            }
        }
    }

    /// Writes what waits: all urgent frames that fit one message, or one bulk frame, in one write.
    async fn transmit(&self, mut write: OwnedWriteHalf, mut sealer: Sealer, lanes: &Lanes) -> Result<End, End> {
        let (mut plain, mut sealed) = (Vec::new(), Vec::new());
        loop {
            match lanes.fill(&mut plain) {
                Filled::Frames(lane, count) => {
                    sealer.seal(&plain, &mut sealed)?;
                    write.write_all(&sealed).await?;
                    let headers = usize::try_from(count).unwrap_or(0) * frame::HEADER;
                    self.counters.frame(lane, Direction::Out, count, plain.len() - headers);
                    self.counters.wire(Direction::Out, sealed.len());
                    if lane == Lane::Bulk {
                        lanes.written(lane);
                    }
                }
                Filled::Nothing => lanes.filled().await,
                Filled::Finished => {
                    write.shutdown().await?;
                    // Until the other end has closed too: a socket dropped with unread bytes in it resets the
                    // connection, and what was just written might never be read.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn report(&self, peer: ReplicaId, lanes: &Lanes) -> End {
        loop {
            let event = match lanes.report().await {
                Report::Overflowed => MeshEvent::Overflowed(peer),
                Report::BulkDrained => MeshEvent::BulkDrained(peer),
            };
            if self.events.send(event).await.is_err() {
                return End::NobodyListens;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_end_is_noticed_within_ten_seconds_and_small_writes_go_at_once() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap() + PROBE_EVERY, Duration::from_secs(6));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
        assert!(UNACKNOWLEDGED + PROBE_EVERY <= Duration::from_secs(10));
    }
}
