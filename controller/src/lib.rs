//! Roompin's controller: a Jitsi of N shards from one resource, grown and shrunk without cutting a call.

pub mod adopt;
#[allow(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
pub mod api;
pub mod apply;
pub mod build;
pub mod cli;
pub mod crds;
pub mod events;
pub mod jwt;
pub mod lease;
pub mod media;
pub mod metrics;
pub mod observe;
pub mod plan;
mod random;
pub mod reconcile;
pub mod rest;
pub mod server;
pub mod start;
pub mod status;
pub mod validate;
