//! Events have two faces, core/v1 and events.k8s.io/v1, over one collection. They are stored as core/v1.

use serde_json::Value;

/// (name in core/v1, name in events.k8s.io/v1)
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

pub(crate) fn to_core(event: &mut Value) {
    rename(event, |(core, new)| (new, core));
    event["apiVersion"] = "v1".into();
}

pub(crate) fn to_new(event: &mut Value) {
    rename(event, |(core, new)| (core, new));
    event["apiVersion"] = "events.k8s.io/v1".into();
}

fn rename(event: &mut Value, way: fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    if let Some(fields) = event.as_object_mut() {
        for (from, to) in RENAMED.into_iter().map(way) {
            if let Some(value) = fields.remove(from) {
                fields.insert(to.to_owned(), value);
            }
        }
    }
}
