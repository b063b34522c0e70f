//! Schemathesis against the REST API: it makes up requests from `/openapi.json`, and holds the answers against it. Nothing may end
//! in a 5xx, and every answer must be of the form that is described.
//!
//! Schemathesis is a Python package; `make test-tools` puts it into `target/schemathesis-venv`.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "rest/kit.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kit;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use controller::rest::{Settings, auth::Guard, serve};
use tokio::net::TcpListener;

use kit::Kit;

/// Longer than it ever takes here.
const LIMIT: Duration = Duration::from_secs(240);

fn program() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    target.join("schemathesis-venv/bin/schemathesis")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_described_and_none_is_a_5xx() {
    let program = program();
    assert!(program.exists(), "{} is missing: make test-tools installs it", program.display());
    let kit = Kit::with(Guard::Open, Settings { ownership: false }, false).await;
    kit.shard().await;
    kit.pod("meet-0-jvb-0", "jvb", "10.0.0.10").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve::serve(listener, kit.router(), std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let mut run = Command::new("timeout");
    run.args(["--kill-after=5", &LIMIT.as_secs().to_string()])
        .arg(program)
        .args(["run", &format!("http://{address}/openapi.json")])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "1", "--workers", "2"])
        .args(["--suppress-health-check", "all", "--request-timeout", "20", "--no-color"])
        // 501 is what reservations answer, and says so.
        .args(["--exclude-path-regex", "reservations"])
        .current_dir(folder.path())
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .env("NO_PROXY", "*");
    let output = tokio::task::spawn_blocking(move || run.output()).await.unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let calls: f64 = kit
        .metrics
        .text()
        .lines()
        .filter(|line| line.starts_with("roompin_controller_rest_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    println!("{calls} requests in {:?}\n{said}", start.elapsed());
    assert!(output.status.success(), "{said}");
    assert!(calls > 300.0, "only {calls} requests were made");
    serving.abort();
}
