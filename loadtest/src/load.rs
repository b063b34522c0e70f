//! Load generators: cheap enough to measure a proxy and not themselves.
//!
//! Each runs on one thread of its own, below tokio ([`reactor`]), so that its cost is one number: `generator_cpu`. The
//! thread inherits the caller's CPU affinity. Everything is bounded: sockets by the plan and by the process' limit,
//! time by the plan, waiting by [`TIMEOUT`]. Nothing but the addresses of the plan is ever talked to.

mod clock;
mod conferences;
mod frame;
mod http;
mod idle;
mod pacer;
mod plan;
mod process;
mod reactor;
mod requests;
mod tunnels;
mod watch;

#[cfg(test)]
mod tests;

pub use plan::{Arrival, Choice, ConferencePlan, IdlePlan, Method, RequestPlan, TunnelPlan};
pub(crate) use process::{peak_kib, resident_kib};
pub(crate) use requests::name as room_name;
pub use watch::Watch;

use std::{io, sync::Arc, time::Duration};

use crate::result::{ConferenceRun, IdleRun, Mode, RequestRun, TunnelRun};

/// Longest time for one connection, one handshake, one request.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest run that is planned.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Files left for what is no connection of the generator: standard streams, the runtime's own, a test's stubs.
const SPARE_FILES: usize = 64;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan makes no sense, or needs more than this process may have.
    #[error("the plan: {0}")]
    Plan(String),
    /// Nobody answers at the address, or not as a shard behind a proxy does.
    #[error("{target}: {why}")]
    Target {
        /// The address.
        target: String,
        /// What was seen last.
        why: String,
    },
    /// The process whose memory was to be read.
    #[error("process {pid}: {source}")]
    Process {
        /// Its id.
        pid: u32,
        /// The system's words.
        source: io::Error,
    },
    /// The system refuses what every generator needs.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Opens tunnels, sends messages through them and takes the time until they are back.
///
/// # Errors
/// See [`LoadError`]. A tunnel that breaks off is no error but counted as one.
pub async fn tunnels(plan: &TunnelPlan) -> Result<TunnelRun, LoadError> {
    tunnels_with(plan, &Arc::default()).await
}

/// [`tunnels()`], to be watched and stopped; stopped, it reports what it has measured so far.
///
/// # Errors
/// As for [`tunnels()`].
pub async fn tunnels_with(plan: &TunnelPlan, watch: &Arc<Watch>) -> Result<TunnelRun, LoadError> {
    check_pace(plan.mode, plan.tunnels, plan.warm_up + plan.duration)?;
    check_count("tunnels", plan.tunnels)?;
    check_count("rooms", plan.rooms)?;
    check_count("opening", plan.opening)?;
    check_files(plan.tunnels)?;
    if !(1..=64 << 10).contains(&plan.message_bytes) {
        return Err(LoadError::Plan("a message has 1 to 65536 bytes".to_owned()));
    }
    let plan = plan.clone();
    watch::on_thread("tunnels", watch, move |watch| tunnels::run(&plan, watch)).await
}

/// Sends requests for rooms and takes the time until they are answered, and looks whether a room's shard stays the same.
///
/// # Errors
/// See [`LoadError`]. A connection that breaks off is no error but counted as one.
pub async fn requests(plan: &RequestPlan) -> Result<RequestRun, LoadError> {
    requests_with(plan, &Arc::default()).await
}

/// [`requests()`], to be watched and stopped; stopped, it reports what it has measured so far.
///
/// # Errors
/// As for [`requests()`].
pub async fn requests_with(plan: &RequestPlan, watch: &Arc<Watch>) -> Result<RequestRun, LoadError> {
    check_pace(plan.mode, plan.connections, plan.warm_up + plan.duration)?;
    check_count("connections", plan.connections)?;
    check_count("rooms", plan.rooms)?;
    check_files(plan.connections)?;
    if !plan.path.starts_with('/') || !plan.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?') {
        return Err(LoadError::Plan("the path starts with / and has no query and no spaces".to_owned()));
    }
    let plan = plan.clone();
    watch::on_thread("requests", watch, move |watch| requests::run(&plan, watch)).await
}

/// Opens tunnels that then do nothing, and reads what they cost the process that holds them.
///
/// # Errors
/// See [`LoadError`]; here every tunnel must open and stay, or the division would be wrong.
pub async fn idle(plan: &IdlePlan) -> Result<IdleRun, LoadError> {
    idle_with(plan, &Arc::default()).await
}

/// [`idle()`], to be watched and stopped; stopped, it has no result.
///
/// # Errors
/// As for [`idle()`].
pub async fn idle_with(plan: &IdlePlan, watch: &Arc<Watch>) -> Result<IdleRun, LoadError> {
    check_count("tunnels", plan.tunnels)?;
    check_count("rooms", plan.rooms)?;
    check_count("opening", plan.opening)?;
    check_files(plan.tunnels.saturating_add(plan.warm))?;
    check_time(plan.settle)?;
    let plan = plan.clone();
    watch::on_thread("idle", watch, move |watch| idle::run(&plan, watch)).await
}

/// Holds conferences and looks whether the participants of each find each other.
///
/// # Errors
/// See [`LoadError`]. What fails for one participant is no error but counted as one.
pub async fn conferences(plan: &ConferencePlan) -> Result<ConferenceRun, LoadError> {
    conferences_with(plan, &Arc::default()).await
}

/// [`conferences()`], to be watched and stopped; stopped, it reports what it has seen so far.
///
/// # Errors
/// As for [`conferences()`].
pub async fn conferences_with(plan: &ConferencePlan, watch: &Arc<Watch>) -> Result<ConferenceRun, LoadError> {
    check_count("targets", plan.targets.len())?;
    check_count("rooms", plan.rooms)?;
    check_count("participants", plan.participants)?;
    check_count("conferences at once", plan.at_once)?;
    check_files(plan.max_sockets)?;
    let (Arrival::Window(arrival) | Arrival::Gap(arrival)) = plan.arrival;
    for time in [arrival, plan.stay, plan.poll, plan.deadline] {
        check_time(time)?;
    }
    if plan.participants > plan.max_sockets {
        return Err(LoadError::Plan(format!("{} sockets do not bring a room together", plan.max_sockets)));
    }
    if plan.poll.is_zero() && !plan.stay.is_zero() {
        return Err(LoadError::Plan("polling without a pause".to_owned()));
    }
    if plan.rejoins > 1_000 {
        return Err(LoadError::Plan(format!("{} rejoins of everybody", plan.rejoins)));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if plan.prefix.is_empty() || plan.prefix.len() > 64 || !plan.prefix.bytes().all(fits) {
        return Err(LoadError::Plan("the prefix has 1 to 64 letters, digits and hyphens".to_owned()));
    }
    let plan = plan.clone();
    watch::on_thread("conferences", watch, move |watch| conferences::run(&plan, watch)).await
}

fn check_pace(mode: Mode, connections: usize, time: Duration) -> Result<(), LoadError> {
    check_time(time)?;
    match mode {
        Mode::ClosedLoop { in_flight } if in_flight == 0 || in_flight > connections => {
            Err(LoadError::Plan(format!("{in_flight} under way over {connections} connections, each carrying one")))
        }
        Mode::Rate { per_second } if !(0.001..=10_000_000.0).contains(&per_second) => {
            Err(LoadError::Plan(format!("a rate of {per_second} per second")))
        }
        _ => Ok(()),
    }
}

fn check_time(time: Duration) -> Result<(), LoadError> {
    if time <= LONGEST { Ok(()) } else { Err(LoadError::Plan("longer than a day".to_owned())) }
}

fn check_count(what: &str, count: usize) -> Result<(), LoadError> {
    if (1..=10_000_000).contains(&count) { Ok(()) } else { Err(LoadError::Plan(format!("{what}: {count}"))) }
}

fn check_files(sockets: usize) -> Result<(), LoadError> {
    let limit = process::file_limit();
    if sockets <= limit.saturating_sub(SPARE_FILES) {
        Ok(())
    } else {
        Err(LoadError::Plan(format!("{sockets} sockets, but this process may open {limit} files (ulimit -n)")))
    }
}
