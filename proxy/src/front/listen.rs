//! Listening sockets, and the loop that accepts from one.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{net::TcpListener, sync::watch};

use super::{FrontDoor, limits::Connections};

/// Connections that the kernel keeps for us before accept; a reconnecting conference arrives at once.
const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for lack of descriptors or memory: trying on at once would only burn the core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds a listening socket.
///
/// # Errors
/// When the address is taken or not ours.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until `closed` turns true, a task for each connection.
pub(crate) async fn accept(
    listener: TcpListener,
    door: FrontDoor,
    connections: Connections,
    mut closed: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.wait_for(|&closed| closed) => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let max = door.edge.settings.load().front.max_connections;
                match connections.admit(max) {
                    Some(slot) => drop(tokio::spawn(door.clone().serve(tcp, peer, slot))),
                    // Closed without a word: an answer would cost what the limit is there to save.
                    None => door.edge.metrics.refusals.inc(crate::metrics::FrontRefusal::TooManyConnections),
                }
            }
            // The client was gone before we looked.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!("accept failed, is the limit of open files too low? {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
