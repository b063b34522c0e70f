//! `cluster:`

use std::net::SocketAddr;

use super::super::{
    Cluster, Peer, defaults, secret,
    section::{Field, Section, Switch},
};
use super::{MILLISECOND, SECOND, clash, clash_message};

/// Entries in the list of peers.
const MAX_PEERS: usize = 64;
/// DNS servers to ask.
const MAX_SERVERS: usize = 64;

pub(super) fn read(
    root: &mut Section<'_>,
    listen: &[(Option<Field<'_>>, SocketAddr)],
    admin: SocketAddr,
) -> Option<Cluster> {
    let Switch::On(mut s) = root.switch("cluster") else {
        return None;
    };
    let address = s.read("listen", defaults::CLUSTER_LISTEN, Field::bind_address);
    if let Some((field, other)) = listen.iter().find(|(_, other)| clash(address, *other)) {
        let name = field.as_ref().map_or("listen", |field| &field.path);
        s.error("listen", clash_message(address, name, *other));
    }
    if clash(address, admin) {
        s.error("listen", clash_message(address, "admin.address", admin));
    }
    let advertise = s.optional("advertise", |field| field.text()?.parse().map_err(|error| format!("{error}")));
    let peers = peers(&mut s);
    let servers = s.many("servers", MAX_SERVERS, Field::dns_server).unwrap_or_default();
    let key_file = key(&mut s, "key_file");
    if key_file.is_none() && s.sound(&["key_file"]) {
        s.error("key_file", "is missing");
    }
    let previous_key_file = key(&mut s, "previous_key_file");
    if key_file.is_some() && key_file == previous_key_file {
        s.error("previous_key_file", "is the same file as key_file");
    }
    let claim_timeout = s.duration("claim_timeout", defaults::CLAIM_TIMEOUT, 10 * MILLISECOND, 10 * SECOND);
    Some(Cluster {
        listen: address,
        advertise,
        peers,
        servers: servers.into_iter().map(|(_, server)| server).collect(),
        key_file: key_file?,
        previous_key_file,
        claim_timeout,
    })
}

fn peers(s: &mut Section<'_>) -> Vec<Peer> {
    let given = s.many("peers", MAX_PEERS, |field| field.text()?.parse().map_err(|error| format!("{error}")));
    let given: Vec<(Field<'_>, Peer)> = given.unwrap_or_default();
    if given.is_empty() && s.sound(&["peers"]) {
        s.warn("peers", "names nobody: this replica waits to be dialled by others");
    }
    for (n, (field, peer)) in given.iter().enumerate() {
        if given[..n].iter().any(|(_, other)| other == peer) {
            field.error(format!("{peer} is given twice"));
        }
    }
    given.into_iter().map(|(_, peer)| peer).collect()
}

fn key(s: &mut Section<'_>, name: &'static str) -> Option<std::path::PathBuf> {
    // A key that is accepted is long enough, whatever its spelling.
    s.secret(name, |path| secret::read_mesh_key(path).map(|_| usize::MAX))
}
