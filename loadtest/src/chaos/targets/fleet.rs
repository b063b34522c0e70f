//! Replicas that are processes, whatever proxy it is.

use std::{collections::BTreeMap, io};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::{process::Command, runtime::Handle};

use super::{LEAVE_TIMEOUT, Rules, Setup, ShardEntry, Target, TargetError, name_of};
use crate::child::{Child, ChildError, http_client};

/// What is particular about one proxy.
#[async_trait]
pub(crate) trait Kind: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What it promises.
    fn rules(&self) -> Rules;

    /// Where its replicas are.
    fn setup(&self) -> &Setup;

    /// The signal that lets a replica leave in good order.
    fn farewell(&self) -> Signal;

    /// Writes a replica's configuration.
    fn configure(&self, replica: usize, shards: &[ShardEntry]) -> io::Result<()>;

    /// Runs a replica with it.
    fn command(&self, replica: usize) -> Command;

    /// Answers with success when a replica serves.
    fn ready_url(&self, replica: usize) -> String;

    /// Decisions that a replica has taken without hearing from the others in time, if it counts them and says so.
    async fn late(&self, _replica: usize) -> Option<u64> {
        None
    }

    /// A replica serves, and knows what its configuration can say.
    async fn started(&self, replica: usize, shards: &[ShardEntry]) -> Result<(), TargetError>;

    /// Lets replicas that run know the new list, if they are to `listen`; others hear of it as well as they can.
    async fn tell(&self, replicas: &[Listener<'_>], old: &[ShardEntry], new: &[ShardEntry]) -> Result<(), TargetError>;
}

/// A replica that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener<'a> {
    /// Its number.
    pub replica: usize,
    /// Its process.
    pub process: &'a Child,
    /// It does not stand still.
    pub listens: bool,
}

/// Replicas of a proxy.
#[derive(Debug)]
pub(crate) struct Fleet<K> {
    kind: K,
    shards: Vec<ShardEntry>,
    replicas: BTreeMap<usize, Replica>,
    /// Late decisions of those that are no more.
    late: Option<u64>,
    http: reqwest::Client,
}

#[derive(Debug)]
struct Replica {
    process: Child,
    /// SIGSTOP was sent, and no SIGCONT.
    paused: bool,
}

impl<K: Kind> Fleet<K> {
    /// Replicas that do not run yet.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub(crate) fn new(kind: K) -> Result<Self, TargetError> {
        Ok(Self { kind, shards: Vec::new(), replicas: BTreeMap::new(), late: None, http: http_client()? })
    }
}

impl<K: Kind> Fleet<K> {
    /// Nothing of one that stands still: it would not answer.
    async fn late_of(&self, replica: usize) -> Option<u64> {
        if self.replicas.get(&replica)?.paused { None } else { self.kind.late(replica).await }
    }
}

/// The sum of what is known.
fn add(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a + b).or(a).or(b)
}

#[async_trait]
impl<K: Kind> Target for Fleet<K> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn rules(&self) -> Rules {
        self.kind.rules()
    }

    async fn start(&mut self, replica: usize) -> Result<(), TargetError> {
        self.kind.configure(replica, &self.shards).map_err(ChildError::io("configuration"))?;
        let command = self.kind.command(replica);
        let (place, runtime) = (&self.kind.setup().places[replica - 1], Handle::current());
        let process = place.enter(|| {
            let _runtime = runtime.enter();
            Child::start(&name_of(replica), command)
        });
        let mut process = process.map_err(ChildError::io("network of a replica"))??;
        process.ready_at(&self.http, &self.kind.ready_url(replica)).await?;
        self.replicas.insert(replica, Replica { process, paused: false });
        self.kind.started(replica, &self.shards).await
    }

    async fn stop(&mut self, replica: usize, orderly: bool) {
        self.late = add(self.late, self.late_of(replica).await);
        match self.replicas.remove(&replica) {
            Some(replica) if orderly => replica.process.end_orderly(self.kind.farewell(), LEAVE_TIMEOUT).await,
            Some(replica) => replica.process.end().await,
            None => {}
        }
    }

    fn pause(&mut self, replica: usize, paused: bool) -> Result<(), TargetError> {
        let Some(replica) = self.replicas.get_mut(&replica) else { return Ok(()) };
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        replica.process.signal(signal).map_err(ChildError::io("signal to a replica"))?;
        replica.paused = paused;
        Ok(())
    }

    fn pid(&self, replica: usize) -> Option<u32> {
        self.replicas.get(&replica)?.process.pid()
    }

    async fn set_shards(&mut self, shards: &[ShardEntry]) -> Result<(), TargetError> {
        let old = std::mem::replace(&mut self.shards, shards.to_vec());
        let listeners: Vec<_> = self
            .replicas
            .iter()
            .map(|(&replica, Replica { process, paused })| Listener { replica, process, listens: !paused })
            .collect();
        self.kind.tell(&listeners, &old, shards).await
    }

    async fn late(&self) -> Option<u64> {
        let mut all = self.late;
        for &replica in self.replicas.keys() {
            all = add(all, self.late_of(replica).await);
        }
        all
    }

    async fn ended(&mut self) -> Option<String> {
        for (&number, replica) in &mut self.replicas {
            if let Err(error) = replica.process.still_runs().await {
                self.replicas.remove(&number);
                return Some(error.to_string());
            }
        }
        None
    }
}
