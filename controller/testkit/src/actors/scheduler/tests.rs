use super::*;

fn node(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
    })
}

#[allow(clippy::needless_pass_by_value, reason = "takes json! as it is written")]
fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}}, "spec": spec})
}

fn on(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeName"] = json!(node);
    pod
}

#[test]
fn quantities() {
    for (text, number) in [("500m", 0.5), ("2", 2.0), ("1Gi", 1_073_741_824.0), ("1e3", 1000.0), ("5k", 5000.0)] {
        assert_eq!(number_of(&json!(text)), Some(number), "{text}");
    }
    assert_eq!(number_of(&json!("x")), None);
}

#[test]
fn a_host_port_is_free_once_a_node() {
    let nodes = [node("a"), node("b")];
    let udp = pod(json!({"containers": [{"ports": [{"hostPort": 10000, "protocol": "UDP"}]}]}));
    let tcp = pod(json!({"containers": [{"ports": [{"hostPort": 10000}]}]}));
    let placed = vec![on(udp.clone(), "a")];
    assert_eq!(place(&udp, &nodes, &placed), Ok("b".into()));
    assert_eq!(place(&tcp, &nodes[..1], &placed), Ok("a".into()), "another protocol is another port");
    let placed = vec![on(udp.clone(), "a"), on(udp.clone(), "b")];
    let why = place(&udp, &nodes, &placed).unwrap_err();
    assert_eq!(why, "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.");
}

#[test]
fn resources_fit_or_not() {
    let nodes = [node("a")];
    let big = pod(json!({"containers": [{"resources": {"requests": {"cpu": "1500m"}}}]}));
    assert_eq!(place(&big, &nodes, &[]), Ok("a".into()));
    let why = place(&big, &nodes, &[on(big.clone(), "a")]).unwrap_err();
    assert_eq!(why, "0/1 nodes are available: 1 Insufficient cpu.");
    let small = pod(json!({"containers": [{}]}));
    let full = vec![on(small.clone(), "a"); 3];
    assert_eq!(place(&small, &nodes, &full).unwrap_err(), "0/1 nodes are available: 1 Too many pods.");
}

#[test]
fn cordons_and_taints_keep_away() {
    let mut cordoned = node("a");
    cordoned["spec"]["unschedulable"] = json!(true);
    let mut tainted = node("b");
    tainted["spec"]["taints"] = json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
    let plain = pod(json!({"containers": [{}]}));
    let why = place(&plain, &[cordoned.clone(), tainted.clone()], &[]).unwrap_err();
    assert_eq!(why, "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.");
    let patient = pod(json!({"containers": [{}], "tolerations": [{"key": "k", "operator": "Equal", "value": "v"}]}));
    assert_eq!(place(&patient, &[cordoned, tainted], &[]), Ok("b".into()));
}

#[test]
fn selectors_affinity_and_anti_affinity() {
    let nodes = [node("a"), node("b")];
    let chosen = pod(json!({"containers": [{}], "nodeSelector": {"kubernetes.io/hostname": "b"}}));
    assert_eq!(place(&chosen, &nodes, &[]), Ok("b".into()));
    let term = json!({"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"});
    let anti = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let lonely = pod(json!({"containers": [{}], "affinity": anti}));
    assert_eq!(place(&lonely, &nodes, &[on(lonely.clone(), "a")]), Ok("b".into()));
    let plain = pod(json!({"containers": [{}]}));
    let both = vec![on(lonely.clone(), "a"), on(lonely, "b")];
    assert!(place(&plain, &nodes, &both).is_err(), "a placed pod's rule holds for newcomers too");
}
