use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `9`, `9:30`.
fn hour(text: &str) -> (i32, Option<i32>) {
    match text.split_once(':') {
        Some((hour, minute)) => (hour.parse().unwrap(), Some(minute.parse().unwrap())),
        None => (text.parse().unwrap(), None),
    }
}

fn period(name: &str, days: &[i32], start: &str, end: &str) -> PeriodSpec {
    let ((start_hour, start_minute), (end_hour, end_minute)) = (hour(start), hour(end));
    PeriodSpec {
        name: name.to_owned(),
        day_of_week: days.to_vec(),
        start_hour,
        start_minute,
        end_hour,
        end_minute,
        ..PeriodSpec::default()
    }
}

fn schedule(zone: &str, periods: &[PeriodSpec]) -> ScheduleSpec {
    ScheduleSpec {
        enabled: true,
        timezone: (!zone.is_empty()).then(|| zone.to_owned()),
        periods: periods.to_vec(),
        ..ScheduleSpec::default()
    }
}

/// Whether the only period is active at each of these times.
fn check(schedule: &ScheduleSpec, wanted: &[(&str, bool)]) {
    for (time, lasts) in wanted {
        assert_eq!(active(schedule, at(time)).is_some(), *lasts, "{time}");
    }
}

const EVERY_DAY: [i32; 7] = [0, 1, 2, 3, 4, 5, 6];

#[test]
fn from_its_start_up_to_but_not_including_its_end() {
    // 2026-11-23 is a Monday.
    let work = schedule("", &[period("work", &[1, 2, 3, 4, 5], "8:30", "18")]);
    check(
        &work,
        &[
            ("2026-11-23T08:29:59.999Z", false),
            ("2026-11-23T08:30:00Z", true),
            ("2026-11-23T17:59:59.999Z", true),
            ("2026-11-23T18:00:00Z", false),
            ("2026-11-22T12:00:00Z", false),
            ("2026-11-28T12:00:00Z", false),
        ],
    );
}

#[test]
fn over_midnight_it_belongs_to_the_day_on_which_it_begins() {
    // Friday night. 2026-11-27 is a Friday.
    let night = schedule("", &[period("night", &[5], "22", "6")]);
    check(
        &night,
        &[
            ("2026-11-27T05:00:00Z", false),
            ("2026-11-27T21:59:59Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T05:59:59Z", true),
            ("2026-11-28T06:00:00Z", false),
            ("2026-11-28T23:00:00Z", false),
        ],
    );
}

#[test]
fn the_same_start_and_end_is_all_of_the_day_whatever_the_hour() {
    for hour in ["0", "9:15"] {
        let sunday = schedule("", &[period("sunday", &[0], hour, hour)]);
        check(
            &sunday,
            &[
                ("2026-11-21T23:59:59Z", false),
                ("2026-11-22T00:00:00Z", true),
                ("2026-11-22T23:59:59Z", true),
                ("2026-11-23T00:00:00Z", false),
                ("2026-11-23T08:00:00Z", false),
            ],
        );
    }
}

#[test]
fn days_and_hours_are_those_of_the_time_zone() {
    // Monday, 8 to 9 in Auckland (UTC+13 in November) is still Sunday in Greenwich.
    let zone = schedule("Pacific/Auckland", &[period("early", &[1], "8", "9")]);
    check(&zone, &[("2026-11-22T18:59:59Z", false), ("2026-11-22T19:00:00Z", true), ("2026-11-22T20:00:00Z", false)]);
    // India is half an hour off.
    let zone = schedule("Asia/Kolkata", &[period("noon", &EVERY_DAY, "12", "13")]);
    check(&zone, &[("2026-11-22T06:29:59Z", false), ("2026-11-22T06:30:00Z", true), ("2026-11-22T07:30:00Z", false)]);
}

#[test]
fn the_highest_priority_counts_and_of_equal_ones_the_first() {
    let mut periods = vec![
        period("low", &EVERY_DAY, "8", "18"),
        period("first", &EVERY_DAY, "9", "12"),
        period("second", &EVERY_DAY, "9", "17"),
        period("under", &EVERY_DAY, "0", "0"),
    ];
    (periods[1].priority, periods[2].priority, periods[3].priority) = (5, 5, -1);
    let schedule = schedule("", &periods);
    let name = |time: &str| active(&schedule, at(time)).unwrap().name.clone();
    assert_eq!(name("2026-11-23T08:30:00Z"), "low");
    assert_eq!(name("2026-11-23T10:00:00Z"), "first");
    assert_eq!(name("2026-11-23T13:00:00Z"), "second");
    assert_eq!(name("2026-11-23T17:30:00Z"), "low");
    assert_eq!(name("2026-11-23T20:00:00Z"), "under");
}

#[test]
fn switched_off_without_days_or_with_hours_that_are_none_it_never_is() {
    let mut off = schedule("", &[period("work", &EVERY_DAY, "0", "0")]);
    off.enabled = false;
    check(&off, &[("2026-11-23T10:00:00Z", false)]);
    check(&schedule("", &[period("work", &[], "0", "0")]), &[("2026-11-23T10:00:00Z", false)]);
    check(&schedule("", &[period("work", &EVERY_DAY, "25", "3")]), &[("2026-11-23T02:00:00Z", false)]);
    check(&schedule("", &[period("work", &[8, -1], "0", "23")]), &[("2026-11-23T02:00:00Z", false)]);
}

// Paris sets its clocks forward on 2026-03-29 at 02:00 (01:00 UTC) to 03:00, and back on 2026-10-25 at 03:00 (01:00 UTC) to 02:00.

#[test]
fn a_time_that_the_night_leaves_out_is_when_clocks_are_set() {
    let begins = schedule("Europe/Paris", &[period("p", &EVERY_DAY, "2:30", "5")]);
    check(&begins, &[("2026-03-29T00:59:59Z", false), ("2026-03-29T01:00:00Z", true), ("2026-03-29T03:00:00Z", false)]);
    let ends = schedule("Europe/Paris", &[period("p", &EVERY_DAY, "1", "2:30")]);
    check(&ends, &[("2026-03-29T00:00:00Z", true), ("2026-03-29T00:59:59Z", true), ("2026-03-29T01:00:00Z", false)]);
    let inside = schedule("Europe/Paris", &[period("p", &EVERY_DAY, "2:10", "2:50")]);
    check(&inside, &[("2026-03-29T00:59:59Z", false), ("2026-03-29T01:00:00Z", false), ("2026-03-30T00:10:00Z", true)]);
}

#[test]
fn in_the_doubled_hour_a_period_is_one_piece() {
    // 02:15 is at 00:15 and at 01:15 UTC; 02:45 at 00:45 and at 01:45.
    let ends = schedule("Europe/Paris", &[period("p", &EVERY_DAY, "22", "2:15")]);
    check(
        &ends,
        &[
            ("2026-10-25T00:14:00Z", true),
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:14:59Z", true),
            ("2026-10-25T01:15:00Z", false),
        ],
    );
    let begins = schedule("Europe/Paris", &[period("p", &EVERY_DAY, "2:15", "4")]);
    check(
        &begins,
        &[
            ("2026-10-25T00:14:59Z", false),
            ("2026-10-25T00:15:00Z", true),
            ("2026-10-25T01:05:00Z", true),
            ("2026-10-25T03:00:00Z", false),
        ],
    );
}

#[test]
fn the_long_day_is_whole() {
    let all = schedule("Europe/Paris", &[period("p", &[0], "0", "0")]);
    check(
        &all,
        &[
            ("2026-10-24T21:59:59Z", false),
            ("2026-10-24T22:00:00Z", true),
            ("2026-10-25T22:59:59Z", true),
            ("2026-10-25T23:00:00Z", false),
        ],
    );
}

#[test]
fn a_day_that_begins_at_one_is_whole_too() {
    // Beirut sets its clocks forward at midnight: 2026-03-29 begins at 01:00.
    let all = schedule("Asia/Beirut", &[period("p", &[0], "0", "0")]);
    check(&all, &[("2026-03-28T21:59:59Z", false), ("2026-03-28T22:00:00Z", true), ("2026-03-29T20:59:59Z", true)]);
}

#[test]
fn in_a_year_with_two_changes_there_is_one_piece_a_day() {
    let schedule = schedule("Europe/Paris", &[period("p", &EVERY_DAY, "1:30", "2:30")]);
    let (mut now, end) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let (mut was, mut pieces) = (false, 0);
    while now < end {
        let is = active(&schedule, now).is_some();
        pieces += i32::from(is && !was);
        was = is;
        now += jiff::SignedDuration::from_mins(10);
    }
    assert_eq!(pieces, 365);
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let schedule = schedule("Pacific/Kiritimati", &[period("p", &EVERY_DAY, "22", "3")]);
    for time in [Timestamp::MIN, Timestamp::MAX] {
        let _ = active(&schedule, time);
    }
}

fn base() -> Options {
    Options {
        min: 2,
        max: 6,
        up_quantity: 1,
        down_quantity: 1,
        up_threshold: 0.6,
        down_threshold: 0.3,
        period: Duration::from_secs(60),
        up_periods: 2,
        down_periods: 4,
    }
}

#[test]
fn what_a_period_does_not_speak_of_stays() {
    assert_eq!(overlay(&base(), &OptionsSpec::default()), base());
    let given = OptionsSpec {
        scale_up_quantity: Some(3),
        scale_down_threshold: Some(0.1),
        scale_period: Some(30),
        scale_down_periods_count: Some(8),
        ..OptionsSpec::default()
    };
    let wanted =
        Options { up_quantity: 3, down_threshold: 0.1, period: Duration::from_secs(30), down_periods: 8, ..base() };
    assert_eq!(overlay(&base(), &given), wanted);
}

#[test]
fn bounds_are_stretched_to_fit() {
    let bounds = |min: Option<i32>, max: Option<i32>, desired: Option<i32>| {
        let given =
            OptionsSpec { min_desired: min, max_desired: max, desired_count: desired, ..OptionsSpec::default() };
        let options = overlay(&base(), &given);
        (options.min, options.max)
    };
    assert_eq!(bounds(Some(8), None, None), (8, 8));
    assert_eq!(bounds(None, Some(1), None), (1, 1));
    assert_eq!(bounds(Some(5), Some(3), None), (3, 3));
    assert_eq!(bounds(None, None, Some(9)), (2, 9));
    assert_eq!(bounds(None, Some(4), Some(9)), (2, 9));
    assert_eq!(bounds(None, None, Some(1)), (2, 6));
}

#[test]
fn it_falls_in_even_steps_and_is_never_too_low() {
    let start = at("2026-11-23T18:00:00Z");
    let level = |minutes: i64| {
        let now = start + jiff::SignedDuration::from_mins(minutes);
        falling(10, 4, start, Duration::from_secs(30 * 60), now)
    };
    // A step of one every five minutes: after 4 minutes 5.2 are left above 4, so 6.
    assert_eq!([0, 4, 5, 6, 10, 24, 29].map(level), [10, 10, 9, 9, 8, 6, 5].map(Some));
    assert_eq!([30, 31, 1000].map(level), [None, None, None]);
    assert_eq!(level(-5), Some(10), "a clock that was set back");
    assert_eq!(falling(4, 4, start, Duration::from_secs(60), start), None);
    assert_eq!(falling(i32::MAX, 0, start, Duration::from_secs(60), start), Some(i32::MAX));
}

#[test]
fn smooth_is_a_time_or_nothing() {
    let with = |text: Option<&str>| ScheduleSpec { smooth: text.map(Into::into), ..ScheduleSpec::default() };
    assert_eq!(smooth(&with(Some("30m"))), Some(Duration::from_secs(1800)));
    assert_eq!(smooth(&with(None)), None);
    assert_eq!(smooth(&with(Some("soon"))), None);
}
