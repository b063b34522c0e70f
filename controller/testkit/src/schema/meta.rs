//! What `metadata` must look like, whatever the kind.

use super::Cause;
use super::format::dns_label;
use super::limits::{invalid, required};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// All annotations of an object together.
const ANNOTATIONS_BYTES: usize = 256 * 1024;

static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$").ok());

fn is_word(text: &str) -> bool {
    WORD.as_ref().is_none_or(|word| word.is_match(text))
}

fn subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| dns_label(label, 253))
}

/// How an object of this kind may be named.
fn name_error(group: &str, kind: &str, name: &str) -> Option<String> {
    let too_long =
        |most: usize| Some(format!("must be no more than {most} {}", if most == 253 { "bytes" } else { "characters" }));
    match (group, kind) {
        // Names of roles and bindings are path segments.
        ("rbac.authorization.k8s.io", _) => {
            let bad = name == "." || name == ".." || name.contains(['/', '%']);
            bad.then(|| "may not contain '/' or '%', and may not be '.' or '..'".to_owned())
        }
        ("", "Service") if name.len() > 63 => too_long(63),
        ("", "Service") => {
            let good = dns_label(name, 63) && name.starts_with(|c: char| c.is_ascii_lowercase());
            (!good).then(|| LABEL_1035.to_owned())
        }
        ("", "Namespace") if name.len() > 63 => too_long(63),
        ("", "Namespace") => (!dns_label(name, 63)).then(|| LABEL.to_owned()),
        _ if name.len() > 253 => too_long(253),
        _ => (!subdomain(name)).then(|| SUBDOMAIN.to_owned()),
    }
}

/// All that is wrong with the `metadata` of an object.
pub(super) fn check(group: &str, kind: &str, object: &Value, causes: &mut Vec<Cause>) {
    let empty = Value::Null;
    let metadata = object.get("metadata").unwrap_or(&empty);
    match metadata.get("name").and_then(Value::as_str) {
        None | Some("") => causes.push(required("metadata.name", "name or generateName is required")),
        Some(name) => {
            if let Some(words) = name_error(group, kind, name) {
                causes.push(invalid("metadata.name", &Value::from(name), words));
            }
        }
    }
    labels(metadata.get("labels"), "metadata.labels", causes);
    annotations(metadata.get("annotations"), causes);
    owners(metadata.get("ownerReferences"), causes);
    for finalizer in metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten() {
        let name = finalizer.as_str().unwrap_or_default();
        for words in key_errors(name) {
            causes.push(invalid("metadata.finalizers", finalizer, words));
        }
        // Only Kubernetes' own kinds insist on this; definitions carry such a bare finalizer themselves.
        let strict = group != "apiextensions.k8s.io" && (!group.contains('.') || group.ends_with(".k8s.io"));
        if strict && !name.contains('/') && !["orphan", "foregroundDeletion", "kubernetes"].contains(&name) {
            let words = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(invalid("metadata.finalizers", finalizer, words));
        }
    }
}

/// What is wrong with a set of labels, at `path`.
pub(super) fn labels(labels: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        for words in key_errors(key) {
            causes.push(invalid(path, &Value::from(key.as_str()), words));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(invalid(path, value, "must be no more than 63 bytes"));
        }
        if !text.is_empty() && !is_word(text) {
            causes.push(invalid(path, value, VALUE));
        }
    }
}

fn annotations(annotations: Option<&Value>, causes: &mut Vec<Cause>) {
    let mut bytes = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        bytes += key.len() + value.as_str().unwrap_or_default().len();
        for words in key_errors(&key.to_lowercase()) {
            causes.push(invalid("metadata.annotations", &Value::from(key.as_str()), words));
        }
    }
    if bytes > ANNOTATIONS_BYTES {
        causes.push(Cause {
            field: "metadata.annotations".to_owned(),
            message: format!("Too long: may not be more than {ANNOTATIONS_BYTES} bytes"),
            reason: "FieldValueTooLong".to_owned(),
        });
    }
}

/// What is wrong with a qualified name, as `example.com/key`.
fn key_errors(key: &str) -> Vec<String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let mut errors = Vec::new();
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            errors.push("prefix part must be non-empty".to_owned());
        } else if !subdomain(prefix) {
            errors.push(format!("prefix part {SUBDOMAIN}"));
        }
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_word(name) {
        errors.push(NAME_PART.to_owned());
    }
    errors
}

fn owners(owners: Option<&Value>, causes: &mut Vec<Cause>) {
    let mut controllers = Vec::new();
    for (index, owner) in owners.and_then(Value::as_array).into_iter().flatten().enumerate() {
        for (field, words) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "kind must not be empty"),
            ("name", "name must not be empty"),
            ("uid", "uid must not be empty"),
        ] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(invalid(&path, &Value::from(""), words));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers.push(owner.get("name").and_then(Value::as_str).unwrap_or_default());
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let words = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        causes.push(invalid("metadata.ownerReferences", owners.unwrap_or(&Value::Null), words));
    }
}
