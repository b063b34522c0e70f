//! Services and what the server allocates for them.

use serde_json::{Value, json};

use crate::kit::*;

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_service_gets_an_address() {
    let h = start().await;
    let api = h.api();
    let one = api.post("v1/services", &service("one", json!({"ports": [{"port": 80}]}))).await.ok();
    let two = api.post("v1/services", &service("two", json!({"ports": [{"port": 80}]}))).await.ok();
    let ip = |s: &Value| -> std::net::IpAddr {
        s["spec"]["clusterIP"].as_str().expect("an address").parse().expect("an address")
    };
    assert_ne!(ip(&one), ip(&two));
    assert_eq!(one["spec"]["clusterIPs"][0], one["spec"]["clusterIP"]);
    assert_eq!(one["spec"]["type"], "ClusterIP");
    assert_eq!(one["spec"]["sessionAffinity"], "None");
    if h.since(22, "internalTrafficPolicy") {
        assert_eq!(one["spec"]["internalTrafficPolicy"], "Cluster");
    }
    let port = &one["spec"]["ports"][0];
    assert_eq!((&port["protocol"], &port["targetPort"]), (&json!("TCP"), &json!(80)));
    assert!(port.get("nodePort").is_none());

    let taken = json!({"clusterIP": one["spec"]["clusterIP"], "ports": [{"port": 80}]});
    let refused = api.post("v1/services", &service("thief", taken)).await.refused(422, "Invalid");
    assert!(message(&refused).contains("provided IP is already allocated"), "{refused}");
}

#[tokio::test]
async fn a_headless_service_has_none() {
    let h = start().await;
    let made =
        h.api().post("v1/services", &service("s", json!({"clusterIP": "None", "selector": {"a": "b"}}))).await.ok();
    assert_eq!((&made["spec"]["clusterIP"], &made["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));
}

#[tokio::test]
async fn an_address_stays() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/services", &service("s", json!({"ports": [{"port": 80}]}))).await.ok();
    let refused =
        api.patch("v1/services/s", MERGE, &json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}})).await;
    refused.refused(422, "Invalid");
    let mut applied = service("s", json!({"ports": [{"port": 80, "targetPort": 8080}]}));
    if !h.since(21, "the default protocol in an apply of a Service") {
        applied["spec"]["ports"][0]["protocol"] = json!("TCP");
    }
    let now = api.apply_force("v1/services/s", "a", &applied).await.ok();
    assert_eq!(now["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    assert_eq!(now["spec"]["ports"][0]["targetPort"], 8080);
}

#[tokio::test]
async fn node_ports_are_given_out_once() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/services", &service("a", json!({"type": "NodePort", "ports": [{"port": 80}]}))).await.ok();
    let port = made["spec"]["ports"][0]["nodePort"].as_u64().expect("a node port");
    assert!((30000..=32767).contains(&port), "{port}");
    assert_eq!(made["spec"]["externalTrafficPolicy"], "Cluster");
    let same = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let refused = api.post("v1/services", &service("b", same)).await.refused(422, "Invalid");
    assert!(message(&refused).contains("provided port is already allocated"), "{refused}");
    assert!(causes(&refused).iter().any(|(field, _)| field == "spec.ports[0].nodePort"), "{refused}");
    let wild = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 99}]});
    let refused = api.post("v1/services", &service("c", wild)).await.refused(422, "Invalid");
    assert!(message(&refused).contains("not in the valid range"), "{refused}");

    let kept = api.patch("v1/services/a", MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    assert_eq!(kept["spec"]["ports"][0]["nodePort"], port);
    api.post("v1/services", &service("d", json!({"ports": [{"port": 80}]}))).await.ok();
    let grown = api.patch("v1/services/d", MERGE, &json!({"spec": {"type": "NodePort"}})).await.ok();
    assert!(grown["spec"]["ports"][0]["nodePort"].is_u64(), "{grown}");
}

#[tokio::test]
async fn several_ports_need_names() {
    let h = start().await;
    let api = h.api();
    let two = json!({"ports": [{"port": 80}, {"port": 81}]});
    let refused = api.post("v1/services", &service("s", two)).await.refused(422, "Invalid");
    assert!(
        causes(&refused).contains(&("spec.ports[0].name".to_owned(), "FieldValueRequired".to_owned())),
        "{refused}"
    );
    let named = json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "UDP"}]});
    api.post("v1/services", &service("s", named)).await.ok();
}
