//! Recorders from their first start to their end, and everybody who would like to end one too early.
//!
//! The double under paused time, with recorders that are made up; the webhooks also over real loopback HTTP. Against a real
//! cluster nothing runs in the pods, so there is nothing to record: those tests say so and pass by.
#![allow(clippy::unwrap_used, reason = "all of this is tests, its helpers too")]

#[path = "recorders/abuse.rs"]
mod abuse;
#[path = "recorders/adoption.rs"]
mod adoption;
#[path = "recorders/crash.rs"]
mod crash;
#[path = "recorders/jibri.rs"]
mod jibri;
#[path = "recorders/kit.rs"]
mod kit;
#[path = "recorders/life.rs"]
mod life;
#[path = "recorders/media.rs"]
mod media;

/// Half of the time goes into small pieces of JSON.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
