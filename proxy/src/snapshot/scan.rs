//! From the table to encoded chunks, without waiting for the disk while a part of the table is locked.
//!
//! The router's walk over a group holds the group's lock, so what happens inside must be quick: records are encoded, no
//! more. Between two groups full chunks go to another thread, which hashes and writes them, and here a slow disk is waited
//! for: so a snapshot takes the memory of a group and a few chunks, however many pins there are.

use std::{
    io::{self, Write},
    mem,
    sync::mpsc::SyncSender,
};

use router_core::router::Router;

use super::format::{Encoder, Header};

const CHUNK: usize = 64 * 1024;
/// Chunks that wait for the disk at most.
pub(super) const WAITING: usize = 4;

/// Sends all pins of the router as a snapshot without its checksum; returns how many.
pub(super) fn scan(router: &Router, header: Header, to: SyncSender<Vec<u8>>) -> io::Result<u64> {
    let now = header.written_at;
    let mut encoder = Encoder::new(Chunks { full: Vec::new(), chunk: Vec::with_capacity(CHUNK), to }, header)?;
    for group in 0..=u8::MAX {
        let mut result = Ok(());
        router.for_each_pin_of(group, now, |key, mut view| {
            if result.is_err() {
                return;
            }
            if view.tunnels > 0 {
                // Open tunnels hold a pin however long ago its last request was. After a restart they are gone, and
                // their clients need the pin to come back to.
                view.pin.last_seen = now;
            }
            result = encoder.push(key, &view.pin);
        });
        result?;
        encoder.writer().send()?;
    }
    let (mut chunks, pins) = encoder.finish()?;
    chunks.flush()?;
    Ok(pins)
}

/// Cuts what is written into chunks.
struct Chunks {
    full: Vec<Vec<u8>>,
    chunk: Vec<u8>,
    to: SyncSender<Vec<u8>>,
}

impl Chunks {
    /// Sends full chunks; waits until they are taken.
    fn send(&mut self) -> io::Result<()> {
        // The other side is gone only if writing failed; its own error says why.
        let send = |chunk| self.to.send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into());
        mem::take(&mut self.full).into_iter().try_for_each(send)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() + bytes.len() > CHUNK {
            self.full.push(mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK)));
        }
        self.chunk.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.full.push(mem::take(&mut self.chunk));
        self.send()
    }
}
