//! Tunnels: WebSocket upgrades, relayed by us instead of pingora (see `docs/` and the design's "front door").

mod frames;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod handshake;
pub(crate) mod registry;
mod relay;
mod session;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;
use router_core::shard_set::Shard;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub(crate) use self::relay::{End, Moved};
use self::{
    handshake::{Answer, AnswerError},
    relay::Relay,
    session::Session,
};
use crate::{
    edge::{Edge, Routed},
    front::{
        client::{ClientStream, close_gently},
        forwarded::Origin,
        refusal::Refusal,
    },
    metrics::TunnelOutcome,
};

/// For a client to take the head of an answer, at most; `front.write_timeout` may be shorter.
const HEAD_WRITE: Duration = Duration::from_secs(10);

/// An upgrade request that the front door has routed.
#[derive(Debug)]
pub(crate) struct Upgrade<'a> {
    /// The checked request head.
    pub(crate) head: &'a [u8],
    pub(crate) origin: Origin,
    pub(crate) routed: Routed,
}

/// Opens a tunnel and leaves it to a task of its own, or answers the client and closes.
pub(crate) async fn open(edge: &Arc<Edge>, mut client: ClientStream, upgrade: Upgrade<'_>) {
    let Upgrade { head, origin, routed } = upgrade;
    let (mut shard, routed) = match dial(edge, routed).await {
        Ok(connected) => connected,
        Err(refusal) => return refuse(edge, client, refusal).await,
    };
    let counters = edge.counters(&routed);
    let within = edge.settings.load().tunnels.handshake_timeout;
    let asked = tokio::select! {
        asked = timeout(within, ask(&mut shard, head, &origin, &routed)) => asked,
        () = client.gone() => return counters.tunnels.inc(TunnelOutcome::ClientGone),
    };
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        failed => {
            counters.tunnels.inc(TunnelOutcome::Failed);
            let refusal = if failed.is_err() { Refusal::ShardTimeout } else { Refusal::ShardBroken };
            if let Ok(Err(error)) = failed {
                let name = routed.shard().map_or("", |shard| shard.name.as_str());
                tracing::warn!(client = %client.peer(), shard = name, "upgrade failed: {error}");
            }
            return refuse(edge, client, refusal).await;
        }
    };
    if answer.status == 101 {
        start(edge, client, shard, answer, routed).await;
    } else {
        counters.tunnels.inc(TunnelOutcome::Refused);
        pass_refusal(client, shard, answer, within).await;
    }
}

async fn refuse(edge: &Edge, client: ClientStream, refusal: Refusal) {
    edge.metrics.refusals.inc(refusal.label());
    client.answer_and_close(&refusal.answer()).await;
}

/// Connects to the request's shard; to another one if the request is not bound to it.
async fn dial(edge: &Edge, mut routed: Routed) -> Result<(TcpStream, Routed), Refusal> {
    let settings = edge.settings.load_full().upstream.clone();
    let mut tried = Vec::new();
    for attempt in 0..settings.connect_attempts.max(1) {
        let Some(shard) = routed.shard() else { return Err(Refusal::NoShard) };
        let address = pick(shard, attempt);
        let began = Instant::now();
        match timeout(settings.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Frames are small and wait for nobody.
                let _ = stream.set_nodelay(true);
                edge.counters(&routed).connected_in(began.elapsed());
                return Ok((stream, routed));
            }
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "timed out".into(),
                };
                tracing::debug!(shard = %shard.name, %address, attempt, "connect failed: {why}");
                edge.counters(&routed).tunnels.inc(TunnelOutcome::Failed);
                tried.push(routed.shard);
                routed = edge.another(&routed, &tried).unwrap_or(routed);
            }
        }
    }
    Err(Refusal::Unreachable)
}

/// Attempts go round a shard's addresses, starting anywhere.
fn pick(shard: &Shard, attempt: u32) -> std::net::SocketAddr {
    let start: u32 = if shard.addresses.len() > 1 { rand::random() } else { 0 };
    shard.addresses[start.wrapping_add(attempt) as usize % shard.addresses.len()]
}

async fn ask(shard: &mut TcpStream, head: &[u8], origin: &Origin, routed: &Routed) -> Result<Answer, AnswerError> {
    let request = handshake::request(head, origin).ok_or(AnswerError::Syntax(httparse::Error::Token))?;
    shard.write_all(&request).await?;
    let name = routed.shard().and_then(|shard| HeaderValue::from_str(shard.name.as_str()).ok());
    handshake::read_answer(shard, &name.unwrap_or(HeaderValue::from_static(""))).await
}

/// Passes the 101 on and hands both sockets to a task of their own, so that all of this here can be forgotten.
async fn start(edge: &Arc<Edge>, client: ClientStream, shard: TcpStream, answer: Answer, routed: Routed) {
    let within = {
        let settings = edge.settings.load();
        edge.tunnels.set_buffer_max(settings.tunnels.buffer_max_bytes);
        settings.front.write_timeout.min(HEAD_WRITE)
    };
    let peer = client.peer();
    let (mut client, ahead, slot) = client.into_parts();
    if !told(&mut client, &answer.head, within).await {
        edge.counters(&routed).tunnels.inc(TunnelOutcome::ClientGone);
        return;
    }
    let relay = |registered| Relay::new(client, shard, &ahead, &answer.rest, registered);
    tokio::spawn(Session::open(edge, relay, &routed, peer, slot));
}

/// Whether the client takes a head in time. It may not have read the answers to its earlier requests, and never mean to.
async fn told(client: &mut TcpStream, head: &[u8], within: Duration) -> bool {
    matches!(timeout(within, client.write_all(head)).await, Ok(Ok(())))
}

/// Passes on what a shard says instead of 101, as far as it says how much that is, and closes.
async fn pass_refusal(client: ClientStream, shard: TcpStream, answer: Answer, within: Duration) {
    let (mut client, _, _slot) = client.into_parts();
    let pass = async {
        client.write_all(&answer.head).await?;
        let length = answer.content_length.unwrap_or(u64::MAX);
        let rest = answer.rest.as_slice();
        let mut body = rest.chain(shard).take(length);
        tokio::io::copy(&mut body, &mut client).await?;
        close_gently(&mut client).await
    };
    // A chunked body has no length here: the client knows its end, and the time limit is ours.
    let _ = timeout(within, pass).await;
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_that_never_reads_its_101_is_given_up() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        // Answers to earlier requests, unread, up to the brim.
        let mut unread = 0;
        loop {
            accepted.writable().await.unwrap();
            match accepted.try_write(&[b'x'; 65_536]) {
                Ok(written) => unread += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let (head, within) = (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Duration::from_millis(300));
        let began = Instant::now();
        assert!(!told(&mut accepted, head, within).await, "there was room after {unread} bytes");
        assert!(began.elapsed() >= within && began.elapsed() < Duration::from_secs(10));

        // Who does read gets it, though not at once.
        let reading = async {
            let mut answers = vec![0; unread + head.len()];
            client.read_exact(&mut answers).await.unwrap();
            assert!(answers.ends_with(head));
        };
        let (told, ()) = tokio::join!(told(&mut accepted, head, Duration::from_secs(10)), reading);
        assert!(told);
    }
}
