//! Who may send when, and what of it counts: the same for messages and for requests.

use std::time::{Duration, Instant};

use super::{
    clock::{Schedule, Times},
    process::thread_time,
};
use crate::result::{Latency, Mode};

/// A run under load: warming up, then measuring.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    measure_from: Instant,
    end: Instant,
    max: u64,
    done: u64,
    times: Times,
    /// This thread's processor time when measuring began.
    cpu: Option<Duration>,
}

#[derive(Debug)]
enum Pace {
    Closed { free: usize },
    Clock(Schedule),
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) done: u64,
    pub(super) per_second: f64,
    pub(super) latency: Latency,
    pub(super) generator_cpu: f64,
}

impl Pacer {
    pub(super) fn new(mode: Mode, now: Instant, warm_up: Duration, duration: Duration, max: u64) -> Self {
        let pace = match mode {
            Mode::ClosedLoop { in_flight } => Pace::Closed { free: in_flight },
            Mode::Rate { per_second } => Pace::Clock(Schedule::new(now, per_second)),
        };
        let measure_from = now + warm_up;
        Self { pace, measure_from, end: measure_from + duration, max, done: 0, times: Times::new(), cpu: None }
    }

    /// Whether something is to go out now; when it was to go out. Ask only with a free connection at hand.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        match &mut self.pace {
            Pace::Closed { free: 0 } => None,
            Pace::Closed { free } => {
                *free -= 1;
                Some(now)
            }
            Pace::Clock(schedule) => schedule.take(now),
        }
    }

    /// What went out is back.
    pub(super) fn back(&mut self, intended: Instant, now: Instant) {
        self.gone();
        if self.cpu.is_some() && now < self.end {
            self.done += 1;
            self.times.record(now.saturating_duration_since(intended));
        }
    }

    /// What went out is lost, and lets another go out.
    pub(super) fn gone(&mut self) {
        if let Pace::Closed { free } = &mut self.pace {
            *free += 1;
        }
    }

    /// Whether it is over. Also notices that the warming up is.
    pub(super) fn over(&mut self, now: Instant) -> bool {
        if self.cpu.is_none() && now >= self.measure_from {
            self.cpu = Some(thread_time());
            self.measure_from = now;
        }
        now >= self.end || self.done >= self.max
    }

    /// When to look again, though no socket is ready. With no connection free, the clock has nothing to say.
    pub(super) fn wake(&self, any_free: bool) -> Instant {
        let phase = if self.cpu.is_some() { self.end } else { self.measure_from };
        match &self.pace {
            Pace::Clock(schedule) if any_free => schedule.next().min(phase),
            _ => phase,
        }
    }

    /// Back so far, while measuring.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// The end. By the clock, what is still under way (`waiting`: when each was to go out) and what never went out
    /// counts with the time it has waited, or else the worst would be left out; a closed loop has promised nothing.
    pub(super) fn finish(mut self, now: Instant, waiting: impl Iterator<Item = Instant>) -> Measured {
        let now = now.min(self.end).max(self.measure_from);
        let time = now - self.measure_from;
        let cpu = self.cpu.map_or(Duration::ZERO, |before| thread_time().saturating_sub(before));
        if let Pace::Clock(mut schedule) = self.pace {
            for intended in waiting.chain(std::iter::from_fn(|| schedule.take(now))).filter(|due| *due < now) {
                self.times.record(now - intended);
            }
        }
        let seconds = time.as_secs_f64();
        let share = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        #[allow(clippy::cast_precision_loss, reason = "a count of messages stays far below 2^52")]
        let per_second = share(self.done as f64);
        Measured {
            seconds,
            done: self.done,
            per_second,
            latency: self.times.latency(),
            generator_cpu: share(cpu.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_closed_loop_never_has_more_under_way_than_allowed() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Mode::ClosedLoop { in_flight: 2 }, start, Duration::ZERO, MS * 100, 3);
        assert!(!pacer.over(start));
        assert_eq!((pacer.take(start), pacer.take(start), pacer.take(start)), (Some(start), Some(start), None));
        pacer.back(start, start + MS);
        assert_eq!(pacer.take(start + MS), Some(start + MS));
        pacer.gone();
        assert_eq!(pacer.take(start + MS), Some(start + MS));
        pacer.back(start, start + MS);
        assert!(!pacer.over(start + MS * 2));
        pacer.back(start, start + MS);
        assert!(pacer.over(start + MS * 2), "three were asked for");
        let measured = pacer.finish(start + MS * 2, [start].into_iter());
        assert_eq!((measured.done, measured.latency.count), (3, 3), "what is under way does not count");
    }

    #[test]
    fn warming_up_does_not_count() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Mode::ClosedLoop { in_flight: 1 }, start, MS * 10, MS * 10, u64::MAX);
        assert!(!pacer.over(start + MS * 9));
        assert_eq!(pacer.wake(true), start + MS * 10);
        pacer.back(start, start + MS * 9);
        assert!(!pacer.over(start + MS * 10));
        pacer.back(start + MS * 9, start + MS * 11);
        assert!(pacer.over(start + MS * 20));
        pacer.back(start + MS * 9, start + MS * 20);
        assert_eq!(pacer.finish(start + MS * 20, std::iter::empty()).done, 1);
    }

    #[test]
    fn by_the_clock_what_never_came_back_counts_too() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Mode::Rate { per_second: 100.0 }, start, Duration::ZERO, MS * 100, u64::MAX);
        assert!(!pacer.over(start));
        let under_way = pacer.take(start).unwrap();
        assert_eq!(pacer.wake(true), start + MS * 10);
        assert_eq!(pacer.wake(false), start + MS * 100);
        let measured = pacer.finish(start + MS * 100, [under_way].into_iter());
        assert_eq!((measured.done, measured.latency.count), (0, 10));
        assert!(measured.latency.max_us.abs_diff(100_000) < 100, "{measured:?}");
    }
}
