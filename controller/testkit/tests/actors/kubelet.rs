//! What the kubelet makes of one pod.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Behaviour, Exit, Kubelet};

use crate::{is_ready, pod, start, until};

fn ends(seconds: u64, code: i32) -> Behaviour {
    let exit = Some(Exit { after: Duration::from_secs(seconds), code });
    Behaviour { exit, ..Behaviour::default() }
}

#[tokio::test]
async fn phases_and_readiness() {
    let usual = Behaviour {
        start_after: Duration::from_secs(5),
        ready_after: Some(Duration::from_secs(10)),
        ..Behaviour::default()
    };
    let Some(h) = start(Kubelet::with_usual(usual)).await else { return };
    let api = h.api();
    let began = tokio::time::Instant::now();
    api.post("v1/pods", &pod("p", json!({}))).await.ok();
    let creating = until(&h, "v1/pods/p", "/status/containerStatuses/0/state/waiting/reason", json!("ContainerCreating")).await;
    assert_eq!(creating["status"]["phase"], "Pending");
    let running = until(&h, "v1/pods/p", "/status/phase", json!("Running")).await;
    assert!(began.elapsed() >= Duration::from_secs(5) && !is_ready(&running));
    until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(true)).await;
    assert!(began.elapsed() >= Duration::from_secs(15) && began.elapsed() < Duration::from_secs(17));
    let kubelet = h.actors().expect("actors").kubelet().expect("a kubelet");
    kubelet.set_ready(h.namespace(), "p", false);
    until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(false)).await;
    kubelet.set_ready(h.namespace(), "p", true);
    let up = until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(true)).await;
    assert_eq!(up["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[tokio::test]
async fn restart_policies() {
    let Some(h) = start(Kubelet::default()).await else { return };
    let api = h.api();
    let kubelet = h.actors().expect("actors").kubelet().expect("a kubelet");
    for (name, policy, code, phase) in [
        ("never-well", "Never", 0, "Succeeded"),
        ("never-ill", "Never", 3, "Failed"),
        ("failure-well", "OnFailure", 0, "Succeeded"),
    ] {
        kubelet.script(&format!("app={name}"), ends(4, code));
        api.post("v1/pods", &pod(name, json!({"restartPolicy": policy}))).await.ok();
        let over = until(&h, &format!("v1/pods/{name}"), "/status/phase", json!(phase)).await;
        assert_eq!(over["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], code);
        assert!(!is_ready(&over));
    }
    for (name, policy, code) in [("always", "Always", 0), ("failure-ill", "OnFailure", 3)] {
        kubelet.script(&format!("app={name}"), ends(4, code));
        api.post("v1/pods", &pod(name, json!({"restartPolicy": policy}))).await.ok();
        let path = format!("v1/pods/{name}");
        let again = until(&h, &path, "/status/containerStatuses/0/restartCount", json!(2)).await;
        assert_eq!(again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], code);
        until(&h, &path, "/status/containerStatuses/0/state/waiting/reason", json!("CrashLoopBackOff")).await;
        assert_eq!(api.get(&path).await.ok()["status"]["phase"], "Running");
    }
}

#[tokio::test]
async fn an_exit_by_hand() {
    let Some(h) = start(Kubelet::default()).await else { return };
    let api = h.api();
    api.post("v1/pods", &pod("p", json!({"restartPolicy": "OnFailure"}))).await.ok();
    until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(true)).await;
    let kubelet = h.actors().expect("actors").kubelet().expect("a kubelet");
    kubelet.exit(h.namespace(), "p", 1);
    until(&h, "v1/pods/p", "/status/containerStatuses/0/restartCount", json!(1)).await;
    kubelet.exit(h.namespace(), "p", 0);
    until(&h, "v1/pods/p", "/status/phase", json!("Succeeded")).await;
}

/// Deletes a running pod; answers how long it took to go, and its last state.
async fn going(stops: Duration, grace: u32) -> Option<(Duration, Value)> {
    let on_stop = Exit { after: stops, code: 0 };
    let h = start(Kubelet::with_usual(Behaviour { on_stop, ..Behaviour::default() })).await?;
    let api = h.api();
    api.post("v1/pods", &pod("p", json!({"terminationGracePeriodSeconds": grace}))).await.ok();
    let up = until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(true)).await;
    let mut watch = api.watch("v1/pods", &format!("resourceVersion={}", up["metadata"]["resourceVersion"].as_str()?)).await;
    let began = tokio::time::Instant::now();
    api.delete("v1/pods/p").await.ok();
    loop {
        let event = watch.within(Duration::from_secs(600)).await.expect("in time").expect("no end");
        if event["type"] == "DELETED" {
            return Some((began.elapsed(), event["object"].clone()));
        }
    }
}

#[tokio::test]
async fn a_pod_that_stops_in_time_stops_by_itself() {
    let Some((took, last)) = going(Duration::from_secs(20), 60).await else { return };
    assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(23), "{took:?}");
    assert_eq!(last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert_eq!(last["status"]["phase"], "Succeeded");
}

#[tokio::test]
async fn a_pod_that_does_not_is_killed() {
    let Some((took, last)) = going(Duration::from_secs(600), 60).await else { return };
    assert!(took >= Duration::from_secs(59) && took < Duration::from_secs(63), "{took:?}");
    assert_eq!(last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    assert_eq!(last["status"]["phase"], "Failed");
}

#[tokio::test]
async fn a_pod_is_ready_until_it_stops() {
    let on_stop = Exit { after: Duration::from_secs(30), code: 0 };
    let Some(h) = start(Kubelet::with_usual(Behaviour { on_stop, ..Behaviour::default() })).await else { return };
    let api = h.api();
    api.post("v1/pods", &pod("p", json!({"terminationGracePeriodSeconds": 3600}))).await.ok();
    until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(true)).await;
    api.delete("v1/pods/p").await.ok();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(is_ready(&api.get("v1/pods/p").await.ok()));
    h.eventually("it is gone", Duration::from_secs(15), || async { api.get("v1/pods/p").await.code == 404 }).await;
}

#[tokio::test]
async fn a_silent_node_says_nothing() {
    let Some(h) = start(Kubelet::default()).await else { return };
    let api = h.api();
    let kubelet = h.actors().expect("actors").kubelet().expect("a kubelet");
    api.post("v1/pods", &pod("p", json!({}))).await.ok();
    let up = until(&h, "v1/pods/p", "/status/containerStatuses/0/ready", json!(true)).await;
    kubelet.silence(up["spec"]["nodeName"].as_str().expect("a node"), true);
    api.delete("v1/pods/p").await.ok();
    tokio::time::sleep(Duration::from_secs(600)).await;
    api.get("v1/pods/p").await.ok();
    kubelet.silence(up["spec"]["nodeName"].as_str().expect("a node"), false);
    h.eventually("it is gone", Duration::from_secs(15), || async { api.get("v1/pods/p").await.code == 404 }).await;
}

#[tokio::test]
async fn a_pod_has_an_address_to_listen_on() {
    let Some(h) = start(Kubelet::default()).await else { return };
    h.api().post("v1/pods", &pod("p", json!({}))).await.ok();
    let up = until(&h, "v1/pods/p", "/status/phase", json!("Running")).await;
    let address = up["status"]["podIP"].as_str().expect("an address");
    assert!(address.starts_with("127."), "{address}");
    let listener = std::net::TcpListener::bind((address, 0)).expect("it is free to listen on");
    std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("and can be reached");
}
