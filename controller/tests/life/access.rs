//! What the controller does to the API, against the Role that it ships with: neither may have more than the other.

use std::collections::BTreeSet;

use controller::{
    api::{JitsiShard, Phase},
    apply::{Live, owned_kinds},
    build::Kinds,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use testkit::rbac::{self, Role};

use super::kit::{self, Kit};

const WHO: &str = "access";

/// Granted without being used, and why that is right.
const NEEDED_ALL_THE_SAME: [(&str, &str); 6] = [
    // The proxies' Role grants these, and who makes a Role must hold what it grants.
    ("get", "endpointslices"),
    ("list", "endpointslices"),
    ("watch", "endpointslices"),
    // OwnerReferencesPermissionEnforcement asks for them.
    ("update", "jitsis/finalizers"),
    ("update", "jitsishards/finalizers"),
    // A recorder that reports before the watch shows it is looked up, and so is one that is too many before it goes. Neither
    // happens here: nothing runs in these pods.
    ("get", "pods"),
];

/// A kind that comes with other software, without its schema.
fn foreign(group: &str, plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"),
            // Groups below k8s.io are for those whose API was reviewed.
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466"}},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn the_role_is_exactly_what_the_code_uses() {
    if !kit::on_the_double() {
        return kit::skipped("the record of requests", "only the double records who asks for what");
    }
    let kit = Kit::start().await;
    let (client, namespace) = (kit.client(), kit.namespace().to_owned());
    let of = |gvk: &GroupVersionKind| -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &namespace, &ApiResource::from_gvk(gvk))
    };
    let definitions = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&definitions));
    for crd in [
        foreign("monitoring.coreos.com", "podmonitors", "PodMonitor"),
        foreign("gateway.networking.k8s.io", "httproutes", "HTTPRoute"),
    ] {
        definitions.create(&PostParams::default(), &serde_json::from_value(crd).unwrap()).await.unwrap();
    }

    // Everything that can be asked for, once.
    kit.apply_sample().await;
    let all = json!({"spec": {
        "ingress": {"enabled": true},
        "gateway": {"enabled": true, "parentRefs": [{"name": "front"}]},
        "metrics": true,
        "jvb": {"strategy": {"type": "daemonset"}},
        "turn": {"host": "turn.example.org", "secret": {"name": "hidden", "key": "turn"}},
        "prosody": {"customProsodyConfigCM": {"name": "more"}},
    }});
    for (kind, name, key) in [("ConfigMap", "more", "jitsi-meet.cfg.lua"), ("Secret", "hidden", "turn")] {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": {key: "eHg="}});
        let api = of(&GroupVersionKind::gvk("", "v1", kind));
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    kit.jitsis().patch("jitsi-sample", &PatchParams::default(), &Patch::Merge(&all)).await.unwrap();
    let controller = kit.run_elected(WHO).await;
    kit.ready(1).await;
    let alone: JitsiShard = serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "alone"},
        // The DaemonSet above has the port of every node.
        "spec": {"domain": "meet.example.org", "jvb": {"exposure": "podIP"}}
    }))
    .unwrap();
    kit.shards().create(&PostParams::default(), &alone).await.unwrap();
    kit.phase("alone", Phase::Ready).await;

    // Its bridges are pods of the controller's own.
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    for replicas in [2, 1] {
        let patch = json!({"spec": {"jvb": {"strategy": {"replicas": replicas}}}});
        kit.shards().patch("alone", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        kit.eventually(&format!("{replicas} bridges"), async || {
            let bridges = ListParams::default().labels("apps.jit.si/shard=alone,apps.jit.si/state=active");
            pods.list(&bridges).await.unwrap().items.len() == replicas
        })
        .await;
    }
    kit.eventually("the other one is gone", async || {
        let bridges = ListParams::default().labels("apps.jit.si/shard=alone,app.kubernetes.io/component=jvb");
        pods.list(&bridges).await.unwrap().items.len() == 1
    })
    .await;

    // The same happens again and again, so that an event becomes a series.
    kit.scale(2).await;
    kit.ready(2).await;
    kit.set_conferences("jitsi-sample-1", 1).await;
    for _ in 0..3 {
        kit.scale(1).await;
        kit.phase("jitsi-sample-1", Phase::Draining).await;
        kit.scale(2).await;
        kit.ready(2).await;
    }

    // One too many of every kind goes away.
    let kinds = owned_kinds(Kinds { pod_monitor: true, http_route: true });
    let live = Live::list(&client, &namespace, &kinds, "app.kubernetes.io/part-of=jitsi").await.unwrap();
    for gvk in &kinds {
        let Some(twin) = live.of_kind(&gvk.kind).find(|one| !one.owner_references().is_empty()) else {
            panic!("no {} was made", gvk.kind)
        };
        let mut stray = serde_json::to_value(twin).unwrap();
        stray["metadata"] = json!({
            "name": "stray", "labels": twin.labels(), "ownerReferences": twin.owner_references(),
        });
        stray.as_object_mut().unwrap().remove("status");
        if gvk.kind == "Service" {
            for field in ["clusterIP", "clusterIPs"] {
                stray["spec"].as_object_mut().unwrap().remove(field);
            }
        }
        of(gvk).create(&PostParams::default(), &serde_json::from_value(stray).unwrap()).await.unwrap();
    }
    for gvk in &kinds {
        let api = of(gvk);
        kit.eventually(&format!("the {} too many is gone", gvk.kind), async || {
            api.get_opt("stray").await.unwrap().is_none()
        })
        .await;
    }

    // And down.
    kit.set_conferences("jitsi-sample-1", 0).await;
    kit.scale(1).await;
    kit.gone("jitsi-sample-1").await;
    kit.jitsis().delete("jitsi-sample", &DeleteParams::default()).await.unwrap();
    kit.gone("jitsi-sample-0").await;
    controller.end().await;

    let mut roles = Role::from_yaml(include_str!("../../../deploy/kustomize/base/role.yaml")).unwrap();
    let nodes = include_str!("../../../deploy/kustomize/components/nodes/cluster-role.yaml");
    roles.extend(Role::from_yaml(nodes).unwrap());
    let mut report = rbac::check(&rbac::seen_by(WHO), &roles);
    let mut excused: BTreeSet<(&str, &str)> = BTreeSet::new();
    report.unused.retain(|grant| {
        let excuse = NEEDED_ALL_THE_SAME.iter().find(|(verb, what)| *verb == grant.verb && *what == grant.resource);
        excused.extend(excuse);
        excuse.is_none()
    });
    assert!(report.is_exact(), "deploy/kustomize/base/role.yaml is not what the code uses:\n{report}");
    assert_eq!(excused.len(), NEEDED_ALL_THE_SAME.len(), "an excuse is not needed any more: {excused:?}");
}
