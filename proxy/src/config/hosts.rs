//! Addresses and names of replicas, as the file and the command line spell them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::{Advertise, Peer};

/// Why a text is no [`Peer`] or no [`Advertise`]; completes a sentence that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither an address nor a name with a port.
    #[error("must be an address or a DNS name with a port, such as 10.0.0.1:7946 or roompin-mesh:7946")]
    NotAPeer,
    /// No port, or 0.
    #[error("needs a port from 1 to 65535, such as :7946")]
    NoPort,
    /// `0.0.0.0` or `::`.
    #[error("must be the address of one machine, not {0}, which is any")]
    Unspecified(IpAddr),
    /// Neither an address nor an address with a port.
    #[error("must be an IP address, perhaps with a port, such as 10.0.0.1 or 10.0.0.1:7946")]
    NotAnAddress,
}

impl FromStr for Peer {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.parse::<IpAddr>().is_ok() {
            return Err(HostError::NoPort);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match (address.ip(), address.port()) {
                (_, 0) => Err(HostError::NoPort),
                (ip, _) if ip.is_unspecified() => Err(HostError::Unspecified(ip)),
                _ => Ok(Self::Address(address)),
            };
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        if !is_dns_name(host) {
            return Err(HostError::NotAPeer);
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(HostError::NoPort)?;
        Ok(Self::Name { host: host.to_owned(), port })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for Advertise {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (ip, port) = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => (ip, None),
            (_, Ok(address)) if address.port() == 0 => return Err(HostError::NoPort),
            (_, Ok(address)) => (address.ip(), Some(address.port())),
            _ => return Err(HostError::NotAnAddress),
        };
        if ip.is_unspecified() { Err(HostError::Unspecified(ip)) } else { Ok(Self { ip, port }) }
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// Longest name of DNS, in text.
const MAX_NAME: usize = 253;

/// Whether a text may be a name for DNS to look up.
pub(super) fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let bare = text.strip_suffix('.').unwrap_or(text);
    bare.len() <= MAX_NAME && bare.split('.').all(label)
}
