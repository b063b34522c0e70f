//! The hooks.

use std::{any::Any, io, sync::Arc, time::Instant};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Version, header};
use pingora::{
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    prelude::*,
    protocols::Digest,
    proxy::FailToProxy,
};

use super::Passage;
use crate::{
    access_log,
    edge::Edge,
    front::{
        head::HeadError,
        refusal::{RETRY_AFTER, Refusal},
    },
    metrics::RequestOutcome,
};

const SHARD_HEADER: HeaderName = HeaderName::from_static("x-jitsi-shard");

/// Pingora's view of the proxy. See the module.
pub(crate) struct Gate {
    edge: Arc<Edge>,
}

impl Gate {
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    /// What a failed request is answered with; `None` when there is nobody left to answer.
    fn refusal(error: &Error, passage: &Passage) -> Option<Refusal> {
        use pingora::ErrorType::{
            ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError,
            ReadTimedout, SocketError, WriteError, WriteTimedout,
        };
        match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ReadError) if is_broken_body(error) => Some(Refusal::Head(HeadError::Framing)),
            (ErrorSource::Upstream, ConnectError | ConnectNoRoute | ConnectRefused | ConnectTimedout | SocketError)
                if passage.connect.is_none() =>
            {
                Some(Refusal::Unreachable)
            }
            (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Some(Refusal::ShardTimeout),
            (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed | ReadTimedout | WriteTimedout) => None,
            (_, HTTPStatus(503)) => Some(Refusal::NoShard),
            (ErrorSource::Downstream, _) => Some(Refusal::Head(HeadError::Syntax)),
            _ => Some(Refusal::ShardBroken),
        }
    }
}

/// Whether the client sent a body that [`crate::front::client`] does not pass on.
fn is_broken_body(error: &Error) -> bool {
    let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
}

/// The context pingora carries from hook to hook; `None` only before the front door's word has arrived.
pub(crate) type Context = Option<Box<Passage>>;

fn passage(ctx: &mut Context) -> Result<&mut Passage> {
    match ctx {
        Some(passage) => Ok(passage),
        None => Error::e_explain(InternalError, "a request without the front door's decision"),
    }
}

#[async_trait]
impl ProxyHttp for Gate {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        None
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // The default adds a compression module to every request; nginx in the shard compresses.
    }

    fn on_connection_reuse(&self, _session: &mut Session, ctx: &mut Context, carried: Box<dyn Any + Send + Sync>) {
        *ctx = carried.downcast().ok();
    }

    async fn early_request_filter(&self, session: &mut Session, _ctx: &mut Context) -> Result<()> {
        // Upgrades that we serve are tunnels and never come here. Any other is answered as the request that it also is
        // (RFC 9110 §7.8); pingora would take `Upgrade: websocket` for one even where `Connection` does not name it.
        session.req_header_mut().remove_header(&header::UPGRADE);
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let passage = passage(ctx)?;
        let settings = self.edge.settings.load();
        let Some(shard) = passage.routed.shard() else {
            return Error::e_explain(HTTPStatus(503), "the shard has left");
        };
        // Attempts go round the shard's addresses, starting anywhere, so that equal choices share the load.
        let offset =
            passage.attempts as usize + passage.started.elapsed().subsec_nanos() as usize % shard.addresses.len();
        let address = shard.addresses[offset % shard.addresses.len()];
        passage.attempts += 1;
        passage.connecting = Some(Instant::now());
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.group_key = u64::from(passage.routed.shard.0);
        peer.options.connection_timeout = Some(settings.upstream.connect_timeout);
        peer.options.read_timeout = Some(settings.upstream.response_timeout);
        peer.options.write_timeout = Some(settings.upstream.response_timeout);
        peer.options.idle_timeout = Some(settings.upstream.pool_idle);
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        let passage = passage(ctx)?;
        let took = passage.connecting.take().map(|began| began.elapsed()).unwrap_or_default();
        passage.connect = Some(if reused { std::time::Duration::ZERO } else { took });
        if !reused {
            self.edge.counters(&passage.routed).connected_in(took);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let Some(passage) = ctx else { return error };
        passage.tried.push(passage.routed.shard);
        self.edge.counters(&passage.routed).requests.inc(RequestOutcome::ConnectFailed);
        let may_retry = passage.attempts < self.edge.settings.load().upstream.connect_attempts;
        if may_retry && let Some(other) = self.edge.another(&passage.routed, &passage.tried) {
            passage.routed = other;
        }
        tracing::debug!(client = %passage.client, %peer, attempt = passage.attempts, again = may_retry, "connect failed");
        error.set_retry(may_retry);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let passage = passage(ctx)?;
        let asked = &session.req_header().headers;
        let first = |name: &HeaderName| asked.get(name).map(HeaderValue::as_bytes);
        let chain = asked.get_all(crate::front::forwarded::FIELDS[0].clone());
        let host = first(&header::HOST);
        for (name, value) in passage.origin.fields(first, chain.iter().map(HeaderValue::as_bytes), host) {
            upstream.insert_header(name, value)?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if session.req_header().version == Version::HTTP_10 && response.headers.contains_key(header::TRANSFER_ENCODING)
        {
            // It knows no chunks (RFC 9112 §6.1); for it the body ends with the connection.
            response.remove_header(&header::TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        let passage = passage(ctx)?;
        passage.response = Some(passage.started.elapsed());
        if !response.headers.contains_key(&SHARD_HEADER)
            && let Some(shard) = passage.routed.shard()
        {
            response.insert_header(SHARD_HEADER, shard.name.as_str())?;
            // Browsers show a response field to scripts of another origin only when told so (Fetch §3.3.1).
            response.append_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, "X-Jitsi-Shard")?;
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        let refusal = match ctx {
            Some(passage) => Self::refusal(error, passage),
            None => Some(Refusal::ShardBroken),
        };
        let Some(refusal) = refusal else { return FailToProxy { error_code: 0, can_reuse_downstream: false } };
        let code = refusal.status();
        if session.response_written().is_none()
            && let Err(error) = respond(session, refusal).await
        {
            tracing::debug!(%error, "the client left before its error");
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        // `logging` says it with the room and the shard.
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        let Some(passage) = ctx else { return };
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let outcome = match error {
            None => RequestOutcome::from_status(status),
            Some(error) => match Self::refusal(error, passage) {
                None => RequestOutcome::ClientGone,
                Some(Refusal::ShardTimeout) => RequestOutcome::ShardTimeout,
                // Counted per attempt in `fail_to_connect`.
                Some(Refusal::Unreachable | Refusal::Head(_)) => RequestOutcome::Refused,
                Some(_) => RequestOutcome::ShardFailed,
            },
        };
        self.edge.counters(&passage.routed).requests.inc(outcome);
        if let Some(refusal) = error.and_then(|error| Self::refusal(error, passage)) {
            self.edge.metrics.refusals.inc(refusal.label());
        }
        if let Some(error) = error
            && outcome != RequestOutcome::ClientGone
        {
            let shard = passage.routed.shard().map(|shard| shard.name.as_str()).unwrap_or_default();
            tracing::warn!(client = %passage.client, shard, status, attempts = passage.attempts, "request failed: {error}");
        }
        access_log::request(&self.edge, session, passage, status);
    }
}

async fn respond(session: &mut Session, refusal: Refusal) -> Result<()> {
    let text = format!("{refusal}\n");
    let mut response = ResponseHeader::build(refusal.status(), Some(5))?;
    response.insert_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")?;
    response.insert_header(header::CONTENT_LENGTH, text.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    if refusal.retry() {
        response.insert_header(header::RETRY_AFTER, RETRY_AFTER)?;
    }
    session.set_keepalive(None);
    session.write_response_header(Box::new(response), false).await?;
    session.write_response_body(Some(text.into()), true).await
}
