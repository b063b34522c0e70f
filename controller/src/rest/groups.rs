//! `/groups` and everything below it.

mod actions;
mod full;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post, put},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use super::{
    Rest, audit,
    body::Body,
    change, find,
    find::Found,
    refusal::{Problem, Refusal},
    report, view, write,
};
use crate::{
    api::{GroupSpec, SHARD_LABEL},
    apply::read,
};

pub(super) fn router() -> Router<Arc<Rest>> {
    Router::new()
        .route("/groups", get(list))
        .route("/groups/actions/reset", post(actions::reset))
        .route("/groups/options/full-scaling", put(full::full_scaling))
        .route("/groups/{name}", get(one).put(upsert).delete(remove))
        .route("/groups/{name}/desired", put(desired))
        .route("/groups/{name}/scaling-options", put(options))
        .route("/groups/{name}/scaling-activities", put(activities))
        .route("/groups/{name}/instance-configuration", put(configuration))
        .route("/groups/{name}/scheduled-scaling", get(schedule).put(set_schedule).delete(drop_schedule))
        .route("/groups/{name}/report", get(group_report))
        .route("/groups/{name}/group-audit", get(group_audit))
        .route("/groups/{name}/instance-audit", get(instance_audit))
        .route("/groups/{name}/actions/launch-protected", post(actions::launch_protected))
        .route("/groups/{name}/actions/reconfigure-instances", post(actions::reconfigure))
        .route("/groups/{name}/reservations", get(reservations).post(reservations))
        .route("/groups/{name}/reservations/{id}", get(reservations).put(reservations).delete(reservations))
}

type Answer = Result<Json<Value>, Refusal>;
type Name = Path<String>;

fn saved() -> Json<Value> {
    Json(json!({"save": "OK"}))
}

async fn list(State(rest): State<Arc<Rest>>, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    let wanted: Vec<_> = query.iter().filter_map(|(key, value)| Some((key.strip_prefix("tag.")?, value))).collect();
    let groups = find::all(&rest).await?;
    let groups: Vec<_> = groups
        .iter()
        .map(view::group)
        .filter(|group| wanted.iter().all(|(key, value)| group.tags.get(*key) == Some(value)))
        .collect();
    Ok(Json(json!({ "instanceGroups": groups })))
}

async fn one(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    Ok(Json(json!({ "instanceGroup": view::group(&find::group(&rest, &name).await?) })))
}

/// Changes a group; there is nothing to say about it afterwards.
pub(super) async fn change(
    rest: &Rest,
    name: &str,
    edit: impl Fn(&Found, GroupSpec) -> Result<GroupSpec, Refusal>,
) -> Answer {
    write::change(rest, name, edit).await?;
    Ok(saved())
}

async fn upsert(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    if body.0.get("name").and_then(Value::as_str) != Some(name.as_str()) {
        let why = "The request param group name must match group name in the body";
        return Err(Refusal::Wrong(why.to_owned()));
    }
    let now = rest.now();
    match change(&rest, &name, |found, own| change::whole(found, &own, &body.0, now)).await {
        // There a group comes into being by being written. Here it is part of a shard, and that is what to write.
        Err(Refusal::NotFound(why)) => {
            let why = format!("{why}. Groups are made by JitsiShards and cannot be made here.");
            Err(Refusal::invalid(Problem::name(why)))
        }
        answer => answer,
    }
}

async fn remove(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    let found = find::group(&rest, &name).await?;
    let active = pods(&rest, &found).await?.iter().filter(|pod| !super::instance::Instance(pod).ended()).count();
    let why = if active > 0 { "This group has active instances. It" } else { "The group" };
    Err(Refusal::invalid(Problem::name(format!(
        "{why} is part of the JitsiShard '{}' and stays as long as that has {}; disable it there. \
         POST /groups/actions/reset takes back what was written here.",
        found.shard.name_any(),
        found.kind.as_str()
    ))))
}

async fn desired(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    let now = rest.now();
    change(&rest, &name, |found, own| change::desired(found, own, &body.0, now)).await
}

async fn options(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    change(&rest, &name, |found, own| change::options(found, own, &body.0)).await
}

async fn activities(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    change(&rest, &name, |found, own| change::activities(found, own, &body.0)).await
}

async fn configuration(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    change(&rest, &name, |found, own| change::configuration(found, own, &body.0)).await
}

async fn schedule(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    let view = view::schedule_view(&find::group(&rest, &name).await?);
    Ok(Json(serde_json::to_value(view).unwrap_or_default()))
}

async fn set_schedule(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    change(&rest, &name, |found, own| change::schedule(found, own, Some(&body.0))).await
}

async fn drop_schedule(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    change(&rest, &name, |found, own| change::schedule(found, own, None)).await
}

/// All pods of a group.
pub(super) async fn pods(rest: &Rest, found: &Found) -> Result<Vec<Pod>, Refusal> {
    let api: Api<Pod> = Api::namespaced(rest.client.clone(), &found.namespace());
    let selector =
        format!("{SHARD_LABEL}={},app.kubernetes.io/component={}", found.shard.name_any(), found.kind.as_str());
    Ok(read("list pods", api.list(&ListParams::default().labels(&selector))).await?.items)
}

async fn group_report(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    let found = find::group(&rest, &name).await?;
    let pods = pods(&rest, &found).await?;
    Ok(Json(json!({ "groupReport": report::report(&found, &pods, rest.now()) })))
}

async fn group_audit(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    let found = find::group(&rest, &name).await?;
    let items = audit::items(&rest.client, &found.shard, found.kind).await?;
    Ok(Json(json!({ "audit": audit::group_audit(&items) })))
}

async fn instance_audit(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    let found = find::group(&rest, &name).await?;
    let items = audit::items(&rest.client, &found.shard, found.kind).await?;
    let pods = pods(&rest, &found).await?;
    Ok(Json(json!({ "audit": audit::instance_audit(&items, &pods) })))
}

async fn reservations() -> Refusal {
    Refusal::NotHere(
        "reservations are for groups of type selenium-grid, which there are none of here; \
         ask for capacity with PUT /groups/:name/desired or a schedule",
    )
}
