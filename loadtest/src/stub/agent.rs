//! HAProxy's agent-check protocol: on connect, one line, then close.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpListener, sync::watch};

use super::{state::State, told};

/// Longest time for one client. They are served one after the other: there is one prober or a few.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers until told to stop.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            () = told(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((mut stream, _)) = accepted else {
            tokio::time::sleep(WRITE_TIMEOUT).await;
            continue;
        };
        let line = format!("{}\n", state.knobs().agent);
        let say = async {
            stream.write_all(line.as_bytes()).await?;
            stream.shutdown().await
        };
        if !matches!(tokio::time::timeout(WRITE_TIMEOUT, say).await, Ok(Ok(()))) {
            tracing::debug!(shard = state.name(), "an agent client did not read its answer");
        }
    }
}
