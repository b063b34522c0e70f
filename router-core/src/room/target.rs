//! What a request is about: a room, a room's page, or no room at all.
//!
//! The surface is that of jitsi-meet and its servers: every request of a conference carries `room=` in its query
//! and the tenant as the path before the endpoint; a page load names the room in the path alone.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::{
    MAX_RAW_NAME, RoomName,
    normal::{self, Plus},
};

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A request of a conference: it pins the room.
    Room(RoomName),
    /// The load of a room's page: it looks where the room is or would go, and pins nothing.
    Page(RoomName),
    /// Any ready shard will do.
    Roomless,
}

/// The raw room name or tenant has this many bytes, more than [`MAX_RAW_NAME`]. Answer 414 (RFC 9110 §15.5.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room name of {0} bytes is longer than {MAX_RAW_NAME}")]
pub struct NameTooLong(pub usize);

/// Endpoints that are more than one segment: the tenant ends before the first of these.
const LONG_ENDPOINTS: [&[u8]; 4] = [b"conference-request", b"_api", b"colibri-ws", b"colibri-relay-ws"];

/// Last segments that are requests of a client even without a room, never the page of a room.
const ENDPOINTS: [&[u8]; 12] = [
    b"http-bind",
    b"http-pre-bind",
    b"xmpp-websocket",
    b"conference-request",
    b"colibri-ws",
    b"colibri-relay-ws",
    b"room-size",
    b"room-password",
    b"_unlock",
    b"_health",
    b"_api",
    b"rtcstats-ws",
];

/// Directories of files and services; what lies under them is no page of a room.
const DIRECTORIES: [&[u8]; 19] = [
    b"libs",
    b"css",
    b"static",
    b"images",
    b"fonts",
    b"lang",
    b"sounds",
    b"connection_optimization",
    b".well-known",
    b"v1",
    b"_api",
    b"about",
    b"etherpad",
    b"excalidraw",
    b"socket.io",
    b"rtcstats-ws",
    b"colibri-ws",
    b"colibri-relay-ws",
    b"conference-request",
];

/// What jitsi-meet strips from the parts of a page's path before it names the room (`util/uri.ts`).
const STRIPPED: &[u8] = b":?#[]@!$&'()*+,;=></\"";

/// Reads a request's target: its path and, after the `?`, its query; `parameter` names the room's parameter.
///
/// Nothing is decoded but names, and the request itself is never changed.
///
/// # Errors
/// When the room's raw name, or the raw path that would be its tenant, is longer than [`MAX_RAW_NAME`].
pub fn classify(path: &[u8], query: Option<&[u8]>, parameter: &str) -> Result<Target, NameTooLong> {
    match query.and_then(|query| value(query, parameter)) {
        Some(room) if !room.is_empty() => {
            bounded(room)?;
            let tenant = before_endpoint(path);
            bounded(tenant)?;
            Ok(Target::Room(RoomName {
                tenant: normal::tenant(segments(tenant)),
                room: normal::name(room, Plus::Space),
            }))
        }
        // No parameter, or an empty one: an empty room is no room.
        _ => page(path),
    }
}

/// The first value of a parameter, raw (WHATWG URL §5.1; names may be encoded too, though nobody does).
fn value<'a>(query: &'a [u8], parameter: &str) -> Option<&'a [u8]> {
    query.split(|&b| b == b'&').find_map(|pair| {
        let mut halves = pair.splitn(2, |&b| b == b'=');
        let name = halves.next().unwrap_or_default();
        let same = name == parameter.as_bytes() || (name.contains(&b'%') && percent_decode(name).eq(parameter.bytes()));
        same.then(|| halves.next().unwrap_or_default())
    })
}

fn bounded(raw: &[u8]) -> Result<(), NameTooLong> {
    if raw.len() > MAX_RAW_NAME {
        return Err(NameTooLong(raw.len()));
    }
    Ok(())
}

/// Empty segments do not count: nginx in the shard merges slashes.
fn segments(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|s| !s.is_empty())
}

/// The part of the path that is the tenant's, given that the path ends in an endpoint.
fn before_endpoint(path: &[u8]) -> &[u8] {
    let mut start = 0;
    for segment in path.split(|&b| b == b'/') {
        if LONG_ENDPOINTS.contains(&segment) {
            return &path[..start];
        }
        start += segment.len() + 1;
    }
    split_last(path).0
}

/// The last segment, and what stands before it.
fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |i| i + 1);
    let start = path[..end].iter().rposition(|&b| b == b'/').map_or(0, |i| i + 1);
    (&path[..start], &path[start..end])
}

fn page(path: &[u8]) -> Result<Target, NameTooLong> {
    // `/tenant/` is the tenant's welcome page.
    if path.last().is_none_or(|&b| b == b'/') {
        return Ok(Target::Roomless);
    }
    let (tenant, room) = split_last(path);
    let mut above = segments(tenant);
    let in_directory = above.any(|s| DIRECTORIES.contains(&s));
    let is_directory = tenant.iter().all(|&b| b == b'/') && DIRECTORIES.contains(&room);
    if in_directory || is_directory || ENDPOINTS.contains(&room) || room.contains(&b'.') {
        return Ok(Target::Roomless);
    }
    bounded(room)?;
    bounded(tenant)?;
    let room = normal::name(&stripped(room), Plus::Literal);
    if room.is_empty() {
        return Ok(Target::Roomless);
    }
    let parts: Vec<_> = segments(tenant).map(stripped).collect();
    let parts = parts.iter().map(AsRef::as_ref).filter(|p: &&[u8]| !p.is_empty());
    Ok(Target::Page(RoomName { tenant: normal::tenant(parts), room }))
}

fn stripped(segment: &[u8]) -> Cow<'_, [u8]> {
    if segment.iter().any(|b| STRIPPED.contains(b)) {
        segment.iter().copied().filter(|b| !STRIPPED.contains(b)).collect()
    } else {
        Cow::Borrowed(segment)
    }
}
