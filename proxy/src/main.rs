//! `roompin-proxy`: arguments in, exit code out.

use std::process::ExitCode;

/// Small and quick on the allocations that requests make, and it gives memory back after a rush.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Memory in steps of 4 KiB, not 2 MiB: tunnels are many small things that come and go. Where it cannot be had, the
    // proxy runs all the same.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    proxy::cli::main(proxy::server::run)
}
