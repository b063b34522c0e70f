//! What a document means to a Kubernetes API server: types, unknown fields, defaults, validation, and how its lists and
//! maps merge.
//!
//! One tree serves both sorts of kinds: for custom resources it is read from the CRD, for Kubernetes' own from the JSON
//! schemas in k8s-openapi and a table of merge keys ([`topology`]). The order of use on a write is that of the real
//! server: [`Schema::decode`], [`Schema::strict_errors`], [`Schema::prune`], [`Schema::default`], [`Schema::validate`].

mod cel;
mod decode;
mod defaults;
mod format;
mod kinds;
mod limits;
mod meta;
pub(crate) mod node;
mod rules;
mod topology;
mod unknown;

#[cfg(test)]
mod tests;

use node::{Kind, Node};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

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

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The causes as they stand in a status message after `Kind "name" is invalid: `.
pub fn summary(causes: &[Cause]) -> String {
    match causes {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
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

/// The schema of one kind in one version. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema {
    root: Arc<Node>,
    group: String,
    version: String,
    kind: String,
    builtin: bool,
    has_status: bool,
}

type Known = HashMap<(String, String, String), Option<Schema>>;
static BUILTIN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
static OBJECT_META: LazyLock<Arc<Node>> = LazyLock::new(|| Arc::new(kinds::object_meta()));

impl Schema {
    /// The schema of a kind that Kubernetes itself serves.
    pub fn builtin(group: &str, version: &str, kind: &str) -> Option<Self> {
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        let mut known = BUILTIN.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || {
            let (root, has_status) = kinds::builtin(group, version, kind)?;
            let (group, version, kind) = key.clone();
            Some(Self { root: Arc::new(root), group, version, kind, builtin: true, has_status })
        };
        known.entry(key.clone()).or_insert_with(build).clone()
    }

    /// The schema of a custom resource: the `openAPIV3Schema` of one version.
    pub fn from_crd(open_api_v3_schema: &Value) -> Self {
        let mut root = Node::parse(open_api_v3_schema);
        root.kind = Kind::Object;
        with_object_fields(&mut root);
        let (group, version, kind) = Default::default();
        Self { root: Arc::new(root), group, version, kind, builtin: false, has_status: false }
    }

    /// Names the kind, for messages. [`Schema::builtin`] does so itself.
    #[must_use]
    pub fn with_kind(mut self, group: &str, version: &str, kind: &str) -> Self {
        (self.group, self.version, self.kind) = (group.to_owned(), version.to_owned(), kind.to_owned());
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

    /// The kind's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The group's name, empty for the core group.
    pub fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Whether the document decodes into its kind: the check before all others. Of a custom resource only `metadata` has
    /// Go types.
    ///
    /// # Errors
    /// 400, worded as the API server words it.
    pub fn decode(&self, document: &Value) -> Result<(), DecodeError> {
        let wrong = if self.builtin {
            decode::first_error(&self.root, document)
        } else if document.is_object() {
            document.get("metadata").and_then(|metadata| decode::first_error(&OBJECT_META, metadata))
        } else {
            Some("json: cannot unmarshal into Go value of type map[string]interface {}".to_owned())
        };
        let Some(wrong) = wrong else { return Ok(()) };
        let (kind, version) = (&self.kind, &self.version);
        let message = format!("{kind} in version {version:?} cannot be handled as a {kind}: {wrong}");
        Err(DecodeError { code: 400, message })
    }

    /// Fills in what the API server fills in. For Kubernetes' own kinds it also drops what Go's types drop (nulls, empty
    /// lists and maps) and writes quantities in their canonical form.
    pub fn default(&self, document: &mut Value) {
        if self.builtin {
            defaults::through_go(&self.root, document);
            defaults::builtin(&self.group, &self.kind, document);
            // Defaults may copy quantities and give lists anew.
            defaults::through_go(&self.root, document);
        } else {
            defaults::structural(&self.root, document);
            if let Some(metadata) = document.get_mut("metadata") {
                defaults::through_go(&OBJECT_META, metadata);
            }
        }
    }

    /// Drops what the schema does not know.
    pub fn prune(&self, document: &mut Value) {
        unknown::prune(&self.root, document);
    }

    /// The paths of what [`Schema::prune`] would drop, as `spec.foo`.
    pub fn unknown_fields(&self, document: &Value) -> Vec<String> {
        unknown::list(&self.root, document)
    }

    /// What `fieldValidation=Strict` refuses with 400, and `Warn` answers as warnings: `unknown field "spec.foo"`, and
    /// `duplicate field "spec.foo"` for keys that stand twice in `raw` (empty where the request was no JSON).
    pub fn strict_errors(&self, raw: &[u8], document: &Value) -> Vec<String> {
        let duplicates = unknown::duplicates(raw).into_iter().map(|path| format!("duplicate field {path:?}"));
        let unknown = self.unknown_fields(document).into_iter().map(|path| format!("unknown field {path:?}"));
        duplicates.chain(unknown).collect()
    }

    /// The message of the 400 that `fieldValidation=Strict` answers with.
    pub fn strict_message(&self, errors: &[String]) -> String {
        let (kind, version, errors) = (&self.kind, &self.version, errors.join(", "));
        format!("{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {errors}")
    }

    /// All reasons to refuse `new`, which is already pruned and defaulted; `old` is what it replaces.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        meta::check(&self.group, &self.kind, new, &mut causes);
        limits::check(&self.root, new, "", &mut causes);
        if self.builtin {
            causes.retain(|cause| !rules::pardoned(&self.kind, cause));
            rules::check(&self.kind, new, old, &mut causes);
            return causes;
        }
        duplicates(&self.root, new, "", &mut causes);
        let blocking = |cause: &Cause| {
            let reasons = ["Required", "TooLong", "TooMany", "TypeInvalid", "NotSupported"];
            reasons.iter().any(|reason| cause.reason.strip_prefix("FieldValue") == Some(*reason))
        };
        if causes.iter().any(blocking) {
            let words = "some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation";
            causes.push(limits::invalid("<nil>", &Value::Null, words));
        } else {
            cel::check(&self.root, new, old, "", &mut causes);
        }
        causes
    }
}

/// Makes known what every whole object has.
fn with_object_fields(node: &mut Node) {
    let text = || Arc::new(Node { kind: Kind::String, preserve: false, ..Node::any() });
    node.fields.insert("apiVersion".to_owned(), text());
    node.fields.insert("kind".to_owned(), text());
    node.fields.insert("metadata".to_owned(), Arc::clone(&OBJECT_META));
}

/// Items that stand twice in a set, or twice with the same keys.
fn duplicates(node: &Node, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(child) = node.field(name) {
                    duplicates(child, field, &limits::join(path, name), causes);
                }
            }
        }
        Value::Array(items) => {
            let identity = |item: &Value| match &node.list {
                node::ListType::Atomic => None,
                node::ListType::Set => Some(item.clone()),
                node::ListType::Map(keys) => {
                    Some(keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect())
                }
            };
            for (index, item) in items.iter().enumerate() {
                let at = format!("{path}[{index}]");
                if let Some(own) = identity(item)
                    && items[..index].iter().any(|other| identity(other).as_ref() == Some(&own))
                {
                    causes.push(limits::duplicate(&at, &own));
                }
                if let Some(child) = &node.items {
                    duplicates(child, item, &at, causes);
                }
            }
        }
        _ => {}
    }
}
