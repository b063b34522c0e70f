//! `roompin-loadtest` as a process: its exit codes, its one line, and that it catches a proxy that splits rooms.

#![allow(clippy::unwrap_used, reason = "all of this file is tests, its helpers too")]

#[path = "demo/fake_proxy.rs"]
mod fake_proxy;

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

/// The process that `demo/fake-proxy.sh` becomes; without the script's environment, a test that the script works.
#[tokio::test]
async fn fake_proxy_process() {
    if env::var_os("FAKE_PROXY_CONFIG").is_some() {
        return fake_proxy::run().await;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo/fake-proxy.sh");
    let fake = Command::new(script)
        .args(["run", "--config", "none"])
        .env("FAKE_PROXY_EXE", env::current_exe().unwrap())
        .env("FAKE_PROXY_POLICY", "dies")
        .status();
    assert_eq!(fake.unwrap().code(), Some(7));
}

/// Runs the demo for two seconds with a fake proxy.
fn demo(policy: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roompin-loadtest"))
        .args(["demo", "--once", "--duration", "2s", "--proxy"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo/fake-proxy.sh"))
        .env("FAKE_PROXY_EXE", env::current_exe().unwrap())
        .env("FAKE_PROXY_POLICY", policy)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The numbers of the one line on stdout, in the order promised.
fn verdict(output: &Output) -> [u64; 4] {
    let line = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(line.matches('\n').count(), 1, "exactly one line: {line:?}\n{}", stderr(output));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 4, "{line}");
    ["rooms", "participants", "splits", "errors"].map(|field| value[field].as_u64().unwrap())
}

#[test]
fn a_proxy_that_keeps_rooms_together_passes() {
    let output = demo("sticky");
    let [rooms, participants, splits, errors] = verdict(&output);
    assert_eq!((rooms, splits, errors), (8, 0, 0), "{}", stderr(&output));
    assert!(participants >= 16, "{participants}");
    assert_eq!(output.status.code(), Some(0));
    let stderr = stderr(&output);
    assert!(stderr.contains("│ Café") && stderr.contains("/http-bind?room=caf%25c3%25a9'"), "{stderr}");
}

#[test]
fn a_proxy_that_answers_with_random_shards_is_caught() {
    let output = demo("random");
    let [_, _, splits, _] = verdict(&output);
    assert!(splits > 0, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_proxy_that_ends_in_the_middle_is_an_error() {
    let output = demo("dies-later");
    let [_, _, _, errors] = verdict(&output);
    assert!(errors > 0);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ended (exit status: 7)"), "{}", stderr(&output));
}

#[test]
fn a_proxy_that_does_not_start_is_unavailable_and_its_last_words_are_shown() {
    let output = demo("dies");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0));
    assert!(stderr(&output).contains("nothing to live for"), "{}", stderr(&output));

    let missing = Command::new(env!("CARGO_BIN_EXE_roompin-loadtest"))
        .args(["demo", "--once", "--proxy", "/nowhere/roompin-proxy"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(69));
    assert!(stderr(&missing).contains("/nowhere/roompin-proxy"), "{}", stderr(&missing));
}

#[test]
fn mistakes_on_the_command_line_are_usage() {
    for arguments in [&["demo", "--onec"][..], &["demo", "--duration", "soon"], &["stub"], &["nothing"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_roompin-loadtest")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_roompin-loadtest")).arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
}

/// No process of ours may outlive the demo, however it ends.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_demo_leaves_no_process_behind() {
    use std::{io::Read, process::Stdio};

    let mut demo = Command::new(env!("CARGO_BIN_EXE_roompin-loadtest"))
        .args(["demo", "--proxy"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo/fake-proxy.sh"))
        .env("FAKE_PROXY_EXE", env::current_exe().unwrap())
        .env("FAKE_PROXY_POLICY", "sticky")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The first table says that the proxies are up.
    let mut stdout = demo.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 200]).unwrap();
    let children = children_of(demo.id());
    assert_eq!(children.len(), 2, "two proxies run");

    Command::new("kill").arg("-INT").arg(demo.id().to_string()).status().unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{}", String::from_utf8_lossy(&rest));
    assert!(!children.iter().any(|pid| PathBuf::from(format!("/proc/{pid}")).exists()), "{children:?}");
}

#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        // `pid (name) state ppid …`, and the name may hold anything but the last bracket.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_ascii_whitespace().nth(1) == Some(&parent.to_string())
    };
    processes.filter(is_child).collect()
}
