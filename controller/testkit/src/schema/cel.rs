//! CEL rules (`x-kubernetes-validations`), run by kube's own CEL library.
//!
//! That library walks whole schemas, but pairs list items with their old selves by position. An API server pairs them by
//! their keys, and not at all in atomic lists. So each place's rules are compiled for themselves here and the walk is ours.

use super::Cause;
use super::limits::join;
use super::node::{Kind, ListType, Node, Others};
use kube::core::cel::{CompiledSchema, ErrorKind, compile_schema, validate_compiled};
use regex::Regex;
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

/// The rules of one place.
pub(crate) struct Rules {
    /// For a value that replaces nothing. Rules with an optional `oldSelf` are written with an empty optional.
    first: CompiledSchema,
    /// For a value with an old self.
    next: CompiledSchema,
    type_name: String,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}

impl Rules {
    /// The rules that stand at the root of `schema`.
    pub(crate) fn compile(schema: &Value) -> Option<Self> {
        let rules = schema.get("x-kubernetes-validations")?.as_array().filter(|rules| !rules.is_empty())?;
        let bare = without_rules(schema);
        let with = |old_self: &str| {
            let mut schema = bare.clone();
            let rules: Vec<Value> = rules.iter().map(|rule| optional(rule, old_self)).collect();
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("x-kubernetes-validations".to_owned(), Value::Array(rules));
            }
            compile_schema(&schema)
        };
        Some(Self {
            first: with("optional.none()"),
            next: with("optional.of(oldSelf)"),
            type_name: schema.get("type").and_then(Value::as_str).unwrap_or("object").to_owned(),
        })
    }

    fn run(&self, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        let compiled = if old.is_some() { &self.next } else { &self.first };
        let Err(errors) = validate_compiled(compiled, value, old) else { return };
        for error in errors {
            let relative = error.field_path.trim_start_matches('.');
            let field = if relative.is_empty() { path.to_owned() } else { join(path, relative) };
            let reason = match (&error.kind, error.reason) {
                (ErrorKind::ValidationFailure, Some(reason)) => reason,
                _ => "FieldValueInvalid".to_owned(),
            };
            let (kind, words) = (&self.type_name, &error.message);
            let message = match reason.as_str() {
                "FieldValueRequired" => format!("Required value: {words}"),
                "FieldValueForbidden" => format!("Forbidden: {words}"),
                "FieldValueDuplicate" => format!("Duplicate value: \"{kind}\""),
                _ => format!("Invalid value: \"{kind}\": {words}"),
            };
            causes.push(Cause { field, message, reason });
        }
    }
}

static OLD_SELF: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\boldSelf\b"#).ok());

/// The rule with `oldSelf` spelled as the optional it is where `optionalOldSelf` is set.
///
/// The library binds a bare value (or null) there, on which `oldSelf.hasValue()` and its like do not work.
fn optional(rule: &Value, old_self: &str) -> Value {
    let mut rule = rule.clone();
    let Some(fields) = rule.as_object_mut() else { return rule };
    if fields.remove("optionalOldSelf") != Some(Value::Bool(true)) {
        return rule;
    }
    for name in ["rule", "messageExpression"] {
        if let (Some(Value::String(text)), Some(regex)) = (fields.get_mut(name), OLD_SELF.as_ref()) {
            let spelled = regex.replace_all(text, |found: &regex::Captures<'_>| match &found[0] {
                "oldSelf" => old_self.to_owned(),
                literal => literal.to_owned(),
            });
            *text = spelled.into_owned();
        }
    }
    rule
}

/// `schema` with no rules anywhere and no defaults (they are filled in long before).
fn without_rules(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let keep = |name: &str| name != "x-kubernetes-validations" && name != "default";
            let strip = |(name, field): (&String, &Value)| {
                let field = match (name.as_str(), field) {
                    ("properties", Value::Object(fields)) => {
                        Value::Object(fields.iter().map(|(name, field)| (name.clone(), without_rules(field))).collect())
                    }
                    _ => without_rules(field),
                };
                (name.clone(), field)
            };
            Value::Object(fields.iter().filter(|(name, _)| keep(name)).map(strip).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_rules).collect()),
        other => other.clone(),
    }
}

/// Runs every rule at and below `node`. `old` is what stood there before, if it can be paired.
pub(super) fn check(node: &Node, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() {
        return;
    }
    if let Some(rules) = &node.rules {
        rules.run(value, old, path, causes);
    }
    match (node.kind, value) {
        (_, Value::Object(fields)) => check_fields(node, fields, old, path, causes),
        (Kind::Array, Value::Array(items)) => {
            let Some(item_node) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                let old = old.and_then(Value::as_array).and_then(|old| counterpart(&node.list, item, old));
                check(item_node, item, old, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}

fn check_fields(node: &Node, fields: &Map<String, Value>, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    for (name, field) in fields {
        let child: &Arc<Node> = match (node.fields.get(name), &node.others) {
            (Some(child), _) | (None, Others::Node(child)) => child,
            _ => continue,
        };
        let at = if node.names(name) { join(path, name) } else { format!("{path}[{name}]") };
        check(child, field, old.and_then(|old| old.get(name)), &at, causes);
    }
}

fn counterpart<'a>(list: &ListType, item: &Value, old: &'a [Value]) -> Option<&'a Value> {
    match list {
        ListType::Map(keys) => old.iter().find(|other| keys.iter().all(|key| other.get(key) == item.get(key))),
        ListType::Atomic | ListType::Set => None,
    }
}
