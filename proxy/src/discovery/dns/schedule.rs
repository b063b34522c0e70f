//! When to look up next. Pure: durations in, a duration out.

use std::time::Duration;

use crate::config::DnsSource;

/// A missing shard is looked for again this many times within its hold-down, whatever the TTL says; otherwise one
/// thin answer with a long TTL would be the only word heard before the hold-down ends.
const LOOKS_PER_HOLD_DOWN: u32 = 4;

/// The time to the next look-up after an answer.
///
/// `ttl` is the shortest time to live in the answer; `missing` says that a shard known before is not in it.
pub(super) fn after_answer(source: &DnsSource, ttl: Duration, missing: bool) -> Duration {
    let mut wait = ttl;
    if missing {
        wait = wait.min(source.hold_down / LOOKS_PER_HOLD_DOWN);
    }
    within_bounds(source, wait)
}

/// The time to the next look-up after `failures` failures in a row (at least 1): doubled each time.
pub(super) fn after_failure(source: &DnsSource, failures: u32) -> Duration {
    // Beyond 2^16 every sensible minimum has passed the maximum.
    let factor = 1_u32 << failures.saturating_sub(1).min(16);
    within_bounds(source, source.min_refresh.saturating_mul(factor))
}

/// `wait` spread by up to a tenth, so that replicas started together do not ask together; `chance` is from 0 to 1.
/// Only ever later than a TTL, never earlier, and still within the bounds.
pub(super) fn spread(source: &DnsSource, wait: Duration, chance: f64) -> Duration {
    within_bounds(source, wait.mul_f64(1.0 + 0.1 * chance.clamp(0.0, 1.0)))
}

fn within_bounds(source: &DnsSource, wait: Duration) -> Duration {
    // Not `clamp`: it panics when a configuration has the bounds the wrong way round.
    wait.min(source.max_refresh).max(source.min_refresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DnsRecord;

    fn source(min: u64, max: u64, hold_down: u64) -> DnsSource {
        DnsSource {
            record: DnsRecord::Srv { service: "_http._tcp.web.test".into() },
            servers: Vec::new(),
            hold_down: Duration::from_secs(hold_down),
            min_refresh: Duration::from_secs(min),
            max_refresh: Duration::from_secs(max),
            weight: 100,
            agent_port: None,
        }
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_ttl_counts_between_the_bounds() {
        let source = source(1, 30, 30);
        assert_eq!(after_answer(&source, secs(0), false), secs(1));
        assert_eq!(after_answer(&source, secs(5), false), secs(5));
        assert_eq!(after_answer(&source, secs(86_400), false), secs(30));
    }

    #[test]
    fn a_missing_shard_is_looked_for_within_its_hold_down() {
        assert_eq!(after_answer(&source(1, 30, 28), secs(30), true), secs(7));
        assert_eq!(after_answer(&source(1, 30, 28), secs(5), true), secs(5));
        assert_eq!(after_answer(&source(10, 30, 28), secs(30), true), secs(10), "the lower bound stands");
        assert_eq!(after_answer(&source(1, 30, 0), secs(30), true), secs(1));
    }

    #[test]
    fn failures_back_off_to_the_upper_bound() {
        let source = source(1, 30, 30);
        let waits: Vec<_> = (1..=7).map(|n| after_failure(&source, n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after_failure(&source, u32::MAX), secs(30));
    }

    #[test]
    fn spreading_is_later_and_within_bounds() {
        let source = source(1, 30, 30);
        assert_eq!(spread(&source, secs(10), 0.0), secs(10));
        assert_eq!(spread(&source, secs(10), 1.0), secs(11));
        assert_eq!(spread(&source, secs(30), 1.0), secs(30));
    }

    #[test]
    fn bounds_the_wrong_way_round_do_not_panic() {
        assert_eq!(after_answer(&source(30, 1, 30), secs(5), false), secs(30));
    }
}
