//! The description of the API, at `/openapi.json`. Made of one table of routes and the types that are answered; tests hold the
//! table against the router, and Schemathesis holds the answers against the table.

mod bodies;

use std::sync::{Arc, OnceLock};

use axum::{Json, Router, routing::get};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Rest,
    refusal::Problem,
    wire::{Command, Group, GroupAudit, GroupReport, InstanceAudit, ScheduleAnswer},
};

/// What a route answers when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Good {
    Saved,
    Command,
    Groups,
    Group,
    Report,
    GroupAudit,
    InstanceAudit,
    Schedule,
    Launched,
    Reset,
    Reconfigured,
    Full,
    /// Nothing ever: 400 at best.
    Never,
    /// 501.
    NotHere,
}

/// One route.
pub struct Route {
    /// Its method, in lower case.
    pub method: &'static str,
    /// Its path, with names in braces.
    pub path: &'static str,
    summary: &'static str,
    body: Option<fn() -> Value>,
    good: Good,
}

macro_rules! routes {
    ($($method:ident $path:literal $body:expr, $good:ident, $summary:literal;)*) => {
        /// All routes that need a token.
        pub const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method), path: $path, summary: $summary, body: $body, good: Good::$good,
        }),*];
    };
}

routes! {
    post "/sidecar/poll" Some(bodies::details), Command, "What an instance shall do.";
    post "/sidecar/status" Some(bodies::stats), Command, "What an instance says, and what it shall do.";
    post "/sidecar/stats" Some(bodies::stats), Saved, "What an instance says.";
    post "/sidecar/shutdown" Some(bodies::details), Saved, "An instance wants to end.";
    get "/groups" None, Groups, "All groups; tag.KEY=VALUE keeps those with that tag.";
    get "/groups/{name}" None, Group, "One group.";
    put "/groups/{name}" Some(bodies::group), Saved, "Write all of a group.";
    delete "/groups/{name}" None, Never, "A group stays as long as its shard has it; the answer says what to do.";
    put "/groups/{name}/desired" Some(bodies::desired), Saved, "Bounds, and how many are asked for.";
    put "/groups/{name}/scaling-options" Some(bodies::options), Saved, "Quantities, thresholds and periods.";
    put "/groups/{name}/scaling-activities" Some(bodies::activities), Saved, "What is switched on.";
    put "/groups/{name}/instance-configuration" Some(bodies::configuration), Saved, "Kept, without a meaning here.";
    get "/groups/{name}/scheduled-scaling" None, Schedule, "The schedule.";
    put "/groups/{name}/scheduled-scaling" Some(bodies::schedule), Saved, "Write the schedule.";
    delete "/groups/{name}/scheduled-scaling" None, Saved, "Take the schedule away.";
    get "/groups/{name}/report" None, Report, "Every instance.";
    get "/groups/{name}/group-audit" None, GroupAudit, "What happened to the group in the last two days.";
    get "/groups/{name}/instance-audit" None, InstanceAudit, "What happened to its instances.";
    post "/groups/{name}/actions/launch-protected" Some(bodies::launch), Launched, "More instances, that load does not take away for a while.";
    post "/groups/{name}/actions/reconfigure-instances" None, Reconfigured, "Every instance shall reconfigure itself.";
    post "/groups/actions/reset" None, Reset, "Take back what was written by REST, for all groups.";
    put "/groups/options/full-scaling" Some(bodies::full), Full, "Other numbers for all groups of a type in a region.";
    get "/groups/{name}/reservations" None, NotHere, "Not here.";
    post "/groups/{name}/reservations" None, NotHere, "Not here.";
    get "/groups/{name}/reservations/{id}" None, NotHere, "Not here.";
    put "/groups/{name}/reservations/{id}" None, NotHere, "Not here.";
    delete "/groups/{name}/reservations/{id}" None, NotHere, "Not here.";
}

pub(super) fn router() -> Router<Arc<Rest>> {
    Router::new().route(
        "/openapi.json",
        get(async || {
            static DOCUMENT: OnceLock<Value> = OnceLock::new();
            Json(DOCUMENT.get_or_init(document).clone())
        }),
    )
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.for_serialize().into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    let health =
        json!({"description": "The state, in a word.", "content": {"text/plain": {"schema": {"type": "string"}}}});
    paths.insert(
        "/health".to_owned(),
        json!({"get": {
            "operationId": "health",
            "summary": "Whether it serves; with `deep`, whether Kubernetes answers too.",
            "security": [],
            "parameters": [{"name": "deep", "in": "query", "required": false, "schema": {"type": "string"}}],
            "responses": {"200": health, "500": health, "503": health},
        }}),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Roompin: groups and sidecars",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Compatible with jitsi-autoscaler's API. A group is the bridges, recorders or gateways of one shard.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (RS256)"}},
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let id = format!("{}{}", route.method, route.path.replace(['/', '{', '}', '.'], "_"));
    let mut parameters: Vec<_> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let example = if name == "name" { "meet-0-jvb" } else { "1" };
            json!({"name": name, "in": "path", "required": true, "example": example,
                "schema": {"type": "string", "minLength": 1, "pattern": "^[a-z0-9][-.a-z0-9]{0,126}$"}})
        })
        .collect();
    if route.good == Good::Groups {
        parameters.push(json!({"name": "tags", "in": "query", "required": false, "style": "form", "explode": true,
            "description": "tag.KEY=VALUE, any number of them.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}}}));
    }
    let mut operation = json!({
        "operationId": id, "summary": route.summary, "parameters": parameters, "responses": answers(route, generator),
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": body()}}});
    }
    operation
}

fn answers(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let as_json =
        |what: &str, schema: Value| json!({"description": what, "content": {"application/json": {"schema": schema}}});
    let as_text = |what: &str| json!({"description": what, "content": {"text/plain": {"schema": {"type": "string"}}}});
    let exactly = |field: &str, word: &str| json!({"type": "object", "properties": {field: {"const": word}}, "required": [field]});
    let within = |field: &str, schema: Value| json!({"type": "object", "properties": {field: schema}, "required": [field], "additionalProperties": false});
    let error = json!({"type": "object", "properties": {"save": {"const": false}, "error": {"type": "string"}},
        "required": ["save", "error"]});
    let mut of = |what: Good| match what {
        Good::Saved => exactly("save", "OK"),
        Good::Launched => exactly("launch", "OK"),
        Good::Reset => exactly("reset", "OK"),
        Good::Command => generator.subschema_for::<Command>().to_value(),
        Good::Groups => within("instanceGroups", generator.subschema_for::<Vec<Group>>().to_value()),
        Good::Group => within("instanceGroup", generator.subschema_for::<Group>().to_value()),
        Good::Report => within("groupReport", generator.subschema_for::<GroupReport>().to_value()),
        Good::GroupAudit => within("audit", generator.subschema_for::<GroupAudit>().to_value()),
        Good::InstanceAudit => within("audit", generator.subschema_for::<Vec<InstanceAudit>>().to_value()),
        Good::Schedule => generator.subschema_for::<ScheduleAnswer>().to_value(),
        Good::Reconfigured => json!({"type": "object", "required": ["save", "instances"], "properties": {
            "save": {"const": "OK"},
            "instances": {"type": "array", "items": {"type": "object", "required": ["instanceId", "instanceType", "group"]}},
        }}),
        Good::Full => json!({"type": "object", "required": ["groupsToBeUpdated", "groupsUpdated"], "properties": {
            "groupsToBeUpdated": {"type": "integer"}, "groupsUpdated": {"type": "integer"},
            "skippedGroups": {"type": "array", "items": {"type": "object", "required": ["name", "reason"]}},
        }}),
        Good::Never | Good::NotHere => Value::Bool(true),
    };
    let mut all = Map::new();
    let mut add = |code: &str, answer: Value| all.insert(code.to_owned(), answer);
    match route.good {
        Good::Never => {}
        Good::NotHere => {
            add("501", as_json("There is no such thing here.", error.clone()));
        }
        good => {
            let schema = of(good);
            add("200", as_json("Done.", schema.clone()));
            if good == Good::Full {
                add("206", as_json("Some groups could not be written.", schema));
            }
        }
    }
    let problems = generator.subschema_for::<Problem>().to_value();
    let errors = json!({"type": "object", "required": ["errors"],
        "properties": {"errors": {"type": "array", "minItems": 1, "items": {"anyOf": [problems, {"type": "string"}]}}}});
    add("400", as_json("What is wrong with the request.", errors));
    add("401", as_text("There is no token, or it is not to be believed."));
    add("413", as_text("The body is too long."));
    let sidecar = route.path.starts_with("/sidecar");
    if sidecar || route.good == Good::Reconfigured {
        add("403", as_json("Switched off, or not for this caller.", error.clone()));
    }
    if !sidecar && route.path.contains('{') && route.good != Good::NotHere {
        add("404", as_text("There is no such group, and why."));
    }
    if route.method != "get" && !sidecar {
        add("409", as_json("Somebody else owns a field; the error names him.", error.clone()));
    }
    add("500", as_json("Kubernetes refuses.", json!({"type": "object", "required": ["save"]})));
    add("503", as_json("Not now; try again.", error.clone()));
    add("504", as_json("Kubernetes takes too long.", error));
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        let found = to.strip_prefix('#').and_then(|path| document.pointer(path));
                        assert!(found.is_some(), "{to}");
                    }
                    map.values().for_each(|value| walk(value, document));
                }
                Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
        assert!(document["components"]["schemas"]["Group"]["properties"]["gracePeriodTTLSec"].is_object());
        assert_eq!(document["paths"]["/groups/{name}"].as_object().unwrap().len(), 3);
    }
}
