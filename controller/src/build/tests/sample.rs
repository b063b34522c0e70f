//! The published sample, and the fields that matter in it.

use super::*;

#[test]
fn the_sample_becomes_a_shard_and_proxies() {
    let shard = build_shard(&shard_model(&sample()), None);
    assert_eq!(
        names(&shard.all()),
        [
            "Secret jitsi-sample-0-secrets",
            "ConfigMap jitsi-sample-0-env",
            "Service jitsi-sample-0-prosody",
            "Service jitsi-sample-0-jicofo",
            "Service jitsi-sample-0-web",
            "NetworkPolicy jitsi-sample-0-prosody",
            "NetworkPolicy jitsi-sample-0-jicofo",
            "NetworkPolicy jitsi-sample-0-web",
            "NetworkPolicy jitsi-sample-0-jvb",
            "NetworkPolicy jitsi-sample-0-jibri",
            "PodDisruptionBudget jitsi-sample-0-prosody",
            "PodDisruptionBudget jitsi-sample-0-jicofo",
            "PodDisruptionBudget jitsi-sample-0-web",
            "PodDisruptionBudget jitsi-sample-0-protected",
            "StatefulSet jitsi-sample-0-prosody",
            "Deployment jitsi-sample-0-jicofo",
            "Deployment jitsi-sample-0-web",
            "ConfigMap jitsi-sample-0-jibri",
        ]
    );
    let edge = build_jitsi(&jitsi_model(&sample()));
    assert_eq!(
        names(&edge.all()),
        [
            "Secret jitsi-sample-proxy-mesh-key",
            "Secret jitsi-sample-proxy-admin",
            "ServiceAccount jitsi-sample-proxy",
            "Role jitsi-sample-proxy",
            "RoleBinding jitsi-sample-proxy",
            "ConfigMap jitsi-sample-proxy-config",
            "Service jitsi-sample-proxy",
            "Service jitsi-sample-proxy-mesh",
            "NetworkPolicy jitsi-sample-proxy",
            "PodDisruptionBudget jitsi-sample-proxy",
            "StatefulSet jitsi-sample-proxy",
        ]
    );
}

#[test]
fn components_of_the_sample_speak_to_each_other() {
    let model = shard_model(&sample());
    let shard = build_shard(&model, None);
    let env = shard.env.document()["data"].clone();
    for (variable, value) in [
        ("XMPP_DOMAIN", "hack.liiib.re"),
        ("XMPP_AUTH_DOMAIN", "auth.hack.liiib.re"),
        ("XMPP_MUC_DOMAIN", "muc.hack.liiib.re"),
        ("XMPP_INTERNAL_MUC_DOMAIN", "internal-muc.hack.liiib.re"),
        ("XMPP_HIDDEN_DOMAIN", "hidden.hack.liiib.re"),
        ("XMPP_SERVER", "jitsi-sample-0-prosody"),
        ("PUBLIC_URL", "https://hack.liiib.re"),
        ("TZ", "Europe/Paris"),
        ("ENABLE_RECORDING", "1"),
        ("DEPLOYMENTINFO_SHARD", "jitsi-sample-0"),
        ("DEPLOYMENTINFO_REGION", "europe"),
        ("JVB_BREWERY_MUC", "jvbbrewery"),
        ("JIBRI_BREWERY_MUC", "jibribrewery"),
        ("S6_YES_I_WANT_A_WORLD_WRITABLE_RUN_BECAUSE_KUBERNETES", "1"),
    ] {
        assert_eq!(env[variable], json!(value), "{variable}");
    }
    let web = variables(&shard.web);
    assert_eq!(web["XMPP_BOSH_URL_BASE"], json!("http://jitsi-sample-0-prosody:5280"));
    assert_eq!(web["DISABLE_HTTPS"], json!("1"));
    let jicofo = variables(&shard.jicofo);
    assert_eq!(jicofo["JICOFO_ENABLE_REST"], json!("true"));
    assert_eq!(jicofo["JICOFO_OCTO_REGION"], json!("europe"));
    let pod = bridges(&shard_model(&sample()));
    let jvb = variables(&pod);
    assert_eq!(jvb["JVB_OCTO_REGION"], json!("europe"));
    assert_eq!(jvb["JVB_ADVERTISE_IPS"]["fieldRef"]["fieldPath"], json!("status.hostIP"));
    assert_eq!(jvb["JVB_DISABLE_STUN"], json!("false"));
    assert_eq!(container(&pod)["ports"][0]["hostPort"], json!(10_000));
    for object in [&shard.prosody, &shard.jicofo, &shard.web, &pod, &recorder_of(&model)] {
        assert_eq!(container(object)["envFrom"][0]["configMapRef"]["name"], json!("jitsi-sample-0-env"));
    }
}

#[test]
fn everybody_has_the_passwords_they_need_and_no_others() {
    let model = shard_model(&sample());
    let shard = build_shard(&model, None);
    let passwords = |object: &Object| {
        let all = variables(object).into_iter();
        all.filter(|(_, value)| value["secretKeyRef"]["name"] == json!("jitsi-sample-0-secrets"))
            .map(|(name, value)| {
                assert_eq!(value["secretKeyRef"]["key"], json!(name));
                name
            })
            .collect::<Vec<_>>()
    };
    let all = ["JIBRI_RECORDER_PASSWORD", "JIBRI_XMPP_PASSWORD", "JICOFO_AUTH_PASSWORD", "JVB_AUTH_PASSWORD"];
    let kept = [
        "JIBRI_RECORDER_PASSWORD",
        "JIBRI_XMPP_PASSWORD",
        "JICOFO_AUTH_PASSWORD",
        "JIGASI_XMPP_PASSWORD",
        "JVB_AUTH_PASSWORD",
    ];
    assert_eq!(passwords(&shard.prosody), all);
    assert_eq!(passwords(&shard.jicofo), ["JICOFO_AUTH_PASSWORD"]);
    assert_eq!(passwords(&bridges(&shard_model(&sample()))), ["JVB_AUTH_PASSWORD"]);
    assert_eq!(passwords(&recorder_of(&model)), ["JIBRI_RECORDER_PASSWORD", "JIBRI_XMPP_PASSWORD"]);
    assert!(passwords(&shard.web).is_empty());
    let data = shard.secret.unwrap().document()["data"].clone();
    assert_eq!(data.as_object().unwrap().keys().collect::<Vec<_>>(), kept);
}

#[test]
fn proxies_hear_of_a_shard_when_it_has_a_state() {
    let model = shard_model(&sample());
    let labels = |state| build_shard(&model, state).services[2].meta().labels.clone().unwrap();
    let silent = labels(None);
    assert_eq!(silent.get("apps.jit.si/shard-state"), None);
    assert_eq!(silent["apps.jit.si/shard"], "jitsi-sample-0");
    assert_eq!(silent["apps.jit.si/jitsi"], "jitsi-sample");
    for (state, word) in [(ShardState::Ready, "ready"), (ShardState::Draining, "draining"), (ShardState::Down, "down")]
    {
        assert_eq!(labels(Some(state))["apps.jit.si/shard-state"], word);
    }
    let with = build_shard(&model, Some(ShardState::Ready));
    assert_eq!(with.held_together(), build_shard(&model, None).held_together(), "a state restarts nothing");
}

#[test]
fn the_proxies_find_shards_and_each_other() {
    let edge = build_jitsi(&jitsi_model(&sample()));
    let document = edge.config.as_ref().unwrap().document();
    let config: Value = serde_saphyr::from_str(document["data"]["roompin.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(
        config["shards"]["kubernetes"][0],
        json!({
            "namespace": "default", "selector": "apps.jit.si/shard-state,apps.jit.si/jitsi=jitsi-sample", "port": "http",
            "shard_label": "apps.jit.si/shard", "state_label": "apps.jit.si/shard-state",
        })
    );
    assert_eq!(config["cluster"]["peers"], json!(["jitsi-sample-proxy-mesh.default.svc.cluster.local:7946"]));
    let mesh = edge.services[1].document()["spec"].clone();
    assert_eq!((&mesh["clusterIP"], &mesh["publishNotReadyAddresses"]), (&json!("None"), &json!(true)));

    // Every file that the configuration names is one that the pod has.
    let pod = serde_json::to_value(edge.proxies.as_ref().unwrap().pod_template().unwrap()).unwrap();
    let mounts: Vec<(&str, &str)> = pod["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| (mount["mountPath"].as_str().unwrap(), mount["name"].as_str().unwrap()))
        .collect();
    let file = |path: &str| {
        let (folder, file) = path.rsplit_once('/').unwrap();
        let volume = mounts.iter().find(|(mount, _)| *mount == folder).unwrap().1;
        let all = pod["spec"]["volumes"].as_array().unwrap();
        (file.to_owned(), all.iter().find(|one| one["name"] == json!(volume)).unwrap().clone())
    };
    for (path, secret) in [(&config["cluster"]["key_file"], 0), (&config["admin"]["token_file"], 1)] {
        let (key, volume) = file(path.as_str().unwrap());
        assert_eq!(volume["secret"]["secretName"], json!(edge.secrets[secret].name()));
        assert_eq!(volume["secret"]["defaultMode"], json!(0o440), "the proxy warns of a file that everybody may read");
        assert!(edge.secrets[secret].document()["data"].get(&key).is_some(), "{key}");
    }
    assert!(file(config["snapshot"]["path"].as_str().unwrap()).1["emptyDir"].is_object());
    assert_eq!(pod["spec"]["containers"][0]["args"][2], json!("/etc/roompin/config/roompin.yaml"));

    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(grace >= 5 + 20 + 5, "{grace}");
    let rules = edge.access[1].document()["rules"].clone();
    assert_eq!(
        rules,
        json!([
            { "apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"] },
        ])
    );
}

#[test]
fn passwords_are_made_once() {
    let mut rng = StdRng::seed_from_u64(3);
    let model = shard_model(&sample());
    let first = Secrets::generate(&mut rng);
    let Object::Secret(mut there) = secrets::shard(&model, &first) else { panic!() };
    assert_eq!(Secrets::keep_or_generate(Some(&there), &mut rng), first, "what is there stays");

    // Somebody removes one key and empties another: those are made anew, the others stay.
    let data = there.data.as_mut().unwrap();
    data.remove("JVB_AUTH_PASSWORD");
    data.get_mut("JIBRI_XMPP_PASSWORD").unwrap().0.clear();
    let second = Secrets::keep_or_generate(Some(&there), &mut rng);
    let Object::Secret(now) = secrets::shard(&model, &second) else { panic!() };
    let (now, there) = (now.data.unwrap(), there.data.unwrap());
    assert_eq!(now["JICOFO_AUTH_PASSWORD"], there["JICOFO_AUTH_PASSWORD"]);
    for key in ["JVB_AUTH_PASSWORD", "JIBRI_XMPP_PASSWORD"] {
        assert_eq!(now[key].0.len(), 32, "{key}");
        assert!(now[key].0.iter().all(u8::is_ascii_alphanumeric), "{key}");
    }
    assert_eq!(now.values().map(|value| &value.0).collect::<BTreeSet<_>>().len(), now.len(), "all different");

    let password = String::from_utf8(now["JVB_AUTH_PASSWORD"].0.clone()).unwrap();
    assert!(!format!("{second:?}").contains(&password), "passwords are not for logs");

    let jitsi = jitsi_model(&sample());
    let once = JitsiSecrets::generate(&mut rng);
    let made = secrets::jitsi(&jitsi, &once);
    let [Object::Secret(key), Object::Secret(token)] = made.as_slice() else { panic!() };
    assert_eq!(JitsiSecrets::keep_or_generate(Some(key), Some(token), &mut rng), once);
    let hex = &key.data.as_ref().unwrap()["mesh.key"].0;
    assert!(hex.len() == 64 && hex.iter().all(u8::is_ascii_hexdigit), "32 bytes, as the proxy reads them");
    assert!(once.admin_token().len() >= 16);
}

#[test]
fn a_revision_tells_what_may_not_change_under_a_conference() {
    let spec = json!({ "domain": "m.org", "variables": { "ENABLE_LOBBY": "1", "RESOLUTION": "720" } });
    let revision = |change: &dyn Fn(&mut Value)| {
        let mut spec = spec.clone();
        change(&mut spec);
        signalling_revision(&shard_model(&from_spec(&spec)))
    };
    let base = revision(&|_| ());
    assert_eq!(base.len(), 16);
    type Change = (&'static str, fn(&mut Value));
    let harmless: &[Change] = &[
        ("web's image", |spec| spec["web"] = json!({ "image": "x/web:2" })),
        ("web's variables", |spec| spec["variables"]["RESOLUTION"] = json!("1080")),
        ("bridges' variables", |spec| spec["variables"]["VIDEOBRIDGE_MAX_MEMORY"] = json!("4g")),
        ("bridges", |spec| spec["jvb"] = json!({ "strategy": { "replicas": 5 }, "ports": { "udp": 4443 } })),
        ("more shards", |spec| spec["shards"] = json!(7)),
        ("proxies", |spec| spec["proxy"] = json!({ "replicas": 5 })),
        ("an Ingress", |spec| spec["ingress"] = json!({ "enabled": true })),
        ("the deadline", |spec| spec["drainDeadline"] = json!("1h")),
    ];
    for (what, change) in harmless {
        assert_eq!(revision(change), base, "{what}");
    }
    let harmful: &[Change] = &[
        ("the tag", |spec| spec["image"] = json!({ "tag": "stable-11248" })),
        ("the domain", |spec| spec["domain"] = json!("n.org")),
        ("prosody's variables", |spec| spec["variables"]["ENABLE_LOBBY"] = json!("0")),
        ("unknown variables", |spec| spec["variables"]["SOMETHING"] = json!("1")),
        ("prosody's resources", |spec| spec["prosody"] = json!({ "resources": { "limits": { "memory": "1Gi" } } })),
        ("jicofo's variables", |spec| spec["jicofo"] = json!({ "env": [{ "name": "A", "value": "1" }] })),
        ("recorders where there were none", |spec| spec["jibri"] = json!({ "enabled": true })),
        ("TURN", |spec| spec["turn"] = json!({ "host": "turn.m.org" })),
    ];
    let mut seen = BTreeSet::from([base]);
    for (what, change) in harmful {
        assert!(seen.insert(revision(change)), "{what}");
    }
    // Shards made of the same are the same, whatever their names.
    let whole = jitsi_model(&from_spec(&spec));
    let [a, b] = [0, 7].map(|n| named_shard(&whole.shard_name(n), whole.shard_spec(None), Some(&whole)));
    let alone = named_shard("alone", whole.shard_spec(None), None);
    assert_eq!(signalling_revision(&a), signalling_revision(&b));
    assert_eq!(signalling_revision(&a), signalling_revision(&alone));
    assert_eq!(signalling_revision(&a), signalling_revision(&whole.sample));
}
