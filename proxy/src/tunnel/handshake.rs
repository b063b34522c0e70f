//! The upgrade request on its way to the shard, and the shard's answer on its way back: heads rewritten as bytes.

use http::{HeaderName, HeaderValue};
use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::front::forwarded::{self, Origin};

/// Largest answer head taken from a shard (nginx' default `large_client_header_buffers` has two of these).
const MAX_ANSWER_HEAD: usize = 16 * 1024;
pub(super) const MAX_FIELDS: usize = 100;

/// The response field by which Jitsi's clients notice a shard change.
pub(crate) const SHARD_HEADER: &str = "X-Jitsi-Shard";

/// Why a shard's answer cannot be used.
#[derive(Debug, Error)]
pub(super) enum AnswerError {
    #[error("the shard closed the connection without an answer")]
    Closed,
    #[error("the shard's answer has a head of more than {MAX_ANSWER_HEAD} bytes")]
    TooLarge,
    #[error("the shard's answer is not HTTP: {0}")]
    Syntax(#[from] httparse::Error),
    #[error("reading the shard's answer: {0}")]
    Io(#[from] std::io::Error),
}

/// The request head to send to the shard: the client's, with our own `X-Forwarded-*`.
///
/// `head` has passed the checks of [`crate::front::head`]; should it not parse, it is not forwarded at all.
pub(super) fn request(head: &[u8], origin: &Origin) -> Option<Vec<u8>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(head).ok()?;
    let request_line_end = head.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let fields = &*request.headers;
    let is = |field: &httparse::Header<'_>, name: &HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
    let first = |name: &HeaderName| fields.iter().find(|field| is(field, name)).map(|field| field.value);
    let chain = fields.iter().filter(|field| is(field, &forwarded::FIELDS[0])).map(|field| field.value);

    let mut bytes = Vec::with_capacity(head.len() + 256);
    bytes.extend_from_slice(&head[..request_line_end]);
    for field in fields {
        if !forwarded::FIELDS.iter().any(|ours| is(field, ours)) {
            write_field(&mut bytes, field.name, field.value);
        }
    }
    for (name, value) in origin.fields(first, chain, first(&http::header::HOST)) {
        write_field(&mut bytes, name.as_str(), value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    Some(bytes)
}

/// A shard's answer to an upgrade.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The head to send to the client.
    pub(super) head: Vec<u8>,
    /// What came right behind it: frames, or a body.
    pub(super) rest: Vec<u8>,
    /// Length of the body of a refusal, where the shard told it.
    pub(super) content_length: Option<u64>,
}

/// Reads the shard's answer, passing over interim ones (100, 102, 103).
pub(super) async fn read_answer(shard: &mut TcpStream, shard_name: &HeaderValue) -> Result<Answer, AnswerError> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some((answer, used)) = parse_answer(&bytes, shard_name)? {
            if answer.status == 101 || answer.status >= 200 {
                let rest = bytes.split_off(used);
                return Ok(Answer { rest, ..answer });
            }
            bytes.drain(..used);
            continue;
        }
        if bytes.len() >= MAX_ANSWER_HEAD {
            return Err(AnswerError::TooLarge);
        }
        if shard.read_buf(&mut bytes).await? == 0 {
            return Err(AnswerError::Closed);
        }
    }
}

pub(super) fn parse_answer(bytes: &[u8], shard_name: &HeaderValue) -> Result<Option<(Answer, usize)>, AnswerError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    // Three digits, but no status: written again without its zeros it would not even look like one.
    if status < 100 {
        return Err(httparse::Error::Status.into());
    }
    let upgraded = status == 101;

    let mut head = format!("HTTP/1.1 {status} {}\r\n", response.reason.unwrap_or_default()).into_bytes();
    let mut names_shard = false;
    let mut content_length = None;
    for field in response.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        names_shard |= is(SHARD_HEADER);
        if is("content-length") {
            content_length = std::str::from_utf8(field.value).ok().and_then(|digits| digits.parse().ok());
        }
        // A refusal ends the connection, whatever the shard had in mind for it.
        if upgraded || !(is("connection") || is("keep-alive")) {
            write_field(&mut head, field.name, field.value);
        }
    }
    if !upgraded {
        write_field(&mut head, "Connection", b"close");
    }
    if !names_shard {
        write_field(&mut head, SHARD_HEADER, shard_name.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    if matches!(status, 204 | 304) {
        content_length = Some(0);
    }
    Ok(Some((Answer { status, head, rest: Vec::new(), content_length }, used)))
}

fn write_field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_forwarded_untouched_but_for_our_fields() {
        let head = b"GET /xmpp-websocket?room=%25c3 HTTP/1.1\r\nHost: meet\r\nX-FORWARDED-for: 6.6.6.6\r\n\
            Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k==\r\n\r\n";
        let origin = Origin::new(([203, 0, 113, 9], 1).into(), &[]);
        let sent = String::from_utf8(request(head, &origin).unwrap()).unwrap();
        assert_eq!(
            sent,
            "GET /xmpp-websocket?room=%25c3 HTTP/1.1\r\nHost: meet\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: k==\r\nx-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: meet\r\nx-real-ip: 203.0.113.9\r\n\r\n"
        );
    }

    #[test]
    fn a_101_is_passed_on_with_the_shard_named() {
        let name = HeaderValue::from_static("shard-1");
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x82\x00";
        let (answer, used) = parse_answer(bytes, &name).unwrap().unwrap();
        assert_eq!((answer.status, &bytes[used..]), (101, &b"\x82\x00"[..]));
        let head = String::from_utf8(answer.head).unwrap();
        assert!(head.ends_with("Upgrade: websocket\r\nX-Jitsi-Shard: shard-1\r\n\r\n"), "{head}");
    }

    #[test]
    fn a_shard_that_names_itself_is_left_alone_and_a_refusal_closes() {
        let name = HeaderValue::from_static("shard-1");
        let bytes =
            b"HTTP/1.1 403 Nope\r\nx-jitsi-shard: theirs\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno";
        let (answer, _) = parse_answer(bytes, &name).unwrap().unwrap();
        assert_eq!(answer.content_length, Some(2));
        let head = String::from_utf8(answer.head).unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 403 Nope\r\nx-jitsi-shard: theirs\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        );
        assert!(parse_answer(b"SSH-2.0-OpenSSH\r\n", &name).is_err());
        assert!(parse_answer(b"HTTP/1.1 001 Nothing\r\n\r\n", &name).is_err());
        assert!(parse_answer(b"HTTP/1.1 101 Switch", &name).unwrap().is_none());
    }
}
