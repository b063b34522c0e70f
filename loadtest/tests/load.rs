//! The load subcommands as people run them: the binary, its JSON line, its exit code.
#![allow(clippy::unwrap_used, reason = "all of this file is tests, its helpers too")]

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use loadtest::{
    result::{ConferenceRun, IdleRun, RequestRun, TunnelRun},
    stub::StubShard,
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
    time::timeout,
};

async fn run(line: &str) -> (ExitStatus, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roompin-loadtest"));
    command.args(line.split_whitespace()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(30), command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

async fn json<T: DeserializeOwned>(line: &str) -> (Option<i32>, T) {
    let (status, out, complaints) = run(&format!("{line} --json")).await;
    assert_eq!(out.lines().count(), 1, "{out:?} {complaints:?}");
    (status.code(), serde_json::from_str(&out).unwrap())
}

async fn stub(name: &str) -> StubShard {
    StubShard::start(name, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

/// A proxy broken on purpose: whatever the room, it sends people to one of two shards by chance.
async fn broken_proxy() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4_096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let shard = if rand::random() { "a" } else { "b" };
                    let answer = format!("HTTP/1.1 200 OK\r\nX-Stub-Shard: {shard}\r\nContent-Length: 0\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_proxy_that_splits_rooms_fails_the_run() {
    let proxy = broken_proxy().await;
    let line = format!("conferences --target {proxy} --rooms 60 --seed 3");
    let (code, conferences) = json::<ConferenceRun>(&line).await;
    assert_eq!((code, conferences.rooms, conferences.errors), (Some(1), 60, 0), "{conferences:?}");
    assert!(conferences.splits > 5, "{conferences:?}");
    let (code, _) = json::<ConferenceRun>(&format!("{line} --allow-splits")).await;
    assert_eq!(code, Some(0));
    let (code, requests) =
        json::<RequestRun>(&format!("requests --target {proxy} --warm-up 10ms --duration 100ms")).await;
    assert!(code == Some(1) && requests.wrong_shard > 0, "{requests:?}");
}

#[tokio::test]
async fn sound_runs_pass_and_say_what_they_saw() {
    let stub = stub("a").await;
    let target = stub.addr;
    let (code, run) = json::<ConferenceRun>(&format!(
        "conferences --target {target},{target} --rooms 30 --participants 3 --gap-ms 1 --by websocket"
    ))
    .await;
    assert_eq!((code, run.rooms, run.splits, run.window_ms, run.targets.len()), (Some(0), 30, 0, 2, 2), "{run:?}");
    let short = "--warm-up 10ms --duration 200ms";
    let (code, run) = json::<TunnelRun>(&format!("tunnels --target {target} --tunnels 8 {short}")).await;
    assert!(code == Some(0) && run.round_trips > 0 && run.tunnels == 8, "{run:?}");
    let (code, run) = json::<RequestRun>(&format!("requests --target {target} --rate 100 {short}")).await;
    assert!(code == Some(0) && run.requests > 0 && run.connections == 64, "{run:?}");
    let pid = std::process::id();
    let line = format!("tunnels --target {target} --tunnels 50 --idle --pid {pid} --settle 10ms");
    let (code, run) = json::<IdleRun>(&line).await;
    assert!(code == Some(0) && run.tunnels == 50 && run.rss_after_kib > 0, "{run:?}");

    let (status, out, _) = run_words(target).await;
    assert!(status.success() && out.contains("20 rooms of 2") && out.contains("0 split (0.00%)"), "{out}");
}

async fn run_words(target: SocketAddr) -> (ExitStatus, String, String) {
    run(&format!("conferences --target {target} --rooms 20 --by bosh")).await
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_has_its_code() {
    let stub = stub("a").await;
    let gone = stub.addr;
    stub.stop().await;
    for (line, code, words) in [
        (format!("tunnels --target {gone}"), 69, "refused"),
        (format!("requests --target {gone}"), 69, "refused"),
        (format!("conferences --target {gone}"), 69, "refused"),
        (format!("tunnels --target {gone} --tunnels 3 --in-flight 4"), 64, "4 under way over 3"),
        ("tunnels --target localhost".to_owned(), 64, "--target"),
        (format!("conferences --target {gone} --gap-ms 1 --window-ms 2"), 64, "--window-ms"),
        (format!("tunnels --target {gone} --idle"), 64, "--pid"),
    ] {
        let (status, out, complaint) = run(&line).await;
        assert_eq!(status.code(), Some(code), "{line}: {complaint}");
        assert!(out.is_empty() && complaint.contains(words), "{line}: {complaint}");
    }
}
