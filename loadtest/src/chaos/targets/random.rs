//! A proxy that is broken on purpose: every connection goes to any shard. Who watches has to find out.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Rules, Setup, ShardEntry, ShardState, Target, TargetError};
use crate::child::ChildError;

/// Replicas inside this process.
#[derive(Debug)]
pub(crate) struct Random {
    setup: Setup,
    shards: Arc<Mutex<Vec<SocketAddr>>>,
    replicas: BTreeMap<usize, JoinSet<()>>,
}

impl Random {
    /// Replicas that do not run yet.
    #[must_use]
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, shards: Arc::default(), replicas: BTreeMap::new() }
    }
}

async fn serve(listener: TcpListener, shards: Arc<Mutex<Vec<SocketAddr>>>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((mut client, _)) = accepted else { continue };
        let shard = {
            let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
            if shards.is_empty() { None } else { Some(shards[rand::random_range(0..shards.len())]) }
        };
        let Some(shard) = shard else { continue };
        connections.spawn(async move {
            if let Ok(mut shard) = TcpStream::connect(shard).await {
                // How a connection ends is the business of its two ends.
                let _ = copy_bidirectional(&mut client, &mut shard).await;
            }
        });
    }
}

#[async_trait]
impl Target for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn rules(&self) -> Rules {
        Rules { ttl_ms: self.setup.ttl_s * 1_000, ..Rules::default() }
    }

    async fn start(&mut self, replica: usize) -> Result<(), TargetError> {
        let place = &self.setup.places[replica - 1];
        let bind = || {
            let listener = std::net::TcpListener::bind(place.serve)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = place.enter(bind).and_then(|bound| bound).and_then(TcpListener::from_std);
        let listener = listener.map_err(ChildError::io("listening"))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&self.shards)));
        self.replicas.insert(replica, tasks);
        Ok(())
    }

    async fn stop(&mut self, replica: usize, _orderly: bool) {
        if let Some(mut tasks) = self.replicas.remove(&replica) {
            tasks.shutdown().await;
        }
    }

    fn pause(&mut self, _replica: usize, _paused: bool) -> Result<(), TargetError> {
        Err(ChildError::io("pause")(std::io::ErrorKind::Unsupported.into()).into())
    }

    fn pid(&self, _replica: usize) -> Option<u32> {
        None
    }

    async fn set_shards(&mut self, shards: &[ShardEntry]) -> Result<(), TargetError> {
        let usable = shards.iter().filter(|shard| shard.state != ShardState::Down).map(|shard| shard.address).collect();
        *self.shards.lock().unwrap_or_else(PoisonError::into_inner) = usable;
        Ok(())
    }

    async fn late(&self) -> Option<u64> {
        None
    }

    async fn ended(&mut self) -> Option<String> {
        None
    }
}
