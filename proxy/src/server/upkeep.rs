//! What time alone demands: idle tunnels end, unused pins expire.

use std::{sync::Arc, time::Duration};

use router_core::time::Timestamp;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::edge::Edge;

/// Resolution of the tunnels' idle limit.
const TICK: Duration = Duration::from_secs(1);
/// One of the table's 256 groups is looked through for pins past their time so often, all within five seconds; such a pin
/// does not count meanwhile either.
const EXPIRE_EVERY: Duration = Duration::from_millis(20);

/// Runs as long as the process.
pub(super) async fn run(edge: Arc<Edge>) {
    let started = Instant::now();
    let (mut tick, mut expiry) = (ticks(TICK), ticks(EXPIRE_EVERY));
    let mut looked = turn(edge.clock.now());
    loop {
        tokio::select! {
            _ = tick.tick() => edge.tunnels.tick(started.elapsed(), edge.settings.load().tunnels.idle),
            _ = expiry.tick() => {
                let now = edge.clock.now();
                let due = turn(now);
                for group in groups(looked, due) {
                    edge.metrics.pins_expired.inc_by(edge.router.expire_group(group, now) as u64);
                }
                looked = looked.max(due);
            }
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The clock says which group it is: replicas forget a pin at the same time, or repair would find their tables different
/// for nothing.
fn turn(now: Timestamp) -> u64 {
    now.0 / u64::try_from(EXPIRE_EVERY.as_millis()).unwrap_or(1)
}

/// The groups due since the last look; after a pause of this process each of them once.
fn groups(looked: u64, due: u64) -> impl Iterator<Item = u8> {
    (looked.max(due.saturating_sub(256))..due).map(|turn| turn.to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_turn_and_none_has_two() {
        assert_eq!(groups(7, 7).count(), 0);
        assert_eq!(groups(8, 7).count(), 0, "a clock that went back");
        assert!(groups(254, 258).eq([254, 255, 0, 1]));
        let mut all: Vec<_> = groups(1_000, 1_000_000).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..=255));
        assert_eq!(turn(Timestamp(5_120)) - turn(Timestamp(0)), 256);
    }
}
