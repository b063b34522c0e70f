//! Accepting connections and carrying requests to [`super::answer`].

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{answer, state::State, told};

/// Most connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 65_536;
/// From accept, or from the first byte of a next request, to the end of its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop; then everything still open breaks off.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &slots) => {
                let Ok((stream, slot)) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    connection(stream, state).await;
                    drop(slot);
                });
            }
        }
    }
    drop(listener);
    // Dropping a connection's task closes its socket; waiting for it makes `stop` mean stopped.
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

/// Serves one connection, its tunnel included, so that a tunnel ends with the stub and counts as a connection.
async fn connection(stream: TcpStream, state: Arc<State>) {
    // Only small messages travel here; Nagle would only delay them. A failure changes nothing else.
    let _ = stream.set_nodelay(true);
    let (tunnel_out, mut tunnel_in) = tokio::sync::mpsc::channel(1);
    let service_state = Arc::clone(&state);
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, tunnel_out) = (Arc::clone(&service_state), tunnel_out.clone());
        async move { Ok::<_, Infallible>(answer::answer(request, &state, &tunnel_out).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(shard = state.name(), %error, "connection ended");
    }
    // The service, and with it the last sender, went with the connection: this waits for nobody.
    if let Some(upgrade) = tunnel_in.recv().await {
        super::tunnel::run(upgrade, &state).await;
    }
}
