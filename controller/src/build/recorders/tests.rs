use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::{
    api::JitsiShard,
    validate::{self, Defaults},
};

#[allow(clippy::needless_pass_by_value, reason = "a test's helper takes what json! makes")]
fn model(more: serde_json::Value) -> ShardModel {
    let mut spec = json!({"domain": "meet.example.org", "jibri": {"enabled": true}, "sipJibri": {"enabled": true}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let shard: JitsiShard = serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard",
        "metadata": {"name": "x-0", "namespace": "meet", "uid": "u"}, "spec": spec,
    }))
    .unwrap();
    validate::shard(&shard, &Defaults::default(), None).unwrap()
}

fn make(model: &ShardModel, kind: GroupKind, webhook: Option<&Webhook>) -> Pod {
    let name = format!("x-0-{}-3", kind.as_str());
    recorder(model, kind, &RecorderPlace { name: &name, webhook, ..RecorderPlace::default() }).unwrap()
}

fn env(pod: &Pod) -> BTreeMap<String, String> {
    let container = &pod.spec.as_ref().unwrap().containers[0];
    container.env.iter().flatten().filter_map(|one| Some((one.name.clone(), one.value.clone()?))).collect()
}

#[test]
fn a_recorder_records_once_and_reports_here() {
    let webhook = Webhook::new("http://ctl.meet.svc:9090", b"0123456789abcdef");
    let pod = make(&model(json!({})), GroupKind::Jibri, Some(&webhook));
    let env = env(&pod);
    assert_eq!(env["JIBRI_SINGLE_USE_MODE"], "true");
    assert_eq!(env["JIBRI_WEBHOOK_SUBSCRIBERS"], webhook.subscriber("meet", "x-0-jibri-3"));
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("OnFailure"));
    assert_eq!(spec.termination_grace_period_seconds, Some(6 * 3600 + 60));
    assert_eq!(spec.automount_service_account_token, Some(false));
    let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("JitsiShard", Some(true)));
    let annotations = pod.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], "true", "it is idle at first");
    let stop = spec.containers[0].lifecycle.as_ref().unwrap().pre_stop.as_ref().unwrap();
    let stop = stop.exec.as_ref().unwrap().command.as_ref().unwrap().join(" ");
    assert!(stop.contains("localhost:3333/jibri/api/internal/v1.0/gracefulShutdown"), "{stop}");
    let ready = spec.containers[0].readiness_probe.as_ref().unwrap().exec.as_ref().unwrap();
    assert!(ready.command.as_ref().unwrap()[2].contains("EXPIRED"));
}

#[test]
fn its_own_address_is_no_other_template() {
    let model = model(json!({}));
    let webhook = Webhook::new("http://ctl", b"0123456789abcdef");
    let revision = |pod: &Pod| pod.metadata.annotations.as_ref().unwrap()[TEMPLATE_REVISION].clone();
    let (with, without) = (make(&model, GroupKind::Jibri, Some(&webhook)), make(&model, GroupKind::Jibri, None));
    assert_eq!(revision(&with), revision(&without));
    assert_eq!(Some(revision(&with)), recorder_revision(&model, GroupKind::Jibri));
    assert!(!env(&without).contains_key("JIBRI_WEBHOOK_SUBSCRIBERS"));
    let unsettled = RecorderPlace { name: "x", unsettled: true, ..RecorderPlace::default() };
    assert_ne!(revision(&recorder(&model, GroupKind::Jibri, &unsettled).unwrap()), revision(&with));
}

#[test]
fn the_users_own_subscribers_stay() {
    let webhook = Webhook::new("http://ctl", b"0123456789abcdef");
    let model = model(json!({"variables": {"JIBRI_WEBHOOK_SUBSCRIBERS": "http://mine"}}));
    let ours = webhook.subscriber("meet", "x-0-jibri-3");
    assert_eq!(
        env(&make(&model, GroupKind::Jibri, Some(&webhook)))["JIBRI_WEBHOOK_SUBSCRIBERS"],
        format!("http://mine,{ours}")
    );
}

#[test]
fn those_that_dial_out_meet_in_a_room_of_their_own() {
    let model = model(json!({}));
    let pod = make(&model, GroupKind::SipJibri, None);
    assert_eq!(env(&pod)["JIBRI_BREWERY_MUC"], SIP_BREWERY);
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["app.kubernetes.io/component"], "sip-jibri");
    assert_eq!(super::super::shared_env(&model)["JIBRI_SIP_BREWERY_MUC"], SIP_BREWERY);
    let names: Vec<_> = objects(&model).iter().map(|object| object.name().to_owned()).collect();
    assert_eq!(names, ["x-0-jibri", "x-0-sip-jibri"]);
    assert!(recorder(&model, GroupKind::Jvb, &RecorderPlace::default()).is_none());
}
