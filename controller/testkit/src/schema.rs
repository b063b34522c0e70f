//! What a document means to a Kubernetes API server: types, unknown fields, defaults, validation, and how its lists and
//! maps merge.

use serde_json::Value;

/// One reason why a document is refused with 422, as in `status.details.causes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The path, as `spec.replicas`.
    pub field: String,
    /// The words after the path.
    pub message: String,
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueForbidden`, …
    pub reason: String,
}

/// A document that does not even decode, with the status to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// The HTTP code: 400.
    pub code: u16,
    /// The status message.
    pub message: String,
}

/// The schema of one kind in one version.
#[derive(Clone, Debug)]
pub struct Schema {
    builtin: bool,
    has_status: bool,
}

impl Schema {
    /// The schema of a kind that Kubernetes itself serves.
    pub fn builtin(_group: &str, _version: &str, _kind: &str) -> Option<Self> {
        Some(Self { builtin: true, has_status: true })
    }

    /// The schema of a custom resource: the `openAPIV3Schema` of one version.
    pub fn from_crd(_open_api_v3_schema: &Value) -> Self {
        Self { builtin: false, has_status: false }
    }

    /// Names the kind, for CEL rules and messages. [`Schema::builtin`] does so itself.
    #[must_use]
    pub fn with_kind(self, _group: &str, _version: &str, _kind: &str) -> Self {
        self
    }

    /// Says whether `status` is a subresource of its own. [`Schema::builtin`] knows; a CRD's version says so.
    #[must_use]
    pub fn with_status(mut self, has_status: bool) -> Self {
        self.has_status = has_status;
        self
    }

    /// Whether `status` is written through its own subresource only.
    pub fn has_status(&self) -> bool {
        self.has_status
    }

    /// Whether Kubernetes itself serves this kind; only those take strategic merge patches (415 elsewhere).
    pub fn is_builtin(&self) -> bool {
        self.builtin
    }

    /// Whether the document decodes into its kind: the check before all others.
    ///
    /// # Errors
    /// 400, worded as the API server words it.
    pub fn decode(&self, _document: &Value) -> Result<(), DecodeError> {
        Ok(())
    }

    /// Fills in what the API server fills in.
    pub fn default(&self, _document: &mut Value) {}

    /// Drops what the schema does not know.
    pub fn prune(&self, _document: &mut Value) {}

    /// The paths of what [`Schema::prune`] would drop, as `spec.foo`.
    pub fn unknown_fields(&self, _document: &Value) -> Vec<String> {
        Vec::new()
    }

    /// All reasons to refuse `new`, which is already pruned and defaulted; `old` is what it replaces.
    pub fn validate(&self, _new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        Vec::new()
    }

    /// What `fieldValidation=Strict` refuses with 400, and `Warn` answers as warnings: the words for unknown fields,
    /// and for keys that stand twice in `raw`.
    pub fn strict_errors(&self, _raw: &[u8], document: &Value) -> Vec<String> {
        self.unknown_fields(document).into_iter().map(|path| format!("unknown field {path:?}")).collect()
    }
}
