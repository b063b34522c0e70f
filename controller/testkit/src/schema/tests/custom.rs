use crate::schema::{Schema, summary};
use serde_json::{Value, json};

fn schema(spec: Value) -> Schema {
    Schema::from_crd(&json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}))
        .with_kind("apps.jit.si", "v1alpha1", "Jitsi")
        .with_status(true)
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "apps.jit.si/v1alpha1", "kind": "Jitsi", "metadata": {"name": "x"}, "spec": spec})
}

fn causes(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<String> {
    schema.validate(new, old).iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_checked_in_the_api_servers_words() {
    let schema = schema(json!({"type": "object", "required": ["domain"], "properties": {
        "domain": {"type": "string", "minLength": 3, "maxLength": 5, "pattern": "^[a-z]+$"},
        "replicas": {"type": "integer", "minimum": 0, "maximum": 10, "format": "int32"},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "list": {"type": "array", "maxItems": 2, "minItems": 1, "items": {"type": "integer"}},
        "since": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": true},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}}}));
    for (spec, expected) in [
        (json!({}), "spec.domain: Required value"),
        (
            json!({"domain": "abc", "replicas": -1}),
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        (
            json!({"domain": "abc", "replicas": 11}),
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        (json!({"domain": "abc", "mode": "x"}), "spec.mode: Unsupported value: \"x\": supported values: \"a\", \"b\""),
        (
            json!({"domain": "ab"}),
            "spec.domain: Invalid value: \"ab\": spec.domain in body should be at least 3 chars long",
        ),
        (json!({"domain": "abcdef"}), "spec.domain: Too long: may not be more than 5 bytes"),
        (json!({"domain": "ABC"}), "spec.domain: Invalid value: \"ABC\": spec.domain in body should match '^[a-z]+$'"),
        (
            json!({"domain": "abc", "replicas": "1"}),
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
        ),
        (json!({"domain": "abc", "list": [1, 2, 3]}), "spec.list: Too many: 3: must have at most 2 items"),
        (
            json!({"domain": "abc", "list": []}),
            "spec.list: Invalid value: []: spec.list in body should have at least 1 items",
        ),
        (
            json!({"domain": "abc", "list": ["x"]}),
            "spec.list[0]: Invalid value: \"string\": spec.list[0] in body must be of type integer: \"string\"",
        ),
        (
            json!({"domain": "abc", "since": "today"}),
            "spec.since: Invalid value: \"today\": spec.since in body must be of type date-time: \"today\"",
        ),
        (
            json!({"domain": "abc", "port": true}),
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"domain": "abc", "labels": {"a": "1", "b": "2"}}),
            "spec.labels: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"domain": null}),
            "spec.domain: Invalid value: \"null\": spec.domain in body must be of type string: \"null\"",
        ),
    ] {
        assert_eq!(causes(&schema, &object(spec), None)[0], expected);
    }
    let good = object(json!({"domain": "abc", "port": "http", "since": "2026-11-21T10:00:00Z", "mode": "a"}));
    assert_eq!(causes(&schema, &good, None), Vec::<String>::new());
}

#[test]
fn branches_are_checked_in_the_api_servers_words() {
    let schema = schema(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["c"]},
        "x-kubernetes-preserve-unknown-fields": true}));
    assert!(causes(&schema, &object(json!({"a": "1"})), None).is_empty());
    assert_eq!(
        causes(&schema, &object(json!({"a": "1", "b": "1"})), None),
        [
            "spec: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
        ]
    );
    assert!(causes(&schema, &object(json!({})), None)[0].ends_with("Found none valid"));
    assert_eq!(
        causes(&schema, &object(json!({"a": "1", "c": "1"})), None),
        ["spec: Invalid value: \"\": \"spec\" must not validate the schema (not)"]
    );
}

#[test]
fn cel_rules_speak_their_messages() {
    let schema = schema(json!({"type": "object",
        "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "domain": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "domain is immutable"}]}},
        "x-kubernetes-validations": [
            {"rule": "!has(self.min) || !has(self.max) || self.min <= self.max",
             "messageExpression": "'min %d is more than max %d'.format([self.min, self.max])",
             "fieldPath": ".min", "reason": "FieldValueForbidden"}]}));
    let new = object(json!({"min": 3, "max": 2, "domain": "b"}));
    assert_eq!(causes(&schema, &new, None), ["spec.min: Forbidden: min 3 is more than max 2"]);
    let good = object(json!({"min": 1, "max": 2, "domain": "b"}));
    assert!(causes(&schema, &good, None).is_empty(), "a transition rule needs an old self");
    let old = object(json!({"domain": "a"}));
    assert_eq!(causes(&schema, &good, Some(&old)), ["spec.domain: Invalid value: \"string\": domain is immutable"]);
    assert!(causes(&schema, &good, Some(&good)).is_empty());
}

#[test]
fn an_optional_old_self_is_an_optional() {
    let schema = schema(json!({"type": "object", "properties": {"size": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "!oldSelf.hasValue() ? self == 1 : self >= oldSelf.value()",
            "optionalOldSelf": true, "message": "grow from 1"}]}}}));
    assert!(causes(&schema, &object(json!({"size": 1})), None).is_empty());
    assert_eq!(
        causes(&schema, &object(json!({"size": 2})), None),
        ["spec.size: Invalid value: \"integer\": grow from 1"]
    );
    let old = object(json!({"size": 5}));
    assert!(causes(&schema, &object(json!({"size": 6})), Some(&old)).is_empty());
    assert_eq!(causes(&schema, &object(json!({"size": 4})), Some(&old)).len(), 1);
}

#[test]
fn transition_rules_pair_keyed_items_by_key_and_atomic_ones_not_at_all() {
    let item = json!({"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.v == oldSelf.v", "message": "v is immutable"}]});
    let schema = schema(json!({"type": "object", "properties": {
        "keyed": {"type": "array", "items": item, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"]},
        "plain": {"type": "array", "items": item}}}));
    let old = object(json!({"keyed": [{"name": "a", "v": 1}, {"name": "b", "v": 2}], "plain": [{"v": 1}]}));
    let moved = object(json!({"keyed": [{"name": "b", "v": 2}, {"name": "c", "v": 9}], "plain": [{"v": 2}]}));
    assert!(causes(&schema, &moved, Some(&old)).is_empty());
    let changed = object(json!({"keyed": [{"name": "b", "v": 3}]}));
    assert_eq!(causes(&schema, &changed, Some(&old)), ["spec.keyed[0]: Invalid value: \"object\": v is immutable"]);
}

#[test]
fn rules_wait_until_types_are_right() {
    let schema = schema(json!({"type": "object", "required": ["a"],
        "x-kubernetes-validations": [{"rule": "self.a > 0"}]}));
    let found = schema.validate(&object(json!({})), None);
    assert_eq!(
        summary(&found),
        "[spec.a: Required value, <nil>: Invalid value: null: some validation rules were not checked because the object \
         was invalid; correct the existing errors to complete validation]"
    );
}

#[test]
fn keyed_and_set_lists_hold_nothing_twice() {
    let schema = schema(json!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}}));
    let new = object(json!({"set": ["a", "a"], "keyed": [{"name": "x"}, {"name": "x"}]}));
    assert_eq!(
        causes(&schema, &new, None),
        ["spec.keyed[1]: Duplicate value: {\"name\":\"x\"}", "spec.set[1]: Duplicate value: \"a\""]
    );
}

#[test]
fn defaults_fill_in_what_is_missing_at_any_depth() {
    let schema = schema(json!({"type": "object", "default": {}, "properties": {
        "shards": {"type": "integer", "default": 1},
        "nullable": {"type": "string", "nullable": true, "default": "n"},
        "jvb": {"type": "object", "default": {"strategy": {}}, "properties": {
            "strategy": {"type": "object", "properties": {"type": {"type": "string", "default": "static"}}}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
        "absent": {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}}}}));
    let mut new = json!({"apiVersion": "v1", "kind": "Jitsi", "metadata": {"name": "x"}});
    schema.default(&mut new);
    assert_eq!(new["spec"], json!({"shards": 1, "nullable": "n", "jvb": {"strategy": {"type": "static"}}}));
    let mut new = object(json!({"shards": null, "nullable": null, "list": [{}, {"p": "UDP"}], "jvb": {}}));
    schema.default(&mut new);
    assert_eq!(new["spec"], json!({"shards": 1, "nullable": null, "list": [{"p": "TCP"}, {"p": "UDP"}], "jvb": {}}));
    let once = new.clone();
    schema.default(&mut new);
    assert_eq!(new, once);
}

#[test]
fn unknown_fields_are_named_and_pruned() {
    let schema = schema(json!({"type": "object", "properties": {
        "known": {"type": "integer"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"strict": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "raw": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}}}}));
    let mut new = object(json!({"known": 1, "foo": {"deep": 1}, "list": [{"a": 1, "b": 2}],
        "free": {"any": 1, "strict": {"a": 1, "b": 1}}, "map": {"k": {"a": 1, "z": 1}},
        "raw": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "odd": 1}, "spec": {}}}));
    new["metadata"]["odd"] = json!(1);
    new["top"] = json!(1);
    let unknown = [
        "top",
        "metadata.odd",
        "spec.foo",
        "spec.free.strict.b",
        "spec.list[0].b",
        "spec.map.k.z",
        "spec.raw.metadata.odd",
    ];
    assert_eq!(schema.unknown_fields(&new), unknown);
    schema.prune(&mut new);
    assert_eq!(
        new["spec"],
        json!({"known": 1, "list": [{"a": 1}], "free": {"any": 1, "strict": {"a": 1}}, "map": {"k": {"a": 1}},
            "raw": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}})
    );
    assert_eq!(schema.unknown_fields(&new), Vec::<String>::new());
}

#[test]
fn strict_decoding_names_unknown_and_repeated_fields() {
    let schema = schema(json!({"type": "object", "properties": {"a": {"type": "integer"}}}));
    let raw =
        br#"{"apiVersion":"g/v1","kind":"Jitsi","metadata":{"name":"x"},"spec":{"a":1,"a":2,"b":[{"c":1,"c":1}]}}"#;
    let document: Value = serde_json::from_slice(raw).unwrap();
    let errors = schema.strict_errors(raw, &document);
    assert_eq!(errors, ["duplicate field \"spec.a\"", "duplicate field \"spec.b[0].c\"", "unknown field \"spec.b\""]);
    assert_eq!(
        schema.strict_message(&errors[2..]),
        "Jitsi in version \"v1alpha1\" cannot be handled as a Jitsi: strict decoding error: unknown field \"spec.b\""
    );
}
