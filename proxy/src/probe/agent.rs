//! HAProxy's agent check, as signal-sidecar speaks it: connect, read one line.

use std::net::SocketAddr;

use router_core::agent_check::{self, AgentReply};
use tokio::io::AsyncReadExt;

use super::{ProbeError, tcp};

/// Longest line taken. A full one, with a reason, has about 100 bytes.
const MAX_LINE: usize = 1_024;

/// Connects to an agent and reads its line. The caller limits the time.
pub(super) async fn probe(address: SocketAddr) -> Result<AgentReply, ProbeError> {
    let mut stream = tcp::connect(address).await?;
    let mut line = [0; MAX_LINE];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut line[filled..]).await.map_err(ProbeError::Io)?;
        let ended = line[filled..filled + read].iter().any(|&byte| matches!(byte, b'\r' | b'\n'));
        filled += read;
        // Like HAProxy, takes a line that ends with the connection.
        if ended || (read == 0 && filled > 0 && filled < MAX_LINE) {
            return agent_check::parse(&line[..filled]).map_err(ProbeError::Agent);
        }
        if filled == MAX_LINE {
            return Err(ProbeError::TooLong(MAX_LINE));
        }
        if read == 0 {
            return Err(ProbeError::Closed);
        }
    }
}
