//! The front door: every connection comes in here, every request head is read here, and then goes one of two ways.
//!
//! Ordinary requests are handed to pingora one at a time, together with the stream; a WebSocket upgrade leaves the
//! connection's task for good and becomes a tunnel. A kept-alive connection may do the one after the other.

mod chunks;
pub(crate) mod client;
pub(crate) mod forwarded;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
pub(crate) mod head;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod refusal;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use bytes::BytesMut;
use pingora::{apps::HttpServerApp, protocols::http::ServerSession, proxy::HttpProxy};
use router_core::room;
use tokio::{net::TcpStream, sync::watch, time::Instant};

use self::{
    client::{ClientStream, NoHead},
    forwarded::Origin,
    head::Head,
    limits::Slot,
    refusal::Refusal,
};
use crate::{
    edge::{Edge, Routed},
    http::{Gate, Passage},
    tunnel::{self, Upgrade},
};

/// How long a new connection may take for its first byte once the process leaves.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// What a connection needs: the shared edge, pingora, and the word that the process is leaving.
#[derive(Clone)]
pub(crate) struct FrontDoor {
    pub(crate) edge: Arc<Edge>,
    pub(crate) proxy: Arc<HttpProxy<Gate>>,
    /// Turns true when no connection should wait for another request.
    pub(crate) leaving: watch::Receiver<bool>,
}

impl FrontDoor {
    /// Serves one connection to its end, or until it has become a tunnel.
    pub(crate) async fn serve(mut self, tcp: TcpStream, peer: SocketAddr, slot: Slot) {
        let _ = tcp.set_nodelay(true);
        let mut client = ClientStream::new(tcp, peer, slot);
        let mut fresh = true;
        while let Some(next) = self.next_request(client, fresh).await {
            fresh = false;
            client = next;
        }
    }

    /// Serves one request; gives the connection back if it may carry another.
    async fn next_request(&mut self, mut client: ClientStream, fresh: bool) -> Option<ClientStream> {
        let began = Instant::now();
        if !self.request_comes(&mut client, fresh).await {
            return None;
        }
        // Not before: a reload that came while the connection was idle counts for its next request.
        let settings = self.edge.settings.load_full();
        let front = &settings.front;
        // From accept for the first request: a connection that says little is not kept for `keepalive`.
        let deadline = if fresh { began } else { Instant::now() } + front.head_timeout;
        let (head, bytes) = match client.read_head(front.head_max_bytes, deadline).await {
            Ok(read) => read,
            Err(none) => {
                self.no_head(client, none).await;
                return None;
            }
        };
        let started = StdInstant::now();
        let origin = Origin::new(client.peer(), settings.trusted());
        let routed = match self.route(&head, &bytes, &settings.room_parameter).await {
            Ok(routed) => routed,
            Err(refusal) => {
                self.refuse(client, refusal).await;
                return None;
            }
        };
        if head.websocket {
            tunnel::open(&self.edge, client, Upgrade { head: &bytes, origin, routed }).await;
            return None;
        }
        let passage = Passage::new(routed, origin, client.peer(), started);
        self.hand_to_pingora(client, bytes, passage, front.write_timeout).await
    }

    /// Waits for the first byte of a request; no longer than the settings allow, nor for long once we leave.
    async fn request_comes(&mut self, client: &mut ClientStream, fresh: bool) -> bool {
        let limit = {
            let front = &self.edge.settings.load().front;
            if fresh { front.head_timeout } else { front.keepalive }
        };
        let leaving = async {
            // An error means that the word can never come.
            if self.leaving.wait_for(|&leaving| leaving).await.is_err() {
                std::future::pending::<()>().await;
            }
            if fresh {
                // Accepted just before the port closed: its request is on the way. Browsers that only connect ahead of
                // need are not waited for.
                tokio::time::sleep(LAST_REQUEST).await;
            }
        };
        tokio::select! {
            biased;
            came = tokio::time::timeout(limit, client.wait_for_request()) => matches!(came, Ok(Ok(true))),
            () = leaving => false,
        }
    }

    async fn route(&self, head: &Head, bytes: &[u8], parameter: &str) -> Result<Routed, Refusal> {
        let target = room::classify(head.path(bytes), head.query(bytes), parameter)?;
        self.edge.route(target).await
    }

    async fn hand_to_pingora(
        &self,
        client: ClientStream,
        head: BytesMut,
        passage: Passage,
        write_timeout: Duration,
    ) -> Option<ClientStream> {
        let mut session = ServerSession::new_http1(Box::new(client));
        session.set_pipelined_prefix(head);
        // Any value keeps the connection; how long it may idle is ours to decide, above.
        session.set_keepalive(Some(60));
        // Pingora's own limit of 60 s holds for reading a body; nothing would end a client that does not read its answer.
        session.set_write_timeout(Some(write_timeout));
        session.set_connection_user_context(Some(Box::new(passage)));
        let reusable = self.proxy.process_new_http(session, &self.leaving).await?;
        let (stream, _settings) = reusable.consume();
        let client: Box<ClientStream> = stream.into_any().downcast().ok()?;
        client.at_request_boundary().then_some(*client)
    }

    async fn no_head(&self, client: ClientStream, none: NoHead) {
        let refusal = match none {
            // Nothing was asked, so nothing is answered; browsers open connections ahead of need.
            NoHead::Closed | NoHead::TimedOut { started: false } => return,
            NoHead::TimedOut { started: true } => Refusal::HeadTimeout,
            NoHead::TooLarge => Refusal::HeadTooLarge,
            NoHead::Refused(error) => error.into(),
        };
        self.refuse(client, refusal).await;
    }

    async fn refuse(&self, client: ClientStream, refusal: Refusal) {
        self.edge.metrics.refusals.inc(refusal.label());
        tracing::debug!(client = %client.peer(), status = refusal.status(), "refused: {refusal}");
        client.answer_and_close(&refusal.answer()).await;
    }
}
