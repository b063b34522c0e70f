//! A replica joins others that hold a million pins, while rooms open at all of them: what it takes in memory and time,
//! and how long claims wait meanwhile.
//!
//! The budgets: 120 MB over an empty replica in each of them, the joiner included, at any moment; the joiner
//! ready within 5 s; and 99 of 100 claims answered within 10 ms while it joins.

mod claims;
mod replica;
mod result;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{claims::Claims, replica::Replica};
pub use self::{
    claims::P99_MS,
    result::{Budget, JoinRun},
};
use crate::{
    child::ChildError,
    load::{self, RequestPlan, Watch},
    ports,
    result::{Mode, RequestRun},
    roompin,
    stub::{SHARD_HEADER, StubShard},
    versus::VersusError,
};

/// Names of the shards; a snapshot that is brought along may name these only.
pub const SHARDS: [&str; 2] = ["shard-1", "shard-2"];
/// Rooms opened before, and by the joiner's start known to all, that every replica is asked for in the end.
const SAMPLE: usize = 100;
/// For a replica to read its snapshot, and for the joiner to be ready: what is no failure of this run but of a budget.
const PATIENCE: Duration = Duration::from_secs(120);
/// For a replica to write its snapshot and to end.
const LEAVE: Duration = Duration::from_secs(30);
/// After the load, for what is on its way to arrive.
const SETTLE: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our proxy.
    pub proxy: PathBuf,
    /// Pins that replicas hold before rooms open.
    pub pins: usize,
    /// A snapshot with so many pins on [`SHARDS`]. Without one, a replica is asked for as many rooms first.
    pub snapshot: Option<PathBuf>,
    /// Replicas that are joined.
    pub replicas: usize,
    /// Rooms that open each second, over all of them.
    pub per_second: f64,
    /// How long rooms open before the joiner starts, and after it is ready.
    pub around: Duration,
    /// Names the rooms.
    pub seed: u64,
}

/// Runs it: empties, fills, joins, looks.
///
/// # Errors
/// When something does not start, or the load cannot be offered. A budget missed is no error.
pub async fn run(options: &Options) -> Result<JoinRun, VersusError> {
    let folder = tempfile::tempdir().map_err(io("folder"))?;
    let folder = folder.path();
    roompin::write_key(&folder.join(replica::KEY)).map_err(io("key"))?;
    let mut shards = Vec::new();
    for name in SHARDS {
        shards.push(StubShard::start(name, (Ipv4Addr::LOCALHOST, 0).into()).await.map_err(io("stub shard"))?);
    }
    let snapshot = match &options.snapshot {
        Some(snapshot) => snapshot.clone(),
        None => fill(options, folder, &shards).await?,
    };
    let empty_kib = empty(options, folder, &shards).await?;

    // One more address than replicas: all know from the start that there may be another.
    let sockets = sockets(options.replicas + 1)?;
    let mut replicas = Vec::new();
    for number in 1..=options.replicas {
        let name = format!("replica-{number}");
        fs::copy(&snapshot, folder.join(format!("{name}.pins"))).map_err(io("snapshot"))?;
        replicas.push(Replica::start(&options.proxy, folder, &name, &sockets, number - 1, &shards)?);
    }
    for replica in &mut replicas {
        replica.ready(PATIENCE).await?;
    }
    let pins = replicas[0].metrics().await?.sum("roompin_table_entries");

    let mut load = Load::start(options, &replicas);
    sleep(options.around).await;
    let before = Claims::of(&replicas).await?;
    let started = Instant::now();
    let mut joiner = Replica::start(&options.proxy, folder, "joiner", &sockets, options.replicas, &shards)?;
    let joined = joiner.ready(PATIENCE).await;
    let ready = started.elapsed();
    let claims = Claims::of(&replicas).await?.since(&before);
    joined?;
    sleep(options.around).await;
    let runs = load.end().await?;
    sleep(SETTLE).await;

    replicas.push(joiner);
    let mut peaks_kib = Vec::new();
    let (mut tables, mut conflicts) = (Vec::new(), 0.0);
    for replica in &replicas {
        peaks_kib.push(replica.peak_kib()?);
        let metrics = replica.metrics().await?;
        tables.push(metrics.sum("roompin_table_entries"));
        conflicts += metrics.sum("roompin_conflicts_total");
    }
    let split = splits(options, &replicas, &runs).await?;
    for replica in replicas {
        replica.end().await?;
    }
    let requests: u64 = runs.iter().map(|run| run.requests).sum();
    let longest = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    let per_second = requests as f64 / longest.max(f64::MIN_POSITIVE);
    let over = |kib: &u64| kib.saturating_sub(empty_kib) * 1024;
    Ok(JoinRun {
        pins,
        per_second,
        empty_bytes: empty_kib * 1024,
        over_bytes: peaks_kib.iter().map(over).collect(),
        ready_ms: u64::try_from(ready.as_millis()).unwrap_or(u64::MAX),
        claims: claims.count(),
        claim_p99_ms: claims.p99_ms(),
        rooms: requests,
        errors: runs.iter().map(|run| run.errors).sum(),
        tables,
        conflicts,
        split,
    })
}

fn io(what: &'static str) -> impl Fn(io::Error) -> VersusError {
    move |source| ChildError::io(what)(source).into()
}

/// For each replica where it serves, where its admin port is and where others dial it.
fn sockets(replicas: usize) -> Result<Vec<[SocketAddr; 3]>, VersusError> {
    let picked = ports::pick(&vec![0; replicas * 3]).map_err(io("free ports"))?;
    Ok(picked.chunks_exact(3).map(|three| [three[0], three[1], three[2]]).collect())
}

/// A snapshot of as many pins as are wanted, made by a replica that was asked for as many rooms.
async fn fill(options: &Options, folder: &Path, shards: &[StubShard]) -> Result<PathBuf, VersusError> {
    let sockets = sockets(1)?;
    let mut replica = Replica::start(&options.proxy, folder, "filler", &sockets, 0, shards)?;
    replica.ready(PATIENCE).await?;
    let plan = RequestPlan {
        rooms: options.pins,
        new_rooms: true,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(3_600),
        seed: options.seed ^ u64::MAX,
        ..RequestPlan::new(replica.serve)
    };
    load::requests(&plan).await.map_err(|source| VersusError::Load { subject: "filler", source })?;
    replica.leave(LEAVE).await?;
    Ok(folder.join("filler.pins"))
}

/// What an empty replica takes, once it is ready and has settled.
async fn empty(options: &Options, folder: &Path, shards: &[StubShard]) -> Result<u64, VersusError> {
    let sockets = sockets(1)?;
    let mut replica = Replica::start(&options.proxy, folder, "empty", &sockets, 0, shards)?;
    replica.ready(PATIENCE).await?;
    sleep(SETTLE).await;
    let kib = replica.resident_kib()?;
    replica.end().await?;
    Ok(kib)
}

/// Rooms that open at each replica, by the clock.
struct Load {
    watches: Vec<Arc<Watch>>,
    runs: JoinSet<(usize, Result<RequestRun, load::LoadError>)>,
}

impl Load {
    fn start(options: &Options, replicas: &[Replica]) -> Self {
        let mut load = Self { watches: Vec::new(), runs: JoinSet::new() };
        #[expect(clippy::cast_precision_loss, reason = "a handful of replicas")]
        let per_second = options.per_second / replicas.len() as f64;
        for (number, replica) in replicas.iter().enumerate() {
            let plan = RequestPlan {
                connections: 32,
                rooms: 10_000_000,
                new_rooms: true,
                mode: Mode::Rate { per_second },
                warm_up: Duration::ZERO,
                duration: PATIENCE + options.around * 3,
                seed: seed(options, number),
                ..RequestPlan::new(replica.serve)
            };
            let watch = Arc::<Watch>::default();
            load.watches.push(Arc::clone(&watch));
            load.runs.spawn(async move { (number, load::requests_with(&plan, &watch).await) });
        }
        load
    }

    /// Stops it; what came of it, in the order of replicas.
    async fn end(&mut self) -> Result<Vec<RequestRun>, VersusError> {
        self.watches.iter().for_each(|watch| watch.stop());
        let mut runs = Vec::new();
        while let Some(run) = self.runs.join_next().await {
            let (number, run) = run.map_err(|error| io("generator")(io::Error::other(error)))?;
            runs.push((number, run.map_err(|source| VersusError::Load { subject: "roompin", source })?));
        }
        runs.sort_by_key(|(number, _)| *number);
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }
}

/// Names the rooms that open at one replica.
fn seed(options: &Options, replica: usize) -> u64 {
    options.seed.wrapping_mul(1_000).wrapping_add(replica as u64)
}

/// Rooms of a sample of those opened that are on two shards, asked for through every replica.
async fn splits(options: &Options, replicas: &[Replica], runs: &[RequestRun]) -> Result<usize, VersusError> {
    let mut split = 0;
    for (number, run) in runs.iter().enumerate() {
        let opened = usize::try_from(run.requests).unwrap_or(usize::MAX);
        // The first ones came before the joiner, the last ones after it was ready.
        let sample = (0..opened).step_by((opened / SAMPLE).max(1));
        for room in sample {
            let name = load::room_name(seed(options, number), room);
            let mut shards = Vec::new();
            for replica in replicas {
                let shard = replica.header(&format!("/_unlock?room={name}"), SHARD_HEADER).await?;
                if !shards.contains(&shard) {
                    shards.push(shard);
                }
            }
            split += usize::from(shards.len() > 1);
        }
    }
    Ok(split)
}
