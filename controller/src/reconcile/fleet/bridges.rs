//! Bridges: what their group is, and the Services of those that have one each.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{
    Error, Tend,
    group::{Group, retired},
};
use crate::{
    api::{ExposureType, GroupKind, JITSI_LABEL, JitsiShard, SHARD_LABEL},
    apply::{self, MANAGER, read, write},
    build::{self, Component, Place},
    plan::bridges::Rules,
    validate::Strategy,
};

/// From the word that it shall end to the end of the process: a minute in which jicofo moves leftovers, and the JVM's end.
/// Who has not ended then (images whose container outlives the bridge are known) is deleted.
pub(super) const STOP: Duration = Duration::from_secs(300);

/// The group of bridges; None where a DaemonSet has them and no pod of an earlier strategy is left.
///
/// # Errors
/// When the API does not say which shards a shared bridge serves.
pub(super) async fn group<'a>(tend: &Tend<'a>) -> Result<Option<Group<'a>>, Error> {
    let bridges = &tend.model.bridges;
    let everywhere = matches!(bridges.strategy, Strategy::Daemonset);
    if everywhere && tend.pods_of(GroupKind::Jvb).next().is_none() {
        return Ok(None);
    }
    let numbers = if everywhere { retired(&bridges.group) } else { bridges.group.clone() };
    let rules = Rules {
        prefix: build::name(&tend.model.name, Component::Jvb),
        desired: numbers.options.min,
        max: numbers.options.max,
        launch: numbers.launch,
        drain_deadline: bridges.deadline,
        stop_deadline: STOP,
        move_endpoints: bridges.move_endpoints,
        ports: (bridges.exposure == ExposureType::HostPort)
            .then(|| (bridges.port, bridges.port + bridges.per_node - 1)),
        protect_until: super::protect_until(&numbers, tend.now),
    };
    Ok(Some(Group {
        kind: GroupKind::Jvb,
        numbers,
        users: &bridges.pod.annotations,
        revision: build::bridge_revision(tend.model),
        serves: serves(tend).await?,
        rules,
    }))
}

/// The other shards of the Jitsi, where a bridge serves all of them.
async fn serves(tend: &Tend<'_>) -> Result<Vec<String>, Error> {
    let (true, Some(jitsi)) = (tend.model.bridges.shared, &tend.model.jitsi) else { return Ok(Vec::new()) };
    let api: Api<JitsiShard> = Api::namespaced(tend.context.client.clone(), &tend.model.namespace);
    let params = ListParams::default().labels(&format!("{JITSI_LABEL}={jitsi}"));
    let all = read("list the shards of the Jitsi", api.list(&params)).await?;
    let others = all.items.iter().filter(|shard| shard.metadata.deletion_timestamp.is_none());
    let mut names: Vec<_> = others.map(ResourceExt::name_any).filter(|name| *name != tend.model.name).collect();
    names.sort();
    Ok(names)
}

fn services(tend: &Tend<'_>) -> Api<Service> {
    Api::namespaced(tend.context.client.clone(), &tend.model.namespace)
}

/// What a bridge needs before its pod is made: the port of its Service.
pub(super) async fn prepare(tend: &Tend<'_>, place: &mut Place) -> Result<(), Error> {
    if tend.model.bridges.exposure != ExposureType::NodePort {
        return Ok(());
    }
    let wanted = build::bridge_service(tend.model, &place.name);
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let api = services(tend);
    let what = format!("create Service {}", place.name);
    let made = match write(&tend.context.leadership, &what, api.create(&params, &wanted)).await {
        Ok(made) => made,
        // Left by somebody who died before the pod was made, or by the pod of this name that is just going: then the
        // garbage collector takes it, and the next look makes another one.
        Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_already_exists()) =>
        {
            let found = read("get a Service", api.get(&place.name)).await?;
            if !is_free(&found) {
                return Err(Error::Untold { pod: place.name.clone(), why: "its Service is another's".to_owned() });
            }
            found
        }
        Err(error) => return Err(error.into()),
    };
    place.port = port(&made);
    if place.port.is_none() {
        return Err(Error::Untold { pod: place.name.clone(), why: "its Service has no port".to_owned() });
    }
    Ok(())
}

fn port(service: &Service) -> Option<i32> {
    service.spec.as_ref()?.ports.as_ref()?.first()?.node_port
}

/// It belongs to no pod yet.
fn is_free(service: &Service) -> bool {
    let owned = service.owner_references().iter().any(|owner| owner.kind == "Pod");
    !owned && service.metadata.deletion_timestamp.is_none()
}

/// The pod takes its Service over, so that both end together.
pub(super) async fn hand_over(tend: &Tend<'_>, pod: &Pod) -> Result<(), Error> {
    if tend.model.bridges.exposure != ExposureType::NodePort {
        return Ok(());
    }
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid, "controller": true}]);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owner}}));
    let api = services(tend);
    write(&tend.context.leadership, &format!("patch Service {name}"), api.patch(&name, &params, &patch)).await?;
    Ok(())
}

/// Puts right what a controller left that died between a Service, its pod and their tie.
pub(super) async fn tidy(tend: &Tend<'_>) -> Result<(), Error> {
    if tend.model.bridges.exposure != ExposureType::NodePort {
        return Ok(());
    }
    let selector = format!("{SHARD_LABEL}={},app.kubernetes.io/component=jvb", tend.model.name);
    let api = services(tend);
    let found = read("list Services", api.list(&ListParams::default().labels(&selector))).await?;
    for service in found.items.iter().filter(|service| is_free(service)) {
        let name = service.name_any();
        match tend.pods_of(GroupKind::Jvb).find(|pod| pod.name_any() == name) {
            Some(pod) => hand_over(tend, pod).await?,
            None => {
                let params = DeleteParams {
                    preconditions: Some(Preconditions { uid: service.uid(), resource_version: None }),
                    ..DeleteParams::background()
                };
                write(&tend.context.leadership, &format!("delete Service {name}"), api.delete(&name, &params)).await?;
            }
        }
    }
    Ok(())
}
