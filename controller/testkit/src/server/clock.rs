//! The server's wall clock, read off tokio's, so that a test which pauses time also moves every timestamp.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// An epoch plus what tokio's clock has counted since.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    epoch: Timestamp,
    started: Instant,
}

impl Clock {
    pub(crate) fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.epoch.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// A timestamp as `metav1.Time` writes it: whole seconds, in UTC.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago, as kubectl's AGE column writes it.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let s = now.as_second() - since.as_second();
    let (minute, hour, day, year) = (60, 3_600, 86_400, 365 * 86_400);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
    };
    match s {
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{s}s"),
        120..600 => two(s / minute, "m", s % minute, "s"),
        600..10_800 => format!("{}m", s / minute),
        10_800..28_800 => two(s / hour, "h", (s % hour) / minute, "m"),
        28_800..172_800 => format!("{}h", s / hour),
        172_800..691_200 => two(s / day, "d", (s % day) / hour, "h"),
        _ if s < 2 * year => format!("{}d", s / day),
        _ if s < 8 * year => two(s / year, "y", (s % year) / day, "d"),
        _ => format!("{}y", s / year),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_the_clock() {
        let epoch: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(epoch);
        tokio::time::sleep(std::time::Duration::from_secs(90)).await;
        assert_eq!(seconds(clock.now()), "2026-01-01T00:01:30Z");
        let ages: Vec<_> = [90, 130, 3_700, 11_000, 90_000, 180_000, 1_000_000]
            .into_iter()
            .map(|s| age(epoch, epoch + SignedDuration::from_secs(s)))
            .collect();
        assert_eq!(ages, ["90s", "2m10s", "61m", "3h3m", "25h", "2d2h", "11d"]);
    }
}
