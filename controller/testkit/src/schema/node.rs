//! One place of a schema tree, whether it came from a CRD or from Kubernetes' own types.

use super::cel::Rules;
use super::limits::Limits;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Schemas nested deeper than this are cut off and take anything below.
const MAX_DEPTH: usize = 64;

/// What JSON type a value must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No type given: anything goes.
    Any,
    Boolean,
    Integer,
    Number,
    String,
    /// A number or a string (`x-kubernetes-int-or-string`).
    IntOrString,
    /// A number or a string that Kubernetes keeps in canonical form.
    Quantity,
    Object,
    Array,
}

/// How a list merges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    /// As one value.
    #[default]
    Atomic,
    /// As a set of scalars.
    Set,
    /// By key fields.
    Map(Vec<String>),
}

/// What an object may hold besides its named fields.
#[derive(Clone, Debug, Default)]
pub(crate) enum Others {
    /// Nothing.
    #[default]
    None,
    /// Anything.
    Any,
    /// Values of one schema: the object is a map.
    Node(Arc<Node>),
}

/// How a strategic merge patch treats this place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Patch {
    /// Lists are replaced, objects merged.
    #[default]
    Replace,
    /// A list of scalars is joined.
    Merge,
    /// A list of objects is merged by this field.
    MergeBy(String),
}

/// One place of a schema.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// Unknown fields stay.
    pub(crate) preserve: bool,
    /// A whole Kubernetes object: `apiVersion`, `kind` and `metadata` are known.
    pub(crate) embedded: bool,
    pub(crate) fields: BTreeMap<String, Arc<Node>>,
    pub(crate) others: Others,
    pub(crate) items: Option<Arc<Node>>,
    pub(crate) list: ListType,
    /// An object that merges as one value.
    pub(crate) atomic: bool,
    pub(crate) patch: Patch,
    /// The patch may name the fields to keep (`$retainKeys`).
    pub(crate) retain_keys: bool,
    pub(crate) default: Option<Value>,
    pub(crate) limits: Limits,
    pub(crate) rules: Option<Arc<Rules>>,
    /// The definition's name, for built-in types.
    pub(crate) name: Option<String>,
}

impl Node {
    /// A place that takes anything and keeps it.
    pub(crate) fn any() -> Self {
        Self {
            kind: Kind::Any,
            nullable: true,
            preserve: true,
            embedded: false,
            fields: BTreeMap::new(),
            others: Others::None,
            items: None,
            list: ListType::Atomic,
            atomic: false,
            patch: Patch::Replace,
            retain_keys: false,
            default: None,
            limits: Limits::default(),
            rules: None,
            name: None,
        }
    }

    /// The place that `schema` (of a CRD) describes.
    pub(crate) fn parse(schema: &Value) -> Self {
        Self::parse_at(schema, 0)
    }

    fn parse_at(schema: &Value, depth: usize) -> Self {
        let Some(schema_map) = schema.as_object().filter(|_| depth <= MAX_DEPTH) else { return Self::any() };
        let mut node = Self::scalar(schema_map);
        if let Some(Value::Object(fields)) = schema_map.get("properties") {
            node.fields =
                fields.iter().map(|(name, field)| (name.clone(), Arc::new(Self::parse_at(field, depth + 1)))).collect();
        }
        node.others = match schema_map.get("additionalProperties") {
            Some(Value::Bool(true)) => Others::Any,
            Some(other @ Value::Object(_)) => Others::Node(Arc::new(Self::parse_at(other, depth + 1))),
            _ => Others::None,
        };
        node.items = schema_map.get("items").map(|items| Arc::new(Self::parse_at(items, depth + 1)));
        node.rules = Rules::compile(schema).map(Arc::new);
        if node.embedded {
            super::with_object_fields(&mut node);
        }
        node
    }

    /// All of a place but its children and rules.
    pub(crate) fn scalar(schema: &Map<String, Value>) -> Self {
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
        let word = |name: &str| schema.get(name).and_then(Value::as_str);
        let kind = match word("type") {
            _ if flag("x-kubernetes-int-or-string") => Kind::IntOrString,
            Some("boolean") => Kind::Boolean,
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Number,
            Some("string") => Kind::String,
            Some("object") => Kind::Object,
            Some("array") => Kind::Array,
            _ => Kind::Any,
        };
        let list = match word("x-kubernetes-list-type") {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(words(schema.get("x-kubernetes-list-map-keys"))),
            _ => ListType::Atomic,
        };
        let preserve = flag("x-kubernetes-preserve-unknown-fields");
        Self {
            kind,
            nullable: flag("nullable"),
            preserve,
            embedded: flag("x-kubernetes-embedded-resource"),
            list,
            atomic: word("x-kubernetes-map-type") == Some("atomic"),
            default: schema.get("default").cloned(),
            limits: Limits::parse(schema),
            ..Self::any()
        }
    }

    /// The schema of the field `name`, if the schema says anything about it.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match (self.fields.get(name), &self.others) {
            (Some(node), _) | (None, Others::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// Whether `name` is a field of a struct, not a key of a map.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether unknown fields stay here.
    pub(crate) fn keeps_unknown(&self) -> bool {
        self.preserve || matches!(self.others, Others::Any)
    }
}

/// The strings of a JSON list.
pub(crate) fn words(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}
