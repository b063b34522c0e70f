//! A shard in its place.

use std::{io, time::Duration};

use tokio::runtime::Handle;

use crate::{
    chaos::{ground::Place, script::Node, targets::ShardState},
    stub::StubShard,
};

/// A shard.
pub(super) struct Shard {
    pub(super) place: Place,
    /// `None` while it is dead.
    pub(super) stub: Option<StubShard>,
    pub(super) state: ShardState,
    pub(super) delay: Duration,
}

impl Shard {
    /// Starts one in its place.
    pub(super) async fn start(number: usize, place: Place) -> io::Result<Self> {
        let mut shard = Self { place, stub: None, state: ShardState::Ready, delay: Duration::ZERO };
        shard.revive(number).await?;
        Ok(shard)
    }

    /// Starts it, again if it runs.
    pub(super) async fn revive(&mut self, number: usize) -> io::Result<()> {
        if let Some(stub) = self.stub.take() {
            stub.stop().await;
        }
        let runtime = Handle::current();
        let (name, at) = (Node::Shard(number).to_string(), self.place.serve);
        // Its listener is made on a thread that is in its place, and there it stays.
        let stub = self.place.enter(|| runtime.block_on(StubShard::start(&name, at)))??;
        stub.set_delay(self.delay);
        self.stub = Some(stub);
        Ok(())
    }
}
