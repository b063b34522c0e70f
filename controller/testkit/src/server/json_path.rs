//! The part of JSONPath that printer columns and scale subresources use.

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    /// `[*]`
    Each,
    /// `[?(@.a.b=="c")]`
    Where(Vec<String>, bool, String),
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(filter) = rest.strip_prefix("[?(@.") {
            let (inner, after) = filter.split_once(")]")?;
            let (left, equal, right) = match inner.split_once("!=") {
                Some((l, r)) => (l, false, r),
                None => inner.split_once("==").map(|(l, r)| (l, true, r))?,
            };
            let want = right.trim().trim_matches(|c| c == '"' || c == '\'').to_owned();
            steps.push(Step::Where(left.trim().split('.').map(str::to_owned).collect(), equal, want));
            rest = after;
        } else if let Some(index) = rest.strip_prefix('[') {
            let (inner, after) = index.split_once(']')?;
            let quoted = inner.trim_matches(|c| c == '"' || c == '\'');
            steps.push(match inner {
                "*" => Step::Each,
                _ if quoted.len() < inner.len() => Step::Field(quoted.to_owned()),
                _ => Step::Index(inner.parse().ok()?),
            });
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            // A backslash keeps a dot inside a name: `.metadata.labels.app\.kubernetes\.io/name`.
            let mut name = String::new();
            let mut chars = rest.char_indices();
            let mut end = rest.len();
            while let Some((i, c)) = chars.next() {
                match c {
                    '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
                    '.' | '[' => {
                        end = i;
                        break;
                    }
                    _ => name.push(c),
                }
            }
            if name.is_empty() {
                return None;
            }
            steps.push(if name == "*" { Step::Each } else { Step::Field(name) });
            rest = &rest[end..];
        }
    }
    Some(steps)
}

/// Every value that a path finds.
pub(crate) fn find<'a>(root: &'a Value, path: &str) -> Vec<&'a Value> {
    let Some(steps) = steps(path) else { return Vec::new() };
    let mut found = vec![root];
    for step in &steps {
        found = found.into_iter().flat_map(|value| take(value, step)).collect();
    }
    found
}

fn take<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(i), Value::Array(list)) => list.get(*i).into_iter().collect(),
        (Step::Each, Value::Array(list)) => list.iter().collect(),
        (Step::Each, Value::Object(map)) => map.values().collect(),
        (Step::Where(path, equal, want), Value::Array(list)) => {
            let text = |item: &Value| match path.iter().try_fold(item, |at, step| at.get(step)) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
                None => None,
            };
            list.iter().filter(|item| (text(item).as_deref() == Some(want)) == *equal).collect()
        }
        _ => Vec::new(),
    }
}

/// The value at a plain path.
pub(crate) fn at<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    find(root, path).into_iter().next()
}

/// Sets the value at a plain path of fields, making the objects on the way.
pub(crate) fn set(root: &mut Value, path: &str, value: Value) {
    let mut at = root;
    for name in path.split('.').filter(|s| !s.is_empty()) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns() {
        let object = json!({
            "metadata": { "labels": { "app.kubernetes.io/name": "x" } },
            "status": { "conditions": [{ "type": "A", "status": "False" }, { "type": "Ready", "status": "True" }] },
        });
        for (path, want) in [
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!("True")),
            (".status.conditions[?(@.type!='Ready')].type", json!("A")),
            (".status.conditions[0].type", json!("A")),
            (r".metadata.labels.app\.kubernetes\.io/name", json!("x")),
            (r"{.metadata.labels['app.kubernetes.io/name']}", json!("x")),
        ] {
            assert_eq!(at(&object, path), Some(&want), "{path}");
        }
        assert_eq!(find(&object, ".status.conditions[*].type"), [&json!("A"), &json!("Ready")]);
        assert_eq!(at(&object, ".status.nothing[3]"), None);
        let mut made = json!({});
        set(&mut made, ".spec.replicas", 3.into());
        assert_eq!(made, json!({ "spec": { "replicas": 3 } }));
    }
}
