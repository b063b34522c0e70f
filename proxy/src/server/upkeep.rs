//! What time alone demands: idle tunnels end, unused pins expire.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};

use crate::edge::Edge;

/// Resolution of the tunnels' idle limit.
const TICK: Duration = Duration::from_secs(1);
/// Pins are looked through every so many ticks; a pin past its time does not count meanwhile either.
const EXPIRE_EVERY: u32 = 5;

/// Runs as long as the process.
pub(super) async fn run(edge: Arc<Edge>) {
    let started = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in (0..EXPIRE_EVERY).cycle() {
        tick.tick().await;
        edge.tunnels.tick(started.elapsed(), edge.settings.load().tunnels.idle);
        if turn == 0 {
            let expired = edge.router.expire(edge.clock.now());
            edge.metrics.pins_expired.inc_by(expired as u64);
        }
    }
}
