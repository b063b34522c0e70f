//! `roompin-loadtest chaos` as scripts call it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use loadtest::chaos::result::ChaosRun;

/// What the fake can be done to, in three seconds.
const SCRIPT: &str = "
    at 300ms  kill replica-1 for 200ms
    at 700ms  kill shard-1 for 300ms
    at 1200ms drain shard-2
    at 1400ms flood 50 rooms  # some of them to the draining shard
    at 2s     add shard-3
    at 2200ms remove shard-2
    until 3s
";

fn chaos(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roompin-loadtest")).arg("chaos").args(arguments).output().expect("run it")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn run_random(folder: &Path, more: &[&str]) -> (Output, ChaosRun) {
    let (script, json) = (folder.join("script"), folder.join("run.json"));
    fs::write(&script, SCRIPT).expect("write the script");
    let mut arguments = vec!["random", "--shards", "2", "--script", path(&script)];
    arguments.extend(["--json", path(&json)]);
    arguments.extend(more);
    let output = chaos(&arguments);
    let run = fs::read_to_string(json).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, serde_json::from_str(&run).expect("a ChaosRun"))
}

#[test]
fn a_proxy_that_answers_with_random_shards_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    for more in [&["--keep"][..], &["--no-namespaces"]] {
        let (output, run) = run_random(folder.path(), more);
        let words = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(run.failures, Vec::<String>::new(), "{words}");
        assert!(run.violations_total > 10 && run.totals.splits > 5, "{:?}", run.totals);
        for invariant in [1, 4] {
            assert!(run.violations.iter().any(|violation| violation.invariant == invariant), "{invariant}: {words}");
        }
        assert!(run.events.iter().any(|event| event.what == "kill replica-1" && event.done_ms >= event.t_ms));
        assert_eq!(run.events.len(), 8, "{:?}", run.events);
        assert!(run.series.len() >= 5 && run.series.iter().any(|point| point.splits_alive > 0), "{:?}", run.series);
        assert!(run.series.windows(2).all(|pair| pair[0].t_ms <= pair[1].t_ms));
        assert!(words.contains("BROKEN 1  Café"), "{words}");
        assert_eq!(words.contains("NO NETWORK NAMESPACES"), run.isolation == "signals", "{words}");
    }
}

#[test]
fn mistakes_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "at 1s kill bill").unwrap();
    let script = script.to_str().unwrap();
    for arguments in [
        &["nobody"][..],
        &["random", "--script", script],
        &["random", "--script", "/nowhere"],
        &["random", "--replicas", "0"],
        &["random", "--shards", "1"],
        &["random", "--random", "2h"],
    ] {
        assert_eq!(chaos(arguments).status.code(), Some(64), "{arguments:?}");
    }
    let error = chaos(&["--script", script]).stderr;
    assert!(String::from_utf8_lossy(&error).contains("line 1: \"bill\""));
}

#[test]
fn a_missing_proxy_is_unavailable() {
    let output = chaos(&["--proxy", "/nowhere/roompin-proxy"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}

#[test]
fn the_script_can_be_shown_and_read_back() {
    let shown = chaos(&["--random", "90s", "--seed", "5", "--show"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(0));
    assert!(text.starts_with("at ") && text.ends_with("until 90000ms\n"), "{text}");
    assert_eq!(text.parse::<loadtest::chaos::script::Script>().unwrap().to_string(), text);
}

#[test]
fn an_interrupted_run_ends_at_once() {
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_roompin-loadtest"))
        .args(["chaos", "random"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(chaos.stdout.take().unwrap()).lines();
    // People are there.
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("in session"))).unwrap().unwrap();
    Command::new("kill").arg("-INT").arg(chaos.id().to_string()).status().unwrap();
    assert_eq!(chaos.wait().unwrap().code(), Some(130));
}
