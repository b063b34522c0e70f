//! Watching shards: one task per shard and kind of probe.
//!
//! A probe reports and decides nothing; rise, fall and the strictest of all sources are the registry's. Draining and
//! down shards are probed like ready ones, else they could not come back. A shard with several addresses is fine when
//! one of them is: they are tried at the same time, so that one black hole does not use up the time of the others.

mod agent;
mod error;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod http;
mod tcp;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use router_core::{
    agent_check::AgentReply,
    registry::{ProbeKind, ShardInput},
    shard::ShardName,
    shard_set::ShardSet,
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::Instant,
};

use crate::config::{HttpProbe, ProbeTiming, Probes};

pub use error::ProbeError;

/// Addresses of one shard that are probed at the same time.
const MAX_ADDRESSES: usize = 16;
/// The first probe comes within this share of the interval: soon, but not all at once.
const FIRST_SHARE: f64 = 0.1;
/// Jitter of the interval, to both sides.
const JITTER: f64 = 0.1;

/// One finished probe, for metrics.
#[derive(Debug)]
pub struct ProbeEvent {
    /// The shard probed.
    pub shard: ShardName,
    /// With what.
    pub kind: ProbeKind,
    /// How it went; [`ProbeError::kind`] is made for a metric label.
    pub result: Result<(), ProbeError>,
    /// How long it took.
    pub elapsed: Duration,
}

impl ProbeEvent {
    /// Whether the probe succeeded.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.result.is_ok()
    }
}

/// Receives every [`ProbeEvent`], on the probe's task: it must not block.
pub type ProbeEvents = Arc<dyn Fn(ProbeEvent) + Send + Sync>;

/// Starts probing.
#[derive(Debug)]
pub struct Prober;

impl Prober {
    /// Starts a task that follows `shards` and probes each as `config` says. Verdicts go to `inputs`.
    ///
    /// Must be called within a tokio runtime. Probing ends when the handle or the sender of `shards` is dropped.
    #[must_use = "dropping the handle stops the probes"]
    pub fn spawn(
        config: &Probes,
        shards: watch::Receiver<Arc<ShardSet>>,
        inputs: mpsc::Sender<ShardInput>,
        events: ProbeEvents,
    ) -> ProberHandle {
        let context = Context { shards, inputs, events };
        let task = tokio::spawn(supervise(config.clone(), context.clone()));
        ProberHandle { config: config.clone(), context, task }
    }
}

/// The running probes. Dropping it stops them.
pub struct ProberHandle {
    config: Probes,
    context: Context,
    task: JoinHandle<()>,
}

impl ProberHandle {
    /// Goes over to another configuration: all probes start anew, unless nothing changed.
    ///
    /// Rise and fall counts live in the registry and are not touched.
    pub fn replace(&mut self, config: &Probes) {
        if self.config == *config {
            return;
        }
        self.task.abort();
        self.config = config.clone();
        self.task = tokio::spawn(supervise(config.clone(), self.context.clone()));
    }

    /// Stops all probes and waits until none of them can report any more.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for ProberHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for ProberHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProberHandle").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Where probes look and report.
#[derive(Clone)]
struct Context {
    shards: watch::Receiver<Arc<ShardSet>>,
    inputs: mpsc::Sender<ShardInput>,
    events: ProbeEvents,
}

/// What a probe does.
#[derive(Clone)]
enum Plan {
    Tcp(ProbeTiming),
    Http(Arc<HttpProbe>),
    Agent(ProbeTiming),
}

impl Plan {
    fn timing(&self) -> &ProbeTiming {
        match self {
            Self::Tcp(timing) | Self::Agent(timing) => timing,
            Self::Http(probe) => &probe.timing,
        }
    }

    fn kind(&self) -> ProbeKind {
        match self {
            Self::Tcp(_) => ProbeKind::Tcp,
            Self::Http(_) => ProbeKind::Http,
            Self::Agent(_) => ProbeKind::Agent,
        }
    }
}

/// Keeps one task per shard and plan. Its tasks end with it.
async fn supervise(config: Probes, mut context: Context) {
    let plans: Vec<Plan> = [
        config.tcp.map(Plan::Tcp),
        config.http.map(|probe| Plan::Http(Arc::new(probe))),
        config.agent.map(Plan::Agent),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<(ShardName, usize), AbortHandle> = BTreeMap::new();
    loop {
        let set = context.shards.borrow_and_update().clone();
        let wanted: BTreeSet<(ShardName, usize)> = set
            .iter()
            .flat_map(|shard| {
                let plans = plans.iter().enumerate();
                let plans = plans.filter(|(_, plan)| !matches!(plan, Plan::Agent(_)) || shard.agent_port.is_some());
                plans.map(|(index, _)| (shard.name.clone(), index))
            })
            .collect();
        running.retain(|key, task| {
            let keep = wanted.contains(key);
            if !keep {
                task.abort();
            }
            keep
        });
        for key in wanted {
            let plan = plans[key.1].clone();
            let (shard, context) = (key.0.clone(), context.clone());
            running.entry(key).or_insert_with(|| tasks.spawn(watch_shard(shard, plan, context)));
        }
        while tasks.try_join_next().is_some() {}
        if context.shards.changed().await.is_err() {
            return;
        }
    }
}

/// Probes one shard again and again.
async fn watch_shard(shard: ShardName, plan: Plan, context: Context) {
    let timing = plan.timing().clone();
    tokio::time::sleep(timing.interval.mul_f64(FIRST_SHARE * rand::random::<f64>())).await;
    let mut agent_trouble = None;
    loop {
        let started = Instant::now();
        if let Some((addresses, agent_port)) = addresses(&context, &shard) {
            let outcome = probe(&shard, &plan, &addresses, agent_port).await;
            let elapsed = started.elapsed();
            let (result, input) = match outcome {
                Ok(None) => (Ok(()), Some(Ok(()))),
                Ok(Some(reply)) => {
                    note_agent(&shard, &mut agent_trouble, None);
                    if context.inputs.send(ShardInput::Agent { shard: shard.clone(), reply }).await.is_err() {
                        return;
                    }
                    (Ok(()), None)
                }
                // What an agent does not say changes nothing: reachability is the other probes' business (HAProxy).
                Err(error) if matches!(plan, Plan::Agent(_)) => {
                    note_agent(&shard, &mut agent_trouble, Some(error.to_string()));
                    (Err(error), None)
                }
                Err(error) => {
                    let why = error.to_string();
                    (Err(error), Some(Err(why)))
                }
            };
            if let Some(result) = input {
                let verdict = ShardInput::Probed { shard: shard.clone(), probe: plan.kind(), result };
                if context.inputs.send(verdict).await.is_err() {
                    return;
                }
            }
            (context.events)(ProbeEvent { shard: shard.clone(), kind: plan.kind(), result, elapsed });
        }
        let jitter = 1.0 + JITTER * (2.0 * rand::random::<f64>() - 1.0);
        tokio::time::sleep_until(started + timing.interval.mul_f64(jitter)).await;
    }
}

/// The shard's present addresses; `None` when it has none (it is only remembered) or just left.
fn addresses(context: &Context, shard: &ShardName) -> Option<(Vec<SocketAddr>, Option<u16>)> {
    let set = context.shards.borrow();
    let shard = set.by_name(shard.as_str())?;
    let addresses: Vec<_> = shard.addresses.iter().copied().take(MAX_ADDRESSES).collect();
    (!addresses.is_empty()).then_some((addresses, shard.agent_port))
}

/// Tries all addresses at once; the first success wins, and without one the last failure is told.
async fn probe(
    shard: &ShardName,
    plan: &Plan,
    addresses: &[SocketAddr],
    agent_port: Option<u16>,
) -> Result<Option<AgentReply>, ProbeError> {
    let timeout = plan.timing().timeout;
    let addresses: BTreeSet<SocketAddr> = match (plan, agent_port) {
        (Plan::Agent(_), Some(port)) => addresses.iter().map(|at| SocketAddr::new(at.ip(), port)).collect(),
        _ => addresses.iter().copied().collect(),
    };
    let mut attempts: FuturesUnordered<_> = addresses
        .into_iter()
        .map(|address| async move {
            let attempt = async {
                match plan {
                    Plan::Tcp(_) => tcp::probe(address).await.map(|()| None),
                    Plan::Http(probe) => http::probe(address, probe, shard).await.map(|()| None),
                    Plan::Agent(_) => agent::probe(address).await.map(Some),
                }
            };
            tokio::time::timeout(timeout, attempt).await.unwrap_or(Err(ProbeError::Timeout(timeout)))
        })
        .collect();
    let mut failure = ProbeError::Closed;
    while let Some(outcome) = attempts.next().await {
        match outcome {
            Ok(reply) => return Ok(reply),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Logs an agent's trouble when it changes, not every time.
fn note_agent(shard: &ShardName, last: &mut Option<String>, trouble: Option<String>) {
    if *last == trouble {
        return;
    }
    match &trouble {
        Some(trouble) => tracing::warn!(%shard, trouble, "agent check"),
        None => tracing::info!(%shard, "agent check is well again"),
    }
    *last = trouble;
}

#[cfg(test)]
mod tests;
