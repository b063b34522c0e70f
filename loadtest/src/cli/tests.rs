use super::{demo::judge, *};
use crate::{
    demo::{Options, Outcome},
    report::Verdict,
};

fn demo(line: &[&str]) -> Options {
    let Command::Demo(args) = Cli::try_parse_from([&["roompin-loadtest", "demo"], line].concat()).unwrap().command
    else {
        panic!("not a demo");
    };
    args.options()
}

#[test]
fn once_means_ten_seconds_and_one_line() {
    let options = demo(&["--once"]);
    assert_eq!((options.duration, options.json, options.seed), (Some(Duration::from_secs(10)), true, 1));
    let options = demo(&["--once", "--duration", "2s", "--seed", "7"]);
    assert_eq!((options.duration, options.json, options.seed), (Some(Duration::from_secs(2)), true, 7));
    let options = demo(&[]);
    assert_eq!((options.duration, options.json), (None, false));
}

#[test]
fn durations_have_units() {
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("90"), duration("90s"));
    assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
    for wrong in ["", "s", "-1s", "1.5s", "3 days", "0", "99999999999999999999s", "18446744073709551615h"] {
        assert!(duration(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_exit_code_tells_the_ends_apart() {
    let good = Verdict { rooms: 8, participants: 20, splits: 0, errors: 0 };
    let end = |verdict, interrupted| Ok(Outcome { verdict, interrupted });
    let (once, live) = (demo(&["--once"]), demo(&[]));
    assert_eq!(judge(&once, &end(good, false)), Exit::Passed);
    assert_eq!(judge(&once, &end(Verdict { splits: 1, ..good }, false)), Exit::Failed);
    assert_eq!(judge(&once, &end(Verdict { errors: 1, ..good }, false)), Exit::Failed);
    assert_eq!(judge(&once, &end(good, true)), Exit::Interrupted);
    assert_eq!(judge(&live, &end(good, true)), Exit::Passed);
    assert_eq!(judge(&live, &end(Verdict { splits: 1, ..good }, true)), Exit::Failed);
}
