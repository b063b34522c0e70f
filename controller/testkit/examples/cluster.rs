//! A cluster to try things on: the API server double with all its actors on a loopback port.
//!
//! ```sh
//! cargo run -p testkit --example cluster -- /tmp/cluster.kubeconfig &
//! export KUBECONFIG=/tmp/cluster.kubeconfig
//! kubectl apply --server-side -f deploy/crds
//! roompin-controller run
//! ```
//!
//! Pods "run" without containers: the kubelet actor only moves their status.

use std::{env, fs, process::ExitCode};

use kube::api::PostParams;
use testkit::{Actors, ApiServer};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(path) = env::args().nth(1) else {
        eprintln!("usage: cluster KUBECONFIG-TO-WRITE");
        return ExitCode::from(64);
    };
    match run(&path).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let server = ApiServer::new();
    let namespaces = kube::Api::all(server.client("default"));
    let jitsi: k8s_openapi::api::core::v1::Namespace = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "jitsi"},
    }))?;
    namespaces.create(&PostParams::default(), &jitsi).await?;
    let _actors = Actors::all().start(&server).await;
    let front = server.serve().await?;
    fs::write(path, front.kubeconfig("jitsi"))?;
    println!("{} until Ctrl-C; KUBECONFIG={path}", front.url());
    std::future::pending().await
}
