//! ReplicaSets: as many pods as they say. Left out: back-off of failing creates, slow start.

use std::time::Duration;

use serde_json::json;

use super::pods::{self, PODS};
use super::world::{Trouble, World, controller_reference, deleting, number, path_of, ready};
use super::Actor;

pub(super) const WHO: &str = "replicaset-controller";
pub(super) const SETS: &str = "/apis/apps/v1/replicasets";

pub(super) struct ReplicaSets;

impl Actor for ReplicaSets {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        world.watch(SETS);
        world.watch(PODS);
        let all = world.list(PODS).await?;
        let mut due = None;
        for set in world.list(SETS).await? {
            if deleting(&set) {
                continue;
            }
            let reference = controller_reference("apps/v1", "ReplicaSet", &set);
            let mut mine = pods::claim(world, &set, &reference, &all).await?;
            mine.retain(pods::active);
            let wanted = usize::try_from(number(&set, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
            for _ in mine.len()..wanted {
                let mut pod = pods::from_template(&set["spec"]["template"], reference.clone());
                pod["metadata"]["generateName"] = json!(format!("{}-", super::world::name(&set)));
                mine.extend(pods::create(world, &set, &pod).await?);
            }
            if mine.len() > wanted {
                pods::sort_for_deletion(&mut mine);
                for pod in mine.drain(..mine.len() - wanted) {
                    pods::delete(world, &pod).await?;
                }
            }
            let rest = number(&set, "/spec/minReadySeconds").unwrap_or(0);
            let available = mine.iter().filter(|pod| pods::available(world, pod, rest)).count();
            let ready = mine.iter().filter(|pod| ready(pod)).count();
            if available < ready {
                due = Some(Duration::from_secs(1));
            }
            let mut status = json!({"replicas": mine.len(), "observedGeneration": set["metadata"]["generation"]});
            // As in the real ones, a count of zero is left out.
            for (key, count) in [("fullyLabeledReplicas", mine.len()), ("readyReplicas", ready), ("availableReplicas", available)] {
                if count > 0 {
                    status[key] = json!(count);
                }
            }
            world.set_status(&path_of("/apis/apps/v1", "replicasets", &set), &set, status).await?;
        }
        Ok(due)
    }
}
