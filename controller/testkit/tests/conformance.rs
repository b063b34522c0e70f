//! One suite for the double and for a real API server (1.33 or later): what is true of both is what the controller's
//! tests may rely on. Run it against a cluster with `KUBECONFIG_TEST`; see `testkit::harness`.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "all of this is tests, their helpers too, which take json! as it is written"
)]

#[path = "conformance/built_in.rs"]
mod built_in;
#[path = "conformance/collection.rs"]
mod collection;
#[path = "conformance/custom.rs"]
mod custom;
#[path = "conformance/deletion.rs"]
mod deletion;
#[path = "conformance/disruption.rs"]
mod disruption;
#[path = "conformance/immutable.rs"]
mod immutable;
#[path = "conformance/kit.rs"]
mod kit;
#[path = "conformance/lease.rs"]
mod lease;
#[path = "conformance/lists.rs"]
mod lists;
#[path = "conformance/metadata.rs"]
mod metadata;
#[path = "conformance/patches.rs"]
mod patches;
#[path = "conformance/runtime.rs"]
mod runtime;
#[path = "conformance/services.rs"]
mod services;
#[path = "conformance/ssa.rs"]
mod ssa;
#[path = "conformance/ssa_lists.rs"]
mod ssa_lists;
#[path = "conformance/subresources.rs"]
mod subresources;
#[path = "conformance/validation.rs"]
mod validation;
#[path = "conformance/versions.rs"]
mod versions;
#[path = "conformance/watches.rs"]
mod watches;
