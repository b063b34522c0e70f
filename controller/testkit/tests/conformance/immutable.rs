//! What cannot be changed once it is written.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn a_pod_keeps_its_spec_but_for_a_few_fields() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/pods", &bound_pod("p")).await.ok();
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    api.patch("v1/pods/p", MERGE, &labels).await.ok();
    let image = json!({"spec": {"containers": [{"name": "main", "image": "none.invalid/none:2"}]}});
    api.patch("v1/pods/p", STRATEGIC, &image).await.ok();
    for change in [
        json!({"spec": {"hostNetwork": true}}),
        json!({"spec": {"nodeName": "another-node"}}),
        json!({"spec": {"restartPolicy": "Never"}}),
        json!({"spec": {"terminationGracePeriodSeconds": 77}}),
        json!({"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}),
    ] {
        let reply = api.patch("v1/pods/p", STRATEGIC, &change).await;
        reply.refused(422, "Invalid");
    }
    let add = json!({"spec": {"containers": [{"name": "more", "image": "none.invalid/none:1"}]}});
    api.patch("v1/pods/p", STRATEGIC, &add).await.refused(422, "Invalid");
    let now = api.get("v1/pods/p").await.ok();
    assert_eq!(now["spec"]["terminationGracePeriodSeconds"], made["spec"]["terminationGracePeriodSeconds"]);
    api.delete_with("v1/pods/p", &json!({"gracePeriodSeconds": 0})).await.ok();
}

#[tokio::test]
async fn selectors_stay() {
    let h = start().await;
    let api = h.api();
    api.post("apps/v1/deployments", &deployment("d")).await.ok();
    let change = json!({"spec": {
        "selector": {"matchLabels": {"app": "x"}},
        "template": {"metadata": {"labels": {"app": "x"}}},
    }});
    let refused = api.patch("apps/v1/deployments/d", MERGE, &change).await.refused(422, "Invalid");
    assert!(message(&refused).contains("field is immutable"), "{refused}");
    assert!(causes(&refused).iter().any(|(field, _)| field == "spec.selector"), "{refused}");
}

#[tokio::test]
async fn a_stateful_set_keeps_its_service_and_claims() {
    let h = start().await;
    let api = h.api();
    let mut set = deployment("s");
    set["kind"] = json!("StatefulSet");
    set["spec"].as_object_mut().expect("a spec").remove("paused");
    set["spec"]["serviceName"] = json!("one");
    api.post("apps/v1/statefulsets", &set).await.ok();
    let path = "apps/v1/statefulsets/s";
    for change in [json!({"spec": {"serviceName": "two"}}), json!({"spec": {"podManagementPolicy": "Parallel"}})] {
        let refused = api.patch(path, MERGE, &change).await.refused(422, "Invalid");
        assert!(message(&refused).contains("updates to statefulset spec for fields other than"), "{refused}");
    }
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "none.invalid/none:2"}]}}}});
    api.patch(path, STRATEGIC, &image).await.ok();
}

#[tokio::test]
async fn a_frozen_configmap_stays_frozen() {
    let h = start().await;
    let api = h.api();
    let mut object = configmap("a", json!({"k": "1"}));
    object["immutable"] = json!(true);
    api.post("v1/configmaps", &object).await.ok();
    api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "2"}})).await.refused(422, "Invalid");
    api.patch("v1/configmaps/a", MERGE, &json!({"immutable": false})).await.refused(422, "Invalid");
    api.patch("v1/configmaps/a", MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    api.delete("v1/configmaps/a").await.ok();
}

#[tokio::test]
async fn a_secret_keeps_its_type() {
    let h = start().await;
    let api = h.api();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "v"}});
    api.post("v1/secrets", &secret).await.ok();
    let change = json!({"type": "roompin.test/other"});
    api.patch("v1/secrets/a", MERGE, &change).await.refused(422, "Invalid");
}
