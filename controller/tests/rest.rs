//! The REST API against an API server: the double under paused time, or the cluster that `KUBECONFIG_TEST` names.
#![allow(clippy::unwrap_used, reason = "all of this is tests, its helpers too")]

#[path = "rest/kit.rs"]
mod kit;
#[path = "rest/limits.rs"]
mod limits;
#[path = "rest/role.rs"]
mod role;
#[path = "rest/shapes.rs"]
mod shapes;
#[path = "rest/sidecar.rs"]
mod sidecar;
#[path = "rest/tokens.rs"]
mod tokens;
#[path = "rest/writes.rs"]
mod writes;
