//! A stub shard: the HTTP surface of a Jitsi shard's web server, answering in its own name.
//!
//! Every response names the shard in [`SHARD_HEADER`], so whoever asks knows where they landed without believing the
//! proxy between. Used by `roompin-loadtest stub`, by the demo, and by the proxy's integration tests.

mod agent;
mod answer;
mod echo;
mod serve;
mod state;
mod tunnel;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::StatusCode;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub(crate) use answer::attribute;
pub(crate) use tunnel::limits as websocket_limits;

use state::State;

/// Names the stub on every response. Only stubs send it, so it is the observer's source and not the proxy's.
pub const SHARD_HEADER: &str = "x-stub-shard";

/// Names the shard as Jitsi's own web server does; see [`StubOptions::jitsi_header`].
pub const JITSI_HEADER: &str = "x-jitsi-shard";

/// The message that, sent first in a tunnel, is answered with the shard's name instead of an echo.
pub const WHO: &str = "who";

/// What is settled when a stub starts.
#[derive(Clone, Debug)]
pub struct StubOptions {
    /// Send `X-Jitsi-Shard` as real shards do. On by default; off lets a test see that the proxy adds it.
    pub jitsi_header: bool,
    /// Where to speak HAProxy's agent-check protocol; `None` (the default) does not.
    pub agent: Option<SocketAddr>,
}

impl Default for StubOptions {
    fn default() -> Self {
        Self { jitsi_header: true, agent: None }
    }
}

/// A running stub shard. Dropping it ends it, like a killed shard: its connections break off.
#[derive(Debug)]
pub struct StubShard {
    /// Where it serves HTTP, with the port that was bound.
    pub addr: SocketAddr,
    /// Its name.
    pub name: String,
    agent_addr: Option<SocketAddr>,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl StubShard {
    /// Starts a stub with [`StubOptions::default`]. Port 0 binds any free port; see [`StubShard::addr`].
    ///
    /// # Errors
    /// When the address cannot be bound, or the name would not fit into a header.
    pub async fn start(name: &str, addr: SocketAddr) -> io::Result<Self> {
        Self::start_with(name, addr, StubOptions::default()).await
    }

    /// Starts a stub.
    ///
    /// # Errors
    /// As for [`StubShard::start`], and when the agent's address cannot be bound.
    pub async fn start_with(name: &str, addr: SocketAddr, options: StubOptions) -> io::Result<Self> {
        let state = Arc::new(State::new(name, options.jitsi_header)?);
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let agent = match options.agent {
            Some(addr) => Some(TcpListener::bind(addr).await?),
            None => None,
        };
        let agent_addr = agent.as_ref().map(TcpListener::local_addr).transpose()?;

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        if let Some(agent) = agent {
            tasks.spawn(agent::serve(agent, Arc::clone(&state), stopped.clone()));
        }
        tasks.spawn(serve::serve(listener, Arc::clone(&state), stopped));
        Ok(Self { addr, name: name.to_owned(), agent_addr, state, stop, tasks })
    }

    /// Where it speaks the agent-check protocol, if it does.
    #[must_use]
    pub fn agent_addr(&self) -> Option<SocketAddr> {
        self.agent_addr
    }

    /// Requests received so far, handshakes of tunnels included.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.state.hits()
    }

    /// Tunnels open now.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.state.tunnels()
    }

    /// Values of the query parameter `room` exactly as received (still encoded), with the requests that had each.
    /// At most [`StubShard::MAX_ROOMS`] values are kept.
    #[must_use]
    pub fn rooms_seen(&self) -> BTreeMap<String, u64> {
        self.state.rooms()
    }

    /// Most values that [`StubShard::rooms_seen`] keeps.
    pub const MAX_ROOMS: usize = 100_000;

    /// Waits this long before every answer from now on, handshakes included.
    pub fn set_delay(&self, delay: Duration) {
        self.state.knobs().delay = delay;
    }

    /// Answers every request from now on with this status; `None` heals it.
    pub fn set_failure(&self, status: Option<StatusCode>) {
        self.state.knobs().failure = status;
    }

    /// The status of `/about/health` from now on; 200 at the start.
    pub fn set_health(&self, status: StatusCode) {
        self.state.knobs().health = status;
    }

    /// What the agent says from now on, without the line's end; `up ready 100%` at the start.
    pub fn set_agent(&self, line: &str) {
        self.state.knobs().agent = line.to_owned();
    }

    /// Whether `X-Jitsi-Shard` is sent from now on.
    pub fn set_jitsi_header(&self, send: bool) {
        self.state.knobs().jitsi_header = send;
    }

    /// Ends the stub like a killed shard: connections and tunnels break off. When it returns, the port is free again.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Waits until the stub is told to stop, or has been dropped.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
