//! Checks of `metadata` that every kind shares, with the texts that kube-apiserver prints.

use serde_json::Value;

use super::{failure::Cause, resource::NameRule};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
    and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const ANNOTATIONS: usize = 256 * 1024;

fn is_label(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ends(text.chars().next()) && ends(text.chars().last()) && text.chars().all(inner)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// The mixed-case form of label values and of a qualified name's last part.
fn is_word(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    ends(text.chars().next()) && ends(text.chars().last()) && text.chars().all(inner)
}

/// What is wrong with a name, if anything.
pub(crate) fn name_faults(rule: NameRule, name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let limit = match rule {
        NameRule::Subdomain | NameRule::PathSegment => 253,
        NameRule::Label | NameRule::Label1035 => 63,
    };
    if name.len() > limit && rule != NameRule::PathSegment {
        faults.push(format!("must be no more than {limit} characters"));
    }
    match rule {
        NameRule::Subdomain if !is_subdomain(name) => faults.push(SUBDOMAIN.to_owned()),
        NameRule::Label if !is_label(name) => faults.push(LABEL.to_owned()),
        NameRule::Label1035 if !is_label(name) || name.starts_with(|c: char| c.is_ascii_digit()) => {
            faults.push(LABEL_1035.to_owned());
        }
        NameRule::PathSegment if matches!(name, "." | "..") => faults.push(format!("may not be '{name}'")),
        NameRule::PathSegment => {
            faults.extend(["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")));
        }
        _ => {}
    }
    faults
}

fn key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let (prefix, word) = match key.split_once('/') {
        Some((prefix, word)) => (Some(prefix), word),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            faults.push("prefix part must be non-empty".to_owned());
        } else if !is_subdomain(prefix) {
            faults.push(format!("prefix part {SUBDOMAIN}"));
        }
    }
    if word.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if word.len() > 63 {
        faults.push("name part must be no more than 63 characters".to_owned());
    }
    if !word.is_empty() && !is_word(word) {
        faults.push(QUALIFIED.to_owned());
    }
    faults
}

/// Labels as they may stand in any `metadata` or template.
pub(crate) fn label_causes(path: &str, labels: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        causes.extend(key_faults(key).iter().map(|why| Cause::invalid(path, &key.as_str().into(), why)));
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(Cause::invalid(path, value, "must be no more than 63 characters"));
        }
        if !text.is_empty() && !is_word(text) {
            causes.push(Cause::invalid(path, value, LABEL_VALUE));
        }
    }
    causes
}

/// Everything about `metadata` that does not depend on the kind's schema.
pub(crate) fn metadata_causes(rule: NameRule, object: &Value) -> Vec<Cause> {
    let meta = &object["metadata"];
    let mut causes = Vec::new();
    match meta["name"].as_str() {
        None | Some("") => causes.push(Cause::required("metadata.name", "name or generateName is required")),
        Some(name) => {
            causes.extend(name_faults(rule, name).iter().map(|why| Cause::invalid("metadata.name", &meta["name"], why)))
        }
    }
    causes.extend(label_causes("metadata.labels", &meta["labels"]));
    let mut total = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        // Annotation keys may be written in capitals.
        let faults = key_faults(&key.to_lowercase());
        causes.extend(faults.iter().map(|why| Cause::invalid("metadata.annotations", &key.as_str().into(), why)));
        total += key.len() + value.as_str().unwrap_or_default().len();
    }
    if total > ANNOTATIONS {
        let message = format!("Too long: may not be more than {ANNOTATIONS} bytes");
        causes.push(Cause::new("metadata.annotations", "FieldValueTooLong", message));
    }
    causes.extend(owner_causes(&meta["ownerReferences"]));
    for finalizer in meta["finalizers"].as_array().into_iter().flatten() {
        let text = finalizer.as_str().unwrap_or_default();
        causes.extend(key_faults(text).iter().map(|why| Cause::invalid("metadata.finalizers", finalizer, why)));
        if !text.contains('/') && !matches!(text, "orphan" | "foregroundDeletion" | "kubernetes" | "customresourcecleanup.apiextensions.k8s.io") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid("metadata.finalizers", finalizer, why));
        }
    }
    causes
}

fn owner_causes(owners: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut controller: Option<&str> = None;
    for owner in owners.as_array().into_iter().flatten() {
        for (field, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::invalid(&format!("metadata.ownerReferences.{field}"), &"".into(), why));
            }
        }
        if owner["controller"] == true {
            let name = owner["name"].as_str().unwrap_or_default();
            match controller {
                Some(first) => causes.push(Cause::invalid(
                    "metadata.ownerReferences",
                    owners,
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    ),
                )),
                None => controller = Some(name),
            }
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_checked_by_their_rule() {
        for (rule, good, bad) in [
            (NameRule::Subdomain, "a.b-c.0", "A_b"),
            (NameRule::Label, "0-a", "a.b"),
            (NameRule::Label1035, "a-0", "0a"),
            (NameRule::PathSegment, "system:Node", "a/b"),
        ] {
            assert!(name_faults(rule, good).is_empty(), "{good}");
            assert_eq!(name_faults(rule, bad).len(), 1, "{bad}");
        }
        assert_eq!(name_faults(NameRule::Label, &"a".repeat(64)), ["must be no more than 63 characters"]);
    }

    #[test]
    fn metadata_faults_name_their_field() {
        let object = json!({ "metadata": {
            "name": "ok", "labels": { "a/b/c": "x", "good": "bad value" }, "finalizers": ["drain"],
            "ownerReferences": [
                { "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": true },
                { "apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "", "controller": true } ],
        } });
        let fields: Vec<_> = metadata_causes(NameRule::Subdomain, &object).into_iter().map(|c| c.field).collect();
        assert_eq!(
            fields,
            [
                "metadata.labels",
                "metadata.labels",
                "metadata.ownerReferences.uid",
                "metadata.ownerReferences",
                "metadata.finalizers",
            ]
        );
    }
}
