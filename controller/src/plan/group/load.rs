//! What load says: the published rule of jitsi-autoscaler (`prior-systems.md` §1.1, steps 2, 5 and 6), and nothing else.
//!
//! Grace, schedules, words and bounds that were moved are the business of [`super::decide`].

use super::{Basis, Options};

/// What a period is worth in which nobody reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// No load, and nobody free. So it is published; it makes a group of bridges shrink when their reports do not arrive.
    Zero,
    /// Nothing is known, so it agrees with nothing.
    Unknown,
}

/// What load says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So many, which is more than before.
    Up(i32),
    /// So many, which is less than before.
    Down(i32),
    /// As before.
    Stay,
    /// Instances are still being made or taken away.
    Wait,
    /// There is no instance, so there is nothing to go by.
    Nobody,
}

/// One look by load. `values` are those of the newest periods, the newest one first, at least as many as the numbers ask for.
#[must_use]
pub fn verdict(
    options: &Options,
    basis: Basis,
    desired: i32,
    count: i32,
    values: &[Option<f64>],
    inhibit_down: bool,
    empty: Empty,
) -> Verdict {
    if count == 0 {
        return Verdict::Nobody;
    }
    if desired != count {
        return Verdict::Wait;
    }
    let all = |number: u32, agrees: &dyn Fn(Option<f64>) -> bool| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let known = |value: &Option<f64>| value.or((empty == Empty::Zero).then_some(0.0));
        values.len() >= number && values.iter().take(number).all(|value| agrees(known(value)))
    };
    let too_few = |value: f64| match basis {
        Basis::Stress => value >= options.up_threshold,
        Basis::Availability => value < options.up_threshold,
    };
    let too_many = |value: f64| match basis {
        Basis::Stress => value < options.down_threshold,
        Basis::Availability => value > options.down_threshold,
    };
    if all(options.up_periods, &|value| (count < options.max && value.is_some_and(too_few)) || count < options.min) {
        return Verdict::Up(desired.saturating_add(options.up_quantity).min(options.max));
    }
    if !inhibit_down && all(options.down_periods, &|value| count > options.min && value.is_some_and(too_many)) {
        return Verdict::Down(desired.saturating_sub(options.down_quantity).max(options.min));
    }
    Verdict::Stay
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What one group with two of five says of these periods.
    fn says(values: &[Option<f64>], empty: Empty) -> Verdict {
        let options = Options {
            min: 1,
            max: 5,
            up_quantity: 1,
            down_quantity: 1,
            up_threshold: 0.6,
            down_threshold: 0.3,
            period: Duration::from_secs(60),
            up_periods: 2,
            down_periods: 3,
        };
        verdict(&options, Basis::Stress, 2, 2, values, false, empty)
    }

    #[test]
    fn unknown_agrees_with_nothing_and_zero_is_published() {
        let outage = [None, None, None];
        assert_eq!(says(&outage, Empty::Unknown), Verdict::Stay);
        assert_eq!(says(&outage, Empty::Zero), Verdict::Down(1));
        let mixed = [Some(0.1), None, Some(0.1)];
        assert_eq!(says(&mixed, Empty::Unknown), Verdict::Stay);
        assert_eq!(says(&mixed, Empty::Zero), Verdict::Down(1));
    }

    #[test]
    fn fewer_periods_than_asked_for_agree_with_nothing() {
        assert_eq!(says(&[Some(0.9)], Empty::Unknown), Verdict::Stay);
        assert_eq!(says(&[Some(0.1), Some(0.1)], Empty::Unknown), Verdict::Stay);
        assert_eq!(says(&[Some(0.9), Some(0.9)], Empty::Unknown), Verdict::Up(3), "up looks at two");
    }
}
