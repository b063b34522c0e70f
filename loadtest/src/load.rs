//! Load generators: cheap enough to measure a proxy and not themselves.

mod plan;

pub use plan::{Arrival, Choice, ConferencePlan, IdlePlan, Method, RequestPlan, TunnelPlan};
