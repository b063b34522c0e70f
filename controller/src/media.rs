//! What runs, asked over HTTP: conferences of jicofo, rooms and tunnels of the proxies, load of bridges and gateways; and
//! told: drain, end.
//!
//! Answers decide over calls, so nothing is read into silence: an answer that is late, cut off, too long or of another form is an
//! error, never zero, and a number that an answer does not hold is unknown.

mod bridge;
mod focus;
mod gateway;
mod http;
pub mod recorder;

use futures_util::future::BoxFuture;

pub use self::{
    bridge::BridgeMedia,
    focus::FocusMedia,
    gateway::GatewayMedia,
    http::{HttpMedia, Ports},
};
use crate::plan::{drain::ProxyShard, report::Report};

/// Where conferences and rooms are asked for. Tests bring their own.
pub trait Media: BridgeMedia + GatewayMedia + FocusMedia + Send + Sync {
    /// Conferences in the jicofo of the pod with this address.
    fn conferences<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<u64, String>>;

    /// What the proxy of the pod with this address says about a shard; `None` when it does not know it.
    fn shard<'a>(&'a self, ip: &'a str, shard: &'a str) -> BoxFuture<'a, Result<Option<ProxyShard>, String>>;

    /// What the recorder of the pod with this address says of itself, at this port of its outer API.
    fn recorder<'a>(&'a self, ip: &'a str, port: u16) -> BoxFuture<'a, Result<Report, String>>;
}
