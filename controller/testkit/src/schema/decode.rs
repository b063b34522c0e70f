//! Whether a document decodes into Go's types, in the words of Go's JSON decoder.

use super::defaults::is_quantity;
use super::format;
use super::node::{Kind, Node, Others};
use serde_json::Value;

/// The first thing that does not decode.
pub(super) fn first_error(node: &Node, value: &Value) -> Option<String> {
    walk(node, value, &mut Vec::new(), "")
}

fn walk<'a>(node: &'a Node, value: &'a Value, path: &mut Vec<&'a str>, owner: &str) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let short = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let mismatch = |found: &str| {
        Some(if path.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {}", go_type(node))
        } else {
            let place = path.join(".");
            format!("json: cannot unmarshal {found} into Go struct field {owner}.{place} of type {}", go_type(node))
        })
    };
    match (node.kind, value) {
        (Kind::Quantity, _) => (!is_quantity(value)).then(|| {
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
        }),
        (Kind::IntOrString, Value::Number(number)) if number.is_f64() => mismatch(&format!("number {number}")),
        (Kind::IntOrString, Value::Number(_) | Value::String(_)) | (Kind::Any, _) => None,
        (Kind::Integer, Value::Number(number)) if number.is_f64() => mismatch(&format!("number {number}")),
        (Kind::Integer | Kind::Number, Value::Number(number)) => {
            let wide =
                node.limits.format() == Some("int32") && number.as_i64().is_none_or(|n| i32::try_from(n).is_err());
            if wide { mismatch(&format!("number {number}")) } else { None }
        }
        (Kind::Boolean, Value::Bool(_)) => None,
        (Kind::String, Value::String(text)) => match node.limits.format() {
            Some("date-time") if !format::holds("date-time", text) => Some(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            )),
            Some("byte") if !format::is_base64(text) => Some("illegal base64 data at input byte 0".to_owned()),
            _ => None,
        },
        (Kind::Array, Value::Array(items)) => {
            let child = node.items.as_deref()?;
            items.iter().find_map(|item| walk(child, item, path, owner))
        }
        (Kind::Object, Value::Object(fields)) => {
            let name = node.name.as_deref().map_or(owner, short);
            for (key, field) in fields {
                // Keys of maps are no struct fields: they do not show in the path.
                let error = match (node.fields.get(key), &node.others) {
                    (Some(child), _) => {
                        path.push(key);
                        let error = walk(child, field, path, name);
                        path.pop();
                        error
                    }
                    (None, Others::Node(child)) => walk(child, field, path, owner),
                    _ => None,
                };
                if error.is_some() {
                    return error;
                }
            }
            None
        }
        (_, Value::Bool(_)) => mismatch("bool"),
        (_, Value::Number(_)) => mismatch("number"),
        (_, Value::String(_)) => mismatch("string"),
        (_, Value::Array(_)) => mismatch("array"),
        (_, Value::Object(_)) => mismatch("object"),
        (_, Value::Null) => None,
    }
}

fn go_type(node: &Node) -> String {
    match node.kind {
        Kind::Any => "interface {}".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Integer => node.limits.format().unwrap_or("int64").to_owned(),
        Kind::Number => "float64".to_owned(),
        Kind::String => match node.limits.format() {
            Some("byte") => "[]uint8".to_owned(),
            _ => "string".to_owned(),
        },
        Kind::IntOrString => "intstr.IntOrString".to_owned(),
        Kind::Quantity => "resource.Quantity".to_owned(),
        Kind::Array => format!("[]{}", node.items.as_deref().map_or_else(|| "interface {}".to_owned(), go_type)),
        Kind::Object => match (&node.others, &node.name) {
            (Others::Node(child), _) => format!("map[string]{}", go_type(child)),
            (_, Some(name)) => {
                name.rsplitn(3, '.').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(".")
            }
            _ => "map[string]interface {}".to_owned(),
        },
    }
}
