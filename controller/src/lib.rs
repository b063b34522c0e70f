//! Roompin's controller: a Jitsi of N shards from one resource, grown and shrunk without cutting a call.

pub mod api;
pub mod crds;
pub mod lease;
pub mod plan;
