//! Where replicas and shards live: network namespaces of their own where we may, else this machine's loopback.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    thread,
    time::Duration,
};

use super::script::Node;
pub(super) use crate::netns::Netns;
use crate::{
    netns::{self, hub},
    ports,
};

/// Ports in a namespace of one's own.
const SERVE: u16 = 80;
const ADMIN: u16 = 9090;
const PEER: u16 = 1024;

/// Where one of them lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Serves browsers, or for a shard, proxies.
    pub serve: SocketAddr,
    /// A replica's admin port.
    pub admin: SocketAddr,
    /// Where its peers come.
    pub peer: SocketAddr,
    net: Option<Netns>,
}

impl Place {
    /// Calls `f` on a thread that is there, so that sockets and processes it makes are there too. Sockets stay there
    /// wherever they are used afterwards.
    ///
    /// # Errors
    /// When the thread cannot go there.
    pub(crate) fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        match &self.net {
            Some(net) => net.enter(f),
            // On another thread here too, so that what works with namespaces works without.
            None => thread::scope(|scope| Ok(scope.spawn(f).join().unwrap_or_else(|panic| resume_unwind(panic)))),
        }
    }
}

/// The ground.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Around all namespaces; `None` on loopback.
    hub: Option<Netns>,
    /// Why it is loopback, to be said loudly.
    pub notice: Option<String>,
    /// Whether this system can delay packets.
    netem: bool,
}

impl Ground {
    /// Moves the calling thread into a network namespace, in which all others will be connected; threads that it starts
    /// are there too. Nothing has a name on this machine, so nothing is left behind when the process ends, however it
    /// does. Falls back on loopback where that is not allowed, or not `wanted`.
    #[must_use]
    pub(crate) fn open(wanted: bool) -> Self {
        if !wanted {
            return Self::loopback("as asked");
        }
        match Netns::move_here() {
            Ok(hub) => {
                let netem = hub.delay_works(hub::DEVICE);
                Self { hub: Some(hub), notice: None, netem }
            }
            Err(error) => Self::loopback(&error.to_string()),
        }
    }

    fn loopback(why: &str) -> Self {
        let notice = format!(
            "NO NETWORK NAMESPACES ({why}): a partition is made by STOPPING a replica's process (SIGSTOP), which cuts it \
             off from everybody. Run as root, with iproute2 installed, for real partitions."
        );
        Self { hub: None, notice: Some(notice), netem: false }
    }

    /// `namespaces` or `signals`.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        if self.hub.is_some() { "namespaces" } else { "signals" }
    }

    /// Makes a place for a replica or shard.
    ///
    /// # Errors
    /// When the system does not give one.
    pub(crate) fn place(&self, node: Node) -> io::Result<Place> {
        let Some(hub) = &self.hub else {
            let ports = ports::pick(&[0, 0, 0])?;
            return Ok(Place { serve: ports[0], admin: ports[1], peer: ports[2], net: None });
        };
        let ip = address(node);
        let at = |port| SocketAddr::new(IpAddr::V4(ip), port);
        let net = hub.attach(&node.to_string(), ip)?;
        Ok(Place { serve: at(SERVE), admin: at(ADMIN), peer: at(PEER), net: Some(net) })
    }

    /// Whether [`Ground::cut`] can do anything.
    #[must_use]
    pub(crate) fn can_cut(&self) -> bool {
        self.hub.is_some()
    }

    /// Lets packets from `from` to `to` vanish without a word, or (`cut` false) pass again. `None` is the clients.
    ///
    /// # Errors
    /// When the system does not do it.
    pub(crate) fn cut(&self, from: Option<&Place>, to: Option<&Place>, cut: bool) -> io::Result<()> {
        let Some(hub) = &self.hub else { return Err(io::ErrorKind::Unsupported.into()) };
        let to = to.map_or(IpAddr::V4(hub::ADDRESS), |place| place.serve.ip());
        let (net, device) = match from {
            Some(place) => (place.net.as_ref().unwrap_or(hub), netns::DEVICE),
            None => (hub, hub::DEVICE),
        };
        net.silence(device, to, cut)
    }

    /// Whether [`Ground::delay`] can do anything.
    #[must_use]
    pub(crate) fn can_delay(&self) -> bool {
        self.netem
    }

    /// Delays every packet that leaves a place; zero ends it.
    ///
    /// # Errors
    /// When the system does not do it.
    pub(crate) fn delay(&self, place: &Place, by: Duration) -> io::Result<()> {
        match &place.net {
            Some(net) => net.delay(netns::DEVICE, by),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// 198.18.0.0/15 is set aside for tests of network devices (RFC 2544), so it is nobody's.
fn address(node: Node) -> Ipv4Addr {
    let low = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    match node {
        Node::Replica(number) => Ipv4Addr::new(198, 18, 1, low(number)),
        Node::Shard(number) => Ipv4Addr::new(198, 18, 2, low(number)),
        Node::Clients => hub::ADDRESS,
    }
}
