//! How a pod is asked whether it is well.

use k8s_openapi::{
    api::core::v1::{ExecAction, HTTPGetAction, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// How often and how patiently.
#[derive(Clone, Copy)]
pub(in crate::build) struct Pace {
    pub(in crate::build) period: i32,
    pub(in crate::build) failures: i32,
}

/// Readiness: quick, so that proxies hear of a start early.
pub(in crate::build) const READY: Pace = Pace { period: 5, failures: 3 };
/// Liveness: slow, because killing a component costs conferences.
pub(in crate::build) const LIVE: Pace = Pace { period: 20, failures: 9 };
/// Start: as long as a pull of slow disks takes.
pub(in crate::build) const START: Pace = Pace { period: 5, failures: 60 };

fn paced(pace: Pace) -> Probe {
    Probe {
        period_seconds: Some(pace.period),
        failure_threshold: Some(pace.failures),
        timeout_seconds: Some(5),
        ..Default::default()
    }
}

pub(in crate::build) fn tcp(port: &str, pace: Pace) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::String(port.to_owned()), host: None }),
        ..paced(pace)
    }
}

pub(in crate::build) fn get(port: &str, path: &str, pace: Pace) -> Probe {
    let action =
        HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::String(port.to_owned()), ..Default::default() };
    Probe { http_get: Some(action), ..paced(pace) }
}

pub(in crate::build) fn exec(command: &[&str], pace: Pace) -> Probe {
    Probe { exec: Some(command_of(command)), ..paced(pace) }
}

pub(in crate::build) fn command_of(command: &[&str]) -> ExecAction {
    ExecAction { command: Some(command.iter().map(|word| (*word).to_owned()).collect()) }
}
