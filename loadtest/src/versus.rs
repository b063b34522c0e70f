//! `versus haproxy`: our proxy beside HAProxy, on this machine, in the same run.
//!
//! Shards and proxies are processes started here. The proxy under test has a core of its own; shards and generator share
//! the others. The proxies take turns, so that a machine that is slow for a while is slow for all of them.

pub mod cpu;
pub mod pages;
pub mod progress;
pub mod result;
pub mod rounds;
pub mod rows;
pub mod shards;
pub mod splits;
pub mod stats;
pub mod subject;
pub mod table;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use cpu::Cores;
use progress::Progress;
use result::{Settings, SubjectRun, VersusRun};
use shards::Shards;
use subject::{Subject, Workshop};

use crate::{child::ChildError, load::LoadError, machine::Machine};

/// What to compare, and how thoroughly.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our proxy's binary.
    pub roompin: PathBuf,
    /// HAProxy's.
    pub haproxy: PathBuf,
    /// Turns of each proxy.
    pub rounds: usize,
    /// Time measured in each run under load.
    pub duration: Duration,
    /// Tunnels under load.
    pub tunnels: usize,
    /// Payload of their messages.
    pub message_bytes: usize,
    /// Connections of sticky requests.
    pub connections: usize,
    /// Rooms of sticky requests.
    pub rooms: usize,
    /// Numbers of idle tunnels whose memory is measured; a number that comes twice is measured twice.
    pub idle: Vec<usize>,
    /// New rooms that our proxy's splits are counted over, for each number of replicas.
    pub split_rooms: usize,
    /// And those of the others.
    pub split_rooms_others: usize,
    /// How long shards think in those.
    pub split_delay: Duration,
    /// How long replicas of ours wait for each other, unless as long as by default.
    pub claim_timeout: Option<Duration>,
    /// Shards behind each proxy.
    pub shards: usize,
    /// Seed of all loads.
    pub seed: u64,
    /// The command line, for the record.
    pub command: String,
    /// The moment, for the record.
    pub at: String,
}

impl Options {
    /// Before measuring: long enough for connections and branch predictors to settle.
    fn warm_up(&self) -> Duration {
        (self.duration / 4).min(Duration::from_millis(500))
    }

    /// Steps that progress counts.
    fn steps(&self) -> usize {
        Subject::ALL.len() * (2 * self.rounds + self.idle.len() + splits::REPLICAS.len())
    }
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum VersusError {
    /// A process did not start or ended, or this machine refused something.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Load could not be offered.
    #[error("{subject}: {source}")]
    Load {
        /// The proxy under test.
        subject: &'static str,
        /// The generator's words.
        source: LoadError,
    },
}

/// Compares. All processes it started have ended when it returns or is dropped.
///
/// # Errors
/// See [`VersusError`].
pub async fn run(options: &Options) -> Result<VersusRun, VersusError> {
    let versions = [version(&options.roompin, "--version").await?, version(&options.haproxy, "-v").await?];
    let machine = Machine::this();
    let cores = Cores::choose(&cpu::allowed().map_err(ChildError::io("cores"))?);
    match &cores {
        Some(cores) => cores.keep_off().await.map_err(ChildError::io("pinning to cores"))?,
        None => tracing::warn!("one core for all: the results say little"),
    }
    let folder =
        tempfile::Builder::new().prefix("roompin-versus-").tempdir().map_err(ChildError::io("temporary directory"))?;
    let workshop = Workshop {
        roompin: options.roompin.clone(),
        haproxy: options.haproxy.clone(),
        folder: folder.path().to_owned(),
        core: cores.map(|cores| cores.proxy),
        claim_timeout: options.claim_timeout,
    };

    let mut progress = Progress::new(options.steps());
    let quick = Shards::start(options.shards, Duration::ZERO).await?;
    let (half, rounds) = rounds::take_turns(options, &workshop, &quick.list, &mut progress).await?;
    let memory = rounds::memory(options, &workshop, &quick.list, &mut progress).await?;
    quick.end().await?;
    let thinking = Shards::start(options.shards, options.split_delay).await?;
    let splits = splits::count(options, &workshop, &thinking.list, &mut progress).await?;
    thinking.end().await?;
    drop(progress);

    let subjects = Subject::ALL.into_iter().zip(rounds).zip(memory).zip(splits);
    let subjects = subjects.map(|(((subject, rounds), memory), splits)| SubjectRun {
        id: subject.id().to_owned(),
        name: subject.name().to_owned(),
        version: versions[usize::from(subject != Subject::Roompin)].clone(),
        rounds,
        memory,
        splits,
    });
    Ok(VersusRun {
        at: options.at.clone(),
        command: options.command.clone(),
        machine,
        settings: settings(options, &workshop),
        half,
        subjects: subjects.collect(),
    })
}

fn settings(options: &Options, workshop: &Workshop) -> Settings {
    Settings {
        rounds: options.rounds,
        seconds: options.duration.as_secs_f64(),
        tunnels: options.tunnels,
        message_bytes: options.message_bytes,
        connections: options.connections,
        rooms: options.rooms,
        shards: options.shards,
        split_delay_ms: u64::try_from(options.split_delay.as_millis()).unwrap_or(u64::MAX),
        split_rooms: options.split_rooms,
        split_rooms_others: options.split_rooms_others,
        proxy_core: workshop.core,
        seed: options.seed,
    }
}

/// The first line that a binary says about its version.
async fn version(binary: &Path, flag: &str) -> Result<String, ChildError> {
    let failed = |source| ChildError::Run { binary: binary.to_owned(), source };
    let output = Command::new(binary).arg(flag).stdin(Stdio::null()).output().await.map_err(failed)?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    match words.lines().find(|line| !line.trim().is_empty()) {
        // HAProxy's address follows a dash.
        Some(line) if output.status.success() => Ok(line.split(" - ").next().unwrap_or_default().trim().to_owned()),
        _ => Err(failed(std::io::Error::other(format!("{flag} says nothing ({})", output.status)))),
    }
}
