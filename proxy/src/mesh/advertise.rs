//! Which address others are told to dial.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::net::UdpSocket;

use crate::{
    config::{Advertise, Peer},
    discovery::Hosts,
};

/// For the look-up of a peer's name; without an answer there are other ways.
const LOOK_UP: Duration = Duration::from_secs(3);
/// Addresses for documentation (RFC 5737, RFC 3849): the route to them is the route to anywhere. Nothing is sent.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// No address was given, and none could be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot find out under which address other replicas reach this one; set cluster.advertise or ROOMPIN_ADVERTISE"
)]
pub struct AdvertiseError;

/// The address given, or the one listened on if it is specific, or that of the interface towards the first peer whose
/// address is known, or that of the interface towards everywhere else.
pub(super) async fn find(
    given: Option<Advertise>,
    listen: SocketAddr,
    peers: &[Peer],
    hosts: &Hosts,
) -> Result<SocketAddr, AdvertiseError> {
    if let Some(Advertise { ip, port }) = given {
        return Ok(SocketAddr::new(ip, port.unwrap_or(listen.port())));
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen);
    }
    let fits = |ip: &IpAddr| listen.is_ipv6() || ip.is_ipv4();
    for peer in peers {
        let addresses = match peer {
            Peer::Address(address) => vec![address.ip()],
            Peer::Name { host, .. } => {
                let found = tokio::time::timeout(LOOK_UP, hosts.addresses(host, &[])).await;
                found.ok().and_then(Result::ok).unwrap_or_default()
            }
        };
        for ip in addresses.iter().filter(|ip| fits(ip)) {
            if let Some(local) = towards(*ip).await {
                return Ok(SocketAddr::new(local, listen.port()));
            }
        }
    }
    for ip in ANYWHERE.iter().filter(|ip| fits(ip)) {
        // Loopback leads nowhere else.
        if let Some(local) = towards(*ip).await.filter(|local| !local.is_loopback()) {
            return Ok(SocketAddr::new(local, listen.port()));
        }
    }
    Err(AdvertiseError)
}

/// The address of the interface from which `ip` is reached. Connecting a UDP socket asks the kernel and sends nothing.
async fn towards(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect((ip, 9)).await.ok()?;
    let local = socket.local_addr().ok()?.ip();
    (!local.is_unspecified()).then_some(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(given: Option<&str>, listen: &str, peers: &[&str]) -> Result<SocketAddr, AdvertiseError> {
        let peers: Vec<Peer> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let given = given.map(|given| given.parse().unwrap());
        find(given, listen.parse().unwrap(), &peers, &Hosts::new(Vec::new())).await
    }

    #[tokio::test]
    async fn what_is_given_counts_then_what_is_specific_then_the_way_to_a_peer() {
        let address = |text: &str| Ok(text.parse().unwrap());
        assert_eq!(found(Some("10.9.8.7"), "0.0.0.0:7946", &[]).await, address("10.9.8.7:7946"));
        assert_eq!(found(Some("10.9.8.7:1"), "127.0.0.1:7946", &[]).await, address("10.9.8.7:1"));
        assert_eq!(found(None, "127.0.0.3:7946", &["127.0.0.1:1"]).await, address("127.0.0.3:7946"));
        assert_eq!(found(None, "0.0.0.0:7946", &["127.0.0.1:1"]).await, address("127.0.0.1:7946"));
    }

    #[tokio::test]
    async fn without_peers_it_is_never_loopback_or_any() {
        if let Ok(address) = found(None, "0.0.0.0:7946", &[]).await {
            assert!(!address.ip().is_loopback() && !address.ip().is_unspecified(), "{address}");
        }
    }
}
