use super::*;

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

/// A sample of so many milliseconds ago.
fn ago(instance: &str, millis: i64, value: f64) -> Sample {
    let at = Timestamp::from_millisecond(now().as_millisecond() - millis).unwrap();
    Sample { instance: instance.to_owned(), at, value }
}

fn values(samples: &[Sample], basis: Basis, number: u32) -> Vec<Option<f64>> {
    periods(samples, basis, Duration::from_secs(60), number, now()).into_iter().map(|period| period.value).collect()
}

#[test]
fn a_period_holds_its_start_and_not_its_end() {
    for (millis, index) in [(0, 0), (59_999, 0), (60_000, 1), (119_999, 1), (120_000, 2)] {
        let mut wanted = vec![None; 3];
        wanted[index] = Some(0.5);
        // Alone, so that nothing is filled: the newest would be, from the one before.
        let got = periods(&[ago("a", millis, 0.5)], Basis::Stress, Duration::from_secs(60), 3, now());
        let own: Vec<_> = got.iter().map(|period| period.value).collect();
        if index == 1 {
            wanted[0] = Some(0.5);
        }
        assert_eq!(own, wanted, "{millis} ms ago");
    }
}

#[test]
fn samples_of_the_future_and_of_long_ago_are_passed_over() {
    assert_eq!(values(&[ago("a", -1, 0.9), ago("a", 180_000, 0.9)], Basis::Stress, 3), [None, None, None]);
}

#[test]
fn an_instance_that_reports_more_often_counts_no_more() {
    let samples = [ago("a", 1000, 0.9), ago("a", 2000, 0.9), ago("a", 3000, 0.9), ago("b", 1000, 0.1)];
    assert_eq!(values(&samples, Basis::Stress, 1), [Some(0.5)]);
    assert_eq!(values(&samples, Basis::Availability, 1), [Some(1.0)]);
}

#[test]
fn one_silent_period_is_filled_with_the_last_older_sample() {
    // Heard in 0 and 2, silent in 1: its last word of period 2 counts, though the order of samples is another.
    let samples = [ago("a", 130_000, 0.8), ago("a", 125_000, 0.4), ago("a", 170_000, 0.9), ago("a", 10_000, 0.1)];
    let got = values(&samples, Basis::Stress, 3);
    assert_eq!(got[1], Some(0.4));
    assert!((got[2].unwrap() - 0.7).abs() < 1e-12);
}

#[test]
fn the_newest_needs_no_newer_one_and_the_oldest_is_never_filled() {
    assert_eq!(values(&[ago("a", 70_000, 0.8)], Basis::Stress, 3), [Some(0.8), Some(0.8), None]);
    assert_eq!(values(&[ago("a", 10_000, 0.8), ago("a", 130_000, 0.8)], Basis::Stress, 2), [Some(0.8), None]);
}

#[test]
fn two_silent_periods_in_a_row_are_not_filled() {
    let samples = [ago("a", 10_000, 0.8), ago("a", 190_000, 0.6)];
    assert_eq!(values(&samples, Basis::Stress, 4), [Some(0.8), None, None, Some(0.6)]);
    assert_eq!(values(&[ago("a", 130_000, 0.8)], Basis::Stress, 3), [None, None, Some(0.8)]);
}

#[test]
fn one_filled_gap_does_not_fill_the_next() {
    // Silent in 0, 2 and 4: each has its own neighbours.
    let samples = [ago("a", 70_000, 0.2), ago("a", 190_000, 0.4), ago("a", 310_000, 0.6)];
    assert_eq!(values(&samples, Basis::Stress, 6), [Some(0.2), Some(0.2), Some(0.4), Some(0.4), Some(0.6), Some(0.6)]);
}

#[test]
fn who_reported_is_counted_with_those_filled_in() {
    let samples = [ago("a", 10_000, 0.8), ago("b", 70_000, 0.4), ago("c", 130_000, 0.4)];
    let got = periods(&samples, Basis::Stress, Duration::from_secs(60), 2, now());
    assert_eq!(got.iter().map(|period| period.instances).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn lengths_of_nothing_and_numbers_of_nothing_do_no_harm() {
    assert_eq!(periods(&[ago("a", 0, 1.0)], Basis::Stress, Duration::ZERO, 0, now())[0].value, Some(1.0));
    assert_eq!(periods(&[], Basis::Stress, Duration::MAX, u32::MAX, now()).len(), MOST);
}
