//! Label and field selectors, as they stand in a query string.

use serde_json::Value;

use super::failure::Failure;

/// A parsed label selector: every requirement must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Labels(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    Equals(String, String),
    Differs(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Labels {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if !part.is_empty() {
                all.push(requirement(part).ok_or_else(|| {
                    Failure::bad_request(format!(
                        "unable to parse requirement: found '{part}', expected: a label selector"
                    ))
                })?);
            }
        }
        Ok(Self(all))
    }

    /// From a `LabelSelector` object (`matchLabels`, `matchExpressions`). An empty one matches everything.
    pub(crate) fn from_object(selector: &Value) -> Self {
        let mut all = Vec::new();
        if let Some(map) = selector["matchLabels"].as_object() {
            all.extend(
                map.iter().map(|(k, v)| Requirement::Equals(k.clone(), v.as_str().unwrap_or_default().to_owned())),
            );
        }
        for e in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = e["key"].as_str().unwrap_or_default().to_owned();
            let values = e["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            match e["operator"].as_str() {
                Some("In") => all.push(Requirement::In(key, values)),
                Some("NotIn") => all.push(Requirement::NotIn(key, values)),
                Some("Exists") => all.push(Requirement::Exists(key)),
                Some("DoesNotExist") => all.push(Requirement::Absent(key)),
                _ => {}
            }
        }
        Self(all)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let get = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|r| match r {
            Requirement::Equals(k, v) => get(k) == Some(v),
            Requirement::Differs(k, v) => get(k) != Some(v),
            Requirement::In(k, vs) => get(k).is_some_and(|have| vs.iter().any(|v| v == have)),
            Requirement::NotIn(k, vs) => get(k).is_none_or(|have| vs.iter().all(|v| v != have)),
            Requirement::Exists(k) => get(k).is_some(),
            Requirement::Absent(k) => get(k).is_none(),
        })
    }
}

/// A `LabelSelector` object as the text that a scale subresource and kubectl's columns show.
pub(crate) fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(map) = selector["matchLabels"].as_object() {
        parts.extend(map.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())));
    }
    for e in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = e["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(match e["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let key = |text: &str| {
        let text = text.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
    };
    let value = |text: &str| {
        let text = text.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        text.chars().all(fits).then(|| text.to_owned())
    };
    if let Some((head, list)) = part.split_once('(') {
        let values = list.strip_suffix(')')?.split(',').map(value).collect::<Option<Vec<_>>>()?;
        let mut words = head.split_whitespace();
        let name = key(words.next()?)?;
        return match (words.next()?, words.next()) {
            ("in", None) => Some(Requirement::In(name, values)),
            ("notin", None) => Some(Requirement::NotIn(name, values)),
            _ => None,
        };
    }
    if let Some((k, v)) = part.split_once("!=") {
        return Some(Requirement::Differs(key(k)?, value(v)?));
    }
    if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::Equals(key(k)?, value(v)?));
    }
    match part.strip_prefix('!') {
        Some(k) => Some(Requirement::Absent(key(k)?)),
        None => Some(Requirement::Exists(key(part)?)),
    }
}

/// A parsed field selector.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

impl Fields {
    /// Parses, refusing fields that this resource does not index (as the real server does).
    pub(crate) fn parse(text: &str, supported: &dyn Fn(&str) -> bool) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (path, value, equal) = if let Some((k, v)) = part.split_once("!=") {
                (k, v, false)
            } else if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (k, v, true)
            } else {
                return Err(Failure::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            if !supported(path) {
                return Err(Failure::bad_request(format!("field label not supported: {path}")));
            }
            all.push((path.to_owned(), value.to_owned(), equal));
        }
        Ok(Self(all))
    }

    pub(crate) fn named(name: &str) -> Self {
        Self(vec![("metadata.name".to_owned(), name.to_owned(), true)])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name that this selector pins, if it does: RBAC allows such a list or watch by `resourceNames`.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.iter().find(|(path, _, equal)| *equal && path == "metadata.name").map(|(_, name, _)| name.as_str())
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, want, equal)| (field(object, path) == *want) == *equal)
    }
}

/// A dotted path's value as text; absent reads as empty, which is how the real server indexes it.
fn field(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |at, step| at.get(step));
    match found {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) if path == "spec.unschedulable" || path == "spec.hostNetwork" => "false".to_owned(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hits(selector: &str) -> bool {
        let object = json!({ "metadata": { "labels": { "app": "web", "tier": "front", "apps.jit.si/shard": "x-0" } } });
        Labels::parse(selector).unwrap().matches(&object)
    }

    #[test]
    fn every_form_of_a_label_selector() {
        for yes in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "none!=x",
            "app in (web, db)",
            "app notin (db)",
            "none notin (a,b)",
            "app",
            "!none",
            "app in (web),tier=front,!none",
            "apps.jit.si/shard=x-0",
            " app = web ",
        ] {
            assert!(hits(yes), "{yes}");
        }
        for no in ["app=db", "app!=web", "app in (db)", "app notin (web,db)", "none", "!app", "app=web,tier=back"] {
            assert!(!hits(no), "{no}");
        }
        for bad in ["app in web", "app=we b", "=x", "app inn (x)"] {
            assert_eq!(Labels::parse(bad).unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn fields_that_are_not_indexed_are_refused() {
        let pods = |path: &str| path == "spec.nodeName" || path == "metadata.name";
        let selector = Fields::parse("spec.nodeName=,metadata.name!=b", &pods).unwrap();
        assert!(selector.matches(&json!({ "metadata": { "name": "a" } })));
        assert!(!selector.matches(&json!({ "metadata": { "name": "a" }, "spec": { "nodeName": "n1" } })));
        let refused = Fields::parse("spec.foo=1", &pods).unwrap_err();
        assert_eq!(refused.message, "field label not supported: spec.foo");
    }

    #[test]
    fn selectors_of_objects_read_and_print() {
        let selector = json!({ "matchLabels": { "a": "1" }, "matchExpressions": [
            { "key": "b", "operator": "In", "values": ["x", "y"] }, { "key": "c", "operator": "DoesNotExist" } ] });
        assert_eq!(selector_text(&selector), "a=1,b in (x,y),!c");
        let matches =
            |labels: Value| Labels::from_object(&selector).matches(&json!({ "metadata": { "labels": labels } }));
        assert!(matches(json!({ "a": "1", "b": "x" })));
        assert!(!matches(json!({ "a": "1", "b": "x", "c": "" })));
    }
}
