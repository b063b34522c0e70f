//! The real cluster behind `KUBECONFIG_TEST`: a client, a fresh namespace, and its removal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use super::capabilities::Capabilities;
use super::raw::{MERGE, Raw};
use crate::actors::nodes::HOLLOW;

/// The environment variable that names the kubeconfig of a cluster to test against.
pub const VARIABLE: &str = "KUBECONFIG_TEST";

/// The kubeconfig to test against, if one is named.
pub(super) fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// A client of the cluster. It does not retry by itself: a test wants to see a 429.
pub(super) async fn client(path: &Path, who: Option<&str>) -> Client {
    let config = Kubeconfig::read_from(path).unwrap_or_else(|e| panic!("{VARIABLE}: {e}"));
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap_or_else(|e| panic!("{VARIABLE}: {e}"));
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.headers.retain(|(name, _)| name != http::header::USER_AGENT);
    let who = HeaderValue::from_str(who.unwrap_or("roompin-testkit")).expect("an identity fits a header");
    config.headers.push((http::header::USER_AGENT, who));
    Client::try_from(config).unwrap_or_else(|e| panic!("{VARIABLE}: {e}"))
}

/// What the cluster has. A fresh namespace gets `kube-root-ca.crt` from the controller manager within moments.
pub(super) async fn capabilities(api: &Raw) -> Capabilities {
    let mut controllers = false;
    for _ in 0..50 {
        if api.get("v1/configmaps/kube-root-ca.crt").await.code == 200 {
            controllers = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let nodes = api.get("/api/v1/nodes").await;
    let ready_nodes = nodes.body["items"].as_array().is_some_and(|items| {
        items.iter().any(|node| {
            let hollow = node["metadata"]["labels"][HOLLOW].is_string();
            let conditions = node["status"]["conditions"].as_array();
            !hollow && conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        })
    });
    if controllers {
        // Admission refuses pods before the account is there.
        for _ in 0..50 {
            if api.get("v1/serviceaccounts/default").await.code == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    } else {
        // Nobody else makes it, and the ServiceAccount admission may still ask for it.
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let made = api.post("v1/serviceaccounts", &account).await;
        assert!(made.code < 300 || made.code == 409, "the default account: {} {}", made.code, made.body);
    }
    Capabilities::of_cluster(controllers, ready_nodes)
}

/// Removes a test's namespaces when dropped: at the test's end, and after a panic too.
pub(super) struct Removal {
    /// Where the cluster is.
    pub(super) kubeconfig: PathBuf,
    /// The namespaces to remove.
    pub(super) namespaces: Vec<String>,
    /// Collections (short paths) that may hold objects with our finalizers, which would keep the namespace for ever.
    pub(super) collections: Vec<String>,
}

impl Drop for Removal {
    fn drop(&mut self) {
        let (kubeconfig, namespaces) = (self.kubeconfig.clone(), std::mem::take(&mut self.namespaces));
        let collections = std::mem::take(&mut self.collections);
        // The test's runtime may be unwinding or have its time paused, so the clean-up brings its own.
        let work = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let client = client(&kubeconfig, None).await;
                for namespace in &namespaces {
                    let whole = tokio::time::timeout(Duration::from_secs(30), remove(&client, namespace, &collections));
                    if whole.await.is_err() {
                        eprintln!("*** namespace {namespace} may be left behind: no answer within 30 s ***");
                    }
                }
            });
            Ok::<(), std::io::Error>(())
        });
        if !matches!(work.join(), Ok(Ok(()))) {
            eprintln!("*** the clean-up failed; look for namespaces labelled roompin-test=true ***");
        }
    }
}

async fn remove(client: &Client, namespace: &str, collections: &[String]) {
    let api = Raw::new(client.clone(), namespace);
    let path = format!("/api/v1/namespaces/{namespace}");
    match api.attempt(http::Method::DELETE, &path, &[], None).await {
        Ok(reply) if reply.code < 300 || reply.code == 404 || reply.code == 409 => {}
        Ok(reply) => eprintln!("*** namespace {namespace} is left behind: {} {} ***", reply.code, reply.body),
        Err(e) => eprintln!("*** namespace {namespace} is left behind: {e} ***"),
    }
    // No kubelet sees off the pods of nodes that are not there.
    let now = json!({"gracePeriodSeconds": 0});
    let _killed = api.attempt(http::Method::DELETE, "v1/pods", &[], Some(&now)).await;
    for collection in collections {
        let Ok(list) = api.attempt(http::Method::GET, collection, &[], None).await else { continue };
        for item in list.body["items"].as_array().into_iter().flatten() {
            let (meta, free) = (&item["metadata"], json!({"metadata": {"finalizers": null}}));
            if meta["finalizers"].as_array().is_some_and(|f| !f.is_empty())
                && let Some(name) = meta["name"].as_str()
            {
                let path = format!("{collection}/{name}");
                let headers = [("content-type", MERGE)];
                let _freed = api.attempt(http::Method::PATCH, &path, &headers, Some(&free)).await;
            }
        }
    }
}
