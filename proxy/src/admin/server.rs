//! Serving the admin port with bounds on everything a client could draw out.
//!
//! `axum::serve` has no deadline for a request's head, hence hyper itself.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// Connections at once; more wait in the kernel's queue. A scraper, a few probes, an operator or two.
const MAX_CONNECTIONS: usize = 128;
/// From the start of a request to its blank line, and the idle time of a kept-alive connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest head; hyper's own minimum is 8 KiB.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Life of a connection, however busy: a client that reads its answer a byte a minute does not hold a place for ever.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// Wait after a failed accept: when descriptors are short, trying at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then cuts what is still open.
pub(super) async fn serve(listener: TcpListener, app: Router, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            () = &mut shutdown => return,
            (accepted, place) = accepted => match accepted {
                Ok((stream, peer)) => {
                    let app = app.clone();
                    connections.spawn(async move {
                        let _place = place;
                        connection(stream, peer, app).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, app: Router) {
    let app = WithPeer { app: TowerToHyperService::new(app), peer };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), app);
    match tokio::time::timeout(CONNECTION_LIFE, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "an admin connection broke"),
        Err(_) => tracing::debug!(%peer, "an admin connection reached its age limit"),
    }
}

/// Tells the handlers who asks.
struct WithPeer {
    app: TowerToHyperService<Router>,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for WithPeer {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        self.app.call(request)
    }
}
