//! Where shards come from: one task per source tells the registry what the source lists.
//!
//! The tasks decide nothing about rooms. They send whole lists ([`ShardInput::Discovered`]); the registry in
//! `router-core` compares, holds a missing shard down and removes it. A look-up that fails sends no list, so it
//! changes nothing.

mod dns;
mod error;
mod fixed;
mod kube;
mod problems;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use router_core::registry::ShardInput;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::config::{DnsRecord, DnsSource, KubernetesSource, Shards};

pub(crate) use dns::Hosts;
pub use error::DiscoveryError;

/// After a reload, how long the shards of a vanished source stay for new sources to take them over.
const HANDOVER: Duration = Duration::from_secs(5);

/// The source name of the shards listed by hand.
pub const FIXED_SOURCE: &str = "static";

/// What a source has just seen, for metrics and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoveryEvent {
    /// The source answered; its list is on its way to the registry.
    Answered {
        /// Name of the source, as in [`ShardInput::Discovered`].
        source: Arc<str>,
        /// Number of shards in the answer itself, without those that are kept although it lacks them.
        shards: usize,
    },
    /// Something went wrong. May accompany [`DiscoveryEvent::Answered`] when only a part of an answer is unusable,
    /// or when the answer says that there is nothing.
    Failed {
        /// Name of the source.
        source: Arc<str>,
        /// What went wrong; [`DiscoveryError::kind`] is made for a metric label.
        error: DiscoveryError,
    },
}

/// Receives every [`DiscoveryEvent`], on the source's task: it must not block.
pub type DiscoveryEvents = Arc<dyn Fn(DiscoveryEvent) + Send + Sync>;

/// Starts discovery.
#[derive(Debug)]
pub struct Discovery;

impl Discovery {
    /// Starts one task per source of `config`. Lists go to `inputs`, everything worth counting to `events`.
    ///
    /// Must be called within a tokio runtime. The tasks end when the handle is dropped.
    #[must_use = "dropping the handle stops discovery"]
    pub fn spawn(config: &Shards, inputs: mpsc::Sender<ShardInput>, events: DiscoveryEvents) -> DiscoveryHandle {
        let mut handle = DiscoveryHandle { inputs, events, running: BTreeMap::new(), unsettled: watch::Sender::new(0) };
        for (name, source) in sources(config) {
            handle.start(name, source);
        }
        handle
    }
}

/// The running sources. Dropping it aborts them; their shards stay as they are.
pub struct DiscoveryHandle {
    inputs: mpsc::Sender<ShardInput>,
    events: DiscoveryEvents,
    running: BTreeMap<Arc<str>, Running>,
    /// How many sources have neither answered nor failed yet.
    unsettled: watch::Sender<usize>,
}

struct Running {
    source: Source,
    task: JoinHandle<()>,
    first: Arc<FirstReport>,
}

impl DiscoveryHandle {
    /// Resolves once every source has answered or failed for the first time, and its list (if any) is in the
    /// channel. Resolves at once when there is no source.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut unsettled = self.unsettled.subscribe();
        async move {
            // An error means that the handle is gone: nothing is left to wait for.
            let _ = unsettled.wait_for(|&n| n == 0).await;
        }
    }

    /// Whether every source has answered or failed at least once.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        *self.unsettled.borrow() == 0
    }

    /// The names of the running sources.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<str>> {
        self.running.keys()
    }

    /// Goes over to another configuration.
    ///
    /// Sources that are configured as before keep running undisturbed; new ones start; changed ones start anew under
    /// their name. Sources that vanished are stopped and their shards are taken back: at once, or, when other sources
    /// start at the same time, within the few seconds that these have to take shards over.
    pub async fn replace(&mut self, config: &Shards) {
        let mut wanted: BTreeMap<_, _> = sources(config).into_iter().collect();
        let mut vanished = Vec::new();
        for (name, running) in std::mem::take(&mut self.running) {
            match wanted.get(&name) {
                Some(source) if *source == running.source => {
                    wanted.remove(&name);
                    self.running.insert(name, running);
                }
                Some(_) => running.stop().await,
                None => {
                    running.stop().await;
                    vanished.push(name);
                }
            }
        }
        // The registry lets a source take over only what another one has ceased to list, so this comes first.
        let hold_down = if wanted.is_empty() { Duration::ZERO } else { HANDOVER };
        for source in vanished {
            tracing::info!(%source, "no longer configured, its shards leave");
            let shards = Vec::new();
            let gone = ShardInput::Discovered { source, shards, hold_down };
            if self.inputs.send(gone).await.is_err() {
                return;
            }
        }
        for (name, source) in wanted {
            self.start(name, source);
        }
    }

    /// Stops all sources and waits until none of them can send any more. Their shards stay as they are.
    pub async fn stop(mut self) {
        for (_, running) in std::mem::take(&mut self.running) {
            running.stop().await;
        }
    }

    fn start(&mut self, name: Arc<str>, source: Source) {
        self.unsettled.send_modify(|n| *n += 1);
        let first = Arc::new(FirstReport { done: AtomicBool::new(false), unsettled: self.unsettled.clone() });
        let reporter = Reporter {
            source: name.clone(),
            inputs: self.inputs.clone(),
            events: self.events.clone(),
            first: first.clone(),
        };
        let task = match source.clone() {
            Source::Fixed(shards) => tokio::spawn(fixed::run(shards, reporter)),
            Source::Dns(dns) => tokio::spawn(dns::run(dns, reporter)),
            Source::Kubernetes(kube) => tokio::spawn(kube::run(kube, reporter)),
        };
        self.running.insert(name, Running { source, task, first });
    }
}

impl Drop for DiscoveryHandle {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.task.abort();
        }
    }
}

impl fmt::Debug for DiscoveryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryHandle").field("sources", &self.running.keys()).finish_non_exhaustive()
    }
}

impl Running {
    /// Ends the task, and returns only when it cannot send any more: a list of a stopped source that arrives after
    /// the empty one would bring its shards back for good.
    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        self.first.mark();
    }
}

/// Counts a source as settled, once.
struct FirstReport {
    done: AtomicBool,
    unsettled: watch::Sender<usize>,
}

impl FirstReport {
    fn mark(&self) {
        if !self.done.swap(true, Ordering::Relaxed) {
            self.unsettled.send_modify(|n| *n = n.saturating_sub(1));
        }
    }
}

/// A source's way out.
struct Reporter {
    source: Arc<str>,
    inputs: mpsc::Sender<ShardInput>,
    events: DiscoveryEvents,
    first: Arc<FirstReport>,
}

impl Reporter {
    /// Sends a list. `false` when nobody listens any more.
    async fn list(&self, shards: Vec<router_core::shard::ShardSpec>, hold_down: Duration) -> bool {
        let source = self.source.clone();
        self.inputs.send(ShardInput::Discovered { source, shards, hold_down }).await.is_ok()
    }

    fn answered(&self, shards: usize) {
        (self.events)(DiscoveryEvent::Answered { source: self.source.clone(), shards });
    }

    fn failed(&self, error: DiscoveryError) {
        (self.events)(DiscoveryEvent::Failed { source: self.source.clone(), error });
    }

    /// The first round is over, whatever its result.
    fn settled(&self) {
        self.first.mark();
    }
}

/// The names of the sources that [`Discovery::spawn`] starts for a configuration.
pub fn source_names(config: &Shards) -> impl Iterator<Item = Arc<str>> {
    sources(config).into_iter().map(|(name, _)| name)
}

/// One source as configured.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    Fixed(Vec<router_core::shard::ShardSpec>),
    Dns(DnsSource),
    Kubernetes(KubernetesSource),
}

/// The sources of a configuration by name. Equal names get a number, in the order of the configuration.
fn sources(config: &Shards) -> Vec<(Arc<str>, Source)> {
    let mut found: Vec<(Arc<str>, Source)> = Vec::new();
    if !config.fixed.is_empty() {
        found.push((FIXED_SOURCE.into(), Source::Fixed(config.fixed.clone())));
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut add = |mut name: String, source| {
        let times = seen.entry(name.clone()).and_modify(|n| *n += 1).or_insert(1);
        if *times > 1 {
            name = format!("{name}#{times}");
        }
        found.push((name.into(), source));
    };
    for dns in &config.dns {
        let name = match &dns.record {
            DnsRecord::Srv { service } => format!("dns:{}", canonical(service)),
            DnsRecord::Host { host, port, .. } => format!("dns:{}:{port}", canonical(host)),
        };
        add(name, Source::Dns(dns.clone()));
    }
    for kube in &config.kubernetes {
        let namespace = kube.namespace.as_deref().map(|name| format!("{name}/")).unwrap_or_default();
        add(format!("kubernetes:{namespace}{}", kube.selector), Source::Kubernetes(kube.clone()));
    }
    found
}

/// A DNS name as it is compared and shown: lower case, without the final dot.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
