//! The head of one request: found, parsed and checked before anything else looks at it.
//!
//! The checks are strict where two HTTP parsers could disagree about where a message ends (RFC 9112 §11.2, request
//! smuggling): such a request is refused, never repaired. What passes is forwarded as it came.

use std::{ops::Range, str};

use thiserror::Error;

/// Most header fields in one head; nginx and HAProxy (`tune.http.maxhdr` 101) are close to it.
const MAX_FIELDS: usize = 100;

/// Empty lines tolerated before a request line (RFC 9112 §2.2 asks for at least one).
const MAX_LEADING_EMPTY_LINES: usize = 4;

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HeadError {
    #[error("a line does not end in CR LF, or has a stray CR or NUL")]
    LineEnding,
    #[error("the request line or a header field is malformed")]
    Syntax,
    #[error("more than {MAX_FIELDS} header fields")]
    TooManyFields,
    #[error("the HTTP version is not 1.0 or 1.1")]
    Version,
    #[error("Content-Length and Transfer-Encoding together, or either more than once, or not understood")]
    Framing,
    #[error("HTTP/1.1 needs exactly one Host")]
    Host,
    #[error("the request target is neither a path nor a URL")]
    Target,
    #[error("CONNECT is not served")]
    Connect,
    #[error("a WebSocket upgrade is a GET without a body")]
    UpgradeWithBody,
}

/// Where the message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// One checked request head; ranges point into the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Length in bytes, blank line included.
    pub(crate) len: usize,
    pub(crate) path: Range<usize>,
    pub(crate) query: Option<Range<usize>>,
    pub(crate) framing: Framing,
    /// A WebSocket upgrade that we relay ourselves.
    pub(crate) websocket: bool,
}

impl Head {
    /// The path's bytes, `/` first.
    pub(crate) fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.path.clone()]
    }

    /// The query's bytes, without the `?`.
    pub(crate) fn query<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.query.clone().map(|range| &bytes[range])
    }
}

/// Number of bytes to drop before a request line: the empty lines that old clients send after a body.
pub(crate) fn leading_empty_lines(bytes: &[u8]) -> usize {
    let lines = bytes.chunks_exact(2).take(MAX_LEADING_EMPTY_LINES).take_while(|pair| pair == b"\r\n");
    2 * lines.count()
}

/// Looks for the end of a head in `bytes`, of which the first `seen` were looked at before.
///
/// # Errors
/// As soon as a line ends in anything but CR LF, so that nobody waits for the end of a head that has none.
pub(crate) fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
    // A CR or LF at the seam was not decided last time.
    let from = seen.saturating_sub(3);
    for at in from..bytes.len() {
        let ok = match bytes[at] {
            b'\n' => at > 0 && bytes[at - 1] == b'\r',
            b'\r' => bytes.get(at + 1).is_none_or(|&next| next == b'\n'),
            0 => false,
            _ => true,
        };
        if !ok {
            return Err(HeadError::LineEnding);
        }
        if bytes[at] == b'\n' && bytes[..=at].ends_with(b"\r\n\r\n") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// Parses and checks a whole head, `bytes` ending with its blank line.
///
/// # Errors
/// When the head is malformed, or could be read in two ways.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
        Err(httparse::Error::Version) if names_a_version(bytes) => return Err(HeadError::Version),
        Ok(_) | Err(_) => return Err(HeadError::Syntax),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(HeadError::Syntax);
    };
    if method == "CONNECT" {
        return Err(HeadError::Connect);
    }
    let http_11 = version == 1;
    let fields = Fields::collect(request.headers)?;
    if fields.hosts > 1 || (http_11 && fields.hosts == 0) {
        return Err(HeadError::Host);
    }
    let framing = fields.framing(http_11)?;
    let websocket = http_11 && fields.upgrade_token && fields.websocket;
    if websocket && (method != "GET" || framing != Framing::Length(0)) {
        return Err(HeadError::UpgradeWithBody);
    }

    let base = bytes.as_ptr().addr();
    let place = |part: &str| {
        let start = part.as_ptr().addr() - base;
        start..start + part.len()
    };
    let (path, query) = split_target(target)?;
    Ok(Head { len: bytes.len(), path: place(path), query: query.map(place), framing, websocket })
}

/// Whether the request line's third word is a version at all.
fn names_a_version(head: &[u8]) -> bool {
    head.splitn(3, |&byte| byte == b' ').nth(2).is_some_and(|rest| rest.starts_with(b"HTTP/"))
}

/// What the checks need to know of all header fields.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    upgrade_token: bool,
    websocket: bool,
}

impl<'a> Fields<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // By length first: most fields are none of these.
            match header.name.len() {
                4 if is("host") => fields.hosts += 1,
                7 if is("upgrade") => fields.websocket |= has_token(header.value, "websocket"),
                10 if is("connection") => fields.upgrade_token |= has_token(header.value, "upgrade"),
                14 if is("content-length") => set_once(&mut fields.content_length, header.value)?,
                17 if is("transfer-encoding") => set_once(&mut fields.transfer_encoding, header.value)?,
                _ => {}
            }
        }
        Ok(fields)
    }

    /// RFC 9112 §6, without any of its leniencies.
    fn framing(&self, http_11: bool) -> Result<Framing, HeadError> {
        match (self.content_length, self.transfer_encoding) {
            (None, None) => Ok(Framing::Length(0)),
            (Some(length), None) => decimal(length).map(Framing::Length).ok_or(HeadError::Framing),
            (None, Some(coding)) if http_11 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            _ => Err(HeadError::Framing),
        }
    }
}

fn set_once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8]) -> Result<(), HeadError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(HeadError::Framing),
    }
}

/// Digits only: no sign, no blank, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Whether a comma-separated list has `token`, in any case.
pub(crate) fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Path and query of an origin-form, absolute-form or `*` target (RFC 9112 §3.2).
fn split_target(target: &str) -> Result<(&str, Option<&str>), HeadError> {
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let local = if target.starts_with('/') || target == "*" {
        target
    } else {
        let (_, after_scheme) = target.split_once("://").ok_or(HeadError::Target)?;
        let start = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
        &after_scheme[start..]
    };
    Ok(match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    })
}

#[cfg(test)]
mod tests;
