//! A YAML file as a tree of nodes that know where they stand.
//!
//! Scalars stay text as written; the field that reads one decides what it means, so `off` is never a boolean by
//! surprise and a shard may be called `007`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::report::At;

/// Deepest nesting; the configuration itself needs five.
const MAX_DEPTH: usize = 16;
/// Nodes in the file, and nodes that its aliases may add: a few dozen MB of tree at worst.
const MAX_NODES: usize = 100_000;
/// Uses of aliases.
const MAX_ALIASES: usize = 1_000;

/// One value of the file.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it is written (an alias: where it is used).
    pub(super) at: At,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Empty,
    /// Text, or a number or boolean as it is spelled.
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file, duplicates included.
    Map(Vec<Entry>),
}

/// `key: value`
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: At,
    pub(super) node: Node,
}

/// Reads a whole file.
///
/// # Errors
/// Where and why the text is not one bounded YAML document.
pub(super) fn parse(source: &str) -> Result<Node, (At, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        // Duplicates reach the tree, to be reported with everything else; the same holds for a merge key.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(source, options) {
        Ok(raw) => Ok(node(raw, source)),
        Err(error) => {
            let at = error.location().map_or(At::START, At::from);
            Err((at, describe(&error.to_string(), at, source)))
        }
    }
}

/// The parser's message without its own idea of the place, and with a hint where we know better.
fn describe(message: &str, at: At, source: &str) -> String {
    if message.contains("Documents") {
        return "only one YAML document is read; remove the '---' and what follows".into();
    }
    let short = message.split(" at line ").next().unwrap_or(message);
    let line = usize::try_from(at.line.saturating_sub(1)).ok().and_then(|n| source.lines().nth(n));
    let hint = match line {
        Some(line) if line.contains("]:") => "; an address in brackets needs quotes: \"[::]:8080\"",
        _ => "",
    };
    format!("not readable as YAML: {short}{hint}")
}

fn node(spanned: Spanned<Raw>, source: &str) -> Node {
    let at = At::from(spanned.referenced);
    let value = match spanned.value {
        Raw::Empty => Value::Empty,
        Raw::Text(text) => Value::Scalar(text),
        Raw::Typed(text) => Value::Scalar(spelling(spanned.defined, source).unwrap_or(text)),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, _)| Entry {
                key_at: At::from(key.referenced),
                key: key.value,
                node: node(value, source),
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { at, value }
}

/// How a number or boolean is written in the file.
fn spelling(location: Location, source: &str) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    source.get(start..end).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A node as serde delivers it.
enum Raw {
    Empty,
    Text(String),
    /// A number or boolean, printed from its value.
    Typed(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
