//! One line per request and per tunnel, in the words of the design.
//!
//! Rooms appear as hashes and queries not at all: they carry room names and tokens.

use std::{borrow::Cow, fmt, net::SocketAddr, time::Duration};

use pingora::proxy::Session;
use router_core::{
    room::{RoomKey, RoomName},
    shard::ShardId,
};

use crate::{
    config::AccessLog,
    edge::{Edge, PinUse, Routed},
    http::Passage,
    tunnel::{End, Moved},
};

/// `tracing` target of access lines, so that `log.level` can filter them.
const TARGET: &str = "roompin_access";

/// Paths that load balancers ask for every few seconds.
const HEALTH_CHECKS: [&str; 2] = ["/about/health", "/_health"];

/// Milliseconds to the microsecond, as a number in JSON too; what did not happen is left out.
fn millis(time: Option<Duration>) -> Option<f64> {
    time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)
}

struct Room(Option<RoomKey>);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => key.fmt(f),
            None => f.write_str("-"),
        }
    }
}

fn shard_name(routed: &Routed) -> &str {
    routed.shard().map_or("-", |shard| shard.name.as_str())
}

/// The path without a room's name: a page's ends in it, and shows `*` there.
fn path_without_room<'p>(path: &'p str, routed: &Routed) -> Cow<'p, str> {
    let Some((_, name)) = &routed.room else { return path.into() };
    let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
    if routed.pin == PinUse::Looked || RoomName::new("", last).room() == name.room() {
        format!("{above}/*").into()
    } else {
        path.into()
    }
}

/// Logs an ordinary request.
pub(crate) fn request(edge: &Edge, session: &Session, passage: &Passage, status: u16) {
    let path = session.req_header().uri.path();
    match edge.settings.load().access {
        AccessLog::Off => return,
        AccessLog::Requests if HEALTH_CHECKS.contains(&path) => return,
        AccessLog::Requests | AccessLog::All => {}
    }
    let routed = &passage.routed;
    tracing::info!(
        target: TARGET,
        client = %passage.client,
        method = %session.req_header().method,
        path = %path_without_room(path, routed),
        status,
        room = %Room(routed.key()),
        shard = shard_name(routed),
        pin = routed.pin.as_str(),
        attempts = passage.attempts,
        connect_ms = millis(passage.connect),
        response_ms = millis(passage.response),
        total_ms = millis(Some(passage.started.elapsed())),
        bytes = session.body_bytes_sent(),
        "request"
    );
}

/// A tunnel that has ended.
#[derive(Debug)]
pub(crate) struct EndedTunnel {
    pub(crate) client: SocketAddr,
    pub(crate) room: Option<RoomKey>,
    pub(crate) shard: ShardId,
    pub(crate) pin: PinUse,
    pub(crate) end: End,
    pub(crate) moved: Moved,
    pub(crate) lived: Duration,
}

/// Logs a tunnel at its end. Its shard may have left meanwhile; then it has no name.
pub(crate) fn tunnel(edge: &Edge, ended: &EndedTunnel) {
    if edge.settings.load().access == AccessLog::Off {
        return;
    }
    let shards = edge.router.shards();
    tracing::info!(
        target: TARGET,
        client = %ended.client,
        room = %Room(ended.room),
        shard = shards.get(ended.shard).map_or("-", |shard| shard.name.as_str()),
        pin = ended.pin.as_str(),
        end = ended.end.as_str(),
        to_shard_bytes = ended.moved.up,
        to_client_bytes = ended.moved.down,
        seconds = ended.lived.as_secs(),
        "tunnel"
    );
}
