//! Ports for processes that bind them themselves.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// Picks a loopback port for each preference (0: any): the preferred one where it is free, else any free one. All
/// differ. Between this and the bind by the process, somebody else may take one; the caller tries again then.
///
/// # Errors
/// When the system has no free port.
pub(crate) fn pick(preferred: &[u16]) -> io::Result<Vec<SocketAddr>> {
    // Held until all are picked, so that none is picked twice.
    let mut held = Vec::with_capacity(preferred.len());
    for &port in preferred {
        let listener = match port {
            0 => bind(0),
            port if taken_on_v6(port) => bind(0),
            port => bind(port).or_else(|_| bind(0)),
        };
        held.push(listener?);
    }
    held.iter().map(TcpListener::local_addr).collect()
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// `curl localhost:8080` tries `::1` first: somebody else's server there would answer in our place.
fn taken_on_v6(port: u16) -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_gives_way_to_a_free_one() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let picked = pick(&[port, 0, port]).unwrap();
        assert!(picked.iter().all(|address| address.port() != port && address.ip().is_loopback()));
        assert_ne!(picked[0], picked[1]);
        assert_ne!(picked[0], picked[2]);
    }
}
