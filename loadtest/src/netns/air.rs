//! A second network between namespaces, on which packets are lost and late: as over the air.
//!
//! The kernel's netem does it where there is one. Elsewhere we do it in user space, with the same packets: every frame
//! that leaves a namespace is taken from its device, thrown away or held back, and put into the device of the one that
//! it is for. Like netem, and unlike most real networks, jitter changes the order of packets.

mod frame;
mod relay;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{Netns, run};
use frame::Mac;
use relay::Relay;

/// The device by which a namespace is on the air.
pub const DEVICE: &str = "air0";
/// In the hub, between all ends, where netem does the work.
const BRIDGE: &str = "air";

/// What happens to the packets that somebody sends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// The part of them that is lost, 0 to 1.
    pub loss: f64,
    /// How late they are.
    pub delay: Duration,
    /// By how much more or less than that, at most.
    pub jitter: Duration,
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}% lost, {:?} ±{:?} late", self.loss * 100.0, self.delay, self.jitter)
    }
}

/// Packets that went through [`Air`] in user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken from their senders.
    pub sent: u64,
    /// Thrown away.
    pub lost: u64,
    /// Larger than the device may send, which is a fault of ours.
    pub too_long: u64,
}

/// A network on which packets are lost and late. Ends with the namespaces, or when dropped.
#[derive(Debug)]
pub struct Air {
    nets: Vec<Netns>,
    relay: Option<Relay>,
}

impl Air {
    /// Connects namespaces, each with an address of its own beside the one it has. `hub` is the namespace in the middle.
    /// `kernel` says whether to try netem.
    ///
    /// # Errors
    /// When the system does not do it.
    pub fn open(hub: &Netns, stations: &[(Netns, Ipv4Addr)], kernel: bool) -> io::Result<Self> {
        let mut ends = Vec::new();
        for (n, (net, ip)) in stations.iter().enumerate() {
            let (end, mac) = (format!("air-{n}"), frame::station(n));
            net.plug(hub, &end, &mac, *ip)?;
            ends.push((end, mac));
        }
        let nets: Vec<_> = stations.iter().map(|(net, _)| net.clone()).collect();
        let netem = kernel && nets.iter().all(|net| net.delay_works(DEVICE));
        let relay = if netem {
            hub.enter(|| {
                run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
                run("ip", &["link", "set", BRIDGE, "up"])?;
                ends.iter().try_for_each(|(end, _)| run("ip", &["link", "set", end, "master", BRIDGE]))
            })??;
            None
        } else {
            Some(hub.enter(|| Relay::start(&ends))??)
        };
        Ok(Self { nets, relay })
    }

    /// Who loses the packets, to be said loudly.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.relay.is_some() { "a relay of packets in user space" } else { "netem in the kernel" }
    }

    /// From now on this is what happens to packets that a station sends.
    ///
    /// # Errors
    /// When the system does not do it.
    pub fn set(&self, station: usize, weather: Weather) -> io::Result<()> {
        if let Some(relay) = &self.relay {
            relay.set(station, weather);
            return Ok(());
        }
        let Weather { loss, delay, jitter } = weather;
        let micros = |time: Duration| format!("{}us", time.as_micros());
        let (loss, delay, jitter) = (format!("{}%", loss * 100.0), micros(delay), micros(jitter));
        self.nets[station].enter(|| {
            let netem = ["qdisc", "replace", "dev", DEVICE, "root", "netem", "loss", &loss, "delay", &delay, &jitter];
            run("tc", &netem)
        })?
    }

    /// Packets from a station to an address on the air vanish, or pass again.
    ///
    /// # Errors
    /// When the system does not do it.
    pub fn silence(&self, from: usize, to: Ipv4Addr, silent: bool) -> io::Result<()> {
        self.nets[from].silence(DEVICE, IpAddr::V4(to), silent)
    }

    /// What went through it, where that is known: netem keeps its own counts.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        self.relay.as_ref().map(Relay::counts)
    }
}

impl Netns {
    /// Connects this namespace to `hub` by a device of its own, [`DEVICE`], which sends one packet at a time: what is
    /// split by hardware elsewhere must be split before somebody takes it.
    fn plug(&self, hub: &Self, end: &str, mac: &Mac, ip: Ipv4Addr) -> io::Result<()> {
        let (path, mac) = (self.path(), mac.to_string());
        hub.enter(|| {
            run("ip", &["link", "add", end, "type", "veth", "peer", "name", DEVICE, "netns", &path])?;
            run("ip", &["link", "set", end, "up"])
        })??;
        self.enter(|| {
            run("ip", &["link", "set", DEVICE, "address", &mac, "gso_max_segs", "1"])?;
            run("ip", &["addr", "add", &format!("{ip}/24"), "dev", DEVICE])?;
            run("ip", &["link", "set", DEVICE, "up"])
        })?
    }
}
