use std::{cell::Cell, fs};

use clap::CommandFactory;

use super::*;

struct Outcome {
    code: ExitCode,
    out: String,
    err: String,
    served: Option<Start>,
}

fn roompin(args: &[&str]) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let served = Cell::new(None);
    let serve = |start| {
        served.set(Some(start));
        ExitCode::from(7)
    };
    let args = std::iter::once("roompin-proxy").chain(args.iter().copied()).map(OsString::from);
    let code = dispatch(args, &mut out, &mut err, serve);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code, out: text(out), err: text(err), served: served.into_inner() }
}

fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roompin.yaml");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

const GOOD: &str = "shards: {static: [{name: alpha, address: '10.0.0.1:80'}]}\nprobes: {tcp: off}\n";

#[test]
fn check_of_a_good_file_says_what_would_be_done() {
    let (_folder, path) = file(GOOD);
    let outcome = roompin(&["check", "--config", &path]);
    assert_eq!(outcome.code, ExitCode::SUCCESS);
    assert!(outcome.out.starts_with(&format!("{path}: ok\n")), "{}", outcome.out);
    assert!(outcome.out.contains("shard    alpha at 10.0.0.1:80; weight 100, ready\n"), "{}", outcome.out);
    let warning = format!("{path}:2:9: probes: tcp and http are off");
    assert!(outcome.err.starts_with(&warning) && outcome.err.ends_with(" (warning)\n"), "{}", outcome.err);
    assert_eq!(outcome.served, None);
}

#[test]
fn a_bad_file_is_refused_with_64_by_both_commands() {
    let (_folder, path) = file("threads: x\nlisten: y\n");
    for command in ["check", "run"] {
        let outcome = roompin(&[command, "-c", &path]);
        assert_eq!(outcome.code, ExitCode::from(EXIT_USAGE));
        assert!(outcome.err.contains(&format!("\n{path}:2:9: listen: ")), "{}", outcome.err);
        assert!(outcome.err.ends_with("\n3 mistakes\n"), "{}", outcome.err);
        assert_eq!((outcome.out.as_str(), outcome.served), ("", None));
    }
}

#[test]
fn run_serves_the_checked_configuration_and_returns_its_code() {
    let (_folder, path) = file(GOOD);
    let outcome = roompin(&["run", "--config", &path]);
    assert_eq!(outcome.code, ExitCode::from(7));
    let start = outcome.served.unwrap();
    assert_eq!(start.path, Path::new(&path));
    assert_eq!(start.config, Config::load(Path::new(&path)).unwrap().config);
}

#[test]
fn the_command_line_is_sound_and_teaches() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    for word in ["check --config", "run --config", "SIGHUP", "SIGTERM", "64", "docs/configuration.md"] {
        assert!(help.contains(word), "{word} is missing from\n{help}");
    }
    assert_eq!(roompin(&["--help"]).code, ExitCode::SUCCESS);
    assert_eq!(roompin(&["--version"]).code, ExitCode::SUCCESS);
    assert_eq!(roompin(&["serve"]).code, ExitCode::from(EXIT_USAGE));
    assert_eq!(roompin(&[]).code, ExitCode::from(EXIT_USAGE));
}

#[test]
fn run_takes_the_address_to_advertise_and_check_does_not() {
    let (_folder, path) = file(GOOD);
    let advertise = |text: &str| roompin(&["run", "--config", &path, "--advertise", text]);
    let start = advertise("10.1.2.3:7947").served.expect("served");
    assert_eq!(start.advertise, Some("10.1.2.3:7947".parse().unwrap()));
    assert!(advertise("0.0.0.0").served.is_none());
    assert!(roompin(&["check", "--config", &path, "--advertise", "10.1.2.3"]).served.is_none());
}
