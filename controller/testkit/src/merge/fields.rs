//! Sets of fields, as `managedFields` holds them (`fieldsV1`).

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A set of paths, as a tree. Steps are spelled as in `fieldsV1`: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// Whether the path that leads here is in the set itself.
    pub(super) member: bool,
    pub(super) children: BTreeMap<String, Self>,
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// Adds a path.
    pub(super) fn insert<S: AsRef<str>>(&mut self, path: &[S]) {
        let mut place = self;
        for step in path {
            place = place.children.entry(step.as_ref().to_owned()).or_default();
        }
        place.member = true;
    }

    /// The set below `step`.
    pub(super) fn child_mut(&mut self, step: &str) -> &mut Self {
        self.children.entry(step.to_owned()).or_default()
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.member |= other.member;
        for (step, child) in &other.children {
            let place = out.child_mut(step);
            *place = place.union(child);
        }
        out
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let both = |(step, child): (&String, &Self)| {
            let child = child.intersection(other.children.get(step)?);
            (!child.is_empty()).then(|| (step.clone(), child))
        };
        Self { member: self.member && other.member, children: self.children.iter().filter_map(both).collect() }
    }

    /// The paths of this set that are not in `other`, path by path.
    pub(super) fn difference(&self, other: &Self) -> Self {
        let rest = |(step, child): (&String, &Self)| {
            let child = other.children.get(step).map_or_else(|| child.clone(), |other| child.difference(other));
            (!child.is_empty()).then(|| (step.clone(), child))
        };
        Self { member: self.member && !other.member, children: self.children.iter().filter_map(rest).collect() }
    }

    /// All paths, printed as in messages: `.spec.containers[name="x"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect(&self, path: &mut String, out: &mut Vec<String>) {
        if self.member {
            out.push(path.clone());
        }
        for (step, child) in &self.children {
            let length = path.len();
            print_step(step, path);
            child.collect(path, out);
            path.truncate(length);
        }
    }

    /// As `fieldsV1`.
    pub(super) fn encode(&self) -> Value {
        let mut out = Map::new();
        for (step, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut encoded = child.encode();
            if let (true, Some(fields)) = (child.member, encoded.as_object_mut())
                && !fields.is_empty()
            {
                fields.insert(".".to_owned(), Value::Object(Map::new()));
            }
            out.insert(step.clone(), encoded);
        }
        Value::Object(out)
    }

    /// From `fieldsV1`; none if it is no such thing.
    pub(super) fn decode(value: &Value) -> Option<Self> {
        let mut out = Self::default();
        for (step, below) in value.as_object()? {
            if step == "." {
                out.member = true;
                continue;
            }
            if !["f:", "k:", "v:", "i:"].iter().any(|prefix| step.starts_with(prefix)) {
                return None;
            }
            let mut child = Self::decode(below)?;
            child.member |= below.as_object().is_some_and(Map::is_empty);
            out.children.insert(step.clone(), child);
        }
        Some(out)
    }
}

fn print_step(step: &str, path: &mut String) {
    let (sort, rest) = step.split_at(step.len().min(2));
    let parsed: Option<Value> = serde_json::from_str(rest).ok();
    let _ = match (sort, parsed) {
        ("k:", Some(Value::Object(keys))) => {
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(path, "[{}]", keys.join(","))
        }
        ("v:", Some(value)) => write!(path, "[={value}]"),
        ("i:", _) => write!(path, "[{rest}]"),
        _ => write!(path, ".{rest}"),
    };
}
