//! A Kubernetes API server in the test's own process, and the harness that swaps it for a real cluster.

pub mod merge;
pub mod schema;
pub mod server;

pub use server::ApiServer;
