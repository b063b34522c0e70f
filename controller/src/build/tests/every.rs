//! Whatever is valid builds objects that an apiserver would take.

use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z]([-a-z0-9]{0,38}[a-z0-9])?"
}

/// Settings of a component, as people write them.
fn pod() -> impl Strategy<Value = Value> {
    (any::<bool>(), any::<bool>(), any::<bool>(), prop::collection::btree_map("[A-Z][A-Z_]{0,12}", "[ -~]{0,20}", 0..3))
        .prop_map(|(image, affinity, volume, env)| {
            let mut all = json!({ "disableDefaultAffinity": affinity });
            if image {
                all["image"] = json!("registry.example.org/own:1");
            }
            if volume {
                all["volumes"] = json!([{ "name": "own", "emptyDir": {} }]);
                all["volumeMounts"] = json!([{ "name": "own", "mountPath": "/tmp" }]);
            }
            all["env"] = env.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            all
        })
}

fn spec() -> impl Strategy<Value = Value> {
    let variables = prop::collection::btree_map(
        prop_oneof![
            "[A-Z][A-Z0-9_]{0,20}",
            Just("JVB_ADVERTISE_IPS".to_owned()),
            Just("JVB_PORT".to_owned()),
            Just("XMPP_DOMAIN".to_owned()),
            Just("JICOFO_ENABLE_REST".to_owned()),
            Just("JIBRI_INSTANCE_ID".to_owned()),
            Just("JVB_AUTH_PASSWORD".to_owned()),
        ],
        "[ -~]{0,20}",
        0..5,
    );
    let kinds = prop_oneof![Just("static"), Just("daemonset"), Just("autoscaled")];
    let exposure = prop_oneof![Just("hostPort"), Just("podIP")];
    let parts = (prop::array::uniform6(pod()), kinds, exposure, 0..9_i32, any::<[bool; 8]>());
    (variables, parts, prop::option::of("[a-z]{1,63}")).prop_map(|(variables, parts, region)| {
        let ([mut jvb, mut jibri, web, prosody, jicofo, proxy], kind, exposure, replicas, on) = parts;
        jvb["strategy"] = json!({ "type": kind, "replicas": replicas });
        jvb["exposure"] = json!(exposure);
        jvb["gracefulShutdown"] = json!(on[0]);
        jibri["enabled"] = json!(on[1]);
        let mut all = json!({
            "domain": "meet.example.org", "variables": variables, "jvb": jvb, "jibri": jibri, "web": web, "prosody": prosody,
            "jicofo": jicofo, "proxy": proxy, "metrics": on[2], "networkPolicy": { "enabled": on[3] },
            "ingress": { "enabled": on[4], "tls": on[5] },
        });
        if on[6] {
            all["turn"] = json!({ "host": "turn.example.org", "secret": { "name": "t", "key": "k" } });
        }
        if on[7] {
            all["jwt"] = json!({ "appId": "a", "secret": { "name": "j", "key": "k" } });
        }
        if let Some(region) = region {
            all["region"] = json!(region);
        }
        all
    })
}

fn no_twins<'a>(what: &str, keys: impl Iterator<Item = &'a Value>) {
    let mut seen = BTreeSet::new();
    for key in keys {
        assert!(seen.insert(key.to_string()), "{what}: {key} is there twice, which server-side apply refuses");
    }
}

fn well_made(object: &Object) {
    let document = object.document();
    let name = object.name();
    let of = format!("{} {name}", object.kind());
    assert!(!name.is_empty() && name.len() <= 63, "{of}: {} characters", name.len());
    if object.kind() == "StatefulSet" {
        assert!(name.len() <= 52, "{of}: no room for the revision that the StatefulSet puts behind it in a label");
    }
    assert!(document["apiVersion"].is_string() && document["kind"].is_string(), "{of}");
    assert_eq!(document["metadata"]["ownerReferences"][0]["controller"], json!(true), "{of}");
    let labels = object.meta().labels.clone().unwrap();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "roompin-controller");
    assert!(labels.values().all(|value| value.len() <= 63), "{of}: {labels:?}");

    let Some(template) = object.pod_template() else { return };
    let pods = template.metadata.as_ref().unwrap().labels.clone().unwrap();
    let wanted: BTreeMap<String, String> =
        serde_json::from_value(document["spec"]["selector"]["matchLabels"].clone()).unwrap();
    assert!(!wanted.is_empty() && wanted.iter().all(|(key, value)| pods.get(key) == Some(value)), "{of}: {wanted:?}");
    let template = serde_json::to_value(template).unwrap();
    let container = &template["spec"]["containers"][0];
    let list = |value: &Value, key: &str| {
        value.as_array().cloned().unwrap_or_default().iter().map(|one| one[key].clone()).collect::<Vec<_>>()
    };
    no_twins(&of, list(&container["env"], "name").iter());
    no_twins(&of, list(&container["volumeMounts"], "mountPath").iter());
    no_twins(&of, list(&template["spec"]["volumes"], "name").iter());
    let volumes = list(&template["spec"]["volumes"], "name");
    for volume in list(&container["volumeMounts"], "name") {
        assert!(volumes.contains(&volume), "{of}: no volume {volume}");
    }
    let ports = list(&container["ports"], "name");
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        for action in ["httpGet", "tcpSocket"] {
            let port = &container[probe][action]["port"];
            assert!(port.is_null() || ports.contains(port), "{of}: {probe} asks a port that is not there: {port}");
        }
    }
}

/// A Service leads to pods that are there, by ports that they have.
fn leads_somewhere(service: &Value, all: &[Object]) {
    let wanted: BTreeMap<String, String> = serde_json::from_value(service["spec"]["selector"].clone()).unwrap();
    let pods: Vec<Value> = all
        .iter()
        .filter_map(Object::pod_template)
        .filter(|pod| {
            let labels = pod.metadata.as_ref().unwrap().labels.as_ref().unwrap();
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
        .map(|pod| serde_json::to_value(pod).unwrap())
        .collect();
    assert_eq!(pods.len(), 1, "{}", service["metadata"]["name"]);
    let ports = pods[0]["spec"]["containers"][0]["ports"].as_array().unwrap().clone();
    for port in service["spec"]["ports"].as_array().unwrap() {
        assert!(ports.iter().any(|one| one["name"] == port["targetPort"]), "{port}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn anything_valid_builds_objects_that_fit_together(name in name(), spec in spec()) {
        let mut jitsi = from_spec(&spec);
        jitsi.metadata.name = Some(name);
        let all = everything(&jitsi);
        all.iter().for_each(well_made);
        no_twins("objects", all.iter().map(|o| json!([o.kind(), o.name()])).collect::<Vec<_>>().iter());
        for object in all.iter().filter(|object| object.kind() == "Service") {
            leads_somewhere(&object.document(), &all);
        }
        prop_assert_eq!(&all, &everything(&jitsi), "equal input, equal objects");
    }
}

#[test]
fn the_longest_names_fit() {
    let mut jitsi = maximal();
    let whole = jitsi_model(&jitsi);
    assert_eq!(whole.name.len(), 40);
    everything(&jitsi).iter().for_each(well_made);
    let last = named_shard(&whole.shard_name(999), whole.shard_spec(None), Some(&whole));
    build_shard(&last, None).all().into_iter().for_each(well_made);
    jitsi.metadata.name = Some("x".repeat(41));
    assert!(validate::jitsi(&jitsi, &Defaults::default(), None).is_err());
}
