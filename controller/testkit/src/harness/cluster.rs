//! The real cluster behind `KUBECONFIG_TEST`: a client, a fresh namespace, and its removal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::capabilities::{Capabilities, skipped};
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
    if !controllers {
        // Nobody else makes it, and the ServiceAccount admission may still ask for it.
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let made = api.post("v1/serviceaccounts", &account).await;
        assert!(made.code < 300 || made.code == 409, "the default account: {} {}", made.code, made.body);
    }
    if controllers {
        takes_pods(api).await;
    }
    Capabilities::of_cluster(controllers, ready_nodes)
}

/// Waits until admission takes a pod: it wants the namespace's account, and before 1.24 the account's token too.
async fn takes_pods(api: &Raw) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"},
        "spec": {"containers": [{"name": "main", "image": "none.invalid/none:1"}]},
    });
    super::eventually("admission takes pods", Duration::from_secs(30), || async {
        let tried = api.post("v1/pods?dryRun=All", &pod).await;
        if tried.code == 201 { Ok(()) } else { Err(format!("{} {}", tried.code, tried.body)) }
    })
    .await;
}

/// The definitions without what a server of this version does not know. Its server-side apply would refuse them.
pub(super) fn understood(mut crds: Vec<Value>, minor: u32) -> Vec<Value> {
    for (field, since) in [("x-kubernetes-validations", 25), ("selectableFields", 31)] {
        let found: usize = crds.iter_mut().map(|crd| if minor < since { remove(crd, field) } else { 0 }).sum();
        if found > 0 {
            skipped(
                &format!("{field} of the custom resources ({found})"),
                &format!("this server is Kubernetes 1.{minor}"),
            );
        }
    }
    if minor < 21 {
        // 1.20 takes a definition with such a field for one without any schema when something is applied.
        let loosened: usize = crds.iter_mut().map(loosen).sum();
        if loosened > 0 {
            skipped(&format!("x-kubernetes-int-or-string ({loosened})"), "this server may hold anything in its place");
        }
    }
    crds
}

/// Lets fields of int-or-string hold anything; answers how many that are.
fn loosen(document: &mut Value) -> usize {
    match document {
        Value::Object(map) => {
            let here = map.remove("x-kubernetes-int-or-string").is_some();
            if here {
                map.retain(|key, _| key == "description");
                map.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
            }
            usize::from(here) + map.values_mut().map(loosen).sum::<usize>()
        }
        Value::Array(list) => list.iter_mut().map(loosen).sum(),
        _ => 0,
    }
}

/// Takes a field out of a document wherever it stands; answers how often that was.
fn remove(document: &mut Value, field: &str) -> usize {
    match document {
        Value::Object(map) => {
            let here = usize::from(map.remove(field).is_some());
            here + map.values_mut().map(|inner| remove(inner, field)).sum::<usize>()
        }
        Value::Array(list) => list.iter_mut().map(|inner| remove(inner, field)).sum(),
        _ => 0,
    }
}

/// The minor version of the cluster's API server; some add a plus sign to theirs.
pub(super) async fn minor_version(api: &Raw) -> u32 {
    let version = api.get("/version").await.ok();
    let minor = version["minor"].as_str().unwrap_or_default().trim_end_matches('+');
    minor.parse().unwrap_or_else(|_| panic!("a version of Kubernetes, not {version}"))
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
                    let whole = tokio::time::timeout(
                        Duration::from_secs(30),
                        remove_namespace(&client, namespace, &collections),
                    );
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

async fn remove_namespace(client: &Client, namespace: &str, collections: &[String]) {
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
