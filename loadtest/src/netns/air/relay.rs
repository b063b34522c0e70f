//! A switch in user space: a thread for each station takes what it sends, one more delivers what is due.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    Counts, Weather,
    frame::{self, Mac},
};

/// The largest frame: an MTU of 1,500 and a header.
const LONGEST: usize = 1_514;
/// Between two looks whether all is over.
const LOOK: Duration = Duration::from_millis(100);
/// Frames under way at most; with more, new ones are lost, as in a router.
const MOST: usize = 100_000;

/// Runs until dropped.
#[derive(Debug)]
pub(super) struct Relay {
    switch: Arc<Switch>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Switch {
    ports: Vec<Port>,
    under_way: Mutex<BinaryHeap<Frame>>,
    earlier: Condvar,
    over: AtomicBool,
    sent: AtomicU64,
    lost: AtomicU64,
    too_long: AtomicU64,
}

#[derive(Debug)]
struct Port {
    socket: OwnedFd,
    mac: Mac,
    weather: Mutex<Weather>,
}

/// A frame that will arrive.
#[derive(Debug)]
struct Frame {
    due: Instant,
    /// Of two at one time, the first comes first.
    serial: u64,
    to: usize,
    bytes: Vec<u8>,
}

impl Frame {
    fn rank(&self) -> (Instant, u64) {
        (self.due, self.serial)
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Frame {}

impl PartialOrd for Frame {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Frame {
    /// The heap gives the greatest first, and that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// Between devices of the calling thread's namespace, each with the address of the station behind it.
    pub(super) fn start(ends: &[(String, Mac)]) -> io::Result<Self> {
        let ports: io::Result<Vec<_>> = ends.iter().map(|(device, mac)| Port::open(device, *mac)).collect();
        let switch = Arc::new(Switch {
            ports: ports?,
            under_way: Mutex::default(),
            earlier: Condvar::new(),
            over: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            too_long: AtomicU64::new(0),
        });
        let mut relay = Self { switch: Arc::clone(&switch), threads: Vec::new() };
        for n in 0..ends.len() {
            let switch = Arc::clone(&switch);
            relay.spawn(&format!("air-{n}"), move || switch.take(n))?;
        }
        relay.spawn("air-due", move || switch.deliver())?;
        Ok(relay)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    pub(super) fn set(&self, station: usize, weather: Weather) {
        *locked(&self.switch.ports[station].weather) = weather;
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Relaxed);
        let Switch { sent, lost, too_long, .. } = &*self.switch;
        Counts { sent: read(sent), lost: read(lost), too_long: read(too_long) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.switch.over.store(true, Relaxed);
        self.switch.earlier.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was printed where it happened.
            let _ = thread.join();
        }
    }
}

impl Port {
    /// Takes all that comes through a device, past the kernel.
    fn open(device: &str, mac: Mac) -> io::Result<Self> {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        let mut addresses = getifaddrs()?.filter(|at| at.interface_name == device).filter_map(|at| at.address);
        let address = addresses.find_map(|at| at.as_link_addr().copied());
        let address = address.ok_or_else(|| io::Error::other(format!("no device {device}")))?;
        bind(socket.as_raw_fd(), &address)?;
        let look = i64::try_from(LOOK.as_millis()).unwrap_or(i64::MAX);
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(look))?;
        Ok(Self { socket, mac, weather: Mutex::default() })
    }
}

impl Switch {
    /// Takes what a station sends.
    fn take(&self, from: usize) {
        let (port, mut buffer) = (&self.ports[from], vec![0; 1 << 16]);
        let mut chance = SmallRng::seed_from_u64(from as u64);
        while !self.over.load(Relaxed) {
            match recv(port.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => self.send_on(from, &mut buffer[..length], &mut chance),
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => {}
                Err(error) => {
                    tracing::error!(%error, "the air is gone");
                    return;
                }
            }
        }
    }

    fn send_on(&self, from: usize, bytes: &mut [u8], chance: &mut SmallRng) {
        // The socket shows what we deliver to the station, too; that comes from others.
        let Some((to, _)) = frame::addresses(bytes).filter(|(_, by)| *by == self.ports[from].mac) else { return };
        if bytes.len() > LONGEST {
            self.too_long.fetch_add(1, Relaxed);
            return;
        }
        frame::complete(bytes);
        let weather = *locked(&self.ports[from].weather);
        for (n, port) in self.ports.iter().enumerate() {
            if n == from || !(to.is_group() || port.mac == to) {
                continue;
            }
            let serial = self.sent.fetch_add(1, Relaxed);
            // Nothing arrives before it was sent.
            let jitter = weather.jitter.min(weather.delay);
            let late = weather.delay - jitter + (2 * jitter).mul_f64(chance.random_range(0.0..=1.0));
            let mut under_way = locked(&self.under_way);
            if chance.random_bool(weather.loss.clamp(0.0, 1.0)) || under_way.len() >= MOST {
                self.lost.fetch_add(1, Relaxed);
                continue;
            }
            under_way.push(Frame { due: Instant::now() + late, serial, to: n, bytes: bytes.to_vec() });
            self.earlier.notify_one();
        }
    }

    /// Hands over what is due.
    fn deliver(&self) {
        let mut under_way = locked(&self.under_way);
        while !self.over.load(Relaxed) {
            let wait = match under_way.peek() {
                None => LOOK,
                Some(next) => next.due.saturating_duration_since(Instant::now()),
            };
            if wait.is_zero() {
                let Some(frame) = under_way.pop() else { continue };
                drop(under_way);
                // A device that is going away takes no more, and then nobody misses it.
                let _ = send(self.ports[frame.to].socket.as_raw_fd(), &frame.bytes, MsgFlags::empty());
                under_way = locked(&self.under_way);
            } else {
                let woken = self.earlier.wait_timeout(under_way, wait.min(LOOK));
                under_way = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}
