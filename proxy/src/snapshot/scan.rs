//! From the table to encoded chunks, without waiting for the disk.
//!
//! The router's walk holds a lock on the part of the table it is in, so what happens inside must be quick: a record is
//! encoded, and full chunks go to another thread, which hashes and writes them. The channel has no bound, because
//! waiting for a slow disk here would make requests wait too; at worst it holds 41 bytes per pin.

use std::{
    io::{self, Write},
    mem,
    sync::mpsc::Sender,
};

use router_core::router::Router;

use super::format::{Encoder, Header};

const CHUNK: usize = 64 * 1024;

/// Sends all pins of the router as a snapshot without its checksum; returns how many.
pub(super) fn scan(router: &Router, header: Header, to: Sender<Vec<u8>>) -> io::Result<u64> {
    let now = header.written_at;
    let mut encoder = Encoder::new(Chunks { chunk: Vec::with_capacity(CHUNK), to }, header)?;
    let mut result = Ok(());
    router.for_each_pin(now, |key, mut view| {
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
    let (mut chunks, pins) = encoder.finish()?;
    chunks.flush()?;
    Ok(pins)
}

/// Cuts what is written into chunks.
struct Chunks {
    chunk: Vec<u8>,
    to: Sender<Vec<u8>>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() + bytes.len() > CHUNK {
            self.flush()?;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let full = mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        // The other side is gone only if writing failed; its own error says why.
        self.to.send(full).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
