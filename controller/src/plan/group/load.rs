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
