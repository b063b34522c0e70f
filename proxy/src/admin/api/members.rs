//! `/v1/members`: the replicas that share pins with this one.

use std::net::SocketAddr;

use axum::{Json, extract::State};
use router_core::cluster::ReplicaState;
use serde::Serialize;

use crate::{
    admin::AdminState,
    cluster::{ClusterHandle, LaneBytes, Link, Member},
};

/// A live replica as the API shows it.
#[derive(Serialize)]
pub(in crate::admin) struct MemberView {
    id: String,
    /// Where others dial it.
    address: SocketAddr,
    state: ReplicaState,
    /// It is the one that answers.
    own: bool,
    /// When it started, in milliseconds of Unix time by its own clock.
    started_ms: u64,
    /// `null` without a connection, and for the replica itself.
    link: Option<LinkView>,
}

/// The connection to it.
#[derive(Serialize)]
struct LinkView {
    /// Version of the messages.
    version: u16,
    waiting_bytes: LaneBytes,
    /// How long the oldest urgent message has waited.
    lag_ms: u128,
}

impl LinkView {
    fn new(link: Link) -> Self {
        Self { version: link.version, waiting_bytes: link.waiting, lag_ms: link.lag.as_millis() }
    }
}

impl MemberView {
    fn new(member: &Member) -> Self {
        Self {
            id: member.node.id.to_string(),
            address: member.node.address,
            state: member.state,
            own: member.own,
            started_ms: member.node.started.0,
            link: member.link.map(LinkView::new),
        }
    }
}

#[derive(Serialize)]
pub(in crate::admin) struct MemberList {
    members: Vec<MemberView>,
}

/// `GET /v1/members`, as of the last second; empty for a replica that shares with nobody.
pub(in crate::admin) async fn list(State(state): State<AdminState>) -> Json<MemberList> {
    let view = state.cluster.as_ref().map(ClusterHandle::view).unwrap_or_default();
    Json(MemberList { members: view.members.iter().map(MemberView::new).collect() })
}
