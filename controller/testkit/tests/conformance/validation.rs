//! What is refused, and in which words: schemas, CEL rules, strict field checks, and the built-in kinds' own rules.

use serde_json::{Value, json};

use crate::kit::*;

#[tokio::test]
async fn a_schema_says_which_field_is_wrong() {
    let h = start_with_things().await;
    let api = h.api();
    let exact = h.since(23, "reasons and list indices in a schema's refusals");
    for (spec, field, reason, says) in [
        (json!({"size": 0}), "spec.size", "FieldValueInvalid", "should be greater than or equal to 1"),
        (json!({"size": 101}), "spec.size", "FieldValueInvalid", "should be less than or equal to 100"),
        (json!({"size": "big"}), "spec.size", "FieldValueTypeInvalid", "must be of type integer"),
        (json!({"colour": "mauve"}), "spec.colour", "FieldValueNotSupported", "Unsupported value: \"mauve\""),
        (json!({"code": "ABC"}), "spec.code", "FieldValueInvalid", "should match '^[a-z]+$'"),
        (json!({"code": "abcdefghi"}), "spec.code", "FieldValueTooLong", ""),
        (json!({"plain": ["1", "2", "3", "4", "5", "6"]}), "spec.plain", "FieldValueTooMany", ""),
        (json!({"nested": {"deep": {}}}), "spec.nested.deep.must", "FieldValueRequired", "Required value"),
        (json!({"when": "yesterday"}), "spec.when", "", "must be of type date-time"),
        (json!({"labels": {"a": 1}}), "spec.labels.a", "FieldValueTypeInvalid", "must be of type string"),
        (json!({"set": ["a", "a"]}), "spec.set[1]", "FieldValueDuplicate", "Duplicate value"),
    ] {
        let refused = api.post(THINGS, &thing("bad", spec.clone())).await.refused(422, "Invalid");
        let cause = causes(&refused).into_iter().find(|(f, _)| f == field);
        let cause = cause.unwrap_or_else(|| panic!("{spec}: {refused}"));
        assert!(reason.is_empty() || cause.1 == reason || !exact, "{spec}: {refused}");
        // A server may add that it did not get as far as the rules, so this is not all of the message.
        assert!(message(&refused).starts_with("Thing.conformance.roompin.test \"bad\" is invalid: "), "{refused}");
        assert!(message(&refused).contains(&format!("{field}: ")), "{spec}: {refused}");
        assert!(message(&refused).contains(says), "{spec}: {refused}");
        assert_eq!(refused["details"]["name"], "bad");
        assert_eq!(refused["details"]["group"], "conformance.roompin.test");
        assert_eq!(refused["details"]["kind"], "Thing");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let h = start_with_things().await;
    let refused =
        h.api().post(THINGS, &thing("bad", json!({"size": 0, "colour": "mauve"}))).await.refused(422, "Invalid");
    let mut fields: Vec<_> = causes(&refused).into_iter().map(|(field, _)| field).collect();
    fields.retain(|field| field.starts_with("spec"));
    fields.sort();
    assert_eq!(fields, ["spec.colour", "spec.size"]);
    assert!(message(&refused).contains("is invalid: ["), "{refused}");
}

#[tokio::test]
async fn rules_speak_in_their_own_words() {
    let h = start_with_things().await;
    if !h.since(25, "rules in definitions") {
        return;
    }
    let api = h.api();
    let refused = api.post(THINGS, &thing("bad", json!({"low": 2, "high": 1}))).await.refused(422, "Invalid");
    assert!(message(&refused).contains("low must not be above high"), "{refused}");
    assert!(causes(&refused).contains(&("spec".to_owned(), "FieldValueInvalid".to_owned())), "{refused}");

    let refused = api.post(THINGS, &thing("bad", json!({"size": 13}))).await.refused(422, "Invalid");
    assert!(message(&refused).contains("size 13 brings bad luck"), "{refused}");
    assert!(causes(&refused).contains(&("spec.size".to_owned(), "FieldValueForbidden".to_owned())), "{refused}");

    api.post(THINGS, &thing("good", json!({"low": 1, "high": 2}))).await.ok();
    api.patch(&format!("{THINGS}/good"), MERGE, &json!({"spec": {"low": 3}})).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_rule_may_compare_with_the_state_before() {
    let h = start_with_things().await;
    if !h.since(25, "rules in definitions") {
        return;
    }
    let api = h.api();
    let path = format!("{THINGS}/t");
    api.post(THINGS, &thing("t", json!({"fixed": "a"}))).await.ok();
    let refused = api.patch(&path, MERGE, &json!({"spec": {"fixed": "b"}})).await.refused(422, "Invalid");
    assert!(message(&refused).contains("fixed cannot be changed"), "{refused}");
    assert!(causes(&refused).iter().any(|(field, _)| field == "spec.fixed"), "{refused}");
    let refused = api.apply_force(&path, "a", &thing("t", json!({"fixed": "b"}))).await.refused(422, "Invalid");
    assert!(message(&refused).contains("fixed cannot be changed"), "{refused}");
    api.patch(&path, MERGE, &json!({"spec": {"fixed": "a", "size": 2}})).await.ok();
    // Such a rule is silent when one of the two states lacks the field.
    api.patch(&path, MERGE, &json!({"spec": {"fixed": null}})).await.ok();
    api.patch(&path, MERGE, &json!({"spec": {"fixed": "c"}})).await.ok();
}

#[tokio::test]
async fn status_is_validated_too() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t/status");
    api.post(THINGS, &thing("t", json!({}))).await.ok();
    let bad = json!({"status": {"conditions": [{"type": "Ready"}]}});
    let refused = api.patch(&path, MERGE, &bad).await.refused(422, "Invalid");
    if h.since(23, "reasons and list indices in a schema's refusals") {
        assert!(causes(&refused).iter().any(|(field, _)| field == "status.conditions[0].status"), "{refused}");
    }
    let twice =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Ready", "status": "False"}]}});
    if h.since(25, "list keys checked in a status") {
        api.patch(&path, MERGE, &twice).await.refused(422, "Invalid");
    }
}

#[tokio::test]
async fn strict_requests_refuse_unknown_fields() {
    let h = start_with_things().await;
    if !h.since(25, "fieldValidation") {
        return;
    }
    let api = h.api();
    let bad = thing("t", json!({"size": 1, "bogus": 2}));
    let refused = api.post(&format!("{THINGS}?fieldValidation=Strict"), &bad).await.refused(400, "BadRequest");
    assert!(message(&refused).contains("strict decoding error: unknown field \"spec.bogus\""), "{refused}");
    api.get(&format!("{THINGS}/t")).await.refused(404, "NotFound");
    let mut bad = deployment("d");
    bad["spec"]["template"]["spec"]["containers"][0]["bogus"] = json!(1);
    let refused = api.post("apps/v1/deployments?fieldValidation=Strict", &bad).await.refused(400, "BadRequest");
    assert!(message(&refused).contains("unknown field \"spec.template.spec.containers[0].bogus\""), "{refused}");
    api.get("apps/v1/deployments/d").await.refused(404, "NotFound");
    api.post(THINGS, &thing("t", json!({"size": 1}))).await.ok();
    let patch = api.patch(&format!("{THINGS}/t?fieldValidation=Strict"), MERGE, &json!({"spec": {"bogus": 1}})).await;
    assert!(patch.code == 400 || patch.code == 422, "{} {}", patch.code, patch.body);
    assert!(message(&patch.body).contains("unknown field \"spec.bogus\""), "{}", patch.body);
}

#[tokio::test]
async fn other_requests_are_warned_of_unknown_fields() {
    let h = start_with_things().await;
    if !h.since(25, "fieldValidation") {
        return;
    }
    let api = h.api();
    let reply = api.post(THINGS, &thing("a", json!({"bogus": 2}))).await;
    assert!(reply.warnings().iter().any(|w| w.contains("unknown field") && w.contains("spec.bogus")), "{reply:?}");
    reply.ok();
    let mut bad = deployment("d");
    bad["spec"]["bogus"] = json!(1);
    let reply = api.post("apps/v1/deployments?fieldValidation=Warn", &bad).await;
    assert!(reply.warnings().iter().any(|w| w.contains("unknown field") && w.contains("spec.bogus")), "{reply:?}");
    assert!(reply.ok()["spec"].get("bogus").is_none());
    let reply = api.post(&format!("{THINGS}?fieldValidation=Ignore"), &thing("b", json!({"bogus": 2}))).await;
    assert_eq!(reply.warnings(), Vec::<String>::new());
    reply.ok();
}

#[tokio::test]
async fn an_apply_knows_the_fields_of_its_kind() {
    let h = start_with_things().await;
    let api = h.api();
    let reply = api.apply(&format!("{THINGS}/t"), "a", &thing("t", json!({"bogus": 2}))).await;
    assert!(reply.code >= 400 && message(&reply.body).contains("bogus"), "{} {}", reply.code, reply.body);
    let mut bad = deployment("d");
    bad["spec"]["bogus"] = json!(1);
    let reply = api.apply("apps/v1/deployments/d", "a", &bad).await;
    assert!(reply.code >= 400 && message(&reply.body).contains("bogus"), "{} {}", reply.code, reply.body);
    api.get("apps/v1/deployments/d").await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_body_must_be_of_the_kind_of_its_path() {
    let h = start().await;
    let api = h.api();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    let reply = api.post("v1/configmaps", &secret).await;
    assert_eq!(reply.code, 400, "{}", reply.body);
    let wrong = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": 7}});
    let reply = api.post("v1/configmaps", &wrong).await;
    assert_eq!(reply.code, 400, "a number where a string belongs: {}", reply.body);
}

#[tokio::test]
async fn built_in_kinds_have_required_fields() {
    let h = start().await;
    let api = h.api();
    let without = |mut object: Value, pointer: &str, field: &str| {
        let parent = object.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        parent.remove(field);
        object
    };
    for (object, field) in [
        (without(deployment("d"), "/spec/template/spec/containers/0", "name"), "spec.template.spec.containers[0].name"),
        (without(deployment("d"), "/spec/template/spec", "containers"), "spec.template.spec.containers"),
        (without(deployment("d"), "/spec", "selector"), "spec.selector"),
    ] {
        let refused = api.post("apps/v1/deployments", &object).await.refused(422, "Invalid");
        assert!(causes(&refused).iter().any(|(f, _)| f == field), "{field}: {refused}");
    }
    let mut strangers = deployment("d");
    strangers["spec"]["template"]["metadata"]["labels"] = json!({"app": "another"});
    let refused = api.post("apps/v1/deployments", &strangers).await.refused(422, "Invalid");
    assert!(causes(&refused).iter().any(|(f, _)| f == "spec.template.metadata.labels"), "{refused}");
    let portless =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}}});
    let refused = api.post("v1/services", &portless).await.refused(422, "Invalid");
    assert!(causes(&refused).iter().any(|(f, _)| f == "spec.ports"), "{refused}");
}

#[tokio::test]
async fn a_stateful_sets_pods_are_checked_when_they_are_made() {
    let h = start().await;
    let api = h.api();
    let mut broken = deployment("d");
    broken["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let refused = api.post("apps/v1/deployments", &broken).await.refused(422, "Invalid");
    let field = "spec.template.spec.containers[0].volumeMounts[0].name";
    assert!(causes(&refused).iter().any(|(f, _)| f == field), "{refused}");
    broken["kind"] = json!("StatefulSet");
    broken["spec"].as_object_mut().expect("a spec").remove("paused");
    broken["spec"]["serviceName"] = json!("d");
    api.post("apps/v1/statefulsets", &broken).await.ok();
}
