//! `roompin-proxy`: arguments in, exit code out.

use std::process::ExitCode;

/// Small and quick on the allocations that requests make, and it gives memory back after a rush.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    proxy::cli::main(proxy::server::run)
}
