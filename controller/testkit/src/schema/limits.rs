//! The value checks of a structural schema, in the words of kube-apiserver (kube-openapi's validator).

use super::Cause;
use super::format;
use super::node::{Kind, Node, Others, words};
use regex::Regex;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a value must hold besides having the right type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) required: Vec<String>,
    allowed: Option<Vec<Value>>,
    pattern: Option<(String, Option<Regex>)>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple_of: Option<f64>,
    length: (Option<u64>, Option<u64>),
    items: (Option<u64>, Option<u64>),
    properties: (Option<u64>, Option<u64>),
    unique: bool,
    format: Option<String>,
    all_of: Vec<Arc<Node>>,
    any_of: Vec<Arc<Node>>,
    one_of: Vec<Arc<Node>>,
    not: Option<Arc<Node>>,
}

impl Limits {
    pub(super) fn parse(schema: &Map<String, Value>) -> Self {
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let count = |name: &str| schema.get(name).and_then(Value::as_u64);
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
        let nodes = |name: &str| -> Vec<Arc<Node>> {
            let branches = schema.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            branches.iter().map(|branch| Arc::new(Node::parse(branch))).collect()
        };
        let int_or_string = flag("x-kubernetes-int-or-string");
        Self {
            required: words(schema.get("required")),
            allowed: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern: schema
                .get("pattern")
                .and_then(Value::as_str)
                .map(|pattern| (pattern.to_owned(), Regex::new(pattern).ok())),
            minimum: number("minimum").map(|minimum| (minimum, flag("exclusiveMinimum"))),
            maximum: number("maximum").map(|maximum| (maximum, flag("exclusiveMaximum"))),
            multiple_of: number("multipleOf"),
            length: (count("minLength"), count("maxLength")),
            items: (count("minItems"), count("maxItems")),
            properties: (count("minProperties"), count("maxProperties")),
            unique: flag("uniqueItems"),
            format: schema.get("format").and_then(Value::as_str).map(ToOwned::to_owned),
            // Beside int-or-string these only repeat "integer or string".
            all_of: if int_or_string { Vec::new() } else { nodes("allOf") },
            any_of: if int_or_string { Vec::new() } else { nodes("anyOf") },
            one_of: nodes("oneOf"),
            not: schema.get("not").filter(|not| not.is_object()).map(|not| Arc::new(Node::parse(not))),
        }
    }

    /// The format named in the schema.
    pub(super) fn format(&self) -> Option<&str> {
        self.format.as_deref()
    }
}

fn cause(reason: &str, path: &str, message: String) -> Cause {
    Cause { field: path.to_owned(), message, reason: reason.to_owned() }
}

/// `FieldValueInvalid`, with the value as Go's field errors print it.
pub(super) fn invalid(path: &str, value: &Value, words: impl std::fmt::Display) -> Cause {
    cause("FieldValueInvalid", path, format!("Invalid value: {value}: {words}"))
}

/// `FieldValueRequired`.
pub(super) fn required(path: &str, words: &str) -> Cause {
    let separator = if words.is_empty() { "" } else { ": " };
    cause("FieldValueRequired", path, format!("Required value{separator}{words}"))
}

/// `FieldValueForbidden`.
pub(super) fn forbidden(path: &str, words: &str) -> Cause {
    cause("FieldValueForbidden", path, format!("Forbidden: {words}"))
}

/// `FieldValueNotSupported`.
pub(super) fn not_supported<'a>(path: &str, value: &Value, allowed: impl Iterator<Item = &'a str>) -> Cause {
    let allowed: Vec<String> = allowed.map(|word| format!("{word:?}")).collect();
    let message = format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
    cause("FieldValueNotSupported", path, message)
}

/// `FieldValueDuplicate`.
pub(super) fn duplicate(path: &str, value: &Value) -> Cause {
    cause("FieldValueDuplicate", path, format!("Duplicate value: {value}"))
}

/// `path` with one more field.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn right_type(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Boolean => value.is_boolean(),
        Kind::Integer => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Kind::Number => value.is_number(),
        Kind::String => value.is_string(),
        Kind::IntOrString => value.is_i64() || value.is_u64() || value.is_string(),
        Kind::Quantity => value.is_number() || value.is_string(),
        Kind::Object => value.is_object(),
        Kind::Array => value.is_array(),
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Any => "",
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::IntOrString | Kind::Quantity => "integer,string",
        Kind::Object => "object",
        Kind::Array => "array",
    }
}

/// Adds to `causes` whatever is wrong with `value`, found at `path`.
pub(super) fn check(node: &Node, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && node.nullable {
        return;
    }
    if !right_type(node.kind, value) {
        let found = type_name(value);
        let message =
            format!("Invalid value: \"{found}\": {path} in body must be of type {}: \"{found}\"", expected(node.kind));
        causes.push(cause("FieldValueTypeInvalid", path, message));
        return;
    }
    let limits = &node.limits;
    if let Some(allowed) = limits.allowed.as_ref().filter(|allowed| !allowed.contains(value)) {
        let names: Vec<String> =
            allowed.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), ToOwned::to_owned)).collect();
        causes.push(not_supported(path, value, names.iter().map(String::as_str)));
    }
    match value {
        Value::String(text) => check_string(limits, value, text, path, causes),
        Value::Number(number) => check_number(limits, value, number.as_f64().unwrap_or(f64::NAN), path, causes),
        Value::Array(items) => check_array(node, value, items, path, causes),
        Value::Object(fields) => check_object(node, fields, path, causes),
        Value::Null | Value::Bool(_) => {}
    }
    check_branches(limits, value, path, causes);
}

fn check_string(limits: &Limits, value: &Value, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    if let (_, Some(most)) = limits.length
        && length > most
    {
        causes.push(cause("FieldValueTooLong", path, format!("Too long: may not be more than {most} bytes")));
    }
    if let (Some(least), _) = limits.length
        && length < least
    {
        causes.push(invalid(path, value, format_args!("{path} in body should be at least {least} chars long")));
    }
    if let Some((pattern, regex)) = &limits.pattern
        && !regex.as_ref().is_none_or(|regex| regex.is_match(text))
    {
        causes.push(invalid(path, value, format_args!("{path} in body should match '{pattern}'")));
    }
    if let Some(name) = &limits.format
        && !format::holds(name, text)
    {
        let message = format!("Invalid value: {value}: {path} in body must be of type {name}: {value}");
        causes.push(cause("FieldValueTypeInvalid", path, message));
    }
}

fn check_number(limits: &Limits, value: &Value, number: f64, path: &str, causes: &mut Vec<Cause>) {
    if let Some((least, exclusive)) = limits.minimum
        && (number < least || exclusive && number == least)
    {
        let or_equal = if exclusive { "" } else { " or equal to" };
        causes.push(invalid(path, value, format_args!("{path} in body should be greater than{or_equal} {least}")));
    }
    if let Some((most, exclusive)) = limits.maximum
        && (number > most || exclusive && number == most)
    {
        let or_equal = if exclusive { "" } else { " or equal to" };
        causes.push(invalid(path, value, format_args!("{path} in body should be less than{or_equal} {most}")));
    }
    if let Some(step) = limits.multiple_of
        && (number / step).fract() != 0.0
    {
        causes.push(invalid(path, value, format_args!("{path} in body should be a multiple of {step}")));
    }
    // Go decodes these into their width before anything else looks at them.
    let fits = match limits.format.as_deref() {
        Some("int32") => number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX),
        _ => true,
    };
    if !fits {
        causes.push(invalid(path, value, format_args!("Checked value must be of type integer with format int32")));
    }
}

fn check_array(node: &Node, value: &Value, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let length = items.len() as u64;
    if let (_, Some(most)) = node.limits.items
        && length > most
    {
        causes.push(cause("FieldValueTooMany", path, format!("Too many: {length}: must have at most {most} items")));
    }
    if let (Some(least), _) = node.limits.items
        && length < least
    {
        causes.push(invalid(path, value, format_args!("{path} in body should have at least {least} items")));
    }
    if node.limits.unique && items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) {
        causes.push(invalid(path, value, format_args!("{path} in body shouldn't contain duplicates")));
    }
    if let Some(item_node) = &node.items {
        for (index, item) in items.iter().enumerate() {
            check(item_node, item, &format!("{path}[{index}]"), causes);
        }
    }
}

fn check_object(node: &Node, fields: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    let size = fields.len() as u64;
    if let (_, Some(most)) = node.limits.properties
        && size > most
    {
        causes.push(cause("FieldValueTooMany", path, format!("Too many: {size}: must have at most {most} items")));
    }
    if let (Some(least), _) = node.limits.properties
        && size < least
    {
        let value = Value::Object(fields.clone());
        causes.push(invalid(path, &value, format_args!("{path} in body should have at least {least} properties")));
    }
    for name in node.limits.required.iter().filter(|name| !fields.contains_key(*name)) {
        causes.push(required(&join(path, name), ""));
    }
    for (name, field) in fields {
        let at = join(path, name);
        match (node.fields.get(name), &node.others) {
            (Some(child), _) | (None, Others::Node(child)) => check(child, field, &at, causes),
            _ => {}
        }
    }
}

fn check_branches(limits: &Limits, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let try_all = |branches: &[Arc<Node>]| -> Vec<Vec<Cause>> {
        let attempt = |branch: &Arc<Node>| {
            let mut found = Vec::new();
            check(branch, value, path, &mut found);
            found
        };
        branches.iter().map(attempt).collect()
    };
    let shown = if path.is_empty() { "<root>" } else { path };
    let mut composite = |words: String| {
        causes.push(cause("FieldValueInvalid", path, format!("Invalid value: \"\": \"{shown}\" must {words}")));
    };
    let all: Vec<Cause> = try_all(&limits.all_of).into_iter().flatten().collect();
    if !all.is_empty() {
        composite("validate all the schemas (allOf)".to_owned());
    }
    let any = try_all(&limits.any_of);
    if !any.is_empty() && any.iter().all(|found| !found.is_empty()) {
        composite("validate at least one schema (anyOf)".to_owned());
    }
    let one = try_all(&limits.one_of);
    let valid = one.iter().filter(|found| found.is_empty()).count();
    if !one.is_empty() && valid != 1 {
        let found = if valid == 0 { "none valid".to_owned() } else { format!("{valid} valid alternatives") };
        composite(format!("validate one and only one schema (oneOf). Found {found}"));
    }
    if limits.not.as_ref().is_some_and(|not| try_all(std::slice::from_ref(not)).iter().all(Vec::is_empty)) {
        composite("not validate the schema (not)".to_owned());
    }
    // Beside the verdict stand the reasons of the branch that came closest.
    causes.extend(all);
    let closest = |failures: Vec<Vec<Cause>>| failures.into_iter().min_by_key(Vec::len).unwrap_or_default();
    causes.extend(closest(any));
    if valid == 0 {
        causes.extend(closest(one));
    }
}
