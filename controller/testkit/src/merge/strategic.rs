//! Strategic merge patch: a merge patch that knows lists by their keys, and takes directives.

use super::PatchError;
use crate::schema::Schema;
use crate::schema::node::{Node, Patch};
use serde_json::{Map, Value};
use std::sync::LazyLock;

static ANY: LazyLock<Node> = LazyLock::new(Node::any);

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// `live` with the strategic merge patch `patch`. The caller answers 415 for kinds without one ([`Schema::is_builtin`]).
///
/// # Errors
/// 400 for a directive that cannot be understood, 500 for a list item without its merge key (as the API server does).
pub fn strategic(live: &Value, patch: &Value, schema: &Schema) -> Result<Value, PatchError> {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return Err(PatchError::bad_request("error decoding patch: it must be a JSON object"));
    };
    Ok(object(schema.root(), live, patch)?.map_or_else(|| Value::Object(Map::new()), Value::Object))
}

/// Merges an object; none where the patch deletes it.
fn object(
    node: &Node,
    live: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>, PatchError> {
    let mut out = match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => live.clone(),
        Some("replace") => Map::new(),
        Some("delete") => return Ok(None),
        Some(other) => return Err(unknown(other)),
    };
    if let Some(keep) = patch.get(RETAIN) {
        retain(&mut out, keep, patch)?;
    }
    for (name, items) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM)
            && let Some(Value::Array(live)) = out.get_mut(list)
        {
            let gone = items.as_array().map(Vec::as_slice).unwrap_or_default();
            live.retain(|item| !gone.contains(item));
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let child = node.field(name).unwrap_or(&ANY);
        let order = patch.get(&format!("{ORDER}{name}"));
        let merged = match (out.get(name), value) {
            (_, Value::Null) => None,
            (Some(Value::Object(live)), Value::Object(patch)) => object(child, live, patch)?.map(Value::Object),
            (_, Value::Object(patch)) => object(child, &Map::new(), patch)?.map(Value::Object),
            (Some(Value::Array(live)), Value::Array(patch)) => Some(Value::Array(list(child, live, patch, order)?)),
            (_, Value::Array(patch)) => Some(Value::Array(list(child, &[], patch, order)?)),
            (_, scalar) => Some(scalar.clone()),
        };
        match merged {
            Some(merged) => out.insert(name.clone(), merged),
            None => out.remove(name),
        };
    }
    // An order may come without the list itself: then it only sorts.
    for (name, order) in patch {
        if let Some(name) = name.strip_prefix(ORDER)
            && !patch.contains_key(name)
            && let Some(Value::Array(items)) = out.get(name)
        {
            let sorted = in_order(node.field(name).unwrap_or(&ANY), items.clone(), items, order);
            out.insert(name.to_owned(), Value::Array(sorted));
        }
    }
    Ok(Some(out))
}

fn unknown(directive: &str) -> PatchError {
    PatchError::bad_request(format!("Unknown patch type: {directive}"))
}

fn retain(out: &mut Map<String, Value>, keep: &Value, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let keep = keep.as_array().ok_or_else(|| PatchError::bad_request("invalid patch format of retainKeys"))?;
    let kept = |name: &str| keep.iter().any(|word| word.as_str() == Some(name));
    let set = |(name, value): (&String, &Value)| !name.starts_with('$') && !value.is_null() && !kept(name);
    if patch.iter().any(set) {
        return Err(PatchError::bad_request(
            "invalid patch format of retainKeys: it must name every field of the patch",
        ));
    }
    out.retain(|name, _| kept(name));
    Ok(())
}

fn list(node: &Node, live: &[Value], patch: &[Value], order: Option<&Value>) -> Result<Vec<Value>, PatchError> {
    let merged = match &node.patch {
        Patch::Replace => return plain(node, patch),
        Patch::Merge => {
            let mut out = live.to_vec();
            for item in patch {
                if !out.contains(item) {
                    out.push(item.clone());
                }
            }
            out
        }
        Patch::MergeBy(key) => by_key(node, key, live, patch)?,
    };
    Ok(match order {
        Some(order) => in_order(node, merged, live, order),
        None => merged,
    })
}

/// A list that replaces another, free of directives and nulls.
fn plain(node: &Node, patch: &[Value]) -> Result<Vec<Value>, PatchError> {
    let child = node.items.as_deref().unwrap_or(&ANY);
    let mut out = Vec::new();
    for item in patch {
        match item {
            Value::Object(fields) if fields.contains_key(DIRECTIVE) && fields.len() == 1 => {}
            Value::Object(fields) => out.extend(object(child, &Map::new(), fields)?.map(Value::Object)),
            other => out.push(other.clone()),
        }
    }
    Ok(out)
}

fn by_key(node: &Node, key: &str, live: &[Value], patch: &[Value]) -> Result<Vec<Value>, PatchError> {
    let child = node.items.as_deref().unwrap_or(&ANY);
    let directive = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str).map(ToOwned::to_owned);
    // A bare `$patch: replace` among the items makes the whole list the new one.
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        return plain(node, patch);
    }
    let mut out = live.to_vec();
    for item in patch {
        let (Some(fields), Some(name)) = (item.as_object(), item.get(key)) else {
            let message = format!("map: {item} does not contain declared merge key: {key}");
            return Err(PatchError { code: 500, reason: "InternalError", message });
        };
        let position = out.iter().position(|other| other.get(key) == Some(name));
        match (directive(item).as_deref(), position) {
            (Some("delete"), _) => out.retain(|other| other.get(key) != Some(name)),
            (None | Some("merge"), Some(position)) => {
                let live = out[position].as_object().cloned().unwrap_or_default();
                out[position] = object(child, &live, fields)?.map_or(Value::Null, Value::Object);
            }
            (None | Some("merge"), None) => out.extend(object(child, &Map::new(), fields)?.map(Value::Object)),
            (Some(other), _) => return Err(unknown(other)),
        }
    }
    Ok(out)
}

/// `merged` in the order the patch asks for; items that only the server has stay before those they stood before.
fn in_order(node: &Node, merged: Vec<Value>, live: &[Value], order: &Value) -> Vec<Value> {
    let order = order.as_array().map(Vec::as_slice).unwrap_or_default();
    let same = |a: &Value, b: &Value| match &node.patch {
        Patch::MergeBy(key) => a.get(key) == b.get(key),
        _ => a == b,
    };
    let rank = |item: &Value| order.iter().position(|other| same(item, other));
    let place = |item: &Value| live.iter().position(|other| same(item, other));
    let (mut ordered, rest): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|item| rank(item).is_some());
    ordered.sort_by_key(|item| rank(item));
    let mut out = Vec::with_capacity(ordered.len() + rest.len());
    let mut rest = rest.into_iter().peekable();
    for item in ordered {
        if let Some(at) = place(&item) {
            while let Some(server_only) = rest.next_if(|other| place(other).is_some_and(|other| other < at)) {
                out.push(server_only);
            }
        }
        out.push(item);
    }
    out.extend(rest);
    out
}
