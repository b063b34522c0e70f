//! `PUT /groups/options/full-scaling`: other numbers for all groups of a type in a region and an environment.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};

use crate::{
    api::{GroupKind, OptionsSpec},
    plan::group::full::{Direction, FullAnswer, FullGroup, FullRequest, full_scaling as plan},
    rest::{
        Rest,
        body::Body,
        fields::Fields,
        find::{self, Found},
        refusal::{Problem, Refusal},
        view, write,
    },
};

pub(super) async fn full_scaling(State(rest): State<Arc<Rest>>, body: Body) -> Result<impl IntoResponse, Refusal> {
    let request = read(&body.0)?;
    let found = find::all(&rest).await?;
    let groups: Vec<_> = found.iter().map(group).collect();
    let plan = plan(&request, &groups);
    let said_at = format!("{:.3}", rest.now());
    let mut answer = FullAnswer {
        groups_to_be_updated: plan.changes.len(),
        groups_updated: 0,
        skipped_groups: plan.skipped.clone(),
    };
    for change in &plan.changes {
        let written = write::change(&rest, &change.name, |_, mut own| {
            change.write(&said_at, &mut own);
            Ok(own)
        });
        match written.await {
            Ok(_) => answer.groups_updated += 1,
            Err(error) => tracing::warn!(%error, group = change.name, "full-scaling passes a group by"),
        }
    }
    let all = answer.groups_updated == answer.groups_to_be_updated;
    Ok((if all { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT }, Json(answer)))
}

fn group(found: &Found) -> FullGroup {
    let shown = view::group(found);
    FullGroup {
        name: found.name.clone(),
        kind: found.kind,
        environment: shown.environment,
        region: shown.region,
        scheduler: found.model.scheduler,
        scheduled: found.model.schedule.is_some() && !shown.enable_scheduler,
        min: found.model.options.min,
        max: found.model.options.max,
        desired: view::desired(found),
    }
}

fn read(body: &serde_json::Value) -> Result<FullRequest, Refusal> {
    const TYPES: &str = "Instance type not supported. Use JVB, jigasi, jibri or sip-jibri instead";
    const DIRECTIONS: &str = "Scaling direction not supported. Use up or down instead";
    let mut fields = Fields::of(body)?;
    let environment = fields.text("environment", 1024).unwrap_or_default();
    let region = fields.text("region", 1024).unwrap_or_default();
    let kind = body.get("instanceType").and_then(serde_json::Value::as_str).unwrap_or_default();
    let kind = GroupKind::ALL.into_iter().find(|known| known.autoscaler_type().eq_ignore_ascii_case(kind));
    if kind.is_none() {
        fields.add(Problem::body("instanceType", TYPES, body.get("instanceType")));
    }
    let direction = match body.get("direction").and_then(serde_json::Value::as_str) {
        Some("up") => Some(Direction::Up),
        Some("down") => Some(Direction::Down),
        _ => {
            fields.add(Problem::body("direction", DIRECTIONS, body.get("direction")));
            None
        }
    };
    let mut options = OptionsSpec::default();
    if let Some(mut part) = fields.part("options") {
        options = crate::rest::change::partial(&mut part);
        fields.take(part);
    }
    if let (Some(min), Some(max)) = (options.min_desired, options.max_desired)
        && min > max
    {
        fields.wrong("options", "min cannot be greater than max");
    }
    fields.finish()?;
    Ok(FullRequest {
        environment,
        region,
        kind: kind.unwrap_or_default(),
        direction: direction.unwrap_or(Direction::Up),
        options,
    })
}
