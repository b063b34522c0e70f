use crate::merge::{Writer, apply, merge_patch, record_write};
use crate::schema::Schema;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

fn writer(manager: &str) -> Writer {
    Writer {
        manager: manager.into(),
        subresource: None,
        time: "2026-11-21T10:00:00Z".into(),
        api_version: "g/v1".into(),
    }
}

fn schema() -> Schema {
    Schema::from_crd(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "n": {"type": "integer"},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "plain": {"type": "array", "items": {"type": "integer"}},
        "deep": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
            "type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"},
                "w": {"type": "integer"}}}}}}}}))
}

fn number() -> impl Strategy<Value = Option<Value>> {
    proptest::option::of((0..3_i64).prop_map(Value::from))
}

fn fields(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    proptest::collection::vec(number(), names.len()).prop_map(move |values| {
        let present = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(present.collect())
    })
}

fn subset() -> impl Strategy<Value = BTreeSet<&'static str>> {
    proptest::collection::btree_set(prop_oneof![Just("a"), Just("b"), Just("c")], 0..=3)
}

fn keyed() -> impl Strategy<Value = Value> {
    (subset(), proptest::collection::vec(fields(&["v", "w"]), 3)).prop_map(|(names, values)| {
        let item = |(name, mut value): (&str, Value)| {
            value["name"] = json!(name);
            value
        };
        names.into_iter().zip(values).map(item).collect()
    })
}

/// Any spec that the schema allows.
fn spec() -> impl Strategy<Value = Value> {
    let part = |strategy: BoxedStrategy<Value>| proptest::option::of(strategy);
    (
        number(),
        part(fields(&["a", "b", "c"]).boxed()),
        part(subset().prop_map(|set| json!(set)).boxed()),
        part(proptest::collection::vec(0..3, 0..3).prop_map(|list| json!(list)).boxed()),
        part(fields(&["a", "b"]).boxed()),
        part(keyed().boxed()),
    )
        .prop_map(|(n, map, set, plain, deep, keyed)| {
            let all = [("n", n), ("map", map), ("set", set), ("plain", plain), ("deep", deep), ("keyed", keyed)];
            Value::Object(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
        })
}

fn document(spec: &Value) -> Value {
    json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x"}, "spec": spec})
}

/// The object's spec, read as empty where it is gone: who owns an empty list owns nothing.
fn spec_of(object: &Value) -> Value {
    bare(object.get("spec").unwrap_or(&json!({})))
}

/// The value without containers that hold nothing, which ownership says nothing about.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().map(|(name, field)| (name.clone(), bare(field)));
            Value::Object(kept.filter(|(_, field)| *field != json!({}) && *field != json!([])).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(bare).collect();
            if items.iter().all(|item| item.is_object() || item.is_string()) {
                items.sort_by_key(ToString::to_string);
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_apply_twice_is_an_apply_once(live in spec(), mine in spec()) {
        let schema = schema();
        let live = apply(None, &document(&live), &writer("other"), false, &schema).unwrap();
        let once = apply(Some(&live), &document(&mine), &writer("me"), true, &schema).unwrap();
        let later = Writer { time: "2030-01-01T00:00:00Z".into(), ..writer("me") };
        let twice = apply(Some(&once), &document(&mine), &later, false, &schema).unwrap();
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn what_one_manager_alone_applies_is_what_stands(first in spec(), second in spec()) {
        let schema = schema();
        let live = apply(None, &document(&first), &writer("me"), false, &schema).unwrap();
        let next = apply(Some(&live), &document(&second), &writer("me"), false, &schema).unwrap();
        prop_assert_eq!(spec_of(&next), bare(&second));
    }

    #[test]
    fn abandoning_all_restores_what_others_hold(theirs in spec(), mine in spec()) {
        let schema = schema();
        let live = apply(None, &document(&theirs), &writer("them"), false, &schema).unwrap();
        // Without force: only what does not conflict is ever laid over.
        if let Ok(both) = apply(Some(&live), &document(&mine), &writer("me"), false, &schema) {
            let empty = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x"}});
            let after = apply(Some(&both), &empty, &writer("me"), false, &schema).unwrap();
            prop_assert_eq!(spec_of(&after), bare(&theirs));
        }
    }

    #[test]
    fn a_forced_apply_stands_whole(theirs in spec(), mine in spec()) {
        let schema = schema();
        let live = apply(None, &document(&theirs), &writer("them"), false, &schema).unwrap();
        let both = apply(Some(&live), &document(&mine), &writer("me"), true, &schema).unwrap();
        // All I named reads as I named it: laying it over again changes nothing.
        let again = apply(Some(&both), &document(&mine), &writer("third"), false, &schema);
        prop_assert_eq!(&again.unwrap()["spec"], &both["spec"]);
    }

    #[test]
    fn an_update_to_the_same_value_owns_nothing_new(theirs in spec()) {
        let schema = schema();
        let live = apply(None, &document(&theirs), &writer("them"), false, &schema).unwrap();
        let mut same = live.clone();
        record_write(Some(&live), &mut same, &writer("me"), &schema);
        prop_assert_eq!(same, live);
    }

    #[test]
    fn a_merge_patch_twice_is_one(live in spec(), patch in spec()) {
        let once = merge_patch(&live, &patch);
        prop_assert_eq!(merge_patch(&once, &patch), once);
    }
}
