//! Recorders: bare pods, each of which records once.
//!
//! A Deployment would take away any of its pods, and would not let one go that records. These are made one by one, set apart by
//! label while they record, and deleted when they have. What one recorder has to itself is its name, and with it the address to
//! which it reports.

mod webhook;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, EnvVar, Lifecycle, LifecycleHandler, Pod, PodTemplateSpec};

pub use self::webhook::Webhook;
use super::{
    Component, Object, checksum, env,
    labels::{name, of_shard, shard_meta, shard_pods},
    pod::{self, Parts},
    prosody::env_checksum,
};
use crate::{
    api::{GroupKind, PROTECTED_UNTIL, TEMPLATE_REVISION},
    plan::report::Busy,
    validate::{RecordersModel, ShardModel},
};

/// What is left of the grace period after the last upload.
const AFTER_THE_LAST: i64 = 60;

/// Both APIs are bound to loopback unless said otherwise. The outer one has to be seen by the controller and by
/// Prometheus; the inner one, which ends recordings, stays inside.
const CONFIG: &str = "jibri.api.http.external-api-host = \"0.0.0.0\"\n";

/// For everybody who deletes or evicts the pod: it ends by itself when it is idle, and finishes what it records before; the
/// loop keeps the pod until then. So a recorder that is taken in the very moment it is deleted still records to the end.
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

/// Well, and able to record: one that has recorded is not ready any more, so that Kubernetes too knows that it is of no use.
const WELL: &str = "curl -sf -m 4 http://localhost:2222/jibri/api/v1.0/health | \
    grep '\"healthStatus\":\"HEALTHY\"' | grep -vq '\"busyStatus\":\"EXPIRED\"'";

/// The MUC in which jicofo finds recorders that dial out by SIP.
pub(super) const SIP_BREWERY: &str = "sipjibribrewery";

/// Recorders of one of both kinds, where they are wanted.
pub fn of_kind(model: &ShardModel, kind: GroupKind) -> Option<&RecordersModel> {
    match kind {
        GroupKind::Jibri => model.recorders.as_ref(),
        GroupKind::SipJibri => model.sip_recorders.as_ref(),
        GroupKind::Jvb | GroupKind::Jigasi => None,
    }
}

fn kinds(model: &ShardModel) -> impl Iterator<Item = GroupKind> + '_ {
    [GroupKind::Jibri, GroupKind::SipJibri].into_iter().filter(|kind| of_kind(model, *kind).is_some())
}

/// The files that recorders read.
pub(super) fn objects(model: &ShardModel) -> Vec<Object> {
    let map = |kind: GroupKind| {
        let metadata = shard_meta(model, name(&model.name, kind.into()), kind.as_str());
        ConfigMap { metadata, data: Some(files()), ..Default::default() }.into()
    };
    kinds(model).map(map).collect()
}

fn files() -> BTreeMap<String, String> {
    [("custom-jibri.conf", CONFIG), ("finalize.sh", UPLOAD)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// What one recorder has to itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecorderPlace<'a> {
    /// Name of its pod.
    pub name: &'a str,
    /// Where it reports; None: it is only asked.
    pub webhook: Option<&'a Webhook>,
    /// It is not taken away by load until then.
    pub protected_until: Option<Timestamp>,
    /// The environment that it reads when it starts is not the one that is meant.
    pub unsettled: bool,
}

/// A recorder's pod, where such recorders are wanted.
pub fn recorder(model: &ShardModel, kind: GroupKind, place: &RecorderPlace<'_>) -> Option<Pod> {
    let template = template(model, kind)?;
    let (meta, mut spec) = (template.metadata.unwrap_or_default(), template.spec.unwrap_or_default());
    // A crash is the kubelet's business, with its back-off; an end by itself is the end.
    spec.restart_policy = Some("OnFailure".to_owned());
    if let (Some(webhook), Some(container)) = (place.webhook, spec.containers.first_mut()) {
        subscribe(&mut container.env, webhook.subscriber(&model.namespace, place.name));
    }
    let mut metadata = shard_meta(model, place.name.to_owned(), kind.as_str());
    metadata.labels.get_or_insert_default().extend(meta.labels.unwrap_or_default());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.extend(meta.annotations.unwrap_or_default());
    annotations.extend(eviction(Busy::Idle));
    let revision = if place.unsettled { "unsettled".to_owned() } else { recorder_revision(model, kind)? };
    annotations.insert(TEMPLATE_REVISION.to_owned(), revision);
    if let Some(until) = place.protected_until {
        annotations.insert(PROTECTED_UNTIL.to_owned(), until.to_string());
    }
    Some(Pod { metadata, spec: Some(spec), status: None })
}

/// The fingerprint of what recorders are made of, without what each has to itself.
pub fn recorder_revision(model: &ShardModel, kind: GroupKind) -> Option<String> {
    template(model, kind).map(|template| checksum(&template))
}

/// What cluster autoscalers may do to a recorder.
pub fn eviction(busy: Busy) -> [(String, String); 2] {
    let may = if busy == Busy::Busy { ("false", "true") } else { ("true", "false") };
    [
        ("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), may.0.to_owned()),
        ("karpenter.sh/do-not-disrupt".to_owned(), may.1.to_owned()),
    ]
}

/// Reports here too, where the user already has subscribers.
fn subscribe(env: &mut Option<Vec<EnvVar>>, subscriber: String) {
    const VARIABLE: &str = "JIBRI_WEBHOOK_SUBSCRIBERS";
    let env = env.get_or_insert_default();
    match env.iter_mut().find(|variable| variable.name == VARIABLE) {
        Some(there) => match &mut there.value {
            Some(value) if !value.is_empty() => value.push_str(&format!(",{subscriber}")),
            _ => {}
        },
        None => env.push(EnvVar { name: VARIABLE.to_owned(), value: Some(subscriber), value_from: None }),
    }
}

fn template(model: &ShardModel, kind: GroupKind) -> Option<PodTemplateSpec> {
    let recorders = of_kind(model, kind)?;
    let component = Component::from(kind);
    let files = files();
    let mut ours = vec![
        ("JIBRI_STRIP_DOMAIN_JID", "muc"),
        ("JIBRI_RECORDING_DIR", "/storage/recordings"),
        ("JIBRI_FINALIZE_RECORDING_SCRIPT_PATH", "/config/finalize.sh"),
        ("JIBRI_ENABLE_PROMETHEUS", if model.metrics { "true" } else { "false" }),
        // It records once, and another takes its place: so a recorder that is deleted has nothing left to lose.
        ("JIBRI_SINGLE_USE_MODE", "true"),
        ("XMPP_ENV_NAME", model.name.as_str()),
        ("DISPLAY", ":0"),
    ];
    if kind == GroupKind::SipJibri {
        ours.push(("JIBRI_BREWERY_MUC", SIP_BREWERY));
    }
    if let Some(bucket) = &recorders.bucket {
        ours.extend([
            ("S3_URL", bucket.url.as_str()),
            ("S3_BUCKET", bucket.name.as_str()),
            ("S3_REGION", bucket.region.as_str()),
        ]);
    }
    let mut env = env::component(model, component, &ours);
    env::otherwise(&mut env, env::field("JIBRI_INSTANCE_ID", "metadata.name"));
    for password in ["JIBRI_XMPP_PASSWORD", "JIBRI_RECORDER_PASSWORD"] {
        env.push(env::secret(password, &model.secret, password));
    }
    if let Some(bucket) = &recorders.bucket {
        env.push(env::secret("S3_ACCESS_KEY", &bucket.secret, "ACCESS_KEY"));
        env.push(env::secret("S3_SECRET_KEY", &bucket.secret, "SECRET_KEY"));
    }

    let own = name(&model.name, component);
    let mut volumes = pod::official_volumes("256Mi");
    volumes.push(pod::scratch("recordings", "/storage", None, false));
    // Chrome writes video frames there, and the image does not start with less.
    volumes.push(pod::scratch("shm", "/dev/shm", Some("2Gi"), true));
    volumes.push(pod::file("settings", &own, "custom-jibri.conf", "/config/custom-jibri.conf", None));
    let script = recorders.finalize.as_deref().unwrap_or(&own);
    volumes.push(pod::file("finalize", script, "finalize.sh", "/config/finalize.sh", Some(0o555)));

    let annotations = [env_checksum(model), ("apps.jit.si/files-checksum".to_owned(), checksum(&files))].into();
    let health = ["/bin/sh", "-c", WELL];
    let deadline = i64::try_from(recorders.deadline.as_secs()).unwrap_or(i64::MAX);
    Some(pod::template(
        &recorders.pod,
        Parts {
            container: component.as_str(),
            labels: of_shard(model, component.as_str()),
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
            grace: Some(deadline.saturating_add(AFTER_THE_LAST)),
            affinity: pod::rather_away_from(shard_pods(model, Component::Jvb)),
            // Chrome builds its sandbox out of namespaces, which the default seccomp profile allows only beside this.
            add_capabilities: vec!["SYS_ADMIN".to_owned()],
            user: 1000,
            ..Default::default()
        },
    ))
}

#[cfg(test)]
mod tests;
