//! `report`: one HTML file from results.

use std::{fs, io, path::PathBuf};

use clap::Args;

use super::{Exit, complain, versus::write};
use crate::report::Results;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Files written by `versus haproxy --json` and `chaos --json`
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Where to write the page
    #[arg(long, short, value_name = "FILE", default_value = "target/report/index.html")]
    pub out: PathBuf,
}

/// Reads, renders, writes.
#[must_use]
pub fn run(args: &ReportArgs) -> Exit {
    let mut results = Results::default();
    for file in &args.files {
        let read = fs::read_to_string(file).and_then(|text| results.read(&text).map_err(io::Error::other));
        if let Err(error) = read {
            return complain(&format_args!("{}: {error}", file.display()));
        }
    }
    match write(&args.out, &results.page()) {
        Ok(()) => Exit::Passed,
        Err(error) => complain(&error),
    }
}
