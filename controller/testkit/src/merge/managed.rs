//! `metadata.managedFields`: who owns what.

use super::Writer;
use super::fields::Set;
use super::typed;
use crate::schema::Schema;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What tells one entry from another. An applier is the same manager whatever version it speaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) manager: String,
    pub(super) applies: bool,
    pub(super) subresource: String,
    version: String,
}

impl Id {
    pub(super) fn new(writer: &Writer, applies: bool) -> Self {
        Self {
            manager: writer.manager.clone(),
            applies,
            subresource: writer.subresource.clone().unwrap_or_default(),
            version: if applies { String::new() } else { writer.api_version.clone() },
        }
    }

    /// As conflicts name a manager: `"kubectl" using v1`.
    pub(super) fn print(&self) -> String {
        let mut out = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if !self.applies {
            out.push_str(&format!(" using {}", self.version));
        }
        out
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) fields: Set,
    pub(super) version: String,
    pub(super) time: Option<String>,
}

/// All entries of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Managed(pub(super) BTreeMap<Id, Entry>);

impl Managed {
    /// The entries of an object; none of them if any cannot be read, as the API server does.
    pub(super) fn read(object: &Value) -> Self {
        let entries = list(object).map(Vec::as_slice).unwrap_or_default();
        let read = |entry: &Value| {
            let word = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let applies = match word("operation").as_str() {
                "Apply" => true,
                "Update" => false,
                _ => return None,
            };
            let version = word("apiVersion");
            let id = Id {
                manager: word("manager"),
                applies,
                subresource: word("subresource"),
                version: if applies { String::new() } else { version.clone() },
            };
            let fields = entry.get("fieldsV1").map_or_else(|| Some(Set::default()), Set::decode)?;
            let time = entry.get("time").and_then(Value::as_str).map(ToOwned::to_owned);
            Some((id, Entry { fields, version, time }))
        };
        Self(entries.iter().map(read).collect::<Option<BTreeMap<_, _>>>().unwrap_or_default())
    }

    /// Writes the entries into an object, or takes the list away if there are none.
    pub(super) fn write(&self, object: &mut Value) {
        let Some(metadata) = object.as_object_mut().map(|object| object.entry("metadata").or_insert_with(|| json!({})))
        else {
            return;
        };
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        let mut entries: Vec<(&Id, &Entry)> = self.0.iter().collect();
        entries.sort_by_key(|(id, entry)| (!id.applies, entry.time.clone(), (*id).clone()));
        let encode = |(id, entry): (&Id, &Entry)| {
            let mut out = json!({
                "manager": id.manager,
                "operation": if id.applies { "Apply" } else { "Update" },
                "apiVersion": entry.version,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.fields.encode(),
            });
            if let Some(time) = &entry.time {
                out["time"] = json!(time);
            }
            if !id.subresource.is_empty() {
                out["subresource"] = json!(id.subresource);
            }
            out
        };
        metadata.insert("managedFields".to_owned(), entries.into_iter().map(encode).collect());
    }

    /// Takes `written` (but for `except`'s own entry) and `removed` away from everybody.
    pub(super) fn take(&mut self, change: &typed::Change, except: Option<&Id>) {
        for (id, entry) in &mut self.0 {
            if Some(id) != except {
                entry.fields = entry.fields.difference(&change.written).difference(&change.removed);
            }
        }
        self.0.retain(|_, entry| !entry.fields.is_empty());
    }

    /// Whether both say the same but for times.
    pub(super) fn same_fields(&self, other: &Self) -> bool {
        let fields = |managed: &Self| -> Vec<(Id, Set, String)> {
            managed.0.iter().map(|(id, entry)| (id.clone(), entry.fields.clone(), entry.version.clone())).collect()
        };
        fields(self) == fields(other)
    }
}

/// The raw list.
pub(super) fn list(object: &Value) -> Option<&Vec<Value>> {
    object.get("metadata")?.get("managedFields")?.as_array()
}

/// The part of an object that fields are tracked of: not what the server itself keeps, and of the two sides of an object
/// with a status subresource only the one written.
pub(super) fn tracked(object: &Value, subresource: Option<&str>, schema: &Schema) -> Value {
    let mut out = object.clone();
    let Some(fields) = out.as_object_mut() else { return out };
    match subresource {
        Some("status") => fields.retain(|name, _| name == "status"),
        _ => {
            if schema.has_status() {
                fields.remove("status");
            }
        }
    }
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            metadata.remove(name);
        }
    }
    out
}

/// `metadata` itself is never owned, only what stands in it.
pub(super) fn strip(set: &mut Set) {
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        metadata.member = false;
        if metadata.is_empty() {
            set.children.remove("f:metadata");
        }
    }
}
