//! What the other end has beside an API server.

use crate::actors::Actors;

/// What runs beside the API server. A test asks for what it needs, and otherwise sets the status itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Objects whose owners are gone are collected.
    pub garbage_collector: bool,
    /// Deployments get ReplicaSets, and those get pods.
    pub deployments: bool,
    /// StatefulSets get pods.
    pub stateful_sets: bool,
    /// DaemonSets get pods.
    pub daemon_sets: bool,
    /// Services with a selector get EndpointSlices.
    pub endpoint_slices: bool,
    /// The status of a PodDisruptionBudget is computed.
    pub disruption: bool,
    /// Pods get a node.
    pub scheduler: bool,
    /// Pods with a node are run and reported on. Whether their image can be pulled is another matter:
    /// only the double's kubelet is sure to bring a pod to readiness.
    pub kubelet: bool,
    /// What a pod does can be scripted, so that any image "runs".
    pub scripted_pods: bool,
}

impl Capabilities {
    /// What the double has with these actors.
    pub fn of_actors(actors: &Actors) -> Self {
        Self {
            garbage_collector: actors.garbage_collector,
            deployments: actors.deployments,
            stateful_sets: actors.stateful_sets,
            daemon_sets: actors.daemon_sets,
            endpoint_slices: actors.endpoint_slices,
            disruption: actors.disruption,
            scheduler: actors.scheduler,
            kubelet: actors.kubelet.is_some(),
            scripted_pods: actors.kubelet.is_some(),
        }
    }

    /// What a real cluster has.
    pub fn of_cluster(controllers: bool, ready_nodes: bool) -> Self {
        Self {
            garbage_collector: controllers,
            deployments: controllers,
            stateful_sets: controllers,
            daemon_sets: controllers,
            endpoint_slices: controllers,
            disruption: controllers,
            scheduler: controllers && ready_nodes,
            kubelet: controllers && ready_nodes,
            scripted_pods: false,
        }
    }
}

/// Says loudly that a part of a test is left out, and why.
pub fn skipped(what: &str, why: &str) {
    // Straight to the descriptor would be louder, but `--nocapture` and CI logs show this one.
    eprintln!("\n*** SKIPPED: {what}: {why} ***\n");
}
