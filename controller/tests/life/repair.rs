//! Acceptance 3, of everything that we own: each field that is ours is changed, each object deleted, and all of it is put
//! right. What others own stays.

use std::collections::{BTreeMap, BTreeSet};

use controller::{
    apply::{self, MANAGER},
    build::Kinds,
};
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use testkit::harness::raw::JSON_PATCH;

use super::kit::{Kit, MINUTE};

/// One object of ours: its path and what stands there.
struct Owned {
    kind: String,
    path: String,
    object: Value,
}

impl Owned {
    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.object["metadata"]["name"].as_str().unwrap())
    }
}

async fn owned(kit: &Kit) -> Vec<Owned> {
    let api = kit.api();
    let mut kinds = apply::owned_kinds(Kinds::default());
    kinds.push(GroupVersionKind::gvk("apps.jit.si", "v1alpha1", "JitsiShard"));
    let mut all = Vec::new();
    for gvk in kinds {
        let resource = ApiResource::from_gvk(&gvk);
        let collection = format!("{}/{}", resource.api_version, resource.plural);
        let list =
            api.get(&format!("{collection}?labelSelector=app.kubernetes.io/managed-by%3Droompin-controller")).await;
        for mut object in list.ok()["items"].as_array().unwrap().clone() {
            // Lists leave them out.
            object["apiVersion"] = json!(resource.api_version);
            object["kind"] = json!(gvk.kind);
            let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap());
            all.push(Owned { kind: gvk.kind.clone(), path, object });
        }
    }
    all
}

fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Pointers to every plain value that these managed fields name, but those by which elements of a list are known.
fn leaves(fields: &Value, object: &Value, at: &str, found: &mut Vec<String>) {
    let named: Vec<_> = fields.as_object().unwrap().iter().filter(|(key, _)| *key != ".").collect();
    if named.is_empty() {
        // Owned as a whole.
        return everything(object, at, found);
    }
    for (key, inner) in named {
        if let Some(name) = key.strip_prefix("f:") {
            if let Some(value) = object.get(name) {
                leaves(inner, value, &below(at, name), found);
            }
        } else if let Some(keys) = key.strip_prefix("k:") {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap();
            let same = |item: &Value| keys.iter().all(|(key, value)| item.get(key) == Some(value));
            let Some(place) = object.as_array().and_then(|list| list.iter().position(same)) else { continue };
            let mut inner = inner.clone();
            let known_by = |field: &str| field == "." || keys.contains_key(field.trim_start_matches("f:"));
            inner.as_object_mut().unwrap().retain(|field, _| !known_by(field));
            if !inner.as_object().unwrap().is_empty() {
                leaves(&inner, &object[place], &format!("{at}/{place}"), found);
            }
        }
    }
}

fn everything(object: &Value, at: &str, found: &mut Vec<String>) {
    match object {
        Value::Object(map) => map.iter().for_each(|(name, value)| everything(value, &below(at, name), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(place, value)| everything(value, &format!("{at}/{place}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

/// What the controller owns of an object.
fn ours(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for entry in object["metadata"]["managedFields"].as_array().unwrap() {
        if entry["manager"] == MANAGER && entry["operation"] == "Apply" {
            leaves(&entry["fieldsV1"], object, "", &mut found);
        }
    }
    found
}

fn another(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::Bool(yes) => json!(!yes),
        Value::String(text) if text.parse::<u16>().is_ok() => json!("7"),
        Value::String(text) => json!(format!("{text}x")),
        _ => json!("x"),
    }
}

fn picture(object: &Value, pointers: &[String]) -> BTreeMap<String, Value> {
    pointers.iter().map(|at| (at.clone(), object.pointer(at).cloned().unwrap_or_default())).collect()
}

/// The first few fields in which an object is not what it was.
fn difference(object: &Value, before: &BTreeMap<String, Value>) -> Option<String> {
    let wrong: Vec<_> = before
        .iter()
        .filter(|(at, value)| object.pointer(at).unwrap_or(&Value::Null) != *value)
        .take(3)
        .map(|(at, value)| format!("{at} is {} and was {value}", object.pointer(at).unwrap_or(&Value::Null)))
        .collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

async fn all_right(kit: &Kit, before: &BTreeMap<String, BTreeMap<String, Value>>) -> Result<(), String> {
    let now: BTreeMap<String, Value> = owned(kit).await.into_iter().map(|one| (one.name(), one.object)).collect();
    for (name, picture) in before {
        let object = now.get(name).ok_or_else(|| format!("{name} is not there"))?;
        if let Some(difference) = difference(object, picture) {
            return Err(format!("{name}: {difference}"));
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_field_that_is_ours_is_put_right() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.merge(json!({"spec": {"ingress": {"enabled": true, "tls": true}}})).await;
    kit.ready(1).await;
    kit.pass(MINUTE).await;
    let api = kit.api();

    for one in owned(&kit).await {
        let theirs = json!({"apiVersion": one.object["apiVersion"], "kind": one.kind, "metadata": {
            "name": one.object["metadata"]["name"],
            "annotations": {"example.org/team": "video"}, "labels": {"example.org/cost": "42"}}});
        api.apply(&one.path, "somebody", &theirs).await.ok();
    }
    let (mut before, mut edits, mut refused) = (BTreeMap::new(), 0, 0);
    for one in owned(&kit).await {
        let name = one.name();
        let all = ours(&one.object);
        before.insert(name.clone(), picture(&one.object, &all));
        let mut number = 0;
        for at in &all {
            // Passwords are anybody's to choose, and kept. An owner of another uid is no owner: that is deleting.
            if (one.kind == "Secret" && at.starts_with("/data")) || at.starts_with("/metadata/ownerReferences") {
                continue;
            }
            let edit = json!([{"op": "replace", "path": at, "value": another(one.object.pointer(at).unwrap())}]);
            let mut code = api.patch(&one.path, JSON_PATCH, &edit).await.code;
            // A server tries a patch again when another write comes in between, but not for ever.
            for _ in 0..10 {
                if code == 409 {
                    code = api.patch(&one.path, JSON_PATCH, &edit).await.code;
                }
            }
            match code {
                200 => number += 1,
                // What cannot be changed, cannot be read, or makes no sense.
                400 | 422 => refused += 1,
                code => panic!("{name} {at}: {code}"),
            }
        }
        assert!(number >= 6, "{name}: {number} of {all:?}");
        edits += number;
    }
    let kinds: BTreeSet<_> = before.keys().map(|name| name.split('/').next().unwrap()).collect();
    println!("{} objects of {kinds:?}: {edits} fields changed, {refused} changes refused by the API", before.len());
    assert!(kinds.len() >= 10 && before.len() > 20 && edits > 400);
    kit.eventually("every field is as it was", || all_right(&kit, &before)).await;
    for one in owned(&kit).await {
        let meta = &one.object["metadata"];
        assert_eq!(meta["annotations"]["example.org/team"], "video", "{}", one.name());
        assert_eq!(meta["labels"]["example.org/cost"], "42", "{}", one.name());
    }

    // Deleted, one after the other and without waiting. A deleted Secret gets new passwords, and pods get the new ones.
    for one in owned(&kit).await {
        if one.kind != "JitsiShard" {
            api.delete(&one.path).await.ok();
        }
    }
    let chosen = |at: &str| at.starts_with("/data") || at.contains("checksum") || at.contains("apps.jit.si~1applied");
    for picture in before.values_mut() {
        picture.retain(|at, _| !chosen(at));
    }
    kit.eventually("every object is back", || all_right(&kit, &before)).await;
    kit.ready(1).await;
    controller.end().await;
}

/// A Secret that has lost its labels is still the one with the passwords, and a key that was taken out is made again.
#[tokio::test(start_paused = true)]
async fn passwords_outlive_lost_labels() {
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;
    let (api, mut before) = (kit.api(), BTreeMap::new());
    for name in ["jitsi-sample-0-secrets", "jitsi-sample-proxy-mesh-key", "jitsi-sample-proxy-admin"] {
        let path = format!("v1/secrets/{name}");
        before.insert(path.clone(), api.get(&path).await.ok()["data"].clone());
        api.patch(&path, JSON_PATCH, &json!([{"op": "remove", "path": "/metadata/labels"}])).await.ok();
    }
    let path = "v1/secrets/jitsi-sample-0-secrets";
    let lost = before[path].as_object().unwrap().keys().next().unwrap().clone();
    api.patch(path, JSON_PATCH, &json!([{"op": "remove", "path": format!("/data/{lost}")}])).await.ok();
    kit.eventually("the labels are back", async || {
        for path in before.keys() {
            let labels = api.get(path).await.ok()["metadata"]["labels"]["app.kubernetes.io/part-of"].clone();
            if labels != "jitsi" {
                return Err(format!("{path}: {labels}"));
            }
        }
        Ok(())
    })
    .await;
    for (path, mut data) in before {
        let mut now = api.get(&path).await.ok()["data"].clone();
        if path.ends_with("jitsi-sample-0-secrets") {
            assert!(now[&lost].as_str().is_some_and(|value| !value.is_empty()), "{lost} is made again");
            data.as_object_mut().unwrap().remove(&lost);
            now.as_object_mut().unwrap().remove(&lost);
        }
        assert_eq!(now, data, "{path}");
    }
    controller.end().await;
}
