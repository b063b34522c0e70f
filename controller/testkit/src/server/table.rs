//! `as=Table`: what kubectl prints.

mod cells;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{clock::age, json_path, resource::Resource};

/// A column's name, type and whether only `-o wide` shows it.
pub(crate) type Head = (&'static str, &'static str, bool);

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({ "name": name, "type": kind, "format": format, "description": description, "priority": priority })
}

/// How long ago a timestamp field was.
pub(crate) fn since(value: &Value, now: Timestamp) -> String {
    value.as_str().and_then(|t| t.parse().ok()).map_or_else(|| "<unknown>".to_owned(), |then| age(then, now))
}

/// Objects as a table.
pub(crate) fn table(resource: &Resource, items: &[Value], meta: &Value, now: Timestamp, columns: bool) -> Value {
    let rows: Vec<Value> = items
        .iter()
        .map(|object| {
            json!({
                "cells": cells(resource, object, now),
                "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
                },
            })
        })
        .collect();
    let heads = if columns { heads(resource) } else { Vec::new() };
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": heads, "rows": rows })
}

fn heads(resource: &Resource) -> Vec<Value> {
    let mut all = vec![definition("Name", "string", "name", "Name must be unique within a namespace.", 0)];
    if resource.custom {
        for c in &resource.columns {
            all.push(definition(&c.name, &c.kind, &c.format, &c.description, c.priority));
        }
        if resource.columns.is_empty() {
            all.push(definition("Age", "date", "", "", 0));
        }
        return all;
    }
    let heads = cells::heads(resource);
    all.extend(heads.iter().map(|(name, kind, wide)| definition(name, kind, "", "", i64::from(*wide))));
    all
}

fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = vec![object["metadata"]["name"].clone()];
    if !resource.custom {
        all.extend(cells::cells(resource, object, now));
        return all;
    }
    all.extend(resource.columns.iter().map(|c| {
        let found = json_path::find(object, &c.path);
        let Some(first) = found.first() else { return Value::Null };
        match (c.kind.as_str(), first) {
            ("date", _) => since(first, now).into(),
            ("integer" | "number" | "boolean", value) => Value::clone(value),
            _ => found.iter().map(|v| text(v)).collect::<Vec<_>>().join(",").into(),
        }
    }));
    if resource.columns.is_empty() {
        all.push(since(&object["metadata"]["creationTimestamp"], now).into());
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
