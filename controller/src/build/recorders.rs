//! Recorders as a Deployment, as the operator that came before had them. Spares and the isolation of busy ones are issue 6.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{ConfigMap, Lifecycle, LifecycleHandler},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Component, Object, checksum, env,
    labels::{name, of_shard, selector, shard_meta, shard_pods},
    pod::{self, Parts},
    prosody::env_checksum,
};
use crate::validate::{RecordersModel, ShardModel};

const JIBRI: Component = Component::Jibri;

/// How long a recorder may take to end what it records and upload it.
const GRACE: i64 = 4 * 3600;

/// Both APIs are bound to loopback unless said otherwise. The outer one has to be seen by the controller and by
/// Prometheus; the inner one, which ends recordings, stays inside.
const CONFIG: &str = "jibri.api.http.external-api-host = \"0.0.0.0\"\n";

/// Ends by itself when it is idle, and finishes what it records before; the loop keeps the pod until then.
const LEAVE: &str = "\
curl -s -m 5 -X POST http://localhost:3333/jibri/api/internal/v1.0/gracefulShutdown
while curl -sf -m 5 -o /dev/null http://localhost:2222/jibri/api/v1.0/health; do sleep 5; done
";

/// Uploads what was recorded. A file that has arrived is removed; one that has not stays for another attempt by hand.
const UPLOAD: &str = r#"#!/bin/sh
set -u
folder="$1"
[ -n "${S3_BUCKET:-}" ] || exit 0
failed=0
for file in "$folder"/*; do
    [ -f "$file" ] || continue
    target="${S3_URL%/}/$S3_BUCKET/$(basename "$folder")/$(basename "$file")"
    printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY" "$S3_SECRET_KEY" |
        curl -sSf --config - --retry 5 --aws-sigv4 "aws:amz:${S3_REGION:-us-east-1}:s3" -T "$file" "$target" &&
        rm -f "$file" || { echo "not uploaded: $file" >&2; failed=1; }
done
exit "$failed"
"#;

/// ConfigMap and Deployment, or nothing.
pub(super) fn objects(model: &ShardModel) -> Vec<Object> {
    let Some(recorders) = &model.recorders else { return Vec::new() };
    let files = files();
    let deployment = deployment(model, recorders, &files);
    let metadata = shard_meta(model, name(&model.name, JIBRI), JIBRI.as_str());
    vec![ConfigMap { metadata, data: Some(files), ..Default::default() }.into(), deployment]
}

fn files() -> BTreeMap<String, String> {
    [("custom-jibri.conf", CONFIG), ("finalize.sh", UPLOAD)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn deployment(model: &ShardModel, recorders: &RecordersModel, files: &BTreeMap<String, String>) -> Object {
    let mut ours = vec![
        ("JIBRI_STRIP_DOMAIN_JID", "muc"),
        ("JIBRI_RECORDING_DIR", "/storage/recordings"),
        ("JIBRI_FINALIZE_RECORDING_SCRIPT_PATH", "/config/finalize.sh"),
        ("JIBRI_ENABLE_PROMETHEUS", if model.metrics { "true" } else { "false" }),
        // One that ends after each recording would need somebody who makes another.
        ("JIBRI_SINGLE_USE_MODE", "false"),
        ("XMPP_ENV_NAME", model.name.as_str()),
        ("DISPLAY", ":0"),
    ];
    if let Some(bucket) = &recorders.bucket {
        ours.extend([
            ("S3_URL", bucket.url.as_str()),
            ("S3_BUCKET", bucket.name.as_str()),
            ("S3_REGION", bucket.region.as_str()),
        ]);
    }
    let mut env = env::component(model, JIBRI, &ours);
    env::otherwise(&mut env, env::field("JIBRI_INSTANCE_ID", "metadata.name"));
    for password in ["JIBRI_XMPP_PASSWORD", "JIBRI_RECORDER_PASSWORD"] {
        env.push(env::secret(password, &model.secret, password));
    }
    if let Some(bucket) = &recorders.bucket {
        env.push(env::secret("S3_ACCESS_KEY", &bucket.secret, "ACCESS_KEY"));
        env.push(env::secret("S3_SECRET_KEY", &bucket.secret, "SECRET_KEY"));
    }

    let own = name(&model.name, JIBRI);
    let mut volumes = pod::official_volumes("256Mi");
    volumes.push(pod::scratch("recordings", "/storage", None, false));
    // Chrome writes video frames there, and the image does not start with less.
    volumes.push(pod::scratch("shm", "/dev/shm", Some("2Gi"), true));
    volumes.push(pod::file("settings", &own, "custom-jibri.conf", "/config/custom-jibri.conf", None));
    let script = recorders.finalize.as_deref().unwrap_or(&own);
    volumes.push(pod::file("finalize", script, "finalize.sh", "/config/finalize.sh", Some(0o555)));

    let mut annotations = pod::never_evict();
    annotations.extend([env_checksum(model), ("apps.jit.si/files-checksum".to_owned(), checksum(files))]);
    let health = [
        "/bin/sh",
        "-c",
        "curl -sf -m 4 http://localhost:2222/jibri/api/v1.0/health | grep -q '\"healthStatus\":\"HEALTHY\"'",
    ];
    let template = pod::template(
        &recorders.pod,
        Parts {
            container: JIBRI.as_str(),
            labels: of_shard(model, JIBRI.as_str()),
            annotations,
            env,
            env_from: vec![env::from_shared(model)],
            ports: vec![pod::port("http", 2222)],
            volumes,
            readiness: Some(pod::exec(&health, pod::Pace { period: 10, failures: 3 })),
            startup: Some(pod::exec(&health, pod::START)),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    exec: Some(pod::command_of(&["/bin/sh", "-c", LEAVE])),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            grace: Some(GRACE),
            affinity: pod::rather_away_from(shard_pods(model, Component::Jvb)),
            // Chrome builds its sandbox out of namespaces, which the default seccomp profile allows only beside this.
            add_capabilities: vec!["SYS_ADMIN".to_owned()],
            user: 1000,
            ..Default::default()
        },
    );
    Deployment {
        metadata: shard_meta(model, own, JIBRI.as_str()),
        spec: Some(DeploymentSpec {
            replicas: Some(recorders.group.options.min),
            selector: selector(shard_pods(model, JIBRI)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template,
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}
