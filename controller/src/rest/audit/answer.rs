//! The audit as the autoscaler answers it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Entry, Item};
use crate::rest::{
    instance::Instance,
    report::iso,
    wire::{AutoScalerItem, GroupAudit, InstanceAudit, LauncherItem},
};

fn known(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "unknown".to_owned(), iso)
}

/// `GET …/group-audit`.
#[must_use]
pub fn group_audit(items: &[Item]) -> GroupAudit {
    let newest = |fits: fn(&Entry) -> bool| items.iter().rev().find(|item| fits(&item.entry));
    let mut numbers = Vec::new();
    let mut launches = Vec::new();
    for item in items.iter().rev() {
        match &item.entry {
            Entry::Scaled { by, count, from, to, periods, why } => numbers.push(AutoScalerItem {
                timestamp: iso(item.at),
                action_type: match by.as_str() {
                    "schedule" => "scheduledScaling",
                    _ if to < from => "decreaseDesiredCount",
                    _ => "increaseDesiredCount",
                }
                .to_owned(),
                count: *count,
                old_desired_count: *from,
                new_desired_count: *to,
                scale_metrics: periods.clone(),
                detail: (!why.is_empty()).then(|| why.clone()),
            }),
            Entry::Launched { instances, count, desired } => {
                launches.push(launch("scaleUp", item.at, instances.len(), *count, *desired));
            }
            Entry::Retired { instances, count, desired } => {
                launches.push(launch("scaleDown", item.at, instances.len(), *count, *desired));
            }
            _ => {}
        }
    }
    let by_load = items.iter().rev().find_map(|item| match &item.entry {
        Entry::Scaled { periods, .. } if !periods.is_empty() => Some(periods.clone()),
        _ => None,
    });
    let launcher = newest(|entry| matches!(entry, Entry::Launched { .. } | Entry::Retired { .. }));
    GroupAudit {
        last_launcher_run: known(launcher.map(|item| item.at)),
        last_auto_scaler_run: known(newest(|entry| matches!(entry, Entry::Scaled { .. })).map(|item| item.at)),
        last_reconfigure_request: known(
            newest(|entry| matches!(entry, Entry::ReconfigureAsked { .. })).map(|item| item.at),
        ),
        last_scale_metrics: by_load.unwrap_or_default(),
        auto_scaler_action_items: numbers,
        launcher_action_items: launches,
    }
}

fn launch(action: &str, at: Timestamp, number: usize, count: i32, desired: i32) -> LauncherItem {
    LauncherItem {
        timestamp: iso(at),
        action_type: action.to_owned(),
        count,
        desired_count: desired,
        scale_quantity: i32::try_from(number).unwrap_or(i32::MAX),
    }
}

#[derive(Default)]
struct Times {
    launch: Option<Timestamp>,
    status: Option<Timestamp>,
    terminate: Option<Timestamp>,
    terminated: Option<Timestamp>,
    reconfigure: Option<Timestamp>,
    reconfigured: Option<Timestamp>,
    info: Option<serde_json::Value>,
}

/// `GET …/instance-audit`: what was written down, and what the pods that are there say themselves.
#[must_use]
pub fn instance_audit(items: &[Item], pods: &[Pod]) -> Vec<InstanceAudit> {
    let mut all: BTreeMap<String, Times> = BTreeMap::new();
    for item in items {
        for name in item.entry.instances() {
            let one = all.entry(name.clone()).or_default();
            match &item.entry {
                // A name is used again, by another pod: what was before it is over.
                Entry::Launched { .. } => *one = Times { launch: Some(item.at), ..Times::default() },
                Entry::Retired { .. } => one.terminate = Some(item.at),
                Entry::Ended { .. } => one.terminated = Some(item.at),
                Entry::ReconfigureAsked { .. } => one.reconfigure = Some(item.at),
                Entry::Reconfigured { .. } => one.reconfigured = Some(item.at),
                Entry::Scaled { .. } => {}
            }
        }
    }
    for pod in pods {
        let this = Instance(pod);
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let one = all.entry(pod.name_any()).or_default();
        if let (Some(launch), Some(made)) = (one.launch, made)
            && made.duration_since(launch).as_secs() > 60
        {
            *one = Times::default();
        }
        one.launch = one.launch.or(made);
        let report = this.report();
        one.status = report.as_ref().and_then(|report| report.at);
        one.terminate = one.terminate.or_else(|| this.end_asked());
        one.terminated = one.terminated.or_else(|| if this.ended() { this.ended_at() } else { None });
        one.reconfigure = one.reconfigure.or_else(|| this.reconfigure().and_then(|date| date.parse().ok()));
        one.reconfigured = one.reconfigured.or_else(|| this.said().reconfigured.and_then(|date| date.parse().ok()));
        one.info = report.and_then(|report| serde_json::to_value(report).ok());
    }
    all.into_iter()
        .map(|(instance_id, times)| InstanceAudit {
            instance_id,
            request_to_launch: known(times.launch),
            latest_status: known(times.status),
            request_to_terminate: known(times.terminate),
            termination_confirmation: known(times.terminated),
            request_to_reconfigure: known(times.reconfigure),
            reconfigure_complete: known(times.reconfigured),
            latest_status_info: times.info,
        })
        .collect()
}
