//! The listener of the REST API: a bounded number of connections, none that only waits, and an end that finishes what is
//! under way.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tower::ServiceExt;

/// Connections at a time.
pub const CONNECTIONS: usize = 1024;
/// The head of a request must come within this time; so long a connection may also be idle.
const HEAD: Duration = Duration::from_secs(75);
/// At the end, an answer that is being sent has so long.
const MOMENT: Duration = Duration::from_millis(500);
/// At the end, requests that are under way have so long.
pub const FINISH: Duration = Duration::from_secs(10);

/// Serves until `shutdown`, and then what is under way, for [`FINISH`] at most.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (end, ended) = tokio::sync::watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        // Who comes when all places are taken waits in the kernel's queue.
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (router, mut ended) = (router.clone(), ended.clone());
                connections.spawn(async move {
                    let _place = place;
                    let _ = stream.set_nodelay(true);
                    let busy = Arc::new(AtomicBool::new(false));
                    let works = busy.clone();
                    let service = service_fn(move |mut request: http::Request<Incoming>| {
                        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(address));
                        works.store(true, Relaxed);
                        let (works, answer) = (works.clone(), router.clone().oneshot(request.map(Body::new)));
                        async move {
                            let answer = answer.await;
                            works.store(false, Relaxed);
                            answer
                        }
                    });
                    let mut connection = std::pin::pin!(
                        http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(HEAD)
                            .max_buf_size(64 * 1024)
                            .serve_connection(TokioIo::new(stream), service)
                    );
                    tokio::select! {
                        _ = connection.as_mut() => {}
                        () = on(&mut ended) => {
                            connection.as_mut().graceful_shutdown();
                            // One that has not asked anything yet would be waited for as long as it may be idle.
                            let moment = tokio::time::timeout(MOMENT, connection.as_mut()).await;
                            if moment.is_err() && busy.load(Relaxed) {
                                let _ = connection.await;
                            }
                        }
                    }
                });
            }
            // Out of descriptors, say: it is over when connections end.
            Err(error) => {
                tracing::warn!(%error, "a connection to the REST API cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = end.send(true);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH, finish).await.is_err() {
        tracing::warn!("requests by REST that take too long are cut");
    }
}

async fn on(ended: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}
