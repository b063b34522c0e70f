//! Addresses of host names, for those who have a schedule of their own.

use std::net::{IpAddr, SocketAddr};

use super::{
    super::DiscoveryError,
    families::{both_families, merge_families},
    lookup::Servers,
};

/// Looks host names up, at the given servers or those of `/etc/resolv.conf`.
#[derive(Debug)]
pub(crate) struct Hosts {
    servers: Vec<SocketAddr>,
}

impl Hosts {
    /// Asks nobody yet.
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// All addresses of both families; none when the name does not exist. A family whose look-up fails keeps what it
    /// had in `before`. At most 64 addresses, within a quarter of a minute.
    ///
    /// # Errors
    /// When nothing at all is known, because nobody answers.
    pub(crate) async fn addresses(&self, host: &str, before: &[IpAddr]) -> Result<Vec<IpAddr>, DiscoveryError> {
        // Made anew each time: `/etc/resolv.conf` may have changed, and nobody asks often.
        let servers = Servers::new(host, &self.servers)?;
        let (v4, v6) = both_families(&servers, host).await;
        let merged = merge_families(v4, v6, before);
        match merged.failure {
            Some(error) if merged.addresses.is_empty() => Err(error),
            _ => Ok(merged.addresses),
        }
    }
}
