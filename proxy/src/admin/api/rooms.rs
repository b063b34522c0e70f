//! `/v1/rooms`: where rooms are, and moving them.

use std::{collections::BinaryHeap, str::FromStr};

use axum::{
    Json,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, Uri},
};
use router_core::{
    room::{MAX_RAW_NAME, RoomKey, RoomName},
    router::{Outcome, PinError, PinView},
    shard::ShardName,
};
use serde::{Deserialize, Serialize};

use super::{ApiError, shards};
use crate::admin::AdminState;

/// Most rooms on a page.
const MAX_LIMIT: usize = 1000;
/// Rooms on a page when the request does not say.
const DEFAULT_LIMIT: usize = 100;

/// A room as the API shows it.
#[derive(Serialize)]
pub(in crate::admin) struct RoomView {
    key: RoomKey,
    /// Known as long as a tunnel is open; the table holds only the key.
    name: Option<String>,
    shard: ShardName,
    age_s: u64,
    idle_s: u64,
    /// `null` while a tunnel holds the pin.
    expires_in_s: Option<u64>,
    tunnels: u32,
    epoch: u32,
}

impl RoomView {
    fn new(key: RoomKey, view: PinView, state: &AdminState) -> Self {
        let now = state.clock.now();
        let idle = now.since(view.pin.last_seen);
        let left = state.router.limits().0.saturating_sub(idle);
        Self {
            key,
            name: state.tunnels.name_of(key),
            shard: view.pin.shard,
            age_s: now.since(view.pin.created).as_secs(),
            idle_s: idle.as_secs(),
            expires_in_s: (view.tunnels == 0).then_some(left.as_secs()),
            tunnels: view.tunnels,
            epoch: view.pin.epoch,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct ListQuery {
    shard: Option<String>,
    limit: Option<usize>,
    after: Option<RoomKey>,
}

#[derive(Serialize)]
pub(in crate::admin) struct RoomList {
    rooms: Vec<RoomView>,
    /// `after` for the next page; `null` on the last one.
    next: Option<RoomKey>,
}

/// `GET /v1/rooms?shard=&limit=&after=`, in the order of keys, so that pages neither repeat nor skip a room that was
/// there all the time.
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<RoomList>, ApiError> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, format!("limit is a number from 1 to {MAX_LIMIT}")));
    }
    let shard = match query.shard {
        Some(name) => Some(shards::known(&state.router.shards(), &name, StatusCode::BAD_REQUEST)?),
        None => None,
    };
    let list = state.scan(move |state| page(state, shard.as_ref(), limit, query.after)).await?;
    Ok(Json(list))
}

/// The `limit` smallest keys after `after`, found in one walk that keeps no more than `limit` of them.
fn page(state: &AdminState, shard: Option<&ShardName>, limit: usize, after: Option<RoomKey>) -> RoomList {
    let mut smallest = BinaryHeap::with_capacity(limit + 1);
    let mut more = false;
    let now = state.clock.now();
    state.router.for_each_pin(now, |key, view| {
        if after.is_some_and(|after| key <= after) || shard.is_some_and(|shard| *shard != view.pin.shard) {
            return;
        }
        smallest.push(key);
        if smallest.len() > limit {
            smallest.pop();
            more = true;
        }
    });
    let keys = smallest.into_sorted_vec();
    let next = keys.last().copied().filter(|_| more);
    // Looked up again: what ended in between is left out.
    let view = |&key: &RoomKey| Some(RoomView::new(key, state.router.lookup(key, now)?, state));
    RoomList { rooms: keys.iter().filter_map(view).collect(), next }
}

/// `GET /v1/rooms/{room}`
pub(in crate::admin) async fn show(State(state): State<AdminState>, uri: Uri) -> Result<Json<RoomView>, ApiError> {
    let room = Room::of(&state, &uri)?;
    let view = state.router.lookup(room.key, state.clock.now()).ok_or_else(|| room.unknown())?;
    Ok(Json(RoomView::new(room.key, view, &state)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct PutBody {
    shard: String,
}

/// What a `PUT` did.
#[derive(Serialize)]
pub(in crate::admin) struct PutAnswer {
    /// `made`, `moved` or `unchanged`.
    outcome: &'static str,
    /// The shard before, for a moved room.
    from: Option<ShardName>,
    /// Tunnels on other shards that are being closed, so that their users rejoin here.
    tunnels_closing: usize,
    room: RoomView,
}

/// `PUT /v1/rooms/{room}`: pins the room to a shard, or moves it there.
pub(in crate::admin) async fn put(
    State(state): State<AdminState>,
    uri: Uri,
    body: Result<Json<PutBody>, JsonRejection>,
) -> Result<Json<PutAnswer>, ApiError> {
    let Json(body) = body?;
    let room = Room::of(&state, &uri)?;
    let shards = state.router.shards();
    let shard = shards::known(&shards, &body.shard, StatusCode::UNPROCESSABLE_ENTITY)?;
    let now = state.clock.now();
    let before = state.router.lookup(room.key, now);
    let target = shards.by_name(shard.as_str()).filter(|target| !target.takes_rooms());
    // A room that is there already may stay there: saying so again is no news to a draining shard.
    if let Some(target) = target.filter(|_| before.as_ref().is_none_or(|before| before.pin.shard != shard)) {
        let message = format!(
            "shard {shard} is {} with weight {} ({}), so it takes no new room; choose another one, or make it ready first",
            target.state.as_str(),
            target.weight,
            target.why
        );
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    let outcome = state.router.pin(room.key, &shard, now).map_err(pin_refused)?;
    if let Some(cluster) = &state.cluster {
        cluster.changed(room.key).await;
    }
    let after = state.router.shards();
    let id = after.by_name(shard.as_str()).map(|shard| shard.id);
    // After the pin has changed: whoever is cut now finds the new one.
    let tunnels_closing = state.tunnels.close_room(room.key, id);
    let (outcome, from) = match outcome {
        Outcome::Found => ("unchanged", None),
        Outcome::Made => {
            id.inspect(|&id| state.metrics.shard(id).pins_made.inc());
            ("made", None)
        }
        Outcome::Moved { from } => {
            id.inspect(|&id| state.metrics.pin_moved(from, id));
            ("moved", after.name(from).cloned())
        }
    };
    tracing::info!(room = %room.key, %shard, outcome, tunnels_closing, "an operator pinned a room");
    let view = state.router.lookup(room.key, now).ok_or_else(|| room.unknown())?;
    Ok(Json(PutAnswer { outcome, from, tunnels_closing, room: RoomView::new(room.key, view, &state) }))
}

fn pin_refused(error: PinError) -> ApiError {
    match error {
        PinError::UnknownShard => {
            ApiError::new(StatusCode::CONFLICT, "the shard has just gone; look at GET /v1/shards")
        }
        PinError::TableFull => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the table of pins is full and none is over; raise rooms.max_pins",
        ),
    }
}

/// What a `DELETE` did.
#[derive(Serialize)]
pub(in crate::admin) struct DeleteAnswer {
    key: RoomKey,
    /// The shard it was pinned to.
    shard: ShardName,
    /// Tunnels that are being closed, so that nobody stays behind when the room is placed anew.
    tunnels_closing: usize,
}

/// `DELETE /v1/rooms/{room}`: forgets the pin; the next request places the room anew.
pub(in crate::admin) async fn delete(
    State(state): State<AdminState>,
    uri: Uri,
) -> Result<Json<DeleteAnswer>, ApiError> {
    let room = Room::of(&state, &uri)?;
    let now = state.clock.now();
    let before = state.router.lookup(room.key, now).ok_or_else(|| room.unknown())?;
    let was_there = match &state.cluster {
        Some(cluster) => {
            let ended = state.router.end(room.key, now).is_some();
            cluster.changed(room.key).await;
            ended
        }
        None => state.router.unpin(room.key, now),
    };
    if !was_there {
        return Err(room.unknown());
    }
    let tunnels_closing = state.tunnels.close_room(room.key, None);
    tracing::info!(room = %room.key, shard = %before.pin.shard, tunnels_closing, "an operator unpinned a room");
    Ok(Json(DeleteAnswer { key: room.key, shard: before.pin.shard, tunnels_closing }))
}

/// The room that a path names.
struct Room {
    key: RoomKey,
    text: String,
}

impl Room {
    /// `/v1/rooms/room`, `/v1/rooms/tenant/room`, or a key of 32 hexadecimal digits.
    ///
    /// Applications do name rooms by MD5 sums, so what looks like a key is one only if a pin has it.
    fn of(state: &AdminState, uri: &Uri) -> Result<Self, ApiError> {
        // The path as sent: in `a%2Fb` the slash is a part of the room's name, in `a/b` it ends a tenant's.
        let text = uri.path().strip_prefix("/v1/rooms/").unwrap_or_default();
        if text.len() > 2 * MAX_RAW_NAME {
            return Err(ApiError::new(
                StatusCode::URI_TOO_LONG,
                format!("no name is longer than {MAX_RAW_NAME} bytes"),
            ));
        }
        if let Some(key) =
            RoomKey::from_str(text).ok().filter(|&key| state.router.lookup(key, state.clock.now()).is_some())
        {
            return Ok(Self { key, text: text.into() });
        }
        let (tenant, room) = text.rsplit_once('/').unwrap_or(("", text));
        let name = RoomName::new(tenant, room);
        if name.room().is_empty() {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "a room's name is missing at the end of the path"));
        }
        Ok(Self { key: state.hasher.key(&name), text: name.to_string() })
    }

    fn unknown(&self) -> ApiError {
        let message =
            format!("room {:?} (key {}) is not pinned here; it has had no request lately", self.text, self.key);
        ApiError::new(StatusCode::NOT_FOUND, message)
    }
}
