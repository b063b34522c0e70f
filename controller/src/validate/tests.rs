//! Mistakes come all at once, each with its place and advice; what is right gets every default.

use serde_json::{Value, json};

use super::*;
use crate::api::{Jitsi, JitsiShard};

fn resource(spec: &Value) -> Jitsi {
    serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "Jitsi",
        "metadata": { "name": "meet", "namespace": "video", "uid": "1" }, "spec": spec,
    }))
    .unwrap()
}

fn model(spec: &Value) -> JitsiModel {
    jitsi(&resource(spec), &Defaults::default(), None).unwrap()
}

fn problems(spec: &Value) -> Vec<String> {
    let Invalid(found) = jitsi(&resource(spec), &Defaults::default(), None).unwrap_err();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_resolved() {
    let model = model(&json!({ "domain": "meet.example.org" }));
    assert_eq!((model.shards, model.graceful_upgrade, model.paused), (1, true, false));
    assert_eq!(model.drain_deadline.as_secs(), 4 * 3600);
    let edge = model.edge.unwrap();
    assert_eq!((edge.proxy.replicas, edge.proxy.service_type.as_str()), (2, "ClusterIP"));
    assert!(edge.ingress.is_none() && edge.gateway.is_none());
    let shard = model.sample;
    assert_eq!(shard.jicofo.image, "ghcr.io/jitsi/jicofo:stable-11146-1");
    assert_eq!(shard.bridges.strategy, Strategy::Static { replicas: 1 });
    assert_eq!((shard.bridges.port, shard.bridges.graceful), (10_000, None));
    assert_eq!(shard.secret, "meet-0-secrets");
    assert!(shard.recorders.is_none() && shard.network.is_some());
    assert_eq!(shard.timezone, "UTC");
}

#[test]
fn the_sample_is_what_its_author_meant() {
    let sample: Jitsi = serde_saphyr::from_str(include_str!("../../tests/data/sample.yaml")).unwrap();
    let model = jitsi(&sample, &Defaults::default(), None).unwrap();
    assert_eq!(model.region(0), Some("europe"));
    assert_eq!(model.sample.bridges.strategy, Strategy::Autoscaled { min: 1, max: 10 });
    assert_eq!(model.sample.recorders.as_ref().and_then(|r| r.group.spares), Some(1));
    assert_eq!(model.warnings, []);
}

#[test]
fn all_mistakes_come_at_once() {
    let found = problems(&json!({
        "domain": "https://meet", "shards": 101, "drainDeadline": "soon", "timezone": "Europe Paris",
        "trustedProxies": ["10.0.0.0/40"],
        "variables": { "1X": "" },
        "jvb": { "image": "jitsi/jvb:stable-6726-1", "strategy": { "replicas": 3, "maxReplicas": 2 },
                 "advertiseIPs": ["here"], "podLabels": { "apps.jit.si/shard": "x" } },
        "web": { "volumeMounts": [{ "name": "none", "mountPath": "/x" }], "volumes": [{ "name": "run" }] },
        "proxy": { "config": { "shards": {} }, "service": { "nodePort": 30000 } },
        "gateway": { "enabled": true },
    }));
    let places: Vec<&str> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "spec.domain",
            "spec.drainDeadline",
            "spec.gateway.parentRefs",
            "spec.jvb.advertiseIPs",
            "spec.jvb.image",
            "spec.jvb.podLabels",
            "spec.jvb.strategy.maxReplicas",
            "spec.proxy.config.shards",
            "spec.proxy.service.nodePort",
            "spec.shards",
            "spec.timezone",
            "spec.trustedProxies",
            "spec.variables.1X",
            "spec.web.volumeMounts",
            "spec.web.volumes",
        ],
        "{found:#?}"
    );
}

#[test]
fn what_has_no_effect_is_said_and_no_mistake() {
    let model = model(&json!({
        "domain": "m.org", "jvb": { "ports": { "tcp": 30301 }, "strategy": { "type": "static", "maxReplicas": 4 } },
        "variables": { "TURN_PASSWORD": "x" },
    }));
    let places: Vec<&str> = model.warnings.iter().map(|w| w.path.as_str()).collect();
    assert_eq!(places, ["spec.variables.TURN_PASSWORD", "spec.jvb.strategy.maxReplicas", "spec.jvb.ports.tcp"]);
}

#[test]
fn regions_are_dealt_in_order() {
    let model = model(&json!({ "domain": "m.org", "region": "eu", "shards": 3, "shardRegions": ["eu", "us"] }));
    let dealt: Vec<_> = (0..4).map(|n| model.region(n)).collect();
    assert_eq!(dealt, [Some("eu"), Some("us"), Some("eu"), Some("us")]);
    let spec = model.shard_spec(model.region(1));
    assert_eq!(spec.template.region.as_deref(), Some("us"));
    assert!(!spec.drain && !spec.retire);
    assert_eq!(spec.conduct.drain_deadline.as_deref(), Some("4h"));
}

#[test]
fn a_shard_of_a_jitsi_is_what_the_jitsi_said() {
    let whole = model(&json!({ "domain": "m.org", "drainDeadline": "1h", "jvb": { "gracefulShutdown": true } }));
    let mut one = JitsiShard::new("meet-4", whole.shard_spec(Some("us")));
    one.metadata.labels = Some(BTreeMap::from([("apps.jit.si/jitsi".to_owned(), "meet".to_owned())]));
    let model = shard(&one, &Defaults::default(), None).unwrap();
    assert_eq!((model.name.as_str(), model.region.as_str(), model.jitsi.as_deref()), ("meet-4", "us", Some("meet")));
    assert_eq!(model.drain_deadline.as_secs(), 3600);
    assert_eq!(model.bridges.graceful.map(|time| time.as_secs()), Some(14_400));
}

#[test]
fn what_is_referred_to_must_exist_with_its_keys() {
    let spec = json!({
        "domain": "m.org", "existingSecret": "mine", "jibri": { "enabled": true },
        "turn": { "host": "turn.m.org", "secret": { "name": "turn", "key": "k" } },
        "web": { "customConfigCM": { "name": "look" } },
    });
    let set = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let mut existing = Existing::default();
    existing
        .secrets
        .insert("mine".to_owned(), set(&["JICOFO_AUTH_PASSWORD", "JVB_AUTH_PASSWORD", "JIBRI_XMPP_PASSWORD"]));
    existing.config_maps.insert("look".to_owned(), set(&["custom-config.js"]));
    let Invalid(found) = jitsi(&resource(&spec), &Defaults::default(), Some(&existing)).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "spec.existingSecret: Secret 'mine' has no key 'JIBRI_RECORDER_PASSWORD'; add it",
            "spec.turn.secret: there is no Secret 'turn' in this namespace; create it, or name another",
        ]
    );
}
