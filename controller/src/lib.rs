//! Roompin's controller: a Jitsi of N shards from one resource, grown and shrunk without cutting a call.

#[allow(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
pub mod api;
pub mod build;
pub mod crds;
pub mod lease;
pub mod plan;
pub mod validate;
