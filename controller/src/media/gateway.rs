//! Gateways to telephones (jigasi): they can only be told to end, and there is no way back.

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{
    bridge::{GRACEFUL, sensible},
    http::HttpMedia,
};
use crate::plan::report::Report;

/// Where gateways are asked and told. Tests bring their own.
pub trait GatewayMedia {
    /// What the gateway of the pod with this address says of itself. The time is left to the caller.
    fn gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>>;

    /// Tells it to end with its last call.
    fn stop_gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// `GET /about/stats`, as far as it counts. What is absent is unknown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    stress_level: Option<f64>,
    conferences: Option<u64>,
    participants: Option<u64>,
    graceful_shutdown: Option<bool>,
}

impl GatewayMedia for HttpMedia {
    fn gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        Box::pin(async move {
            let stats: Stats = self.get(ip, self.ports.gateway, "/about/stats", &[]).await?;
            sensible(Report {
                stress: stats.stress_level,
                // A call is a conference here; how many take part in it does not matter for its end.
                endpoints: stats.conferences.or(stats.participants),
                conferences: stats.conferences,
                graceful_shutdown: stats.graceful_shutdown,
                ..Report::default()
            })
        })
    }

    fn stop_gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.post(ip, self.ports.gateway, "/about/shutdown", Some(GRACEFUL)))
    }
}
