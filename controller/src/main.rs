//! `roompin-controller`.

use clap::Parser;
use controller::cli::Cli;

fn main() -> anyhow::Result<()> {
    Cli::parse().run()
}
