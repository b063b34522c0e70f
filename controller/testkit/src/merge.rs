//! How a write changes a document: the patch kinds, server-side apply and the upkeep of `managedFields`.
//!
//! Everything here is pure. What a field *means* (keyed list, set, atomic value) comes from [`crate::schema::Schema`].

mod json;
mod strategic;

use crate::schema::Schema;
use serde_json::{Map, Value};

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

/// Server-side apply of `applied` on `live`: the document to store, `managedFields` included.
///
/// Defaults are not filled in here: the caller runs [`Schema::default`] on the result. An apply that changes nothing
/// gives back a value equal to `live`.
///
/// # Errors
/// [`ApplyError::Conflict`] when another manager holds a field with another value and `force` is off;
/// [`ApplyError::Refused`] when the document does not fit the schema.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    _writer: &Writer,
    _force: bool,
    _schema: &Schema,
) -> Result<Value, ApplyError> {
    Ok(merge_patch(live.unwrap_or(&Value::Object(Map::new())), applied))
}

/// Keeps `metadata.managedFields` of `new` right for a create (`old` is none), an update or a patch other than apply.
///
/// `new` must already be pruned and defaulted, as the API server records ownership of defaults too.
pub fn record_write(_old: Option<&Value>, _new: &mut Value, _writer: &Writer, _schema: &Schema) {}
