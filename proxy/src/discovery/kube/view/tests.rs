use serde_json::{Value, json};

use super::*;
use crate::config::defaults;

fn source() -> KubernetesSource {
    KubernetesSource {
        namespace: None,
        selector: defaults::KUBERNETES_SELECTOR.into(),
        port: None,
        shard_label: defaults::SHARD_LABEL.into(),
        state_label: defaults::STATE_LABEL.into(),
        kubeconfig: None,
        hold_down: defaults::HOLD_DOWN,
        weight: 100,
        agent_port: None,
    }
}

fn service(name: &str, labels: &Value) -> Arc<Service> {
    let service = json!({
        "metadata": {"name": name, "namespace": "jitsi", "labels": labels},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "metrics", "port": 9888}]},
    });
    Arc::new(serde_json::from_value(service).unwrap())
}

fn slice(service: &str, endpoints: &Value) -> Arc<EndpointSlice> {
    let slice = json!({
        "metadata": {"namespace": "jitsi", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "metrics", "port": 9888}, {"name": "http", "port": 8000, "protocol": "TCP"}],
    });
    Arc::new(serde_json::from_value(slice).unwrap())
}

fn pods(addresses: &[&str]) -> Value {
    addresses.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})).collect()
}

fn labelled(shard: &str, state: &str) -> Value {
    json!({"apps.jit.si/shard": shard, "apps.jit.si/shard-state": state})
}

fn look(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> View {
    shards(services, slices, &source(), &BTreeMap::new())
}

/// `name state addresses`, one shard after the other.
fn shown(view: &View) -> Vec<String> {
    let line = |shard: &ShardSpec| {
        let addresses: Vec<String> = shard.addresses.iter().map(ToString::to_string).collect();
        format!("{} {} {}", shard.name, shard.state.as_str(), addresses.join(","))
    };
    view.shards.values().map(line).collect()
}

fn kinds(view: &View) -> Vec<&'static str> {
    view.problems.iter().map(DiscoveryError::kind).collect()
}

#[test]
fn labels_say_name_and_state_and_slices_the_addresses() {
    let services = [
        service("x-0-web", &labelled("x-0", "ready")),
        service("x-1-web", &labelled("x-1", "draining")),
        service("x-2-web", &labelled("x-2", "starting")),
        service("plain", &json!({"app": "web"})),
    ];
    let slices = [
        slice("x-1-web", &pods(&["10.0.1.1"])),
        slice("x-0-web", &pods(&["10.0.0.2"])),
        slice("x-0-web", &pods(&["10.0.0.1"])),
        slice("x-2-web", &pods(&["10.0.2.1"])),
        slice("plain", &pods(&["10.0.3.1"])),
        slice("of-another-service", &pods(&["10.0.9.9"])),
    ];
    let view = look(&services, &slices);
    let wanted = ["plain ready 10.0.3.1:8000", "x-0 ready 10.0.0.1:8000,10.0.0.2:8000", "x-1 draining 10.0.1.1:8000"];
    assert_eq!(shown(&view), wanted);
    assert_eq!(view.problems, []);
}

#[test]
fn endpoints_count_as_kube_proxy_counts_them() {
    let endpoints = json!([
        {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        {"addresses": ["10.0.0.4", "10.0.0.44"]},
        {"addresses": ["not-an-address"]},
    ]);
    let services = [service("web", &json!({}))];
    assert_eq!(shown(&look(&services, &[slice("web", &endpoints)])), ["web ready 10.0.0.1:8000,10.0.0.4:8000"]);

    let leaving =
        json!([{"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}}]);
    assert_eq!(shown(&look(&services, &[slice("web", &leaving)])), ["web ready 10.0.0.3:8000"]);
}

#[test]
fn ports_go_by_name_by_the_services_number_and_by_the_pods() {
    let services = [service("web", &json!({}))];
    let slices = [slice("web", &pods(&["10.0.0.1"]))];
    let at = |port| {
        let source = KubernetesSource { port: Some(port), ..source() };
        shards(&services, &slices, &source, &BTreeMap::new())
    };
    assert_eq!(shown(&at(ServicePort::Name("metrics".into()))), ["web ready 10.0.0.1:9888"]);
    assert_eq!(shown(&at(ServicePort::Number(80))), ["web ready 10.0.0.1:8000"]);
    assert_eq!(shown(&at(ServicePort::Number(8000))), ["web ready 10.0.0.1:8000"]);
    assert_eq!(kinds(&at(ServicePort::Number(81))), ["address"]);
}

#[test]
fn a_service_without_endpoints_keeps_its_addresses_while_it_exists() {
    let services = [service("x-0-web", &labelled("x-0", "ready"))];
    let first = look(&services, &[slice("x-0-web", &pods(&["10.0.0.1"]))]);
    let drained = [service("x-0-web", &labelled("x-0", "draining"))];
    let second = shards(&drained, &[], &source(), &first.shards);
    assert_eq!(shown(&second), ["x-0 draining 10.0.0.1:8000"]);

    let never = look(&services, &[]);
    assert_eq!((shown(&never), kinds(&never)), (vec![], vec!["address"]));
    assert_eq!(shown(&shards(&[], &[], &source(), &first.shards)), Vec::<String>::new());
}

#[test]
fn a_misspelt_state_changes_nothing_and_is_said() {
    let slices = [slice("x-0-web", &pods(&["10.0.0.1"]))];
    let drained = look(&[service("x-0-web", &labelled("x-0", "drain"))], &slices);
    assert_eq!(shown(&drained), ["x-0 draining 10.0.0.1:8000"], "HAProxy's word");

    let odd = shards(&[service("x-0-web", &labelled("x-0", "drianing"))], &slices, &source(), &drained.shards);
    assert_eq!(shown(&odd), ["x-0 draining 10.0.0.1:8000"]);
    assert_eq!(kinds(&odd), ["state"]);
    assert!(odd.problems[0].to_string().contains("\"drianing\""), "{}", odd.problems[0]);
}

#[test]
fn two_services_of_one_shard_are_one_shard_in_the_stricter_state() {
    let services = [service("blue", &labelled("x-0", "ready")), service("green", &labelled("x-0", "draining"))];
    let slices = [slice("blue", &pods(&["10.0.0.1"])), slice("green", &pods(&["10.0.0.2"]))];
    assert_eq!(shown(&look(&services, &slices)), ["x-0 draining 10.0.0.1:8000,10.0.0.2:8000"]);
}

#[test]
fn bounds_hold() {
    let services: Vec<_> = (0..MAX_SHARDS + 1).map(|n| service(&format!("web-{n:05}"), &json!({}))).collect();
    let many: Vec<String> = (0..=MAX_ADDRESSES).map(|n| format!("10.0.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut slices: Vec<_> = (1..MAX_SHARDS + 1).map(|n| slice(&format!("web-{n:05}"), &pods(&["10.0.0.1"]))).collect();
    slices.push(slice("web-00000", &pods(&many)));
    let view = look(&services, &slices);
    assert_eq!(view.shards.len(), MAX_SHARDS);
    assert_eq!(kinds(&view), ["bound", "bound"]);
    assert!(view.shards.values().all(|shard| shard.addresses.len() <= MAX_ADDRESSES));
}

#[test]
fn a_name_that_cannot_be_a_shards_is_refused_by_name() {
    let services = [service("web", &json!({"apps.jit.si/shard": ""}))];
    let view = look(&services, &[slice("web", &pods(&["10.0.0.1"]))]);
    assert_eq!((shown(&view), kinds(&view)), (vec![], vec!["name"]));
}
