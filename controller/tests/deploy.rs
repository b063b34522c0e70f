//! deploy/: that kustomize and Helm render it, that an apiserver takes every object of it word for word, and that the
//! programs in its pods can read what they are given.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "deploy/render.rs"]
mod render;
#[path = "deploy/rules.rs"]
mod rules;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use controller::{
    api::Jitsi,
    build::{self, JitsiInput, JitsiSecrets, Kinds},
    crds,
    validate::{self, Defaults},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, ValidationDirective},
    core::GroupVersionKind,
};
use rand::SeedableRng;
use serde_json::{Value, json};
use testkit::ApiServer;

use self::render::{Case, helm, kustomize, read, root};

/// Kinds that have no namespace.
const ACROSS: [&str; 4] = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"];

/// Applies an object as `kubectl apply --server-side --validate=strict` does.
async fn apply(client: &Client, object: &Value, home: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let name = text(&object["metadata"]["name"]);
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api: Api<DynamicObject> = if ACROSS.contains(&kind.as_str()) {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), object["metadata"]["namespace"].as_str().unwrap_or(home), &resource)
    };
    let params = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply("kubectl") };
    let answer = api.patch(&name, &params, &Patch::Apply(object)).await;
    answer.map(|object| serde_json::to_value(object).unwrap()).map_err(|why| format!("{kind} {name}: {why}"))
}

/// An API server with what Helm's `crds/` or another operator would have brought.
async fn cluster(with: &[Value]) -> Client {
    let client = ApiServer::new().client("jitsi");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jitsi"}});
    for object in [&namespace].into_iter().chain(with) {
        apply(&client, object, "jitsi").await.unwrap();
    }
    client
}

fn ours() -> Vec<Value> {
    crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

/// Everything that can be wrong with a set of objects.
async fn check(what: &str, client: &Client, objects: &[Value]) {
    let mut wrong = rules::selectors(objects);
    for object in objects {
        let (kind, name) = (object["kind"].as_str().unwrap(), &object["metadata"]["name"]);
        if ACROSS.contains(&kind) && !object["metadata"]["namespace"].is_null() {
            wrong.push(format!("{kind} {name}: it has a namespace, which this kind cannot have"));
        }
        wrong.extend(rules::restricted(object).into_iter().map(|why| format!("{kind} {name}: {why}")));
        wrong.extend(apply(client, object, "jitsi").await.err());
    }
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[tokio::test]
async fn an_apiserver_takes_what_kustomize_builds() {
    // The ClusterRole for nodes comes beside the controller's own, but in the base.
    for (folder, role, roles, nodes) in
        [("base", "Role", 1, 0), ("overlays/cluster-wide", "ClusterRole", 2, 1), ("overlays/sample", "Role", 1, 1)]
    {
        let objects = kustomize(folder);
        check(folder, &cluster(&[]).await, &objects).await;
        assert_eq!(of_kind(&objects, "CustomResourceDefinition").len(), 2, "{folder}");
        assert_eq!(of_kind(&objects, role).len(), roles, "{folder}");
        let deployment = of_kind(&objects, "Deployment")[0];
        let mut bindings = of_kind(&objects, &format!("{role}Binding"));
        assert_eq!(bindings.len(), roles, "{folder}");
        if role == "Role" {
            bindings.extend(of_kind(&objects, "ClusterRoleBinding"));
        }
        let of_nodes = bindings.iter().filter(|binding| binding["roleRef"]["name"] == "roompin-controller-nodes");
        assert_eq!(of_nodes.count(), nodes, "{folder}");
        for binding in bindings {
            assert_eq!(binding["subjects"][0]["namespace"], deployment["metadata"]["namespace"], "{folder}");
        }
        let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        assert_eq!(args.contains(&json!("--all-namespaces")), role == "ClusterRole", "{folder}");
        assert_eq!(of_kind(&objects, "Jitsi").len(), usize::from(folder.ends_with("sample")));
    }
}

#[tokio::test]
async fn an_apiserver_takes_what_helm_renders() {
    let chart = helm(&[
        Case { case: "defaults", name: "roompin", values: json!({}) },
        Case { case: "cluster-wide", name: "roompin", values: json!({"controller": {"clusterWide": true}}) },
        Case { case: "no nodes", name: "roompin", values: json!({"controller": {"nodes": false}}) },
        Case {
            case: "three shards",
            name: "meet",
            values: json!({"jitsi": {"enabled": true, "domain": "meet.example.org", "shardCount": 3}}),
        },
        Case {
            case: "proxy alone",
            name: "front",
            values: json!({
                "controller": {"enabled": false},
                "proxy": {"enabled": true, "podMonitor": true, "podAnnotations": {"example.org/team": "video"},
                    "ingress": {"enabled": true, "host": "meet.example.org", "className": "nginx",
                        "tlsSecretName": "meet-tls", "annotations": {"example.org/a": "b"}}},
            }),
        },
        Case { case: "no domain", name: "meet", values: json!({"jitsi": {"enabled": true}}) },
    ]);
    assert_eq!(chart.lint_errors, Vec::<String>::new());
    let with = ours();
    for case in ["defaults", "cluster-wide", "no nodes", "three shards"] {
        check(case, &cluster(&with).await, &chart.objects(case)).await;
    }
    let names: Vec<Value> =
        chart.objects("defaults").iter().map(|object| json!([object["kind"], object["metadata"]["name"]])).collect();
    assert!(names.contains(&json!(["Role", "roompin-controller"])), "{names:?}");
    for (case, number) in [("defaults", 1), ("cluster-wide", 2), ("no nodes", 0)] {
        assert_eq!(of_kind(&chart.objects(case), "ClusterRole").len(), number, "{case}");
    }
    let three = chart.objects("three shards");
    let jitsi = of_kind(&three, "Jitsi")[0];
    assert_eq!((&jitsi["metadata"]["name"], &jitsi["spec"]["shards"]), (&json!("meet"), &json!(3)));

    let monitor = rules::foreign("monitoring.coreos.com", "podmonitors", "PodMonitor");
    let alone = chart.objects("proxy alone");
    check("proxy alone", &cluster(&[monitor]).await, &alone).await;
    assert!(of_kind(&alone, "Deployment").is_empty() && of_kind(&alone, "StatefulSet").len() == 1);

    let error = chart.cases["no domain"]["error"].as_str().unwrap();
    assert!(error.contains("jitsi.domain is missing: the host name that people open"), "{error}");
}

/// The checks above can fail.
#[tokio::test]
async fn what_is_misspelt_too_wide_or_too_free_is_found() {
    let client = cluster(&[]).await;
    let mut objects = kustomize("base");
    let misspelt = |objects: &[Value]| {
        let mut one = of_kind(objects, "Deployment")[0].clone();
        one["spec"]["replica"] = json!(2);
        one
    };
    for object in objects.iter().filter(|object| object["kind"] == "Namespace") {
        apply(&client, object, "jitsi").await.unwrap();
    }
    let why = apply(&client, &misspelt(&objects), "jitsi").await.unwrap_err();
    assert!(why.contains("spec.replica"), "{why}");
    for object in &mut objects {
        if object["kind"] == "PodDisruptionBudget" {
            object["spec"]["selector"] = json!({});
        }
        if object["kind"] == "Deployment" {
            object["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"] = json!(null);
            assert_eq!(rules::restricted(object).len(), 1);
        }
    }
    assert_eq!(rules::selectors(&objects).len(), 1, "{:?}", rules::selectors(&objects));
}

#[test]
fn the_rules_are_the_same_everywhere() {
    let rules = |path: &str| -> Value {
        let all: Value = serde_saphyr::from_str(&read(path)).unwrap();
        all["rules"].clone()
    };
    let base = rules("deploy/kustomize/base/role.yaml");
    assert!(base.as_array().unwrap().len() > 5);
    for copy in ["deploy/kustomize/overlays/cluster-wide/cluster-role.yaml", "deploy/helm/roompin/files/rules.yaml"] {
        assert_eq!(rules(copy), base, "{copy} has not the rules of deploy/kustomize/base/role.yaml: copy them");
    }
    let nodes = rules("deploy/kustomize/components/nodes/cluster-role.yaml");
    let wide = &helm(&[Case { case: "wide", name: "x", values: json!({"controller": {"clusterWide": true}}) }]);
    let wide = wide.objects("wide");
    let roles: Vec<_> = of_kind(&wide, "ClusterRole").into_iter().map(|role| &role["rules"]).collect();
    assert_eq!(roles, [&base, &nodes], "what Helm makes of it");
}

/// The real parser of roompin-proxy on a configuration whose files are in `folder` instead of in the pod.
fn parse(text: &str, folder: &Path) {
    let here = folder.to_str().unwrap();
    let text = text.replace("/etc/roompin", here).replace("/var/lib/roompin", here);
    let loaded = proxy::config::Config::parse(&text, &folder.join("roompin.yaml"));
    let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert!(loaded.warnings.is_empty(), "{:?}\n{text}", loaded.warnings);
}

/// Writes what a Secret holds to where a pod would see it.
fn mount(secret: &Value, folder: &Path) {
    let secret: Secret = serde_json::from_value(secret.clone()).unwrap();
    fs::create_dir_all(folder).unwrap();
    for (file, bytes) in secret.data.unwrap() {
        let _ = fs::remove_file(folder.join(&file));
        fs::write(folder.join(&file), bytes.0).unwrap();
        // As both have it: `defaultMode` 0440.
        fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o440)).unwrap();
    }
}

#[test]
fn the_proxy_reads_what_helm_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let chart = helm(&[Case { case: "proxy", name: "front", values: json!({"proxy": {"enabled": true}}) }]);
    let objects = chart.objects("proxy");
    for secret in of_kind(&objects, "Secret") {
        mount(secret, &folder.path().join("secrets"));
    }
    let config = of_kind(&objects, "ConfigMap")[0]["data"]["roompin.yaml"].as_str().unwrap();
    parse(config, folder.path());
}

#[test]
fn the_proxy_reads_what_the_controller_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut jitsi: Jitsi = serde_saphyr::from_str(include_str!("data/sample.yaml")).unwrap();
    jitsi.metadata.namespace = Some("jitsi".to_owned());
    jitsi.metadata.uid = Some("00000000-0000-0000-0000-000000000001".to_owned());
    let secrets = JitsiSecrets::generate(&mut rand::rngs::StdRng::seed_from_u64(1));
    for config in [json!({}), json!({"rooms": {"ttl": "20m"}, "log": {"level": "debug"}})] {
        jitsi.spec.proxy = Some(serde_json::from_value(json!({"config": config})).unwrap());
        let model = validate::jitsi(&jitsi, &Defaults::default(), None).unwrap();
        let objects = build::jitsi(JitsiInput { model: &model, secrets: &secrets, kinds: Kinds::default() });
        let documents: Vec<Value> = objects.all().iter().map(|object| object.document()).collect();
        for secret in of_kind(&documents, "Secret") {
            let name = secret["metadata"]["name"].as_str().unwrap();
            mount(secret, &folder.path().join(if name.ends_with("-admin") { "admin" } else { "mesh" }));
        }
        let config = of_kind(&documents, "ConfigMap")[0]["data"]["roompin.yaml"].as_str().unwrap();
        parse(config, folder.path());
    }
}

#[test]
fn the_image_is_built_from_this_workspace() {
    let text = read("deploy/Dockerfile");
    for needed in ["--locked", "USER 65532:65532", "/usr/local/bin/roompin-proxy /usr/local/bin/roompin-controller"] {
        assert!(text.contains(needed), "{needed}");
    }
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(text.contains(&format!("rust:{version}")), "the builder is not Rust {version}");
    assert!(root().join("Cargo.lock").exists());
}
