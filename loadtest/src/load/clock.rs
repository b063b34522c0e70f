//! When messages are to go out, and how long they took from then.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::result::Latency;

/// Longest time told apart; longer ones count as this.
const LONGEST_US: u64 = 120_000_000;
/// Points of [`Latency::curve`] at most.
const CURVE_POINTS: usize = 100;

/// Messages go out at multiples of this, in small bursts if need be. To wake up for each of 20,000 messages a second
/// would cost the generator more than sending them.
const TICK: Duration = Duration::from_micros(200);

/// Messages by the clock, evenly spaced but for [`TICK`]. It does not wait for anybody: what could not go out in time
/// stays due, with the time at which it was to go out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    start: Instant,
    per_second: f64,
    sent: u64,
}

impl Schedule {
    pub(super) fn new(start: Instant, per_second: f64) -> Self {
        Self { start, per_second, sent: 0 }
    }

    /// When the next message is to go out.
    pub(super) fn next(&self) -> Instant {
        #[allow(clippy::cast_precision_loss, reason = "a count of messages stays far below 2^52")]
        let seconds = self.sent as f64 / self.per_second;
        self.start + TICK.mul_f64((seconds / TICK.as_secs_f64() - 1e-6).ceil().max(0.0))
    }

    /// Takes the next message if it is due: when it was to go out.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next();
        (next <= now).then(|| {
            self.sent += 1;
            next
        })
    }
}

/// Times recorded, in µs with three digits.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("invariant: these bounds are valid"))
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What is reported of them.
    pub(super) fn latency(&self) -> Latency {
        let at = |percentile| self.0.value_at_percentile(percentile).min(self.0.max());
        let mut curve: Vec<_> = if self.0.is_empty() {
            Vec::new()
        } else {
            // Ever finer towards the tail, which is what a latency plot is about.
            self.0
                .iter_quantiles(5)
                .map(|step| (step.quantile_iterated_to() * 100.0, step.value_iterated_to()))
                .collect()
        };
        curve.truncate(CURVE_POINTS - 1);
        if let Some(last) = curve.last().copied()
            && last.1 < self.0.max()
        {
            curve.push((100.0, self.0.max()));
        }
        Latency {
            count: self.0.len(),
            mean_us: self.0.mean(),
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            p999_us: at(99.9),
            max_us: self.0.max(),
            curve,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that answers in 1 ms, but stands still from 1 s to 2 s; 100 messages per second over one connection.
    fn stall(measured_from_intent: bool) -> Latency {
        let start = Instant::now();
        let (mut schedule, mut times) = (Schedule::new(start, 100.0), Times::new());
        let mut free = start;
        let end = start + Duration::from_secs(4);
        while schedule.next() < end {
            let intended = schedule.next();
            let sent = intended.max(free);
            assert_eq!(schedule.take(sent), Some(intended));
            let stood = sent >= start + Duration::from_secs(1) && sent < start + Duration::from_secs(2);
            let begun = if stood { start + Duration::from_secs(2) } else { sent };
            free = begun + Duration::from_millis(1);
            times.record(free - if measured_from_intent { intended } else { sent });
        }
        times.latency()
    }

    #[test]
    fn a_stall_shows_in_all_that_waited_for_it() {
        let (honest, naive) = (stall(true), stall(false));
        assert_eq!((honest.count, naive.count), (400, 400));
        assert!(honest.p90_us > 500_000, "a quarter of the messages fell into the stall: {honest:?}");
        assert!(naive.p99_us < 2_000, "from the actual start, one single message looks slow: {naive:?}");
        assert!(honest.max_us.abs_diff(1_001_000) < 2_000, "{honest:?}");
        assert!(honest.p50_us.abs_diff(1_000) < 10, "{honest:?}");
    }

    #[test]
    fn nothing_is_due_early_and_nothing_is_forgotten() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 4.0);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.take(start + Duration::from_millis(249)), None);
        let late = start + Duration::from_secs(1);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(late)).map(|due| (due - start).as_millis()).collect();
        assert_eq!(taken, [250, 500, 750, 1_000]);
    }

    #[test]
    fn a_high_rate_goes_out_in_bursts_and_keeps_its_mean() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 20_000.0);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(start + Duration::from_micros(999)))
            .map(|due| (due - start).as_micros())
            .collect();
        assert_eq!(taken, [0, 200, 200, 200, 200, 400, 400, 400, 400, 600, 600, 600, 600, 800, 800, 800, 800]);
        let rest = std::iter::from_fn(|| schedule.take(start + Duration::from_secs(10))).count();
        assert_eq!(rest + taken.len(), 200_001);
    }

    #[test]
    fn the_curve_rises_to_the_longest_time() {
        let mut times = Times::new();
        assert_eq!(times.latency(), Latency::default());
        for micros in 1..=100_000 {
            times.record(Duration::from_micros(micros));
        }
        times.record(Duration::from_secs(10_000));
        let latency = times.latency();
        assert!(latency.curve.len() <= CURVE_POINTS && latency.curve.len() > 10, "{}", latency.curve.len());
        assert!(latency.curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert_eq!(latency.curve.last(), Some(&(100.0, latency.max_us)));
        assert!(latency.max_us.abs_diff(LONGEST_US) < LONGEST_US / 500);
        assert!(latency.p99_us.abs_diff(99_000) < 100);
    }
}
