//! `stub`: a stub shard of its own process.

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use clap::Args;

use super::{Exit, complain, duration, interruption, one_thread};
use crate::stub::{StubOptions, StubShard};

/// Arguments of `stub`.
#[derive(Debug, Args)]
pub struct StubArgs {
    /// The shard's name: letters, digits, '.', '_' and '-'
    #[arg(long)]
    pub name: String,
    /// Where to serve; port 0 takes any free one, which is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where to speak HAProxy's agent-check protocol
    #[arg(long, value_name = "ADDRESS")]
    pub agent: Option<SocketAddr>,
    /// Do not send X-Jitsi-Shard, so that the proxy has to
    #[arg(long)]
    pub no_jitsi_header: bool,
    /// Wait this long before each answer, handshakes included, as a shard that thinks
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub delay: Option<Duration>,
}

/// Serves until interrupted.
#[must_use]
pub fn run(args: &StubArgs) -> Exit {
    // One thread: under load, shards shall cost as little as they can, and waking other threads costs.
    match one_thread().and_then(|runtime| runtime.block_on(serve(args))) {
        Ok(()) => Exit::Passed,
        Err(error) => complain(&error),
    }
}

async fn serve(args: &StubArgs) -> io::Result<()> {
    let options = StubOptions { jitsi_header: !args.no_jitsi_header, agent: args.agent };
    let interrupted = interruption()?;
    let shard = StubShard::start_with(&args.name, args.listen, options).await?;
    shard.set_delay(args.delay.unwrap_or_default());
    match shard.agent_addr() {
        Some(agent) => writeln!(io::stdout(), "{} serves http://{}, agent {agent}", shard.name, shard.addr)?,
        None => writeln!(io::stdout(), "{} serves http://{}", shard.name, shard.addr)?,
    }
    interrupted.await;
    shard.stop().await;
    Ok(())
}
