//! Network namespaces without names: each is held by an open file, so that it goes when we go.

pub mod air;

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    process::{self, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns, unshare};

/// The only device of an attached namespace, besides loopback.
pub(crate) const DEVICE: &str = "eth0";
/// Nobody has this address, so what is sent to it vanishes.
const NOBODY: &str = "02:00:00:00:00:01";

/// The namespace in the middle.
pub mod hub {
    use super::Ipv4Addr;

    /// Its bridge, to which all others are attached.
    pub(crate) const DEVICE: &str = "hub";
    /// Its address, from which clients come.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
}

/// A network namespace.
#[derive(Clone, Debug)]
pub struct Netns(Arc<File>);

impl Netns {
    /// Moves the calling thread into a new namespace with a bridge. When that fails, the thread is back where it was.
    ///
    /// # Errors
    /// When that is not allowed here (it takes root), or iproute2 is missing.
    pub fn move_here() -> io::Result<Self> {
        // Before moving: without it, nothing could be set up there.
        run("ip", &["-V"])?;
        let home = Self::current()?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let address = format!("{}/16", hub::ADDRESS);
        let set_up = || {
            run("ip", &["link", "set", "lo", "up"])?;
            run("ip", &["link", "add", hub::DEVICE, "type", "bridge"])?;
            run("ip", &["addr", "add", &address, "dev", hub::DEVICE])?;
            run("ip", &["link", "set", hub::DEVICE, "up"])?;
            Self::current()
        };
        set_up().inspect_err(|_| {
            if let Err(error) = home.go() {
                tracing::error!(%error, "cannot leave a network namespace");
            }
        })
    }

    /// Makes a namespace that is connected to the bridge of this one, with this address.
    ///
    /// # Errors
    /// When the system does not make one.
    pub fn attach(&self, name: &str, ip: Ipv4Addr) -> io::Result<Self> {
        let new = self.enter(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            run("ip", &["link", "set", "lo", "up"])?;
            Self::current()
        })??;
        let path = new.path();
        self.enter(|| {
            run("ip", &["link", "add", name, "type", "veth", "peer", "name", DEVICE, "netns", &path])?;
            run("ip", &["link", "set", name, "master", hub::DEVICE, "up"])
        })??;
        new.enter(|| {
            run("ip", &["addr", "add", &format!("{ip}/16"), "dev", DEVICE])?;
            run("ip", &["link", "set", DEVICE, "up"])
        })??;
        Ok(new)
    }

    /// Calls `f` on a thread of its own in this namespace.
    ///
    /// # Errors
    /// When the thread cannot go there.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        let there = move || self.go().map(|()| f());
        thread::scope(|scope| scope.spawn(there).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Packets to an address vanish, or pass again. A wrong hardware address needs no packet filter, tells the sender
    /// nothing, and takes effect on open connections too.
    ///
    /// # Errors
    /// When the system does not do it.
    pub fn silence(&self, device: &str, to: IpAddr, silent: bool) -> io::Result<()> {
        let to = to.to_string();
        self.enter(|| {
            if silent {
                run("ip", &["neigh", "replace", &to, "lladdr", NOBODY, "nud", "permanent", "dev", device])
            } else {
                run("ip", &["neigh", "del", &to, "dev", device])
            }
        })?
    }

    /// Delays what leaves through a device.
    pub(crate) fn delay(&self, device: &str, by: Duration) -> io::Result<()> {
        let by_ms = format!("{}ms", by.as_millis());
        self.enter(|| {
            if by.is_zero() {
                run("tc", &["qdisc", "del", "dev", device, "root"])
            } else {
                run("tc", &["qdisc", "replace", "dev", device, "root", "netem", "delay", &by_ms])
            }
        })?
    }

    /// Whether this kernel has netem.
    pub(crate) fn delay_works(&self, device: &str) -> bool {
        let tried = self.delay(device, Duration::from_millis(1));
        tried.and_then(|()| self.delay(device, Duration::ZERO)).is_ok()
    }

    /// A name for other processes.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    fn current() -> io::Result<Self> {
        Ok(Self(Arc::new(File::open("/proc/thread-self/ns/net")?)))
    }

    fn go(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }
}

/// Runs a command to its end, a few milliseconds away, in the namespace of the calling thread.
fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot run {program} (Debian's package iproute2): {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), words.trim())))
}
