//! Where pods go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, PodAffinity, PodAffinityTerm, PodAntiAffinity, WeightedPodAffinityTerm,
};

use super::{super::labels::selector, some};
use crate::validate::PodModel;

type Labels = BTreeMap<String, String>;

/// The component's affinity, with the user's added to it.
pub(super) fn affinity(model: &PodModel, mut ours: Affinity) -> Option<Affinity> {
    let users = model.affinity.clone();
    if !model.default_affinity {
        ours = users;
    } else if users != Affinity::default() {
        ours = Affinity {
            node_affinity: merge(ours.node_affinity, users.node_affinity, |a, b| NodeAffinity {
                required_during_scheduling_ignored_during_execution: b
                    .required_during_scheduling_ignored_during_execution
                    .or(a.required_during_scheduling_ignored_during_execution),
                preferred_during_scheduling_ignored_during_execution: join(
                    a.preferred_during_scheduling_ignored_during_execution,
                    b.preferred_during_scheduling_ignored_during_execution,
                ),
            }),
            pod_affinity: merge(ours.pod_affinity, users.pod_affinity, |a, b| PodAffinity {
                required_during_scheduling_ignored_during_execution: join(
                    a.required_during_scheduling_ignored_during_execution,
                    b.required_during_scheduling_ignored_during_execution,
                ),
                preferred_during_scheduling_ignored_during_execution: join(
                    a.preferred_during_scheduling_ignored_during_execution,
                    b.preferred_during_scheduling_ignored_during_execution,
                ),
            }),
            pod_anti_affinity: merge(ours.pod_anti_affinity, users.pod_anti_affinity, |a, b| PodAntiAffinity {
                required_during_scheduling_ignored_during_execution: join(
                    a.required_during_scheduling_ignored_during_execution,
                    b.required_during_scheduling_ignored_during_execution,
                ),
                preferred_during_scheduling_ignored_during_execution: join(
                    a.preferred_during_scheduling_ignored_during_execution,
                    b.preferred_during_scheduling_ignored_during_execution,
                ),
            }),
        };
    }
    (ours != Affinity::default()).then_some(ours)
}

fn merge<T>(a: Option<T>, b: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

fn join<T>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
    some(a.into_iter().chain(b).flatten().collect())
}

/// Keep away from pods with these labels, on the same node.
pub(in crate::build) fn away_from(labels: Labels) -> PodAffinityTerm {
    PodAffinityTerm {
        label_selector: Some(selector(labels)),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..Default::default()
    }
}

/// Prefer another node than that of pods with these labels.
pub(in crate::build) fn rather_away_from(labels: Labels) -> Affinity {
    anti(Vec::new(), vec![away_from(labels)])
}

pub(in crate::build) fn anti(required: Vec<PodAffinityTerm>, preferred: Vec<PodAffinityTerm>) -> Affinity {
    let preferred =
        preferred.into_iter().map(|term| WeightedPodAffinityTerm { weight: 100, pod_affinity_term: term }).collect();
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: some(required),
            preferred_during_scheduling_ignored_during_execution: some(preferred),
        }),
        ..Default::default()
    }
}
