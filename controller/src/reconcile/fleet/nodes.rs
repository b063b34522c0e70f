//! The nodes under the pods: emptied by somebody, or gone.
//!
//! Nodes belong to the cluster, so a controller of one namespace may not read them. Then nothing is known of them, which is
//! neither cordoned nor lost: whoever empties a node is still held up by the disruption budget, and a pod that vanishes is
//! replaced.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;

use super::{Context, memory::age};
use crate::apply::read;

/// What was read of a node counts for so long, for all shards.
const FRESH: Duration = Duration::from_secs(9);
/// After a refusal the API is not asked again for so long.
const REFUSED: Duration = Duration::from_secs(300);
/// Requests under way at a time.
const AT_ONCE: usize = 16;

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// It takes no new pods.
    pub(super) cordoned: bool,
    /// It does not exist.
    pub(super) gone: bool,
    /// It has not been heard of since then.
    pub(super) silent_since: Option<Timestamp>,
}

/// What was read of nodes lately.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    seen: BTreeMap<String, (Timestamp, Sight)>,
    refused: Option<Timestamp>,
}

impl Nodes {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These nodes, as far as they may be read. What is not in the answer is unknown.
    pub(super) async fn look(&self, context: &Context, names: &[&str], now: Timestamp) -> BTreeMap<String, Sight> {
        let mut wanted: Vec<&str> = names.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let due: Vec<String> = {
            let mut known = self.known();
            if known.refused.is_some_and(|at| age(now, at) < REFUSED) {
                return BTreeMap::new();
            }
            known.seen.retain(|_, (at, _)| age(now, *at) < FRESH);
            wanted.iter().filter(|name| !known.seen.contains_key(**name)).map(|name| (*name).to_owned()).collect()
        };
        let api: Api<Node> = Api::all(context.client.clone());
        let answers = stream::iter(due.into_iter().map(|name| {
            let api = api.clone();
            async move {
                let answer = read("get a Node", api.get_opt(&name)).await;
                (name, answer)
            }
        }));
        let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
        let mut known = self.known();
        for (name, answer) in answers {
            match answer {
                Ok(node) => {
                    known.seen.insert(name, (now, sight(node.as_ref())));
                }
                Err(error) if error.label() == "forbidden" => {
                    tracing::debug!("nodes may not be read, so nothing is known of them");
                    known.refused = Some(now);
                    return BTreeMap::new();
                }
                // Unknown for this look.
                Err(error) => tracing::debug!(%error, node = name, "a node cannot be read"),
            }
        }
        let found = wanted.into_iter().filter_map(|name| Some((name.to_owned(), known.seen.get(name)?.1)));
        found.collect()
    }
}

fn sight(node: Option<&Node>) -> Sight {
    let Some(node) = node else { return Sight { gone: true, ..Sight::default() } };
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let silent = conditions.iter().find(|one| one.type_ == "Ready" && one.status == "Unknown");
    Sight {
        cordoned: node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)),
        gone: false,
        silent_since: silent.and_then(|one| Some(one.last_transition_time.as_ref()?.0)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "a test's helper takes what json! makes")]
    fn node(spec: serde_json::Value, ready: &str) -> Sight {
        let node = json!({"spec": spec, "status": {"conditions": [
            {"type": "MemoryPressure", "status": "Unknown"},
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-21T08:00:00Z"},
        ]}});
        sight(Some(&serde_json::from_value(node).unwrap()))
    }

    #[test]
    fn a_node_that_complains_is_heard_of() {
        let since = "2026-11-21T08:00:00Z".parse().unwrap();
        assert_eq!(node(json!({}), "True"), Sight::default());
        assert_eq!(node(json!({}), "False"), Sight::default(), "its kubelet talks");
        assert_eq!(node(json!({}), "Unknown"), Sight { silent_since: Some(since), ..Sight::default() });
        assert_eq!(node(json!({"unschedulable": true}), "True"), Sight { cordoned: true, ..Sight::default() });
        assert_eq!(sight(None), Sight { gone: true, ..Sight::default() });
    }
}
