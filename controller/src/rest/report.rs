//! `GET /groups/:name/report`. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;

use super::{
    find::Found,
    instance::Instance,
    view,
    wire::{GroupReport, InstanceReport},
};
use crate::{
    api::GroupKind,
    plan::report::{Busy, Report},
};

/// The report of a group with these pods.
#[must_use]
pub fn report(found: &Found, pods: &[Pod], now: Timestamp) -> GroupReport {
    let mut report =
        GroupReport { group_name: found.name.clone(), desired_count: view::desired(found), ..GroupReport::default() };
    for pod in pods {
        let one = instance(found.kind, pod, now);
        report.count += usize::from(!Instance(pod).ended());
        report.provisioning_count += usize::from(one.scale_status == "PROVISIONING");
        // There only recorders are counted; bridges without and with people say as much.
        report.available_count += usize::from(matches!(one.scale_status.as_str(), "IDLE" | "ONLINE"));
        report.busy_count += usize::from(matches!(one.scale_status.as_str(), "BUSY" | "IN USE"));
        report.expired_count += usize::from(one.scale_status == "EXPIRED");
        let in_cloud = matches!(one.cloud_status.as_str(), "PROVISIONING" | "RUNNING");
        report.cloud_count += usize::from(in_cloud);
        report.untracked_count += usize::from(in_cloud && one.scale_status == "unknown");
        report.shutdown_count += usize::from(one.scale_status == "SHUTDOWN COMPLETE");
        report.shutting_down_count += usize::from(one.is_shutting_down);
        report.shutdown_error_count += usize::from(one.shutdown_error);
        report.reconfigure_error_count += usize::from(one.reconfigure_error);
        report.reconfigure_scheduled_count += usize::from(!one.reconfigure_scheduled.is_empty());
        report.scale_down_protected_count += usize::from(one.is_scale_down_protected);
        report.instances.push(one);
    }
    report.instances.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    report
}

fn instance(kind: GroupKind, pod: &Pod, now: Timestamp) -> InstanceReport {
    let this = Instance(pod);
    let said = this.said();
    let report = this.report();
    let name = pod.name_any();
    let version = report.as_ref().and_then(|report| report.version.clone()).or(said.version);
    InstanceReport {
        instance_name: said.name.unwrap_or_else(|| name.clone()),
        scale_status: scale_status(kind, &this, report.as_ref()).to_owned(),
        cloud_status: cloud_status(&this).to_owned(),
        version: version.unwrap_or_else(|| "unknown".to_owned()),
        private_ip: this.address().map(str::to_owned),
        public_ip: said.public_ip,
        is_shutting_down: !this.ended() && this.leaves(),
        shutdown_complete: if this.ended() {
            Value::from(this.ended_at().map_or_else(|| "unknown".to_owned(), iso))
        } else {
            Value::Bool(false)
        },
        is_scale_down_protected: this.protected(now),
        reconfigure_scheduled: this.reconfigure().unwrap_or_default().to_owned(),
        last_reconfigured: said.reconfigured.unwrap_or_default(),
        reconfigure_error: said.reconfigure_error,
        shutdown_error: said.shutdown_error,
        display_name: name.clone(),
        instance_id: name,
    }
}

/// A time as JavaScript writes it.
#[must_use]
pub fn iso(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn cloud_status(this: &Instance<'_>) -> &'static str {
    match this.phase() {
        "Succeeded" | "Failed" => "TERMINATED",
        _ if this.0.metadata.deletion_timestamp.is_some() => "TERMINATING",
        "Running" => "RUNNING",
        _ => "PROVISIONING",
    }
}

fn scale_status(kind: GroupKind, this: &Instance<'_>, report: Option<&Report>) -> &'static str {
    if this.ended() {
        return "SHUTDOWN COMPLETE";
    }
    let sidecar = this.0.annotations().contains_key(super::instance::SIDECAR);
    if let Some(report) = report
        && report.graceful_shutdown == Some(true)
        && report.shutting_down != Some(true)
    {
        return "GRACEFUL SHUTDOWN";
    }
    if this.shall_end() || this.said().shutdown_status || report.is_some_and(|r| r.shutting_down == Some(true)) {
        return "SHUTDOWN";
    }
    let Some(report) = report else {
        return match (this.ready(), sidecar) {
            (false, _) => "PROVISIONING",
            (true, true) => "SIDECAR_RUNNING",
            (true, false) => "unknown",
        };
    };
    if kind.is_recorder() {
        return match report.busy {
            Some(Busy::Idle) => "IDLE",
            Some(Busy::Busy) => "BUSY",
            Some(Busy::Expired) => "EXPIRED",
            None => "SIDECAR_RUNNING",
        };
    }
    match report.endpoints {
        Some(0) => "ONLINE",
        Some(_) => "IN USE",
        None if report.conferences.is_some_and(|number| number > 0) => "IN USE",
        None => "ONLINE",
    }
}
