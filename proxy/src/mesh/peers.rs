//! Where peers are: the configured list, names resolved.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::join_all;
use tokio::{sync::watch, time::Instant};

use super::{MeshEvent, Shared, dial::Targets};
use crate::{config::Peer, discovery::Hosts};

/// Whom to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerList {
    pub(super) peers: Vec<Peer>,
    /// DNS servers that know their names; empty means those of `/etc/resolv.conf`.
    pub(super) servers: Vec<SocketAddr>,
}

/// Resolves the list again and again, until nobody can change it any more.
pub(super) async fn run(shared: Arc<Shared>, targets: Arc<Targets>, mut peers: watch::Receiver<PeerList>) {
    let mut servers = peers.borrow().servers.clone();
    let mut book = Book { hosts: Hosts::new(servers.clone()), known: HashMap::new(), failing: BTreeSet::new() };
    let mut told: Option<BTreeSet<SocketAddr>> = None;
    loop {
        let started = Instant::now();
        let PeerList { peers: list, servers: now } = peers.borrow_and_update().clone();
        if servers != now {
            book.hosts = Hosts::new(now.clone());
            servers = now;
        }
        // What needs no look-up does not wait for one.
        targets.list(&book.addresses(&list));
        book.look_up(&list).await;
        let mut addresses = book.addresses(&list);
        addresses.remove(&shared.me.address);
        targets.list(&addresses);
        if told.as_ref() != Some(&addresses) {
            let found = MeshEvent::Found(addresses.iter().copied().collect());
            if shared.events.send(found).await.is_err() {
                return;
            }
            told = Some(addresses);
        }
        let mut changes = shared.table.changes();
        loop {
            let pause = if shared.table.is_empty() { shared.limits.refresh_alone } else { shared.limits.refresh };
            tokio::select! {
                () = tokio::time::sleep_until(started + pause) => break,
                changed = peers.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                // Having become alone means to look sooner.
                _ = changes.changed() => {}
            }
        }
    }
}

struct Book {
    hosts: Hosts,
    /// The last known addresses of names.
    known: HashMap<String, Vec<IpAddr>>,
    /// Names whose look-up failed last time, to say so once.
    failing: BTreeSet<String>,
}

impl Book {
    async fn look_up(&mut self, list: &[Peer]) {
        let names: BTreeSet<&str> = list
            .iter()
            .filter_map(|peer| match peer {
                Peer::Name { host, .. } => Some(host.as_str()),
                Peer::Address(_) => None,
            })
            .collect();
        self.known.retain(|name, _| names.contains(name.as_str()));
        let answers = join_all(names.iter().map(|name| {
            let before = self.known.get(*name).map_or(&[][..], Vec::as_slice);
            self.hosts.addresses(name, before)
        }))
        .await;
        for (name, answer) in names.into_iter().zip(answers) {
            match answer {
                Ok(addresses) => {
                    self.failing.remove(name);
                    self.known.insert(name.to_owned(), addresses);
                }
                // What was known stays.
                Err(error) => {
                    if self.failing.insert(name.to_owned()) {
                        tracing::warn!(name, %error, "cannot look up peers");
                    }
                }
            }
        }
    }

    fn addresses(&self, list: &[Peer]) -> BTreeSet<SocketAddr> {
        let mut found = BTreeSet::new();
        for peer in list {
            match peer {
                Peer::Address(address) => {
                    found.insert(*address);
                }
                Peer::Name { host, port } => {
                    let addresses = self.known.get(host).map_or(&[][..], Vec::as_slice);
                    found.extend(addresses.iter().map(|ip| SocketAddr::new(*ip, *port)));
                }
            }
        }
        found
    }
}
