//! The part of OpenAPI v3 that kubectl needs: that every kind's PATCH knows `fieldValidation`.
//!
//! No schemas are published; kubectl then computes its client-side patches from its own types, and leaves validation to
//! the server.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::ByVersion;
use crate::server::resource::Resource;

pub(super) fn answer(groups: &BTreeMap<String, ByVersion>, rest: &[&str]) -> Option<Value> {
    match rest {
        [] => {
            let mut paths = serde_json::Map::new();
            for (group, versions) in groups {
                for version in versions.keys() {
                    let path =
                        if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                    paths.insert(path.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}") }));
                }
            }
            Some(json!({ "paths": paths }))
        }
        ["api", version] => groups.get("")?.get(*version).map(|all| document(all)),
        ["apis", group, version] => groups.get(*group)?.get(*version).map(|all| document(all)),
        _ => None,
    }
}

fn document(resources: &[Arc<Resource>]) -> Value {
    let mut paths = serde_json::Map::new();
    let parameter =
        |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } });
    for r in resources {
        let root = if r.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", r.group) };
        let scope = if r.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("{root}/{}{scope}/{}/{{name}}", r.version, r.plural);
        let kind = json!({ "group": r.group, "version": r.version, "kind": r.kind });
        let operation = |action: &str| {
            json!({
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
                "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
                "responses": {},
            })
        };
        let mut patch = operation("patch");
        patch["requestBody"] = json!({ "content": {
            "application/apply-patch+yaml": {}, "application/json-patch+json": {}, "application/merge-patch+json": {},
        } });
        paths.insert(path, json!({ "get": operation("get"), "put": operation("put"), "patch": patch }));
    }
    json!({
        "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "v1.33.0" }, "paths": paths,
        "components": { "schemas": {} },
    })
}
