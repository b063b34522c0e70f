//! WebSocket: the handshake, then an echo that says its name when first asked.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{handshake::derive_accept_key, protocol::WebSocketConfig};

use super::{
    answer::plain,
    echo::{Echo, Next},
    state::State,
};

/// Read at once from a tunnel.
const BUFFER: usize = 64 << 10;
/// Longest message of the clients' tunnels.
const MAX_MESSAGE: usize = 1 << 20;
/// Per client's tunnel (tungstenite's default is 128 KiB).
const READ_BUFFER: usize = 4 << 10;
/// What a client may leave unwritten.
const MAX_UNWRITTEN: usize = 2 << 20;
/// For the client to read an echo; then the tunnel is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Limits for the clients' tunnels.
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

/// Runs a tunnel to its end. Dropping this ends it too.
pub(super) async fn run(upgrade: OnUpgrade, state: &State) {
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        unreachable!("invariant: a stub's connections are plain TCP");
    };
    let _open = state.tunnel_opened();
    if let Err(error) = echo(parts.io.into_inner(), &parts.read_buf, state.name()).await {
        tracing::debug!(shard = state.name(), %error, "tunnel broke off");
    }
}

thread_local! {
    /// To read into and to write from, for all tunnels of a thread: only between waits does a tunnel need them.
    static BUFFERS: RefCell<(Box<[u8]>, Vec<u8>)> = RefCell::new((vec![0; BUFFER].into(), Vec::new()));
}

/// Reads, echoes, writes; `early` came along with the handshake.
async fn echo(mut stream: TcpStream, early: &[u8], name: &str) -> io::Result<()> {
    let mut echo = Echo::new();
    let mut unwritten = Vec::new();
    let mut next = echo.take(early, name, &mut unwritten);
    loop {
        if !unwritten.is_empty() {
            // Nothing is read meanwhile, so a client that does not read cannot make this grow.
            timeout(WRITE_TIMEOUT, stream.write_all(&unwritten)).await??;
            unwritten = Vec::new();
        }
        if next == Next::HangUp {
            return stream.shutdown().await;
        }
        next = poll_fn(|context| {
            BUFFERS.with_borrow_mut(|(input, output)| {
                let mut read = ReadBuf::new(input);
                ready!(Pin::new(&mut stream).poll_read(context, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Ok::<_, io::Error>(Next::HangUp));
                }
                output.clear();
                let next = echo.take(read.filled(), name, output);
                let written = match stream.try_write(output) {
                    Ok(written) => written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                unwritten.extend_from_slice(&output[written..]);
                Poll::Ready(Ok(next))
            })
        })
        .await?;
    }
}
