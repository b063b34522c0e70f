//! The definitions: that the files in deploy/crds are what the code says, that an apiserver would take them, and that the
//! rules in them accept and refuse what they should.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{env, fs, path::PathBuf};

use controller::{
    api::{Jitsi, JitsiShard},
    crds,
};
use kube::core::cel::validate_cel;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds")
}

#[test]
fn the_files_in_deploy_crds_are_what_the_code_says() {
    for crd in crds::definitions() {
        let file = format!("{}.yaml", crd.spec.names.plural);
        let now = crds::document(&crd).unwrap();
        // The chart has copies, for it is packed by itself.
        for path in [folder().join(&file), folder().join("../helm/roompin/crds").join(&file)] {
            if env::var_os("ROOMPIN_WRITE_CRDS").is_some() {
                fs::write(&path, &now).unwrap();
            }
            let then = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                now == then,
                "{} is not what the code says; run\n    ROOMPIN_WRITE_CRDS=1 cargo test --workspace --test crds\nand commit the difference",
                path.display()
            );
        }
    }
}

#[test]
fn what_is_printed_is_one_stream_of_both() {
    let stream = crds::yaml().unwrap();
    let documents: Vec<Value> = stream.split("---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let kinds: Vec<&Value> = documents.iter().map(|one| &one["spec"]["names"]["kind"]).collect();
    assert_eq!(kinds, [&json!("Jitsi"), &json!("JitsiShard")]);
    for (document, crd) in documents.iter().zip(crds::definitions()) {
        assert_eq!(document, &serde_json::to_value(&crd).unwrap(), "YAML says what the code says");
    }
}

#[test]
fn the_files_are_small_enough_for_kubectl_apply() {
    for crd in crds::definitions() {
        let json = serde_json::to_string(&crd).unwrap();
        assert!(
            json.len() < 200_000,
            "{}: {} bytes; kubectl's annotation holds 262144",
            crd.spec.names.plural,
            json.len()
        );
    }
}

/// What an apiserver demands of a structural schema.
fn structural(path: &str, schema: &Value, inside_junctor: bool, errors: &mut Vec<String>) {
    let Some(map) = schema.as_object() else {
        errors.push(format!("{path}: not an object but {schema}"));
        return;
    };
    let on = |key: &str| map.get(key) == Some(&Value::Bool(true));
    const KNOWN: &[&str] = &[
        "type",
        "title",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "default",
        "enum",
        "format",
        "nullable",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "maxProperties",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
    ];
    for key in map.keys() {
        if !KNOWN.contains(&key.as_str()) && !key.starts_with("x-kubernetes-") {
            errors.push(format!("{path}: keyword {key} is not allowed"));
        }
    }
    if inside_junctor {
        for key in ["type", "description", "default", "nullable", "additionalProperties"] {
            if map.contains_key(key) {
                errors.push(format!("{path}: {key} inside anyOf, oneOf, allOf or not"));
            }
        }
    } else if !map.contains_key("type")
        && !on("x-kubernetes-int-or-string")
        && !on("x-kubernetes-preserve-unknown-fields")
    {
        errors.push(format!("{path}: no type"));
    }
    if map.contains_key("properties") && map.contains_key("additionalProperties") {
        errors.push(format!("{path}: properties and additionalProperties exclude each other"));
    }
    if map.get("type") == Some(&json!("array")) && !map.contains_key("items") {
        errors.push(format!("{path}: an array without items"));
    }
    if map.get("x-kubernetes-list-type") == Some(&json!("map")) {
        let item = &map["items"];
        for key in map["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            let key = key.as_str().unwrap();
            let required = item["required"].as_array().is_some_and(|list| list.contains(&json!(key)));
            if !required && item["properties"][key].get("default").is_none() {
                errors.push(format!("{path}: list-map key {key} is neither required nor has a default"));
            }
        }
        if item["nullable"] == json!(true) {
            errors.push(format!("{path}: items of a list-map may not be nullable"));
        }
    }
    for rule in map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let message = rule["message"].as_str().unwrap_or_default();
        if message.is_empty() || message.contains('\n') || message.len() > 2048 {
            errors.push(format!("{path}: rule {} needs a message of one line", rule["rule"]));
        }
    }
    for (name, inner) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        structural(&format!("{path}.{name}"), inner, inside_junctor, errors);
    }
    for name in map.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !inside_junctor && map.get("properties").is_none_or(|all| all.get(name.as_str().unwrap()).is_none()) {
            errors.push(format!("{path}: requires {name}, which it does not have"));
        }
    }
    for key in ["items", "additionalProperties", "not"] {
        if let Some(inner) = map.get(key) {
            structural(&format!("{path}.{key}"), inner, inside_junctor || key == "not", errors);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for inner in map.get(key).and_then(Value::as_array).into_iter().flatten() {
            structural(&format!("{path}.{key}"), inner, true, errors);
        }
    }
}

fn schema(crd: &impl serde::Serialize) -> Value {
    serde_json::to_value(crd).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn schemas_are_structural() {
    for crd in crds::definitions() {
        let mut errors = Vec::new();
        structural(&crd.spec.names.kind, &schema(&crd), false, &mut errors);
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }
}

#[test]
fn the_scale_subresource_has_what_it_needs() {
    let crd = serde_json::to_value(&crds::definitions()[0]).unwrap();
    let version = &crd["spec"]["versions"][0];
    assert_eq!(
        version["subresources"]["scale"],
        json!({ "specReplicasPath": ".spec.shards", "statusReplicasPath": ".status.shards", "labelSelectorPath": ".status.selector" })
    );
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(spec["properties"]["shards"]["default"], json!(1), "scaling needs the field to be there");
    assert_eq!(spec["required"], json!(["domain"]));
    assert_eq!(crd["spec"]["names"]["shortNames"], json!(["jit"]));
    let columns: Vec<&str> =
        version["additionalPrinterColumns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Domain", "Shards", "Ready", "Draining", "Proxies", "Phase", "Waiting for", "Age"]);
}

fn jitsi(spec: &Value) -> Jitsi {
    named("meet", spec)
}

fn named(name: &str, spec: &Value) -> Jitsi {
    serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "Jitsi", "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

#[test]
fn the_published_sample_is_accepted_unchanged() {
    let text = include_str!("data/sample.yaml");
    let sample: Jitsi = serde_saphyr::from_str(text).unwrap();
    assert_eq!(validate_cel(&sample), Ok(()));
    assert_eq!(&*sample.spec.template.domain, "hack.liiib.re");
    let unchanged: Value = serde_saphyr::from_str(text).unwrap();
    let mut round = serde_json::to_value(&sample).unwrap();
    assert_eq!(round["spec"]["shards"], json!(1));
    round["spec"].as_object_mut().unwrap().remove("shards");
    assert_eq!(round, unchanged, "nothing of it is lost or added");
}

/// Fields of a document that the schema does not know, which an apiserver would drop.
fn unknown(path: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = format!("{path}.{key}");
                let next = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
                match next {
                    Some(next) => unknown(&path, inner, next, found),
                    None => found.push(path),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| unknown(path, inner, &schema["items"], found)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_earlier_operator_and_of_ours_is_in_the_schema() {
    let schema = &schema(&crds::definitions()[0])["properties"]["spec"];
    for text in [include_str!("data/earlier.yaml"), include_str!("data/maximal.yaml")] {
        let document: Value = serde_saphyr::from_str(text).unwrap();
        let mut found = Vec::new();
        unknown("spec", &document["spec"], schema, &mut found);
        assert!(found.is_empty(), "would be dropped: {found:?}");
        let parsed: Jitsi = serde_saphyr::from_str(text).unwrap();
        assert_eq!(validate_cel(&parsed), Ok(()));
        let mut round = serde_json::to_value(&parsed).unwrap();
        if document["spec"].get("shards").is_none() {
            round["spec"].as_object_mut().unwrap().remove("shards");
        }
        assert_eq!(round["spec"], document["spec"], "our types keep every field");
    }
}

#[test]
fn rules_refuse_with_advice() {
    let cases: &[(Value, &str)] = &[
        (json!({ "domain": "https://meet.example.org" }), "write only the host name"),
        (json!({ "domain": "Meet.example.org" }), "write only the host name"),
        (json!({ "domain": "meet.example.org", "shards": -1 }), "write a number of shards from 0 to 100"),
        (
            json!({ "domain": "m.org", "jvb": { "strategy": { "replicas": 4, "maxReplicas": 2 } } }),
            "'maxReplicas' is less than 'replicas'",
        ),
        (json!({ "domain": "m.org", "jvb": { "ports": { "udp": 70000 } } }), "write a port from 1 to 65535"),
        (json!({ "domain": "m.org", "drainDeadline": "4 hours" }), "write a time in whole numbers"),
        (json!({ "domain": "m.org", "shardRegions": ["eu", "us west"] }), "write a region"),
        (json!({ "domain": "m.org", "jwt": { "appId": "x" } }), "write either 'secret'"),
        (json!({ "domain": "m.org", "gateway": { "enabled": true } }), "parentRefs"),
        (json!({ "domain": "m.org", "image": { "pullPolicy": "Sometimes" } }), "write 'Always'"),
        (json!({ "domain": "m.org", "web": { "replicas": 0 } }), "web pods from 1 to 100"),
        (json!({ "domain": "m.org", "proxy": { "replicas": 0 } }), "proxies from 1 to 16"),
        (json!({ "domain": "m.org", "proxy": { "service": { "type": "Loadbalancer" } } }), "'LoadBalancer'"),
        (json!({ "domain": "m.org", "turn": { "host": "turn:3478" } }), "write only the host name"),
        (json!({ "domain": "m.org", "existingSecret": "a/b" }), "name of an object in this namespace"),
    ];
    for (spec, advice) in cases {
        let error = validate_cel(&jitsi(spec)).expect_err(&spec.to_string()).to_string();
        assert!(error.contains(advice), "{spec}: {error}");
    }
    for name in ["0meet", "meet.org", "a-name-that-is-by-far-too-long-to-be-useful"] {
        let error = validate_cel(&named(name, &json!({ "domain": "m.org" }))).expect_err(name).to_string();
        assert!(error.contains("beginning with a letter"), "{name}: {error}");
    }
}

#[test]
fn a_shard_can_be_written_by_hand() {
    let shard: JitsiShard = serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": { "name": "alone" },
        "spec": { "domain": "m.org", "retire": true, "drainDeadline": "30m" },
    }))
    .unwrap();
    assert_eq!(validate_cel(&shard), Ok(()));
    assert!(shard.spec.retire && !shard.spec.drain);
}

#[test]
fn the_program_prints_them() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_roompin-controller")).arg("crds").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), crds::yaml().unwrap());
}
