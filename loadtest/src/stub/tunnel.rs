//! WebSocket: the handshake, then an echo that says its name when first asked.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{WHO, answer::plain, state::State, told};

/// Longest message echoed.
const MAX_MESSAGE: usize = 1 << 20;
/// Per tunnel, so that thousands of idle tunnels fit beside the proxy under test (tungstenite's default is 128 KiB).
const READ_BUFFER: usize = 4 << 10;
/// What a client that does not read may leave unwritten.
const MAX_UNWRITTEN: usize = 2 << 20;
/// For the client to read an echo; then the tunnel is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Limits for a tunnel, on the stub's side and on the client's.
pub(crate) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNWRITTEN)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Answers a handshake and hands the coming tunnel over.
///
/// # Errors
/// The response that refuses it.
pub(super) fn accept(
    mut request: Request<Incoming>,
    tunnels: &mpsc::Sender<OnUpgrade>,
) -> Result<Response<Full<Bytes>>, Box<Response<Full<Bytes>>>> {
    let headers = request.headers();
    let refuse = |status, text: &'static str| Box::new(plain(status, text));
    if request.method() != Method::GET || !lists(headers, &UPGRADE, "websocket") {
        return Err(refuse(StatusCode::UPGRADE_REQUIRED, "only a WebSocket here\n"));
    }
    if !lists(headers, &CONNECTION, "upgrade") || !lists(headers, &SEC_WEBSOCKET_VERSION, "13") {
        return Err(refuse(StatusCode::BAD_REQUEST, "not a WebSocket handshake of version 13\n"));
    }
    let accept_key = headers
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| refuse(StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key\n"))?;
    let xmpp = lists(headers, &SEC_WEBSOCKET_PROTOCOL, "xmpp");

    if tunnels.try_send(hyper::upgrade::on(&mut request)).is_err() {
        return Err(refuse(StatusCode::BAD_REQUEST, "this connection is a tunnel already\n"));
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept_key);
    if xmpp {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("xmpp"));
    }
    Ok(response)
}

/// Whether a comma-separated header has a word, whatever its case.
fn lists(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
}

/// Runs a tunnel to its end, or until the stub stops.
pub(super) async fn run(upgrade: OnUpgrade, state: &State, mut stop: watch::Receiver<bool>) {
    let Ok(stream) = upgrade.await else { return };
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, Some(limits())).await;
    state.tunnel_opened();
    tokio::select! {
        () = told(&mut stop) => {}
        ended = echo(socket, state.name()) => {
            if let Err(error) = ended {
                tracing::debug!(shard = state.name(), %error, "tunnel broke off");
            }
        }
    }
    state.tunnel_closed();
}

async fn echo(mut socket: WebSocketStream<TokioIo<Upgraded>>, name: &str) -> Result<(), Error> {
    let mut first = true;
    while let Some(message) = socket.next().await {
        let reply = match message? {
            Message::Text(text) if first && text.as_str() == WHO => Message::text(name),
            message @ (Message::Text(_) | Message::Binary(_)) => message,
            // tungstenite answers pings and closes by itself when next read or flushed.
            _ => continue,
        };
        first = false;
        match tokio::time::timeout(WRITE_TIMEOUT, socket.send(reply)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }
    Ok(())
}
