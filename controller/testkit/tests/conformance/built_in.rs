//! Defaults of built-in kinds, and other small things that they do on the way in.

use serde_json::{Value, json};

use crate::kit::*;

#[tokio::test]
async fn a_deployment_is_filled_in() {
    let h = start().await;
    let api = h.api();
    let mut object = deployment("d");
    object["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 80}});
    let made = api.post("apps/v1/deployments", &object).await.ok();
    let spec = &made["spec"];
    assert_eq!(spec["revisionHistoryLimit"], 10);
    assert_eq!(spec["progressDeadlineSeconds"], 600);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Always");
    assert_eq!(pod["dnsPolicy"], "ClusterFirst");
    assert_eq!(pod["schedulerName"], "default-scheduler");
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    let container = &pod["containers"][0];
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}]));
    let probe = &container["readinessProbe"];
    assert_eq!(probe["httpGet"], json!({"port": 80, "path": "/", "scheme": "HTTP"}));
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        assert_eq!(probe[field], value, "{field}");
    }
}

#[tokio::test]
async fn replicas_default_to_one() {
    let h = start().await;
    let api = h.api();
    let mut object = deployment("d");
    object["spec"].as_object_mut().expect("a spec").remove("replicas");
    assert_eq!(api.post("apps/v1/deployments", &object).await.ok()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn an_image_without_a_tag_is_always_pulled() {
    let h = start().await;
    let api = h.api();
    for (name, image) in [("a", "none.invalid/none"), ("b", "none.invalid/none:latest")] {
        let mut object = pod(name);
        object["spec"]["containers"][0]["image"] = json!(image);
        let made = api.post("v1/pods", &object).await.ok();
        assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always", "{image}");
    }
}

#[tokio::test]
async fn a_stateful_set_is_filled_in() {
    let h = start().await;
    let mut object = deployment("s");
    object["kind"] = json!("StatefulSet");
    object["spec"].as_object_mut().expect("a spec").remove("paused");
    object["spec"]["serviceName"] = json!("s");
    let made = h.api().post("apps/v1/statefulsets", &object).await.ok();
    assert_eq!(made["spec"]["podManagementPolicy"], "OrderedReady");
    assert_eq!(made["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    assert_eq!(made["spec"]["revisionHistoryLimit"], 10);
}

#[tokio::test]
async fn plain_strings_of_a_secret_are_folded_in() {
    let h = start().await;
    let api = h.api();
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"a": "b2xk", "b": "b2xk"}, "stringData": {"b": "new"},
    });
    let made = api.post("v1/secrets", &object).await.ok();
    assert_eq!(made["data"], json!({"a": "b2xk", "b": "bmV3"}));
    assert!(made.get("stringData").is_none());
    assert_eq!(made["type"], "Opaque");
    let bad = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "data": {"a": "not base64!"}});
    assert_eq!(api.post("v1/secrets", &bad).await.code, 400);
}

#[tokio::test]
async fn optional_fields_left_out_stay_out() {
    let h = start().await;
    let api = h.api();
    let made = api
        .post("v1/configmaps", &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
        .await
        .ok();
    let mut keys: Vec<_> = made.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["apiVersion", "kind", "metadata"]);
    let bare: Value = api.get("v1/configmaps/a").await.ok();
    assert!(bare["metadata"].get("labels").is_none());
}

#[tokio::test]
async fn the_kinds_the_controller_writes_are_strictly_valid() {
    let h = start().await;
    let api = h.api();
    for (path, object) in [
        (
            "v1/serviceaccounts/a",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false}),
        ),
        (
            "networking.k8s.io/v1/networkpolicies/a",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]},
            }),
        ),
        (
            "networking.k8s.io/v1/ingresses/a",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "spec": {"rules": [{"host": "meet.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]},
            }),
        ),
        (
            "policy/v1/poddisruptionbudgets/a",
            json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
            }),
        ),
        (
            "rbac.authorization.k8s.io/v1/roles/a",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
            }),
        ),
        (
            "discovery.k8s.io/v1/endpointslices/a",
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true, "serving": true, "terminating": false}}],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            }),
        ),
    ] {
        let group_version = object["apiVersion"].as_str().expect("an apiVersion");
        if group_version != "v1" && !h.serves(group_version).await {
            continue;
        }
        let mut object = object;
        object["metadata"] = json!({"name": "a"});
        let made = api.apply(&format!("{path}?fieldValidation=Strict"), "controller", &object).await.ok();
        let again = api.apply(&format!("{path}?fieldValidation=Strict"), "controller", &object).await.ok();
        // A real cluster's controllers may write a status in between, but not into the spec.
        assert_eq!(again["spec"], made["spec"], "{path}");
        if h.is_double() {
            assert_eq!(version(&again), version(&made), "{path}: a second apply writes nothing");
        }
    }
}
