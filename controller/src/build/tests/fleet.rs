//! Bridges and gateways as pods of their own.

use super::*;

fn place(name: &str, port: Option<i32>) -> Place {
    Place { name: name.to_owned(), port, ..Place::default() }
}

#[test]
fn a_bridge_is_a_pod_that_may_end() {
    let model = shard_model(&sample());
    let pod = bridge(&model, &place("jitsi-sample-0-jvb-0", Some(10_000)), true);
    let document = serde_json::to_value(&pod).unwrap();
    assert_eq!(document["spec"]["restartPolicy"], json!("OnFailure"));
    assert_eq!(document["metadata"]["ownerReferences"][0]["kind"], json!("JitsiShard"));
    assert_eq!(document["metadata"]["ownerReferences"][0]["controller"], json!(true));
    let annotations = &document["metadata"]["annotations"];
    assert_eq!(annotations["apps.jit.si/template-revision"], json!(bridge_revision(&model)));
    assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], json!("false"));
    let unsettled = bridge(&model, &place("x", None), false).metadata.annotations.unwrap();
    assert_ne!(
        unsettled["apps.jit.si/template-revision"],
        bridge_revision(&model),
        "it goes when what it read is settled"
    );
}

#[test]
fn the_revision_is_of_the_template_and_nothing_else() {
    let of = |spec: Value| bridge_revision(&shard_model(&from_spec(&spec)));
    let one = of(json!({"domain": "m.org"}));
    assert_eq!(of(json!({"domain": "m.org", "jvb": {"strategy": {"replicas": 7}}})), one, "a number changes no pod");
    for jvb in [json!({"image": "x:1"}), json!({"exposure": "nodePort"}), json!({"ports": {"udp": 10_001}})] {
        assert_ne!(of(json!({"domain": "m.org", "jvb": jvb})), one, "{jvb}");
    }
}

#[test]
fn media_reaches_each_bridge_at_its_own_port() {
    let model = |jvb: Value| shard_model(&from_spec(&json!({"domain": "m.org", "jvb": jvb})));
    let several = model(json!({"ports": {"perNode": 3}}));
    let pod = as_workload(&bridge(&several, &place("meet-0-jvb-1", Some(10_002)), true));
    assert_eq!(
        container(&pod)["ports"][0],
        json!({"name": "media", "containerPort": 10_002, "hostPort": 10_002, "protocol": "UDP"})
    );
    assert_eq!(variables(&pod)["JVB_PORT"], json!("10002"));
    let affinity = serde_json::to_value(pod.pod_template()).unwrap()["spec"]["affinity"].clone();
    assert!(
        affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"].is_null(),
        "ports keep them apart"
    );
    let policies = build_shard(&several, None).policies;
    let policy = policies.iter().find(|o| o.kind() == "NetworkPolicy" && o.name().ends_with("jvb")).unwrap().document();
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0], json!({"port": 10_000, "endPort": 10_002, "protocol": "UDP"}));

    let behind = model(json!({"exposure": "nodePort"}));
    let pod = as_workload(&bridge(&behind, &place("meet-0-jvb-1", Some(31_234)), true));
    assert_eq!(container(&pod)["ports"][0], json!({"name": "media", "containerPort": 10_000, "protocol": "UDP"}));
    let env = container(&pod)["env"].as_array().unwrap().clone();
    let at = |name: &str| env.iter().position(|one| one["name"] == json!(name)).unwrap();
    assert!(at("ROOMPIN_HOST_IP") < at("JVB_ADVERTISE_IPS"), "a variable can only be used by those after it");
    assert_eq!(env[at("JVB_ADVERTISE_IPS")]["value"], json!("$(ROOMPIN_HOST_IP)#31234"));
    let service = serde_json::to_value(bridge_service(&behind, "meet-0-jvb-1")).unwrap();
    assert_eq!(service["spec"]["externalTrafficPolicy"], json!("Local"));
    assert!(service["metadata"]["ownerReferences"][0]["controller"].is_null(), "the pod will be");
    let known = model(json!({"exposure": "nodePort", "advertiseIPs": ["203.0.113.7", "203.0.113.8#1"]}));
    let pod = as_workload(&bridge(&known, &place("meet-0-jvb-1", Some(31_234)), true));
    assert_eq!(variables(&pod)["JVB_ADVERTISE_IPS"], json!("203.0.113.7#31234,203.0.113.8#1"));
}

#[test]
fn a_shared_bridge_serves_all_shards_with_one_password() {
    let shared = json!({"domain": "m.org", "existingSecret": "all", "jvb": {"shared": true}});
    let model = shard_model(&from_spec(&shared));
    let serves = vec!["meet-1".to_owned(), "meet-2".to_owned()];
    let pod = bridge(&model, &Place { serves, ..place("meet-0-jvb-0", None) }, true);
    assert_eq!(variables(&as_workload(&pod))["XMPP_SERVER"], json!("meet-0-prosody,meet-1-prosody,meet-2-prosody"));
    assert_eq!(pod.metadata.annotations.unwrap()["apps.jit.si/serves"], "meet-1,meet-2");
    let policies = build_shard(&model, None).policies;
    let policy =
        policies.iter().find(|o| o.kind() == "NetworkPolicy" && o.name().ends_with("prosody")).unwrap().document();
    let labels = &policy["spec"]["ingress"][0]["from"][1]["podSelector"]["matchLabels"];
    assert_eq!(labels, &json!({"apps.jit.si/jitsi": "meet", "app.kubernetes.io/component": "jvb"}));

    let alone = from_spec(&json!({"domain": "m.org", "jvb": {"shared": true}}));
    let refused = validate::jitsi(&alone, &Defaults::default(), None).unwrap_err().to_string();
    assert!(refused.contains("spec.jvb.shared") && refused.contains("existingSecret"), "{refused}");
}

#[test]
fn a_gateway_has_its_account_and_nobody_elses() {
    let spec = json!({"domain": "m.org", "jigasi": {"enabled": true, "sipSecret": {"name": "sip"}, "gracefulShutdownTimeout": "1h"}});
    let model = shard_model(&from_spec(&spec));
    let pod = as_workload(&gateway(&model, model.gateways.as_ref().unwrap(), &place("meet-0-jigasi-0", None), true));
    let env = variables(&pod);
    assert_eq!(env["SHUTDOWN_REST_ENABLED"], json!("true"));
    assert_eq!(env["JIGASI_XMPP_PASSWORD"]["secretKeyRef"]["name"], json!("meet-0-secrets"));
    assert_eq!(container(&pod)["envFrom"][1]["secretRef"]["name"], json!("sip"));
    assert_eq!(serde_json::to_value(pod.pod_template()).unwrap()["spec"]["terminationGracePeriodSeconds"], json!(3720));
    let shard = build_shard(&model, None);
    assert_eq!(shard.env.document()["data"]["JIGASI_BREWERY_MUC"], json!("jigasibrewery"), "jicofo looks there");
    assert!(variables(&shard.prosody).contains_key("JIGASI_XMPP_PASSWORD"));
    assert!(!variables(&shard.jicofo).contains_key("JIGASI_XMPP_PASSWORD"));
}

#[test]
fn jicofo_knows_a_bridge_by_its_address_in_the_brewery() {
    let model = shard_model(&sample());
    let address = brewery_address(&model, "jitsi-sample-0-jvb-3");
    assert_eq!(address, "jvbbrewery@internal-muc.hack.liiib.re/jitsi-sample-0-jvb-3");
}
