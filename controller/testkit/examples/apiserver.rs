//! The double on loopback, for a try by hand: `cargo run -p testkit --example apiserver -- kubeconfig.yaml`, then
//! `kubectl --kubeconfig kubeconfig.yaml get namespaces`.

use std::error::Error;

use testkit::ApiServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("say where to write the kubeconfig")?;
    let front = ApiServer::new().serve().await?;
    std::fs::write(&path, front.kubeconfig("default"))?;
    tracing::info!(url = front.url(), path, "serving");
    std::future::pending::<()>().await;
    Ok(())
}
