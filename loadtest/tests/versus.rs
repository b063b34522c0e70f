//! `roompin-loadtest versus haproxy --quick` and `report`, with real proxies: the whole chain, and that the yardstick
//! shows what it is known to show. Nothing here is about speed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "all of this file is tests, its helpers too")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use loadtest::versus::result::{SubjectRun, VersusRun};

const LOADTEST: &str = env!("CARGO_BIN_EXE_roompin-loadtest");

/// Our proxy beside the tool, as a build of the whole workspace puts it; built if this crate is tested alone.
fn proxy() -> PathBuf {
    let path = Path::new(LOADTEST).with_file_name("roompin-proxy");
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "proxy"]).status().unwrap();
        assert!(built.success());
    }
    path
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn split_share(subject: &SubjectRun, replicas: usize, gap_ms: u64) -> f64 {
    let split = subject.splits.iter().find(|split| (split.replicas, split.gap_ms) == (replicas, gap_ms)).unwrap();
    assert_eq!((split.asked, split.run.rooms), (60, 60), "{}", subject.id);
    split.run.split_share
}

#[test]
fn a_quick_comparison_has_every_figure_and_the_published_configuration_splits() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let output = Command::new(LOADTEST)
        .args(["versus", "haproxy", "--quick", "--proxy"])
        .arg(proxy())
        .arg("--json")
        .arg(file("versus.json"))
        .arg("--markdown")
        .arg(file("versus.md"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));

    let run: VersusRun = serde_json::from_str(&fs::read_to_string(file("versus.json")).unwrap()).unwrap();
    assert_eq!(run.failures(), 0);
    let [ours, kubernetes, hash] = &run.subjects[..] else { panic!("three proxies") };
    for subject in [ours, kubernetes, hash] {
        assert_eq!((subject.rounds.len(), subject.memory.len(), subject.splits.len()), (1, 1, 12), "{}", subject.id);
        let round = &subject.rounds[0];
        assert!(round.tunnels_peak.run.round_trips > 0 && round.requests_peak.run.requests > 0, "{}", subject.id);
        assert!(round.tunnels_half.run.round_trips > 0 && round.requests_half.run.requests > 0, "{}", subject.id);
    }
    assert!(split_share(kubernetes, 1, 0) > 0.5, "round robin and a pin stored too late");
    for replicas in [1, 2, 5] {
        for gap in [0, 1, 5, 20] {
            assert!(split_share(ours, replicas, gap) == 0.0, "{replicas} replicas, {gap} ms");
            assert!((0.0..=1.0).contains(&split_share(hash, replicas, gap)));
        }
    }
    assert!(split_share(kubernetes, 5, 0) > 0.2, "peers that learn too late");
    assert!(words(&output).contains("tunnel round trips"), "{}", words(&output));
    assert!(words(&output).contains("Roompin: 0 of 720; HAProxy"), "{}", words(&output));
    let markdown = fs::read_to_string(file("versus.md")).unwrap();
    assert!(
        markdown.contains("| two replicas, 5 ms apart") && markdown.contains("versus haproxy --quick"),
        "{markdown}"
    );

    let page = file("report/index.html");
    let output =
        Command::new(LOADTEST).arg("report").arg(file("versus.json")).arg("--out").arg(&page).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert!(fs::read_to_string(page).unwrap().contains("id=\"splits\""));
}

#[test]
fn what_cannot_be_run_or_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Command::new(LOADTEST)
        .args(["versus", "haproxy", "--quick", "--haproxy", "/nowhere/haproxy", "--proxy"])
        .arg(proxy())
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(69));
    assert!(words(&missing).contains("/nowhere/haproxy"), "{}", words(&missing));

    let path = folder.path().join("other.json");
    fs::write(&path, "{\"rooms\":1}").unwrap();
    let unknown = Command::new(LOADTEST).arg("report").arg(&path).output().unwrap();
    assert_eq!(unknown.status.code(), Some(69));
    assert!(words(&unknown).contains("other.json: this is neither"), "{}", words(&unknown));
}
