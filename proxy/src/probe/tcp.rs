//! A plain connect, HAProxy's `check` without an `httpchk`.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::ProbeError;

/// Connects, and closes again. The caller limits the time.
pub(super) async fn probe(address: SocketAddr) -> Result<(), ProbeError> {
    connect(address).await.map(drop)
}

/// Connects for a probe.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeError> {
    TcpStream::connect(address).await.map_err(ProbeError::Connect)
}
