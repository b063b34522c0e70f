//! A cluster to try things on: the API server double with all its actors on a loopback port.
//!
//! ```sh
//! cargo run --example cluster -- /tmp/cluster.kubeconfig &
//! export KUBECONFIG=/tmp/cluster.kubeconfig
//! kubectl apply --server-side -f deploy/crds
//! cargo run --bin roompin-controller -- run --listen 127.0.0.1:9091
//! ```
//!
//! Pods "run" without containers: the kubelet actor only moves their status. Where jicofo and the proxies would listen, a stub
//! answers; `kubectl annotate pod PODNAME conferences=2` puts two conferences on a jicofo.

mod people;

use std::{env, fs, process::ExitCode};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::PostParams};
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
    let namespaces: Api<Namespace> = Api::all(server.client("default"));
    let jitsi: Namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": "jitsi"}}))?;
    namespaces.create(&PostParams::default(), &jitsi).await?;
    let _actors = Actors::all().start(&server).await;
    let _people = tokio::spawn(people::answer(server.client("default")));
    let front = server.serve().await?;
    fs::write(path, front.kubeconfig("jitsi"))?;
    println!("{} until Ctrl-C; KUBECONFIG={path}", front.url());
    std::future::pending().await
}
