use crate::schema::Schema;
use serde_json::{Value, json};

fn schema(group: &str, version: &str, kind: &str) -> Schema {
    Schema::builtin(group, version, kind).unwrap()
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "x"}},
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
}

fn causes(kind: (&str, &str), new: &Value, old: Option<&Value>) -> Vec<String> {
    schema(kind.0, "v1", kind.1).validate(new, old).iter().map(ToString::to_string).collect()
}

const ALL: &[(&str, &str, &str)] = &[
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "Endpoints"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Event"),
    ("", "v1", "Namespace"),
    ("", "v1", "Node"),
    ("", "v1", "PersistentVolumeClaim"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "ReplicaSet"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    ("coordination.k8s.io", "v1", "Lease"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("events.k8s.io", "v1", "Event"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
];

#[test]
fn every_promised_kind_is_known_and_its_defaults_settle() {
    for (group, version, kind) in ALL {
        let schema = schema(group, version, kind);
        let mut document = json!({"apiVersion": "x", "kind": kind, "metadata": {"name": "x"}, "odd": 1});
        assert_eq!(schema.unknown_fields(&document), ["odd"], "{kind}");
        schema.prune(&mut document);
        schema.default(&mut document);
        let once = document.clone();
        schema.default(&mut document);
        assert_eq!(document, once, "{kind}");
        assert_eq!(schema.unknown_fields(&document), Vec::<String>::new(), "{kind}: a default nobody knows");
        assert_eq!(schema.decode(&document), Ok(()), "{kind}");
    }
    assert!(Schema::builtin("apps", "v1beta1", "Deployment").is_none());
}

#[test]
fn a_deployment_gets_the_defaults_of_a_real_server() {
    let mut new = deployment();
    new["spec"]["template"]["spec"]["containers"][0] = json!({"name": "c", "image": "ghcr.io/x/y", "env": [],
        "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}});
    new["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "m"}}, {"name": "e"}]);
    new["spec"]["template"]["spec"]["serviceAccountName"] = json!("sa");
    schema("apps", "v1", "Deployment").default(&mut new);
    assert_eq!(
        new["spec"],
        json!({"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                "terminationGracePeriodSeconds": 30, "securityContext": {},
                "serviceAccountName": "sa", "serviceAccount": "sa",
                "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}},
                    {"name": "e", "emptyDir": {}}],
                "containers": [{"name": "c", "image": "ghcr.io/x/y", "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                        "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}}]}}})
    );
    assert_eq!(new["status"], json!({}));
}

#[test]
fn a_service_and_a_secret_get_theirs() {
    let mut service = json!({"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}],
        "clusterIP": "None"}});
    schema("", "v1", "Service").default(&mut service);
    assert_eq!(
        service["spec"],
        json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "selector": {"a": "b"}, "clusterIP": "None",
            "clusterIPs": ["None"], "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
    );
    let mut secret = json!({"metadata": {"name": "s"}, "data": {"a": "eA=="}, "stringData": {"a": "y", "b": "z"}});
    schema("", "v1", "Secret").default(&mut secret);
    assert_eq!(secret, json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": "eQ==", "b": "eg=="}}));
}

#[test]
fn what_go_drops_is_dropped_and_what_it_keeps_is_kept() {
    let mut pod = json!({"metadata": {"name": "p", "labels": {}, "creationTimestamp": null}, "spec": {
        "nodeName": "", "hostNetwork": false, "affinity": {}, "volumes": [],
        "containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": ""}],
            "securityContext": {"runAsNonRoot": false}}]}});
    schema("", "v1", "Pod").default(&mut pod);
    assert_eq!(pod["metadata"], json!({"name": "p"}));
    let spec = &pod["spec"];
    assert_eq!([&spec["nodeName"], &spec["hostNetwork"], &spec["volumes"]], [&Value::Null; 3]);
    assert_eq!(spec["affinity"], json!({}));
    assert_eq!(spec["containers"][0]["env"], json!([{"name": "A"}]));
    assert_eq!(spec["containers"][0]["securityContext"], json!({"runAsNonRoot": false}));
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
}

#[test]
fn wrong_types_are_refused_in_gos_words() {
    let refuse = |change: fn(&mut Value)| {
        let mut new = deployment();
        change(&mut new);
        let error = schema("apps", "v1", "Deployment").decode(&new).unwrap_err();
        assert_eq!(error.code, 400);
        let start = "Deployment in version \"v1\" cannot be handled as a Deployment: ";
        error.message.strip_prefix(start).unwrap().to_owned()
    };
    assert_eq!(
        refuse(|d| d["spec"]["replicas"] = json!("x")),
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        refuse(|d| d["spec"]["template"]["spec"]["containers"] = json!({})),
        "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"
    );
    assert_eq!(
        refuse(|d| d["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": 1}])),
        "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string"
    );
    assert_eq!(
        refuse(|d| d["spec"]["replicas"] = json!(1.5)),
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert!(
        refuse(|d| d["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "much"}}))
            .starts_with("quantities must match the regular expression")
    );
    assert_eq!(
        refuse(|d| d["metadata"]["labels"] = json!({"a": 1})),
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
    );
}

#[test]
fn objects_kubernetes_would_refuse_are_refused() {
    let mut good = deployment();
    schema("apps", "v1", "Deployment").default(&mut good);
    assert_eq!(causes(("apps", "Deployment"), &good, None), Vec::<String>::new());
    let mut bad = good.clone();
    bad["spec"]["template"]["metadata"]["labels"]["app"] = json!("y");
    bad["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    assert_eq!(
        causes(("apps", "Deployment"), &bad, None),
        [
            "spec.template.metadata.labels: Invalid value: {\"app\":\"y\"}: `selector` does not match template `labels`",
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ]
    );
    let mut moved = good.clone();
    moved["spec"]["selector"]["matchLabels"] = json!({"app": "x", "new": "1"});
    moved["spec"]["template"]["metadata"]["labels"]["new"] = json!("1");
    let found = causes(("apps", "Deployment"), &moved, Some(&good));
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("field is immutable"), "{found:?}");
    let mut empty = good.clone();
    empty["spec"].as_object_mut().unwrap().remove("selector");
    assert_eq!(causes(("apps", "Deployment"), &empty, None), ["spec.selector: Required value"]);
}

#[test]
fn a_stateful_set_and_a_pod_change_only_where_they_may() {
    let mut old = deployment();
    old["spec"]["serviceName"] = json!("s");
    let mut scaled = old.clone();
    scaled["spec"]["replicas"] = json!(3);
    assert!(causes(("apps", "StatefulSet"), &scaled, Some(&old)).is_empty());
    let mut renamed = old.clone();
    renamed["spec"]["serviceName"] = json!("t");
    assert!(
        causes(("apps", "StatefulSet"), &renamed, Some(&old))[0].starts_with("spec: Forbidden: updates to statefulset")
    );

    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    let mut new = pod.clone();
    new["spec"]["containers"][0]["image"] = json!("i:2");
    new["spec"]["nodeName"] = json!("n");
    assert!(causes(("", "Pod"), &new, Some(&pod)).is_empty());
    let mut moved = new.clone();
    moved["spec"]["nodeName"] = json!("other");
    assert!(causes(("", "Pod"), &moved, Some(&new))[0].starts_with("spec: Forbidden: pod updates may not change"));
}

#[test]
fn names_and_labels_are_held_to_their_forms() {
    let map = |metadata: Value| json!({"metadata": metadata});
    let found = |metadata: Value| causes(("", "ConfigMap"), &map(metadata), None);
    assert_eq!(found(json!({"name": "a.b-c"})), Vec::<String>::new());
    assert!(found(json!({"name": "A"}))[0].starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123"));
    assert_eq!(found(json!({})), ["metadata.name: Required value: name or generateName is required"]);
    let long = "x".repeat(64);
    assert!(found(json!({"name": "a", "labels": {"k": long}}))[0].ends_with("must be no more than 63 bytes"));
    assert!(found(json!({"name": "a", "labels": {"k": "a b"}}))[0].contains("a valid label must be an empty string"));
    assert!(found(json!({"name": "a", "labels": {"-/k": "a"}}))[0].contains("prefix part"));
    assert!(found(json!({"name": "a", "finalizers": ["plain"]}))[0].contains("nor is it fully qualified"));
    let service = json!({"metadata": {"name": "1a"}, "spec": {"ports": [{"port": 1}]}});
    assert!(causes(("", "Service"), &service, None)[0].contains("DNS-1035"));
}

#[test]
fn services_need_good_ports() {
    let service = |ports: Value| json!({"metadata": {"name": "s"}, "spec": {"ports": ports}});
    let found = |ports: Value| causes(("", "Service"), &service(ports), None);
    assert_eq!(found(json!([])), ["spec.ports: Required value"]);
    assert_eq!(
        found(json!([{"port": 0}])),
        ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]
    );
    assert_eq!(
        found(json!([{"port": 1, "name": "a"}, {"port": 1, "name": "a"}])),
        [
            "spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":null}",
            "spec.ports[1].name: Duplicate value: \"a\"",
        ]
    );
}

#[test]
fn a_crd_with_a_nested_schema_is_taken_whole() {
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "xs.g"}, "spec": {"group": "g", "scope": "Namespaced",
            "names": {"kind": "X", "plural": "xs"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer",
                    "x-kubernetes-validations": [{"rule": "self > 0"}]}}}}}}}]}});
    let schema = schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    assert_eq!(schema.unknown_fields(&crd), Vec::<String>::new());
    assert_eq!(schema.decode(&crd), Ok(()));
    let mut new = crd.clone();
    schema.default(&mut new);
    assert_eq!(new["spec"]["versions"], crd["spec"]["versions"]);
    assert_eq!(new["spec"]["names"]["listKind"], "XList");
    assert!(schema.validate(&new, None).is_empty(), "{:?}", schema.validate(&new, None));
}
