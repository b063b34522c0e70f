//! The command line.

use std::io::{self, Write};

use clap::{Parser, Subcommand};

use crate::crds;

/// Grows and shrinks a Jitsi of many shards without cutting a call.
#[derive(Debug, Parser)]
#[command(name = "roompin-controller", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the custom resource definitions as YAML, for `kubectl apply --server-side -f -`.
    Crds,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Where that fails, in words for the terminal.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Crds => print(&crds::yaml()?)?,
        }
        Ok(())
    }
}

/// A reader that has seen enough (`| head`) is no mistake.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
