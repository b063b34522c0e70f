//! Schemas of fields whose Kubernetes type says too much, and small types that bring their own.
//!
//! Descriptions of the embedded Kubernetes types are left out: every component has them, and `kubectl apply` keeps a copy of
//! the whole CRD in an annotation of at most 256 KiB. The two types that are really large, volumes and init
//! containers, are checked by the apiserver when the pod template is applied, not by our schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// For `skip_serializing_if`: an absent switch and one that is off are the same.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// The schema of `T` without prose.
pub(crate) fn compact<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let schema = generator.subschema_for::<T>();
    let mut value = schema.to_value();
    strip(&mut value);
    Schema::try_from(value).unwrap_or_default()
}

/// Removes `description` where it is a keyword, not where it is the name of a property.
fn strip(value: &mut Value) {
    let Value::Object(map) = value else { return };
    map.remove("description");
    for (key, inner) in map.iter_mut() {
        match (key.as_str(), inner) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(strip),
            ("items" | "additionalProperties", inner) => strip(inner),
            ("anyOf" | "allOf" | "oneOf", Value::Array(list)) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
}

/// A list of Kubernetes objects with a name, whose other fields the apiserver checks later.
pub(crate) fn named_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": { "name": { "type": "string" } },
            "required": ["name"],
            "x-kubernetes-preserve-unknown-fields": true,
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

/// An object of which we look at nothing.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A map from strings to strings; null has no meaning in it.
pub(crate) fn string_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:literal, $rule:literal, $message:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "maxLength": $max,
                    "x-kubernetes-validations": [{ "rule": $rule, "message": $message }],
                })
            }

            fn inline_schema() -> bool {
                true
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// A length of time as Go and Kubernetes write it: `90s`, `1h30m`, `4h`.
    TimeText, 20, "self.matches('^([0-9]{1,6}(s|m|h|d))+$')",
    "write a time in whole numbers with s, m, h or d, such as '90s', '30m', '4h' or '1h30m'"
}
text! {
    /// The name of a region: it becomes a label and a name for jicofo.
    RegionName, 63, "self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
    "write a region in letters, digits, '-', '_' and '.', such as 'europe' or 'eu-west-1'"
}
text! {
    /// A host name without anything around it.
    HostName, 253,
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "write only the host name in lower case, such as 'meet.example.org', without 'https://', port or path"
}
text! {
    /// The name of an object in the same namespace.
    ObjectName, 253, "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "write the name of an object in this namespace, such as 'meet-secrets'"
}
