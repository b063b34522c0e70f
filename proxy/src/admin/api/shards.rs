//! `/v1/shards`: what every source says about a shard, and the operator's own word.

use std::net::SocketAddr;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use router_core::{
    agent_check::{AgentAdmin, AgentWeight},
    registry::ShardInput,
    shard::{ShardName, ShardState},
    shard_set::{AgentSays, Shard, ShardSet},
};
use serde::Serialize;

use super::ApiError;
use crate::admin::AdminState;

/// A shard as the API shows it.
#[derive(Serialize)]
pub(in crate::admin) struct ShardView {
    name: ShardName,
    /// The strictest of the four below.
    state: ShardState,
    why: String,
    discovery: ShardState,
    operator: Option<ShardState>,
    health: ShardState,
    /// What its agent said last; `null` if it never spoke.
    agent: Option<AgentView>,
    /// In hundredths of a configured weight of 1.
    weight: u32,
    addresses: Vec<SocketAddr>,
    agent_port: Option<u16>,
    source: String,
    present: bool,
    rooms: u32,
    tunnels: usize,
}

/// An agent's words as the API shows them.
#[derive(Serialize)]
struct AgentView {
    /// Such as `50%` of the configured weight, or `20` in its place.
    weight: Option<String>,
    /// `ready`, `drain` or `maint`.
    admin: Option<&'static str>,
    /// Why it says it is down.
    down: Option<String>,
}

impl AgentView {
    fn new(says: &AgentSays) -> Self {
        let weight = says.weight.map(|weight| match weight {
            AgentWeight::Percent(percent) => format!("{percent}%"),
            AgentWeight::Absolute(weight) => weight.to_string(),
        });
        let admin = says.admin.map(|admin| match admin {
            AgentAdmin::Ready => "ready",
            AgentAdmin::Drain => "drain",
            AgentAdmin::Maint => "maint",
        });
        Self { weight, admin, down: says.down.clone() }
    }
}

#[derive(Serialize)]
pub(in crate::admin) struct ShardList {
    shards: Vec<ShardView>,
}

impl ShardView {
    fn new(shard: &Shard, state: &AdminState) -> Self {
        Self {
            name: shard.name.clone(),
            state: shard.state,
            why: shard.why.clone(),
            discovery: shard.discovery,
            operator: shard.operator,
            health: shard.health,
            agent: shard.agent.as_ref().map(AgentView::new),
            weight: shard.weight,
            addresses: shard.addresses.to_vec(),
            agent_port: shard.agent_port,
            source: shard.source.as_ref().into(),
            present: shard.present,
            rooms: state.router.rooms_on(shard.id),
            tunnels: state.tunnels.open_on(shard.id),
        }
    }
}

/// `GET /v1/shards`
pub(in crate::admin) async fn list(State(state): State<AdminState>) -> Json<ShardList> {
    let shards = state.router.shards();
    Json(ShardList { shards: shards.iter().map(|shard| ShardView::new(shard, &state)).collect() })
}

/// `POST /v1/shards/{name}/{order}`: the operator's order; it holds until `ready` takes it back or the process ends.
pub(in crate::admin) async fn order(
    State(state): State<AdminState>,
    Path((name, order)): Path<(String, String)>,
) -> Result<Json<ShardView>, ApiError> {
    let ordered = match order.as_str() {
        "ready" => None,
        "drain" => Some(ShardState::Draining),
        "down" => Some(ShardState::Down),
        _ => {
            let message = format!("{order:?} is no order; use drain, down, or ready to take either back");
            return Err(ApiError::new(StatusCode::NOT_FOUND, message));
        }
    };
    let shard = known(&state.router.shards(), &name, StatusCode::NOT_FOUND)?;
    let input = ShardInput::Operator { shard: shard.clone(), state: ordered };
    let events = state.router.handle(input, state.clock.now());
    (state.on_shard_events)(&events);
    let after = state.router.shards();
    let shard = after.by_name(shard.as_str()).ok_or_else(|| unknown(&after, &name, StatusCode::NOT_FOUND))?;
    // After the order holds: whoever is cut now comes back to another shard. Health alone cuts nobody: a tunnel that
    // still works may be all that a struggling shard can do for its users.
    let tunnels_closing = if ordered == Some(ShardState::Down) { state.tunnels.close_shard(shard.id) } else { 0 };
    tracing::info!(shard = %shard.name, order, tunnels_closing, "an operator's order");
    Ok(Json(ShardView::new(shard, &state)))
}

/// The shard's name as discovery spells it.
pub(super) fn known(shards: &ShardSet, name: &str, status: StatusCode) -> Result<ShardName, ApiError> {
    let shard = shards.by_name(name).ok_or_else(|| unknown(shards, name, status))?;
    Ok(shard.name.clone())
}

/// Names shown in an error; the rest is counted.
const MOST_NAMED: usize = 50;

fn unknown(shards: &ShardSet, name: &str, status: StatusCode) -> ApiError {
    let names: Vec<_> = shards.iter().take(MOST_NAMED).map(|shard| shard.name.as_str()).collect();
    let more = shards.len().saturating_sub(MOST_NAMED);
    let list = match (names.as_slice(), more) {
        ([], _) => "no shard is known yet".into(),
        (names, 0) => format!("known are {}", names.join(", ")),
        (names, more) => format!("known are {} and {more} more", names.join(", ")),
    };
    ApiError::new(status, format!("there is no shard {name:?}; {list}"))
}
