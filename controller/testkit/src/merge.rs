//! How a write changes a document: the patch kinds, server-side apply and the upkeep of `managedFields`.
//!
//! Everything here is pure. What a field *means* (keyed list, set, atomic value) comes from [`crate::schema::Schema`].

mod apply;
mod fields;
mod json;
mod managed;
mod strategic;
mod typed;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use apply::{apply, record_write};
pub use json::{json_patch, merge_patch};
pub use strategic::strategic;

/// Who writes, as `managedFields` remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The field manager's name.
    pub manager: String,
    /// The subresource written through (`status`, `scale`), if any.
    pub subresource: Option<String>,
    /// Now, in RFC 3339 with whole seconds.
    pub time: String,
    /// The API version of the request, as in the document's `apiVersion`.
    pub api_version: String,
}

/// One field that another manager holds with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldManagerConflict {
    /// The path, as `.spec.replicas`.
    pub field: String,
    /// The cause's words: `conflict with "kubectl" using v1`.
    pub message: String,
    /// The other manager's name.
    pub manager: String,
}

/// Why an apply is refused with 409.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApplyConflict {
    /// The status message, worded as the API server words it.
    pub message: String,
    /// One cause for each field; the reason of each is `FieldManagerConflict`.
    pub causes: Vec<FieldManagerConflict>,
}

/// Why an apply is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 409: other managers hold some of the fields.
    #[error(transparent)]
    Conflict(#[from] ApplyConflict),
    /// The document does not fit its schema, or holds what an apply must not hold.
    #[error(transparent)]
    Refused(#[from] PatchError),
}

/// A patch that cannot be carried out, with the status to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatchError {
    /// The HTTP code.
    pub code: u16,
    /// The status reason (`BadRequest`, `Invalid`, or empty where the API server gives none).
    pub reason: &'static str,
    /// The status message.
    pub message: String,
}

impl PatchError {
    /// 400 `BadRequest`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { code: 400, reason: "BadRequest", message: message.into() }
    }

    /// 422 `Invalid`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: 422, reason: "Invalid", message: message.into() }
    }
}

/// Whether storing `new` in place of `old` would change nothing but times in `managedFields`. Such a write makes no new
/// resource version.
pub fn is_noop(old: &Value, new: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        let entries = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        object
    };
    old == new || timeless(old) == timeless(new)
}
