//! The one place that reads the wall clock.

use router_core::time::Timestamp;
use tokio::time::Instant;

/// Hands out [`Timestamp`]s that never go back within this process.
///
/// The wall clock is read once; from then on monotonic time is added to it, so a correction by NTP or by hand
/// neither ages pins nor makes them young again. Tokio's `Instant` is used because tests with paused time then move
/// this clock too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts from the wall clock. A machine whose clock stands before 1970 starts at 0.
    #[must_use]
    pub fn system() -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "the one reading of the wall clock that all timestamps start from"
        )]
        let wall = std::time::SystemTime::now();
        let since_epoch = wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(Timestamp(0) + since_epoch)
    }

    /// Starts from a given time: for tests and replays.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { wall, started: Instant::now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.wall + self.started.elapsed()
    }

    /// When this clock was started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.wall
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_monotonic_time() {
        let clock = Clock::starting_at(Timestamp(5_000));
        tokio::time::advance(Duration::from_millis(1_250)).await;
        assert_eq!(clock.now(), Timestamp(6_250));
        let copy = clock;
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(copy.now(), Timestamp(6_251));
        assert_eq!(clock.started(), Timestamp(5_000));
    }

    #[test]
    fn starts_in_this_century() {
        // 2020-01-01 and 2100-01-01: tells milliseconds from seconds and microseconds.
        let now = Clock::system().now().0;
        assert!((1_577_836_800_000..4_102_444_800_000).contains(&now), "{now}");
    }
}
