//! Ports that stay ours although nothing listens on them yet.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below Linux's ephemeral range (32768 up), so that no outgoing connection of a parallel test takes one.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 reserved for this value's life, for a server that cannot report which port 0 it got.
///
/// The reservation is a lock on a file that all tests share, because tests run as parallel processes. The kernel drops
/// the lock when a test dies.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    pub(crate) fn reserve() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = std::env::temp_dir().join("roompin-test-ports");
        fs::create_dir_all(&folder).expect("create the folder of port locks");
        let span = RANGE.end - RANGE.start;
        // Processes start their search at different places, so that they seldom compete for one lock.
        let start = u16::try_from(std::process::id() * 37 % u32::from(span)).expect("below span");
        for _ in 0..span {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
            let number = RANGE.start + (start + step) % span;
            let lock = File::create(folder.join(number.to_string())).expect("open a port lock");
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port in {RANGE:?}");
    }

    /// The port's number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// The address to listen on and to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}
