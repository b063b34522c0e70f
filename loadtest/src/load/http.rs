//! Answers read as far as a load generator needs them: status, shard, and where they end.

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::stub::SHARD_HEADER;

/// Longest head read.
const MAX_HEAD: usize = 16 << 10;
/// Longest body kept, and longest chunked one read.
const MAX_BODY: usize = 1 << 20;
/// Most headers of an answer.
const MAX_HEADERS: usize = 64;

/// The key of every handshake, and what a WebSocket server makes of it: the example of RFC 6455 §1.3. One key for all
/// saves a hash per tunnel, and an answer from a cache would be a finding of its own.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A handshake for a room.
pub(super) fn handshake(host: &str, room: &str) -> Vec<u8> {
    format!(
        "GET /xmpp-websocket?room={room} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
    )
    .into_bytes()
}

/// A request without a body.
pub(super) fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// A request with one.
pub(super) fn post(host: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml; charset=utf-8\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Number of a shard in the order in which they were met.
pub(super) type ShardId = u16;

/// Names of the shards met.
#[derive(Clone, Debug, Default)]
pub(super) struct Shards(Vec<Box<[u8]>>);

impl Shards {
    /// The number of a name; `None` when there are more shards than anybody has.
    fn id(&mut self, name: &[u8]) -> Option<ShardId> {
        let place = self.0.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len() - 1
        });
        ShardId::try_from(place).ok()
    }

    /// How many were met.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// An answer that is all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Who answered, in the shard's own words.
    pub(super) shard: Option<ShardId>,
    /// Whether it accepts the handshake with [`KEY`].
    pub(super) accepts: bool,
    /// Whether the connection may carry another request.
    pub(super) keep_alive: bool,
}

impl Answer {
    /// The shard that answered with success.
    pub(super) fn shard_if_ok(&self) -> Option<ShardId> {
        self.shard.filter(|_| (200..300).contains(&self.status))
    }

    /// The shard that accepted the handshake.
    pub(super) fn shard_if_tunnel(&self) -> Option<ShardId> {
        self.shard.filter(|_| self.status == 101 && self.accepts)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    UntilEnd,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Body(Answer, Body),
}

/// Reads the answers of one connection, one at a time.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    /// The start of a head, or of a chunked body, that is not complete yet.
    held: Vec<u8>,
    keep_body: bool,
    body: Vec<u8>,
}

impl Reader {
    /// A reader that forgets bodies, or keeps the last for [`Reader::body`].
    pub(super) fn new(keep_body: bool) -> Self {
        Self { state: State::Head, held: Vec::new(), keep_body, body: Vec::new() }
    }

    /// Body of the answer read last, if kept.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether nothing of an answer has come yet.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.held.is_empty()
    }

    /// Takes bytes that arrived; an answer once it is complete. Interim answers (1xx but for 101) are passed over.
    ///
    /// # Errors
    /// When the bytes are no HTTP, too long, or more than was asked for.
    pub(super) fn feed(&mut self, bytes: &[u8], shards: &mut Shards) -> Result<Option<Answer>, &'static str> {
        if self.held.is_empty() {
            let mut taken = 0;
            let fed = self.step(bytes, &mut taken, shards);
            if !matches!(fed, Err(_) | Ok(Some(_))) {
                self.held.extend_from_slice(&bytes[taken..]);
            }
            return fed;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut taken = 0;
        let fed = self.step(&held, &mut taken, shards);
        held.drain(..taken);
        self.held = held;
        fed
    }

    /// The connection ended: the answer that only this completes.
    pub(super) fn end(&mut self) -> Option<Answer> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Body(answer, Body::UntilEnd) => Some(answer),
            _ => None,
        }
    }

    fn step(&mut self, all: &[u8], taken: &mut usize, shards: &mut Shards) -> Result<Option<Answer>, &'static str> {
        loop {
            let rest = &all[*taken..];
            match self.state {
                State::Head => {
                    let Some((answer, body, length)) = head(rest, shards)? else {
                        return if rest.len() > MAX_HEAD { Err("the head is too long") } else { Ok(None) };
                    };
                    *taken += length;
                    self.body.clear();
                    if answer.status >= 200 || answer.status == 101 {
                        self.state = State::Body(answer, body);
                    }
                }
                State::Body(answer, Body::Length(missing)) => {
                    let here = usize::try_from(missing).map_or(rest.len(), |missing| missing.min(rest.len()));
                    self.keep(&rest[..here])?;
                    *taken += here;
                    if here as u64 == missing {
                        return self.complete(answer, &rest[here..]);
                    }
                    self.state = State::Body(answer, Body::Length(missing - here as u64));
                    return Ok(None);
                }
                State::Body(answer, Body::Chunked) => {
                    let Some((pieces, length)) = chunks(rest)? else {
                        return if rest.len() > MAX_BODY { Err("the body is too long") } else { Ok(None) };
                    };
                    for piece in pieces {
                        self.keep(&rest[piece])?;
                    }
                    *taken += length;
                    return self.complete(answer, &rest[length..]);
                }
                State::Body(_, Body::UntilEnd) => {
                    self.keep(rest)?;
                    *taken = all.len();
                    return Ok(None);
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.keep_body {
            if self.body.len() + bytes.len() > MAX_BODY {
                return Err("the body is too long");
            }
            self.body.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn complete(&mut self, answer: Answer, beyond: &[u8]) -> Result<Option<Answer>, &'static str> {
        self.state = State::Head;
        if beyond.is_empty() { Ok(Some(answer)) } else { Err("more bytes than one answer has") }
    }
}

/// The head at the start of a buffer, the kind of body, and the head's length; `None` if it is not complete.
fn head(bytes: &[u8], shards: &mut Shards) -> Result<Option<(Answer, Body, usize)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("no HTTP answer"),
    };
    let status = response.code.unwrap_or_default();
    let mut answer = Answer { status, shard: None, accepts: false, keep_alive: response.version == Some(1) };
    let mut body = if status == 101 || status == 204 || status == 304 { Body::Length(0) } else { Body::UntilEnd };
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let says = |word: &str| header.value.eq_ignore_ascii_case(word.as_bytes());
        if is(SHARD_HEADER) {
            answer.shard = shards.id(header.value);
        } else if is("content-length") && body == Body::UntilEnd {
            let number = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            body = Body::Length(number.ok_or("a content length that is no number")?);
        } else if is("transfer-encoding") && says("chunked") && status >= 200 {
            body = Body::Chunked;
        } else if is("connection") && says("close") {
            answer.keep_alive = false;
        } else if is("sec-websocket-accept") {
            answer.accepts = header.value == ACCEPT.as_bytes();
        }
    }
    if body == Body::UntilEnd {
        answer.keep_alive = false;
    }
    Ok(Some((answer, body, length)))
}

/// Where the pieces of a chunked body are, and its length in all.
type Chunks = (Vec<Range<usize>>, usize);

/// A chunked body at the start of a buffer; `None` if it is not complete.
fn chunks(bytes: &[u8]) -> Result<Option<Chunks>, &'static str> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    loop {
        let Ok(status) = httparse::parse_chunk_size(&bytes[at..]) else { return Err("no chunked body") };
        let httparse::Status::Complete((line, size)) = status else { return Ok(None) };
        at += line;
        if size == 0 {
            // Trailers, which nobody sends us, would stand before this line's end.
            return match bytes.get(at..at + 2) {
                None => Ok(None),
                Some(b"\r\n") => Ok(Some((pieces, at + 2))),
                Some(_) => Err("trailers after a chunked body"),
            };
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BODY).ok_or("the body is too long")?;
        if bytes.len() < at + size + 2 {
            return Ok(None);
        }
        pieces.push(at..at + size);
        at += size + 2;
    }
}
