//! Fields a schema does not know, and keys that stand twice.

use super::limits::join;
use super::node::{Node, Others};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::HashSet;

/// Calls `drop` on each unknown field; removes it when `drop` says so.
fn walk(node: &Node, value: &mut Value, path: &str, drop: &mut dyn FnMut(String) -> bool) {
    match value {
        Value::Object(fields) => {
            if !node.keeps_unknown() && matches!(node.others, Others::None) {
                fields.retain(|name, _| node.names(name) || !drop(join(path, name)));
            }
            for (name, field) in fields.iter_mut() {
                if let Some(child) = node.field(name) {
                    walk(child, field, &join(path, name), drop);
                }
            }
        }
        Value::Array(items) => {
            let Some(child) = &node.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                walk(child, item, &format!("{path}[{index}]"), drop);
            }
        }
        _ => {}
    }
}

/// Removes every unknown field.
pub(super) fn prune(node: &Node, value: &mut Value) {
    walk(node, value, "", &mut |_| true);
}

/// The paths of all unknown fields.
pub(super) fn list(node: &Node, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(node, &mut value.clone(), "", &mut |path| {
        found.push(path);
        // Taken out, so that nothing below it is named as well.
        true
    });
    found
}

/// The paths of keys that stand more than once in one object of the JSON text. Text that is no JSON has none.
pub(super) fn duplicates(raw: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(raw);
    let _ = Keys { path: String::new(), found: &mut found }.deserialize(&mut reader);
    found
}

struct Keys<'a> {
    path: String,
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let path = format!("{}[{index}]", self.path);
            if items.next_element_seed(Keys { path, found: &mut *self.found })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let path = join(&self.path, &name);
            if !seen.insert(name) && !self.found.contains(&path) {
                self.found.push(path.clone());
            }
            fields.next_value_seed(Keys { path, found: &mut *self.found })?;
        }
        Ok(())
    }
}
