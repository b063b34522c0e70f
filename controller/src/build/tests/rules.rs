//! Rules that hold for whatever is built: security, policies, and what the user may say about pods.

use super::*;

/// What the `restricted` Pod Security standard would say about a pod template.
fn restricted(template: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let spec = &template["spec"];
    let mut refuse = |bad: bool, what: &str| {
        if bad {
            found.push(what.to_owned());
        }
    };
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse(spec[key] == json!(true), key);
    }
    let context = &spec["securityContext"];
    refuse(context["runAsNonRoot"] != json!(true), "runAsNonRoot");
    refuse(context["runAsUser"].as_i64().is_none_or(|user| user == 0), "runAsUser");
    refuse(context["seccompProfile"]["type"] != json!("RuntimeDefault"), "seccompProfile");
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        const ALLOWED: &[&str] = &["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "name"];
        let kinds = volume.as_object().unwrap().keys();
        for kind in kinds.filter(|kind| !ALLOWED.contains(&kind.as_str())) {
            refuse(true, &format!("volume {kind}"));
        }
    }
    for container in spec["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        refuse(context["privileged"] == json!(true), "privileged");
        refuse(context["allowPrivilegeEscalation"] != json!(false), "allowPrivilegeEscalation");
        refuse(context["capabilities"]["drop"] != json!(["ALL"]), "drop");
        for capability in context["capabilities"]["add"].as_array().into_iter().flatten() {
            refuse(capability != &json!("NET_BIND_SERVICE"), &format!("capability {}", capability.as_str().unwrap()));
        }
        for port in container["ports"].as_array().into_iter().flatten() {
            refuse(!port["hostPort"].is_null(), "hostPort");
        }
        // Not part of the standard, but of ours.
        refuse(context["readOnlyRootFilesystem"] != json!(true), "readOnlyRootFilesystem");
    }
    found
}

#[test]
fn pods_are_restricted_but_for_what_the_images_need() {
    let pod_ip = from_spec(&json!({
        "domain": "m.org", "jvb": { "exposure": "podIP", "strategy": { "type": "daemonset" } },
    }));
    for (jitsi, exceptions) in [
        (sample(), vec!["jvb: hostPort", "jibri: capability SYS_ADMIN"]),
        (maximal(), vec!["jvb: hostPort", "jibri: capability SYS_ADMIN"]),
        (pod_ip, vec![]),
    ] {
        let mut found = Vec::new();
        let mut pods = 0;
        for object in everything(&jitsi) {
            let Some(template) = object.pod_template() else { continue };
            pods += 1;
            let template = serde_json::to_value(template).unwrap();
            let name = template["spec"]["containers"][0]["name"].as_str().unwrap().to_owned();
            found.extend(restricted(&template).into_iter().map(|what| format!("{name}: {what}")));
            assert_eq!(template["spec"]["enableServiceLinks"], json!(false), "{name}");
            assert_eq!(template["spec"]["automountServiceAccountToken"], json!(name == "proxy"), "{name}");
        }
        assert!(pods >= 5);
        assert_eq!(found, exceptions);
    }
}

#[test]
fn every_official_image_has_what_s6_needs() {
    let model = shard_model(&maximal());
    let (shard, recorder) = (build_shard(&model, None), recorder_of(&model));
    for object in [&shard.prosody, &shard.jicofo, &shard.web, &bridges(&model), &recorder] {
        let container = container(object);
        let paths: Vec<&str> =
            container["volumeMounts"].as_array().unwrap().iter().map(|m| m["mountPath"].as_str().unwrap()).collect();
        for path in ["/run", "/tmp", "/config"] {
            assert!(paths.contains(&path), "{}: {path}", object.name());
        }
    }
    let shm = serde_json::to_value(recorder.pod_template()).unwrap();
    let shm = shm["spec"]["volumes"].as_array().unwrap().iter().find(|v| v["name"] == json!("shm")).unwrap().clone();
    assert_eq!(shm["emptyDir"], json!({ "medium": "Memory", "sizeLimit": "2Gi" }));
}

#[test]
fn what_people_talk_on_is_not_evicted() {
    let model = shard_model(&sample());
    let budget = |in_use: bool| {
        let input = ShardInput { model: &model, secrets: &secrets(), state: None, in_use, kinds: Kinds::default() };
        let budgets = shard(input).policies.into_iter().filter(|object| object.kind() == "PodDisruptionBudget");
        let spec = budgets.map(|object| object.document()["spec"].clone()).collect::<Vec<_>>();
        let protects = &spec[3];
        assert_eq!(protects["minAvailable"], json!(i32::MAX), "a plain number: of bare pods no other is counted");
        assert_eq!(protects["selector"]["matchLabels"]["apps.jit.si/protected"], json!("true"));
        spec.iter().filter_map(|spec| spec["maxUnavailable"].as_i64()).collect::<Vec<_>>()
    };
    assert_eq!(budget(true), [0, 0, 1], "prosody, jicofo, web");
    assert_eq!(budget(false), [1, 1, 1]);
    for (component, words) in [("prosody", "false"), ("jicofo", "false"), ("jvb", "false"), ("jibri", "true")] {
        let all = everything(&sample());
        let is = |name: &str| name.ends_with(component) || name.ends_with(&format!("{component}-0"));
        let object = all.iter().find(|o| o.pod_template().is_some() && is(o.name())).unwrap();
        let annotations = object.pod_template().unwrap().metadata.as_ref().unwrap().annotations.clone().unwrap();
        assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], words, "{component}");
    }
}

#[test]
fn a_bridge_that_has_to_go_waits_if_it_was_told_to() {
    let spec = |graceful: bool, kind: &str| {
        from_spec(&json!({ "domain": "m.org", "jvb": {
            "gracefulShutdown": graceful, "gracefulShutdownTimeout": "2h", "strategy": { "type": kind, "replicas": 3 },
        } }))
    };
    for kind in ["static", "daemonset"] {
        let model = shard_model(&spec(true, kind));
        assert_eq!(build_shard(&model, None).bridges.is_some(), kind == "daemonset", "others are pods");
        let bridges = bridges(&model);
        let pod = serde_json::to_value(bridges.pod_template()).unwrap();
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], json!(2 * 3600 + 120));
        let command = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2].as_str().unwrap();
        assert!(command.contains(r#"{"graceful-shutdown":"true"}"#) && command.contains("drain/enable"), "{command}");
        assert_eq!(variables(&bridges)["SHUTDOWN_REST_ENABLED"], json!("true"));
    }
    let at_once = bridges(&shard_model(&spec(false, "static")));
    assert!(container(&at_once)["lifecycle"].is_null());
    assert_eq!(variables(&at_once)["SHUTDOWN_REST_ENABLED"], json!("true"), "the controller drains it all the same");
    let by_load = bridges(&shard_model(&spec(false, "autoscaled")));
    assert!(container(&by_load)["lifecycle"].is_object(), "where nodes come and go, others take pods away");
}

#[test]
fn bridges_do_not_share_a_port_of_a_node() {
    let bridges = bridges(&shard_model(&sample()));
    let pod = serde_json::to_value(bridges.pod_template()).unwrap();
    let required = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(required["topologyKey"], json!("kubernetes.io/hostname"));
    let labels: BTreeMap<String, String> =
        serde_json::from_value(required["labelSelector"]["matchLabels"].clone()).unwrap();
    assert_eq!(labels["apps.jit.si/jitsi"], "jitsi-sample", "those of the other shards too");
    let own = bridges.pod_template().unwrap().metadata.as_ref().unwrap().labels.clone().unwrap();
    assert!(labels.iter().all(|(key, value)| own.get(key) == Some(value)), "it keeps away from its own kind");
}

#[test]
fn only_those_may_connect_who_have_to() {
    let jitsi = from_spec(&json!({ "domain": "m.org", "metrics": true }));
    let policies = build_shard(&shard_model(&jitsi), None).policies;
    let from = |component: &str, port: i64| {
        let name = format!("meet-0-{component}");
        let policy = policies.iter().find(|o| o.kind() == "NetworkPolicy" && o.name() == name).unwrap().document();
        let rules = policy["spec"]["ingress"].as_array().unwrap().clone();
        let rule = rules
            .into_iter()
            .find(|rule| rule["ports"].as_array().unwrap().iter().any(|one| one["port"].as_i64() == Some(port)));
        let rule = rule.unwrap_or_else(|| panic!("nobody may connect to {component}:{port}"));
        let peers = rule["from"].as_array().cloned().unwrap_or_default();
        peers
            .iter()
            .map(|peer| {
                let labels = &peer["podSelector"]["matchLabels"];
                let word = labels["app.kubernetes.io/component"].as_str();
                word.or(labels["app.kubernetes.io/name"].as_str()).unwrap().to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(from("prosody", 5222), ["jicofo", "jvb"], "there are no recorders");
    assert_eq!(from("prosody", 5280), ["web", "prometheus"]);
    assert_eq!(from("jicofo", 8888), ["controller", "prometheus"]);
    assert_eq!(from("jvb", 8080), ["controller", "prometheus"], "its REST port asks nobody for a password");
    assert!(from("jvb", 10_000).is_empty() && from("web", 8000).is_empty(), "everybody");

    let off = from_spec(&json!({ "domain": "m.org", "networkPolicy": { "enabled": false } }));
    assert!(!everything(&off).iter().any(|object| object.kind() == "NetworkPolicy"));
}

#[test]
fn the_users_word_about_pods_counts() {
    let jitsi = from_spec(&json!({ "domain": "m.org", "variables": { "JVB_ADVERTISE_IPS": "198.51.100.1" },
        "prosody": {
            "volumes": [{ "name": "users", "persistentVolumeClaim": { "claimName": "users" } }],
            "volumeMounts": [{ "name": "users", "mountPath": "/var/lib/prosody" }],
            "env": [{ "name": "PROSODY_TRUSTED_PROXIES", "value": "10.1.0.0/16" }],
            "podLabels": { "team": "a" }, "podAnnotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" },
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "k", "operator": "Exists" }] }] } } },
        },
        "web": { "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "zone", "labelSelector": {} }] } } },
        "jvb": { "disableDefaultAffinity": true },
    }));
    let shard = build_shard(&shard_model(&jitsi), None);
    let pod = serde_json::to_value(shard.prosody.pod_template()).unwrap();
    let volumes: Vec<&str> =
        pod["spec"]["volumes"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(volumes, ["run", "tmp", "config", "users"], "the user's folder takes the place of ours");
    assert_eq!(variables(&shard.prosody)["PROSODY_TRUSTED_PROXIES"], json!("10.1.0.0/16"));
    assert_eq!(pod["metadata"]["labels"]["team"], json!("a"));
    assert_eq!(pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], json!("true"));
    assert!(pod["spec"]["affinity"]["nodeAffinity"].is_object());

    let web = serde_json::to_value(shard.web.pod_template()).unwrap()["spec"]["affinity"].clone();
    assert!(web["podAffinity"].is_object() && web["podAntiAffinity"].is_object(), "added, not put in its place");
    let bridges = bridges(&shard_model(&jitsi));
    let jvb = serde_json::to_value(bridges.pod_template()).unwrap()["spec"].clone();
    assert!(jvb["affinity"].is_null(), "the default was switched off");
    assert_eq!(variables(&bridges)["JVB_ADVERTISE_IPS"], json!("198.51.100.1"), "a variable overrides the default");
}

#[test]
fn a_variable_goes_to_those_who_read_it() {
    let model = shard_model(&maximal());
    let (shard, bridge) = (build_shard(&model, None), bridges(&model));
    let shared = shard.env.document()["data"].clone();
    assert_eq!(shared["ENABLE_LOBBY"], json!("1"));
    assert_eq!(shared["MY_OWN"], json!("thing"), "nobody knows who reads it, so all may");
    assert_eq!(shared["AUTH_TYPE"], json!("jwt"));
    assert_eq!(shared["ENABLE_AUTH"], json!("1"));
    for (variable, object) in
        [("VIDEOBRIDGE_MAX_MEMORY", &bridge), ("RESOLUTION", &shard.web), ("TOKEN_AUTH_URL", &shard.web)]
    {
        assert!(shared[variable].is_null(), "{variable} would replace the shard");
        assert!(variables(object).contains_key(variable), "{variable}");
    }
    let prosody = variables(&shard.prosody);
    assert_eq!(prosody["TURNS_HOST"], json!("turn.example.org"));
    assert_eq!(prosody["TURNS_PORT"], json!("5349"));
    assert_eq!(prosody["TURN_CREDENTIALS"]["secretKeyRef"], json!({ "name": "turn", "key": "secret" }));
    assert_eq!(prosody["JWT_APP_SECRET"]["secretKeyRef"], json!({ "name": "jwt", "key": "secret" }));
    assert_eq!(prosody["JVB_AUTH_PASSWORD"]["secretKeyRef"]["name"], json!("meet-secrets"));
    assert!(shard.secret.is_none(), "the user has one");
    let jibri = variables(&recorder_of(&model));
    assert_eq!(jibri["S3_URL"], json!("https://s3.example.org"));
    assert_eq!(jibri["S3_ACCESS_KEY"]["secretKeyRef"], json!({ "name": "bucket", "key": "ACCESS_KEY" }));
}

#[test]
fn what_the_cluster_does_not_know_is_not_made() {
    let model = shard_model(&maximal());
    let whole = jitsi_model(&maximal());
    let unknown = |kind: &str| kind == "PodMonitor" || kind == "HTTPRoute";
    let count = |kinds: Kinds| {
        let input = ShardInput { model: &model, secrets: &secrets(), state: None, in_use: true, kinds };
        let shard = shard(input);
        let edge = jitsi(JitsiInput { model: &whole, secrets: &jitsi_secrets(), kinds });
        shard.all().into_iter().chain(edge.all()).filter(|object| unknown(&object.kind())).count()
    };
    assert_eq!(count(Kinds::default()), 0);
    assert_eq!(count(ALL_KINDS), 4 + 1 + 1, "prosody, jicofo, jvb, jibri; proxies; the route");
}

#[test]
fn the_ways_in_lead_to_the_proxies() {
    let edge = build_jitsi(&jitsi_model(&maximal()));
    let ingress = edge.routes[0].document();
    assert_eq!(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"], json!("3600"));
    assert_eq!(ingress["metadata"]["annotations"]["example.org/x"], json!("z"));
    assert_eq!(
        ingress["spec"]["tls"],
        json!([{ "hosts": ["meet.example.org", "www.example.org"], "secretName": "wildcard" }])
    );
    let service = edge.services[0].document();
    let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend["name"], service["metadata"]["name"]);
    assert_eq!(backend["port"]["name"], service["spec"]["ports"][0]["name"]);
    assert_eq!(service["spec"]["type"], json!("LoadBalancer"));
    assert_eq!(service["spec"]["ports"][0]["nodePort"], json!(30_080));
    let route = edge.routes[1].document();
    assert_eq!(route["apiVersion"], json!("gateway.networking.k8s.io/v1"));
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0]["name"], service["metadata"]["name"]);
    assert_eq!(route["spec"]["parentRefs"][0]["sectionName"], json!("https"));
    let config: Value =
        serde_saphyr::from_str(edge.config.unwrap().document()["data"]["roompin.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(config["rooms"], json!({ "ttl": "20m" }), "the user's configuration lies over ours");
    assert_eq!(config["shutdown"]["drain_window"], json!("40s"));

    let plain = from_spec(&json!({ "domain": "m.org", "ingress": { "enabled": true, "tls": true } }));
    let ingress = build_jitsi(&jitsi_model(&plain)).routes[0].document();
    assert_eq!(ingress["spec"]["tls"][0]["secretName"], json!("m.org-tls"), "as the earlier operator had it");
    let none = from_spec(&json!({ "domain": "m.org", "proxy": { "enabled": false } }));
    assert!(build_jitsi(&jitsi_model(&none)).all().is_empty());
}

#[test]
fn the_sidecar_in_the_images_says_the_name_of_its_pod() {
    use crate::build::{Component, env};
    let mut model = shard_model(&maximal());
    let of = |model: &ShardModel, component, name: &str| {
        env::component(model, component, &[]).into_iter().find(|variable| variable.name == name)
    };
    let (id, group) = ("AUTOSCALER_SIDECAR_INSTANCE_ID", "AUTOSCALER_SIDECAR_GROUP_NAME");
    assert_eq!(of(&model, Component::Jvb, id), None, "nobody asked for it");
    model.variables.insert("AUTOSCALER_URL".to_owned(), "http://roompin-controller:3000".to_owned());
    let field = of(&model, Component::Jvb, id).and_then(|one| one.value_from?.field_ref).unwrap();
    assert_eq!(field.field_path, "metadata.name");
    let named = of(&model, Component::Jibri, group).and_then(|one| one.value).unwrap();
    assert_eq!(named, format!("{}-jibri", model.name));
    assert_eq!(of(&model, Component::Prosody, id), None);
    model.variables.insert(group.to_owned(), "mine".to_owned());
    assert_eq!(of(&model, Component::Jibri, group), None, "the user's word stands in what all share");
}
