//! What the controller asks over HTTP, for pods that only pretend to run: jicofo's `/stats` and the proxies' `/v1/shards`, each
//! at its pod's own address. How many conferences a shard has is an annotation of its jicofo's pod, `conferences`.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::get};
use controller::api::{SHARD_LABEL, SHARD_STATE_LABEL};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

#[derive(Default)]
struct Seen {
    /// What Services' labels say, by shard: a proxy's discovery.
    states: BTreeMap<String, String>,
    /// Conferences by shard.
    conferences: BTreeMap<String, u64>,
}

type Shared = Arc<Mutex<Seen>>;

/// Answers until it is dropped.
pub(crate) async fn answer(client: Client) {
    let (pods, services): (Api<Pod>, Api<Service>) = (Api::all(client.clone()), Api::all(client));
    let seen = Shared::default();
    let mut listening: BTreeMap<IpAddr, Listening> = BTreeMap::new();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = ListParams::default().labels("app.kubernetes.io/component in (jicofo, proxy)");
        let labelled = ListParams::default().labels(SHARD_STATE_LABEL);
        let (Ok(pods), Ok(services)) = (pods.list(&asked).await, services.list(&labelled).await) else { continue };
        look(&seen, &pods.items, &services.items);
        let there: BTreeMap<IpAddr, &Pod> =
            pods.iter().filter_map(|pod| Some((pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?, pod))).collect();
        listening.retain(|ip, _| there.contains_key(ip));
        for (ip, pod) in there {
            if !listening.contains_key(&ip)
                && let Ok(task) = listen(ip, pod, &seen).await
            {
                listening.insert(ip, task);
            }
        }
    }
}

struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn look(seen: &Shared, pods: &[Pod], services: &[Service]) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let state = |service: &Service| {
        let (shard, state) = (service.labels().get(SHARD_LABEL)?, service.labels().get(SHARD_STATE_LABEL)?);
        Some((shard.clone(), state.clone()))
    };
    seen.states = services.iter().filter_map(state).collect();
    let conferences = |pod: &Pod| {
        let number = pod.annotations().get("conferences").and_then(|text| text.parse().ok()).unwrap_or(0);
        Some((pod.labels().get(SHARD_LABEL)?.clone(), number))
    };
    seen.conferences = pods.iter().filter_map(conferences).collect();
}

async fn listen(ip: IpAddr, pod: &Pod, seen: &Shared) -> std::io::Result<Listening> {
    let (port, router) = match pod.labels().get(SHARD_LABEL) {
        Some(shard) => (8888, Router::new().route("/stats", get(stats)).with_state((shard.clone(), seen.clone()))),
        None => (9090, Router::new().route("/v1/shards", get(shards)).with_state(seen.clone())),
    };
    let listener = TcpListener::bind((ip, port)).await?;
    Ok(Listening(tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    })))
}

async fn stats(State((shard, seen)): State<(String, Shared)>) -> Json<Value> {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Json(json!({"conferences": seen.conferences.get(&shard).copied().unwrap_or(0)}))
}

async fn shards(State(seen): State<Shared>) -> Json<Value> {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let view = |(name, state): (&String, &String)| {
        let rooms = seen.conferences.get(name).copied().unwrap_or(0);
        json!({"name": name, "discovery": state, "rooms": rooms, "tunnels": 3 * rooms, "tunnels_in_cluster": 3 * rooms})
    };
    Json(json!({"shards": seen.states.iter().map(view).collect::<Vec<_>>()}))
}
