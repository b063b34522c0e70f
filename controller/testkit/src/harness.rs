//! One test, two ends: the double in this process, or the real cluster named by `KUBECONFIG_TEST`.
//!
//! A test starts a [`Harness`], works through its client in its namespace, asserts by [`Harness::eventually`], and asks
//! [`Harness::capabilities`] before it leans on a controller. Against a cluster each harness makes a namespace of its
//! own and removes it when dropped, so tests may run in parallel threads. Custom resource definitions are shared by all
//! of them and stay.
//!
//! # Against a real cluster
//!
//! ```sh
//! export KUBECONFIG_TEST=$HOME/.kube/test.config    # an administrator's, of a cluster that may be played with
//! cargo test --workspace --test conformance --test actors -- --nocapture
//! cargo test --workspace --test life -- --test-threads 4 --nocapture
//! cargo test --workspace --lib discovery::kube -- --nocapture
//! ```
//!
//! A control plane alone is enough, and best: etcd, kube-apiserver and kube-controller-manager on the loopback. Where no
//! node is ready, the harness makes three that are only objects (`roompin-hollow-a` to `-c`, which stay), and the scheduler
//! and the kubelet of [`crate::actors`] play for the pods of each test's namespace. So the real controllers are at work and
//! pods still follow a script. Leave `nodelifecycle` out of the controller manager there
//! (`--controllers='*,-nodelifecycle'`), for nobody renews those nodes' leases. In a cluster with nodes, `life` waits for
//! pods that really run.
//!
//! What a server is too old for is said and left out, not bent to fit: look for `*** SKIPPED` under `--nocapture`. A test
//! asks with [`Harness::since`] for a version and with [`Harness::serves`] for a group.
//!
//! ## What was tried
//!
//! Kubernetes 1.20.2 (built from Debian's source package) with etcd 3.4.23. In front of it, for
//! what needs `policy/v1` and `discovery.k8s.io/v1`, a small front that took them for their `v1beta1` and dropped
//! `unhealthyPodEvictionPolicy`. Nothing newer has been tried yet.
//!
//! | suite | tests | left out whole |
//! |---|---|---|
//! | `conformance` (148), bare | 135 passed | 13: budgets and evictions (5), rules in definitions (2), `fieldValidation` (2), `sendInitialEvents` (2), an expired token, an uncounted budget |
//! | `conformance` (148), by the front | 140 passed | 8: the same but for budgets and evictions |
//! | `actors` (19), by the front | 10 passed | 9: the double's own kubelet and scheduler |
//! | `life` (14), by the front | 8 passed | 6: crash points (2), the record of requests, and what only the double does on demand |
//! | the proxy's `discovery::kube`, by the front | 2 passed, 1 in part | 3: outage, expired history, refusal |
//!
//! Besides, the controller itself ran there as its own ServiceAccount, with the Role of `deploy/kustomize/base` and the
//! admission plugin `OwnerReferencesPermissionEnforcement`: a sample came up, was scaled up and down, and left nothing.

pub mod capabilities;
mod cluster;
mod eventually;
pub mod raw;

use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::{Value, json};

pub use self::capabilities::{Capabilities, skipped};
pub use self::cluster::VARIABLE;
pub use self::eventually::{Answer, eventually, holds};
pub use self::raw::{Raw, Reply, Watch};
use crate::ApiServer;
use crate::actors::{Actors, Running};
use crate::faults::Faults;

/// The version of Kubernetes whose API the double speaks: 1.33.
pub(crate) const DOUBLES_MINOR: u32 = 33;

/// What a test wants before it starts.
#[derive(Default)]
pub struct Builder {
    crds: Vec<Value>,
    actors: Actors,
}

impl Builder {
    /// A custom resource definition to have in place, as JSON.
    #[must_use]
    pub fn crd(mut self, crd: Value) -> Self {
        self.crds.push(crd);
        self
    }

    /// Custom resource definitions to have in place.
    ///
    /// # Panics
    /// When one cannot be written as JSON, which its type does not allow to happen.
    #[must_use]
    pub fn crds(mut self, crds: impl IntoIterator<Item = CustomResourceDefinition>) -> Self {
        self.crds.extend(crds.into_iter().map(|crd| serde_json::to_value(crd).expect("a definition is plain JSON")));
        self
    }

    /// The actors to run beside the double. A real cluster has its own; where it has no node, the scheduler and the
    /// kubelet of these play for the test's namespace, if there is to be a kubelet.
    #[must_use]
    pub fn actors(mut self, actors: Actors) -> Self {
        self.actors = actors;
        self
    }

    /// Starts the double, or makes a namespace in the real cluster.
    ///
    /// # Panics
    /// When the cluster cannot be reached or refuses what a test needs.
    pub async fn start(self) -> Harness {
        match cluster::kubeconfig() {
            Some(path) => Harness::in_cluster(path, self.crds, self.actors).await,
            None => Harness::with_double(self.crds, self.actors).await,
        }
    }
}

/// A test's way to the API server.
pub struct Harness {
    client: Client,
    namespace: String,
    capabilities: Capabilities,
    minor: u32,
    end: End,
}

enum End {
    Double { server: ApiServer, faults: Faults, actors: Running },
    Cluster { actors: Option<Running>, removal: cluster::Removal },
}

impl Harness {
    /// A harness without custom resources and, on the double, without actors.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Says what the test wants first.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn with_double(crds: Vec<Value>, actors: Actors) -> Self {
        let server = ApiServer::new();
        let namespace = unique_name();
        let client = server.client(&namespace);
        let api = Raw::new(client.clone(), &namespace);
        make_namespace(&api, &namespace).await;
        apply_crds(&api, &crds).await;
        let capabilities = Capabilities::of_actors(&actors);
        let running = actors.start(&server).await;
        // The record starts with the test's own work, and faults hit nothing of the set-up.
        let faults = Faults::install(&server);
        drop(server.take_requests());
        Self {
            client,
            namespace,
            capabilities,
            minor: DOUBLES_MINOR,
            end: End::Double { server, faults, actors: running },
        }
    }

    async fn in_cluster(path: PathBuf, crds: Vec<Value>, actors: Actors) -> Self {
        let client = cluster::client(&path, None).await;
        let namespace = unique_name();
        let api = Raw::new(client.clone(), &namespace);
        let mut collections: Vec<String> =
            ["v1/configmaps", "v1/pods", "v1/services", "apps/v1/deployments"].map(str::to_owned).into();
        collections.extend(crds.iter().filter_map(collection_of));
        // From here on a panic removes what was made.
        let removal = cluster::Removal { kubeconfig: path, namespaces: vec![namespace.clone()], collections };
        make_namespace(&api, &namespace).await;
        let minor = cluster::minor_version(&api).await;
        apply_crds(&api, &cluster::understood(crds, minor)).await;
        let mut capabilities = cluster::capabilities(&api).await;
        let mut hollow = None;
        if actors.kubelet.is_some() && capabilities.deployments && !capabilities.kubelet {
            hollow = Some(actors.start_hollow(&client, &namespace).await);
            (capabilities.scheduler, capabilities.kubelet, capabilities.scripted_pods) = (true, true, true);
        }
        Self { client, namespace, capabilities, minor, end: End::Cluster { actors: hollow, removal } }
    }

    /// The client, in the test's namespace.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client that the record, the faults and the server's log know as `who`. In a real cluster only the
    /// `User-Agent` differs: it has the rights of the kubeconfig.
    pub async fn client_as(&self, who: &str) -> Client {
        match &self.end {
            End::Double { server, .. } => server.client_as(who, &self.namespace),
            End::Cluster { removal, .. } => cluster::client(&removal.kubeconfig, Some(who)).await,
        }
    }

    /// The JSON client in the test's namespace.
    pub fn api(&self) -> Raw {
        Raw::new(self.client(), &self.namespace)
    }

    /// The test's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Makes one more namespace, removed with the first.
    pub async fn another_namespace(&mut self) -> String {
        let name = unique_name();
        if let End::Cluster { removal, .. } = &mut self.end {
            removal.namespaces.push(name.clone());
        }
        make_namespace(&self.api(), &name).await;
        name
    }

    /// What the other end has beside the API server.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Whether the server is at least Kubernetes 1.`minor`, which brought `what`. If not, says loudly that it is left
    /// out: the suites hold what is true of the versions that we support, and an older server is only so much use.
    pub fn since(&self, minor: u32, what: &str) -> bool {
        if self.minor < minor {
            skipped(what, &format!("this server is Kubernetes 1.{}, and that came with 1.{minor}", self.minor));
        }
        self.minor >= minor
    }

    /// Whether the server has this group and version, such as `policy/v1`. If not, says loudly what is left out.
    pub async fn serves(&self, group_version: &str) -> bool {
        let serves = self.api().get(&format!("/apis/{group_version}")).await.code == 200;
        if !serves {
            skipped(group_version, "this server does not have it");
        }
        serves
    }

    /// True when the other end is the double, so that a test may pause time.
    pub fn is_double(&self) -> bool {
        matches!(self.end, End::Double { .. })
    }

    /// The double, if that is the other end.
    pub fn double(&self) -> Option<&ApiServer> {
        match &self.end {
            End::Double { server, .. } => Some(server),
            End::Cluster { .. } => None,
        }
    }

    /// The faults of the double. A real cluster takes none.
    pub fn faults(&self) -> Option<&Faults> {
        match &self.end {
            End::Double { faults, .. } => Some(faults),
            End::Cluster { .. } => None,
        }
    }

    /// The running actors, for scripts and for stopping one: all that was asked for on the double, the kubelet and the
    /// scheduler in a cluster without nodes, none in one that has nodes.
    pub fn actors(&self) -> Option<&Running> {
        match &self.end {
            End::Double { actors, .. } => Some(actors),
            End::Cluster { actors, .. } => actors.as_ref(),
        }
    }

    /// Asks `predicate` until it says yes; see [`eventually()`].
    ///
    /// # Panics
    /// When it has not said yes within `limit`.
    pub async fn eventually<A, F, Fut>(&self, what: &str, limit: Duration, predicate: F) -> A::Value
    where
        A: Answer,
        F: FnMut() -> Fut,
        Fut: Future<Output = A>,
    {
        eventually(what, limit, predicate).await
    }

    /// Fails as soon as `predicate` says no within `span`; see [`holds`].
    ///
    /// # Panics
    /// When the predicate says no.
    pub async fn holds<A, F, Fut>(&self, what: &str, span: Duration, predicate: F)
    where
        A: Answer,
        F: FnMut() -> Fut,
        Fut: Future<Output = A>,
    {
        holds(what, span, predicate).await;
    }
}

/// Whether tests run against the double, so that a test may start with its time paused.
#[must_use]
pub fn on_the_double() -> bool {
    cluster::kubeconfig().is_none()
}

/// A name that no other test has: processes differ in the random part, tests of one process in the count.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("roompin-test-{:08x}-{}", by_chance(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A number that differs between processes and calls, from the standard library's own random keys.
pub(crate) fn by_chance() -> u32 {
    let bits = std::hash::RandomState::new().hash_one(0u8);
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default()
}

async fn make_namespace(api: &Raw, name: &str) {
    let labels = json!({"roompin-test": "true", "pod-security.kubernetes.io/enforce": "privileged"});
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    api.post("/api/v1/namespaces", &body).await.ok();
}

/// Applies the definitions and waits until each is served.
async fn apply_crds(api: &Raw, crds: &[Value]) {
    const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for crd in crds {
        let path = format!("{CRDS}/{}", crd["metadata"]["name"].as_str().unwrap_or_default());
        let mut body = crd.clone();
        body["apiVersion"] = json!("apiextensions.k8s.io/v1");
        body["kind"] = json!("CustomResourceDefinition");
        api.apply_force(&path, "roompin-testkit", &body).await.ok();
        eventually(&format!("{path} is established"), Duration::from_secs(30), || async {
            let seen = api.get(&path).await.ok();
            let conditions = seen["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True")
        })
        .await;
        // Established says that the server means to; each of its parts learns of it a moment later.
        if let Some(collection) = collection_of(crd) {
            eventually(&format!("{collection} is served"), Duration::from_secs(30), || async {
                api.get(&collection).await.code == 200
            })
            .await;
        }
    }
}

/// The short path of a namespaced definition's objects.
fn collection_of(crd: &Value) -> Option<String> {
    let spec = &crd["spec"];
    let version = spec["versions"].as_array()?.iter().find(|v| v["served"] == true)?["name"].as_str()?;
    (spec["scope"] == "Namespaced").then_some(())?;
    Some(format!("{}/{version}/{}", spec["group"].as_str()?, spec["names"]["plural"].as_str()?))
}
