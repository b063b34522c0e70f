//! What chaos is done to: proxies that can be started, killed, and told about shards.

mod fleet;
mod haproxy;
mod random;
mod roompin;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;

pub(crate) use fleet::{Fleet, Kind, Listener};
pub(crate) use haproxy::Haproxy;
pub(crate) use random::Random;
pub(crate) use roompin::Roompin;

use super::{ground::Place, observer::Rules};
use crate::child::ChildError;

/// For a replica to leave in good order: ours has a `drain_delay`, a `drain_window` and what comes with them, HAProxy its
/// `hard-stop-after`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);

/// What every target gets.
#[derive(Debug)]
pub(crate) struct Setup {
    /// For configurations, sockets and logs.
    pub folder: PathBuf,
    /// Of the replicas; the first is `replica-1`.
    pub places: Vec<Place>,
    /// Life of a pin, in seconds, where the target can be told.
    pub ttl_s: u64,
    /// Most pins, where the target can be told.
    pub max_pins: usize,
    /// How long our replicas wait for each other; `None` leaves it at the default.
    pub claim_timeout: Option<Duration>,
}

/// What may come to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardState {
    /// Everybody.
    Ready,
    /// Rooms that are there.
    Draining,
    /// Nobody.
    Down,
}

/// A shard as proxies are to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardEntry {
    /// Its number.
    pub number: usize,
    /// Its name, `shard-` and the number.
    pub name: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// Who may come.
    pub state: ShardState,
}

/// Why a target did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A process, or this machine.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A replica did not take the new list of shards.
    #[error("{name} does not know the new list of shards: {why}")]
    Deaf {
        /// The replica.
        name: String,
        /// What was seen.
        why: String,
    },
}

/// A proxy with replicas. Replicas are counted from 1. Dropping it ends all of them.
#[async_trait]
pub(crate) trait Target: Send {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What it promises.
    fn rules(&self) -> Rules;

    /// Starts a replica that does not run, and waits until it is ready.
    ///
    /// # Errors
    /// See [`TargetError`].
    async fn start(&mut self, replica: usize) -> Result<(), TargetError>;

    /// Ends a replica: at once, or in good order, bounded in time. When it returns, the replica is no more.
    async fn stop(&mut self, replica: usize, orderly: bool);

    /// Lets a replica stand still, or go on.
    ///
    /// # Errors
    /// When it does not run or cannot be stopped.
    fn pause(&mut self, replica: usize, paused: bool) -> Result<(), TargetError>;

    /// Its process, for the one who makes it stutter.
    fn pid(&self, replica: usize) -> Option<u32>;

    /// This is the list of shards from now on; replicas that run and are not paused know it when this returns, others
    /// when they start or go on.
    ///
    /// # Errors
    /// When one does not take it in time.
    async fn set_shards(&mut self, shards: &[ShardEntry]) -> Result<(), TargetError>;

    /// Decisions that replicas took without hearing from each other in time; `None` where there is no such thing.
    async fn late(&self) -> Option<u64>;

    /// Says which replica ended without having been told to, once for each.
    async fn ended(&mut self) -> Option<String>;
}

fn name_of(replica: usize) -> String {
    format!("replica-{replica}")
}
