//! Documents seen through their schema: which fields they have, how two of them merge, and how they differ.
//!
//! This follows the rules of Kubernetes' structured-merge-diff: an atomic value counts as one field, a keyed list's items
//! are known by their keys, a set's by their value.

use super::fields::Set;
use crate::schema::node::{Kind, ListType, Node, Others};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static ANY: LazyLock<Node> = LazyLock::new(Node::any);

/// One part of a value that merges part by part.
struct Part<'a> {
    step: String,
    node: &'a Node,
    value: &'a Value,
    /// A field of a struct, not a map's key.
    named: bool,
}

fn field_node<'a>(node: &'a Node, name: &str) -> &'a Node {
    node.field(name).unwrap_or(&ANY)
}

fn item_node(node: &Node) -> &Node {
    node.items.as_deref().unwrap_or(&ANY)
}

/// The parts of `value`; none where it counts as one.
fn parts<'a>(node: &'a Node, value: &'a Value) -> Option<Vec<Part<'a>>> {
    match value {
        Value::Object(fields) if !node.atomic => {
            let part = |(name, value): (&String, &'a Value)| Part {
                step: format!("f:{name}"),
                node: field_node(node, name),
                value,
                named: node.names(name),
            };
            Some(fields.iter().map(part).collect())
        }
        Value::Array(items) if node.list != ListType::Atomic => {
            let child = item_node(node);
            let part = |value: &'a Value| Part { step: item_step(node, value), node: child, value, named: false };
            Some(items.iter().map(part).collect())
        }
        _ => None,
    }
}

/// What an item of a set or keyed list is called.
fn item_step(list: &Node, item: &Value) -> String {
    match &list.list {
        ListType::Map(keys) => {
            let value_of = |key: &String| {
                let default = || item_node(list).fields.get(key).and_then(|node| node.default.clone());
                item.get(key).cloned().or_else(default).map(|value| (key.clone(), value))
            };
            let keys: BTreeMap<String, Value> = keys.iter().filter_map(value_of).collect();
            format!("k:{}", serde_json::to_string(&keys).unwrap_or_default())
        }
        _ => format!("v:{item}"),
    }
}

/// The fields an applied document names.
pub(super) fn fields_of(node: &Node, value: &Value) -> Set {
    let mut set = Set::default();
    let Some(parts) = parts(node, value) else {
        set.member = true;
        return set;
    };
    let in_list = value.is_array();
    for part in parts {
        let mut below = fields_of(part.node, part.value);
        let empty = part.value.is_null() || part.value.as_object().is_some_and(Map::is_empty);
        below.member |= in_list || empty || !part.named;
        if !below.is_empty() {
            set.children.insert(part.step, below);
        }
    }
    set
}

/// `live` with `applied` laid over it.
pub(super) fn merge(node: &Node, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !node.atomic => {
            let mut out = live.clone();
            for (name, value) in applied {
                let merged = match live.get(name) {
                    Some(old) => merge(field_node(node, name), old, value),
                    None => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (Value::Array(live), Value::Array(applied)) if node.list != ListType::Atomic => {
            Value::Array(merge_items(node, live, applied))
        }
        _ => applied.clone(),
    }
}

/// Items of both take the applied order; those only in `live` keep their place before the next shared item, and stand
/// before those only in `applied`. This is the walk of structured-merge-diff, step by step.
fn merge_items(node: &Node, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let named = |items: &'_ [Value]| -> Vec<String> { items.iter().map(|item| item_step(node, item)).collect() };
    let (left, right) = (named(live), named(applied));
    let mut shared = right.iter().filter(|step| left.contains(step)).peekable();
    let mut done: Vec<&str> = Vec::new();
    let mut out = Vec::with_capacity(live.len() + applied.len());
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() {
            let step = &left[l];
            let is_shared = right.contains(step);
            if !is_shared {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            let waits =
                right.get(r).is_some_and(|other| other != step) && shared.peek().is_some_and(|next| *next != step);
            if waits || done.contains(&step.as_str()) {
                l += 1;
                continue;
            }
        }
        let Some(step) = right.get(r) else {
            l += 1;
            continue;
        };
        let item = &applied[r];
        out.push(match left.iter().position(|other| other == step) {
            Some(position) => merge(item_node(node), &live[position], item),
            None => item.clone(),
        });
        done.push(step);
        if left.get(l) == Some(step) {
            l += 1;
        }
        shared.next_if(|next| *next == step);
        r += 1;
    }
    out
}

/// How one document differs from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Added and modified fields.
    pub(super) written: Set,
    pub(super) removed: Set,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }
}

/// What must be written and removed to come from `old` to `new`.
pub(super) fn compare(node: &Node, old: &Value, new: &Value) -> Change {
    let mut change = Change::default();
    differ(node, old, new, &mut change.written, &mut change.removed);
    change
}

fn differ(node: &Node, old: &Value, new: &Value, written: &mut Set, removed: &mut Set) {
    match (parts(node, old), parts(node, new)) {
        (Some(old_parts), Some(new_parts)) if old.is_array() == new.is_array() => {
            let before: BTreeMap<&str, &Part<'_>> = old_parts.iter().map(|part| (part.step.as_str(), part)).collect();
            let after: BTreeMap<&str, &Part<'_>> = new_parts.iter().map(|part| (part.step.as_str(), part)).collect();
            for (step, part) in &after {
                match before.get(step) {
                    Some(other) => {
                        let (mut below, mut gone) = (Set::default(), Set::default());
                        differ(part.node, other.value, part.value, &mut below, &mut gone);
                        for (set, found) in [(&mut *written, below), (&mut *removed, gone)] {
                            if !found.is_empty() {
                                set.children.insert((*step).to_owned(), found);
                            }
                        }
                    }
                    None => *written.child_mut(step) = whole(part.node, part.value),
                }
            }
            for (step, part) in before.iter().filter(|(step, _)| !after.contains_key(*step)) {
                *removed.child_mut(step) = whole(part.node, part.value);
            }
        }
        _ if old == new => {}
        (before, after) => {
            // A null or a scalar became an object, or the other way round.
            for (parts, set) in [(before, &mut *removed), (after, &mut *written)] {
                for part in parts.into_iter().flatten() {
                    *set.child_mut(&part.step) = whole(part.node, part.value);
                }
            }
            written.member = true;
        }
    }
}

/// Every path in `value`, containers included.
fn whole(node: &Node, value: &Value) -> Set {
    let mut set = Set { member: true, ..Set::default() };
    for part in parts(node, value).into_iter().flatten() {
        set.children.insert(part.step, whole(part.node, part.value));
    }
    set
}

/// Makes members of all struct fields on the way to members: who owns `a.b` holds `a` too, unless `a` is a map.
pub(super) fn with_parents(node: &Node, set: &Set) -> Set {
    let mut out = Set { member: set.member, ..Set::default() };
    for (step, child) in &set.children {
        let (below, named) = match step.strip_prefix("f:") {
            Some(name) => (field_node(node, name), node.names(name)),
            None => (item_node(node), false),
        };
        let mut child = with_parents(below, child);
        child.member |= named && !child.children.is_empty();
        out.children.insert(step.clone(), child);
    }
    out
}

/// `value` without the members of `set`; what a member holds goes with it.
pub(super) fn without(node: &Node, value: &Value, set: &Set) -> Value {
    match value {
        Value::Object(fields) if !node.atomic => {
            let keep = |(name, field): (&String, &Value)| match set.children.get(&format!("f:{name}")) {
                Some(below) if below.member => None,
                Some(below) => Some((name.clone(), without(field_node(node, name), field, below))),
                None => Some((name.clone(), field.clone())),
            };
            Value::Object(fields.iter().filter_map(keep).collect())
        }
        Value::Array(items) if node.list != ListType::Atomic => {
            let keep = |item: &Value| match set.children.get(&item_step(node, item)) {
                Some(below) if below.member => None,
                Some(below) => Some(without(item_node(node), item, below)),
                None => Some(item.clone()),
            };
            Value::Array(items.iter().filter_map(keep).collect())
        }
        other => other.clone(),
    }
}

/// Why `value` is no document of this schema, in the words of structured-merge-diff.
pub(super) fn errors(node: &Node, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(node, value, "", &mut out);
    out
}

fn check(node: &Node, value: &Value, path: &str, out: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let expected = match (node.kind, value) {
        (Kind::Object, other) if !other.is_object() => Some("map"),
        (Kind::Array, other) if !other.is_array() => Some("list"),
        (Kind::String, other) if !other.is_string() => Some("string"),
        (Kind::Integer | Kind::Number, other) if !other.is_number() => Some("numeric (int or float)"),
        (Kind::Boolean, other) if !other.is_boolean() => Some("boolean"),
        _ => None,
    };
    if let Some(expected) = expected {
        let shown = match value {
            Value::Object(_) => "map".to_owned(),
            Value::Array(_) => "list".to_owned(),
            other => other.as_str().map_or_else(|| other.to_string(), ToOwned::to_owned),
        };
        out.push(format!("{path}: expected {expected}, got {shown}"));
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let at = format!("{path}.{name}");
                if node.field(name).is_none() && !node.keeps_unknown() && matches!(node.others, Others::None) {
                    out.push(format!("{at}: field not declared in schema"));
                } else {
                    check(field_node(node, name), field, &at, out);
                }
            }
        }
        Value::Array(items) => {
            let mut seen = Vec::new();
            for (index, item) in items.iter().enumerate() {
                if let ListType::Map(keys) = &node.list {
                    let has = |key: &String| {
                        item.get(key).is_some() || item_node(node).fields.get(key).is_some_and(|n| n.default.is_some())
                    };
                    if let Some(key) = keys.iter().find(|key| !has(key)) {
                        out.push(format!(
                            "{path}: element {index}: associative list with keys has an element that omits key field \
                             {key:?} (and doesn't have default value)"
                        ));
                    }
                }
                let mut at = format!("{path}[{index}]");
                if node.list != ListType::Atomic {
                    let step = item_step(node, item);
                    let mut set = Set::default();
                    set.insert(&[step.as_str()]);
                    let name = set.paths().pop().unwrap_or_default();
                    if seen.contains(&step) {
                        out.push(format!("{path}: duplicate entries for key {name}"));
                    }
                    seen.push(step);
                    at = format!("{path}{name}");
                }
                check(item_node(node), item, &at, out);
            }
        }
        _ => {}
    }
}
