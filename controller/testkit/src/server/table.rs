//! `as=Table`: what kubectl prints.

use serde_json::{Value, json};

use super::resource::Resource;

pub(crate) fn table(
    _resource: &Resource,
    items: &[Value],
    meta: Value,
    _now: jiff::Timestamp,
    _columns: bool,
) -> Value {
    let row = |o: &Value| json!({ "cells": [o["metadata"]["name"]], "object": o });
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
        "columnDefinitions": [{ "name": "Name", "type": "string" }],
        "rows": items.iter().map(row).collect::<Vec<_>>() })
}
