//! A verdict that does not flap: so many successes to rise, so many failures to fall.

/// Counts checks in a row the way HAProxy does (`rise` and `fall` in its configuration manual).
///
/// It starts up with one failure to go, so a shard that is dead when we start takes no room; after its first
/// success, only `fall` failures in a row take it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiseFall {
    rise: u32,
    fall: u32,
    /// Below `rise`: down, with so many successes in a row. From `rise` on: up, and so many failures above it.
    level: u32,
}

impl RiseFall {
    /// Both counts are taken as at least 1.
    #[must_use]
    pub fn new(rise: u32, fall: u32) -> Self {
        let rise = rise.max(1);
        Self { rise, fall: fall.max(1), level: rise }
    }

    /// Takes one result; `Some` when the verdict changed, with the new one.
    pub fn record(&mut self, ok: bool) -> Option<bool> {
        let was_up = self.is_up();
        self.level = match (ok, was_up) {
            (true, true) => self.top(),
            (true, false) if self.level + 1 >= self.rise => self.top(),
            (true, false) => self.level + 1,
            (false, true) if self.level > self.rise => self.level - 1,
            (false, _) => 0,
        };
        (self.is_up() != was_up).then_some(!was_up)
    }

    /// Takes other counts. The verdict stays, and so do the results in a row that speak against it, as far as they do
    /// not change it: the next one of them does then.
    pub fn set_counts(&mut self, rise: u32, fall: u32) {
        let (was_up, failures) = (self.is_up(), self.top().saturating_sub(self.level));
        (self.rise, self.fall) = (rise.max(1), fall.max(1));
        self.level =
            if was_up { self.top().saturating_sub(failures).max(self.rise) } else { self.level.min(self.rise - 1) };
    }

    /// The present verdict.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.level >= self.rise
    }

    fn top(&self) -> u32 {
        self.rise.saturating_add(self.fall - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(check: &mut RiseFall, results: &str) -> String {
        let mark = |up| if up { 'U' } else { 'D' };
        results.chars().map(|c| check.record(c == '+').map_or('.', mark)).collect()
    }

    #[test]
    fn the_very_first_failure_takes_it_down() {
        let mut check = RiseFall::new(2, 3);
        assert!(check.is_up());
        assert_eq!(run(&mut check, "-"), "D");
        assert!(!check.is_up());
    }

    #[test]
    fn after_a_success_it_takes_a_whole_run_to_fall() {
        let mut check = RiseFall::new(2, 3);
        assert_eq!(run(&mut check, "+--+--+---"), ".........D");
    }

    #[test]
    fn a_failure_while_rising_starts_over() {
        let mut check = RiseFall::new(3, 1);
        assert_eq!(run(&mut check, "-++-+++-"), "D.....UD");
    }

    #[test]
    fn zero_counts_are_one() {
        let mut check = RiseFall::new(0, 0);
        assert_eq!(run(&mut check, "-+-+"), "DUDU");
    }

    #[test]
    fn other_counts_leave_the_verdict_and_what_speaks_against_it() {
        let mut check = RiseFall::new(2, 3);
        assert_eq!(run(&mut check, "+--"), "...");
        check.set_counts(2, 2);
        assert!(check.is_up(), "two failures would be enough now, but the verdict fell under other counts");
        assert_eq!(run(&mut check, "-"), "D");
        check.set_counts(4, 3);
        assert_eq!(run(&mut check, "+++"), "...");
        check.set_counts(2, 3);
        assert!(!check.is_up());
        assert_eq!(run(&mut check, "+--+---"), "U.....D");
        check.set_counts(0, 0);
        assert_eq!(run(&mut check, "+-"), "UD");
    }

    #[test]
    fn failures_so_far_count_towards_a_larger_fall() {
        let mut check = RiseFall::new(2, 3);
        assert_eq!(run(&mut check, "+--"), "...");
        check.set_counts(2, 5);
        assert_eq!(run(&mut check, "---"), "..D");
    }

    proptest::proptest! {
        #[test]
        fn other_counts_never_change_a_verdict(
            counts in proptest::collection::vec((0u32..6, 0u32..6, proptest::collection::vec(proptest::bool::ANY, 0..6)), 1..8),
        ) {
            let mut check = RiseFall::new(2, 3);
            for (rise, fall, results) in counts {
                let before = check.is_up();
                check.set_counts(rise, fall);
                proptest::prop_assert_eq!(check.is_up(), before);
                let (mut up, mut run) = (before, 0);
                for ok in results {
                    run = if ok == up { 0 } else { run + 1 };
                    let changed = check.record(ok).is_some();
                    let enough = if up { fall.max(1) } else { rise.max(1) };
                    // Earlier results may have counted already, so it may come sooner, but never later.
                    proptest::prop_assert!(changed || run < enough);
                    if changed { up = ok; run = 0 }
                }
            }
        }

        /// Against the plain reading: up after `rise` successes in a row, down after `fall` failures in a row.
        #[test]
        fn agrees_with_counting_runs(rise in 1u32..5, fall in 1u32..5, results: Vec<bool>) {
            let mut check = RiseFall::new(rise, fall);
            // One failure to go is the same as having failed fall-1 times already.
            let (mut up, mut successes, mut failures) = (true, 0, fall - 1);
            for ok in results {
                if ok { successes += 1; failures = 0 } else { failures += 1; successes = 0 }
                let verdict = if up { failures < fall } else { successes >= rise };
                proptest::prop_assert_eq!(check.record(ok), (verdict != up).then_some(verdict));
                up = verdict;
                proptest::prop_assert_eq!(check.is_up(), up);
            }
        }
    }
}
