//! Whether an object says everything that we mean it to say.

use serde_json::Value;

/// Keys by which Kubernetes tells the elements of a list apart, the first that fits.
const KEYS: [&str; 8] = ["name", "mountPath", "containerPort", "port", "key", "uid", "topologyKey", "ip"];

/// True when everything in `wanted` is in `live`. What else is in `live` belongs to others, or is a default.
///
/// Nothing, an empty text, an empty list and an empty object are one: the API server leaves them out.
#[must_use]
pub fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).map_or_else(|| empty(wanted), |live| contains(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => list(live, wanted),
        (Value::Number(live), Value::Number(wanted)) => live.as_f64() == wanted.as_f64(),
        (live, wanted) => live == wanted || (empty(live) && empty(wanted)),
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.values().all(empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A list whose elements have a key may hold others' elements too; any other list is ours as a whole.
fn list(live: &[Value], wanted: &[Value]) -> bool {
    let key = KEYS.iter().find(|key| !wanted.is_empty() && wanted.iter().all(|item| item.get(**key).is_some()));
    match key {
        Some(key) => wanted.iter().all(|wanted| {
            live.iter().filter(|live| live.get(*key) == wanted.get(*key)).any(|live| contains(live, wanted))
        }),
        None => live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_others_fields_are_no_difference() {
        let live = json!({
            "metadata": {"labels": {"a": "1", "theirs": "2"}, "uid": "x"},
            "spec": {"replicas": 1, "env": [{"name": "THEIRS", "value": "x"}, {"name": "A", "value": "1"}],
                "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]}
        });
        let same = json!({
            "metadata": {"labels": {"a": "1"}},
            "spec": {"replicas": 1, "selector": {}, "env": [{"name": "A", "value": "1"}], "ports": [{"name": "web", "port": 80}]}
        });
        assert!(contains(&live, &same));
    }

    #[test]
    fn what_is_missing_or_changed_is_a_difference() {
        let live = json!({"spec": {"replicas": 1, "args": ["a", "b"], "env": [{"name": "A", "value": "1"}]}});
        for other in [
            json!({"spec": {"replicas": 2}}),
            json!({"spec": {"args": ["a"]}}),
            json!({"spec": {"args": ["b", "a"]}}),
            json!({"spec": {"env": [{"name": "A", "value": "2"}]}}),
            json!({"spec": {"env": [{"name": "B"}]}}),
            json!({"spec": {"paused": true}}),
        ] {
            assert!(!contains(&live, &other), "{other}");
        }
        assert!(contains(
            &live,
            &json!({"spec": {"replicas": 1.0, "volumes": [], "securityContext": {"sysctls": []}}})
        ));
    }
}
