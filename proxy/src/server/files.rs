//! The limit on open files: a connection costs one, a tunnel two.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are neither connections nor tunnels: ports, pooled connections to shards, probes, logs.
const OTHERS: u64 = 1024;

/// Raises the soft limit as far as this process may, and says so when that is not enough for `max_connections`.
pub(super) fn raise_limit(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
    let need = 2 * max_connections as u64 + OTHERS;
    if let Some(most) = limit.maximum
        && most < need
    {
        tracing::warn!(
            "the limit of open files is {most}, and front.max_connections of {max_connections} tunnels may need {need}: \
             raise it (LimitNOFILE, ulimit -n) or lower front.max_connections"
        );
    }
}
