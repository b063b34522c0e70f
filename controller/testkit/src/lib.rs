//! A Kubernetes API server in the test's own process, and the harness that swaps it for a real cluster.

pub mod actors;
pub mod faults;
pub mod harness;
pub mod merge;
pub mod rbac;
pub mod schema;
pub mod server;

pub use actors::{Actors, Behaviour, Exit, Kubelet};
pub use faults::{CrashPoint, Fault, Faults};
pub use harness::{Capabilities, Harness, Raw, eventually, skipped};
pub use server::ApiServer;
