//! The command line: what it says and what it does, apart from serving.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::config::{Advertise, Config, ConfigErrors, Finding, Loaded};

/// `EX_USAGE` of sysexits.h: the command line or the configuration is wrong; starting again will not help.
pub const EXIT_USAGE: u8 = 64;

const AFTER_HELP: &str = "\
Examples:
  roompin-proxy check --config roompin.yaml    name every mistake, or say what would be done
  roompin-proxy run --config roompin.yaml      serve until SIGTERM
  kill -HUP <pid>                              read the file again

Signals:
  SIGHUP           read the configuration again; a bad file is refused and the old one stays in force
  SIGTERM, SIGINT  leave: not ready at once, then tunnels are closed gently (see shutdown in the configuration)

Exit codes:
  0   done
  64  the command line or the configuration is wrong
  69  something that the configuration names is not to be had: a port is taken, for example

Every field of the configuration: docs/configuration.md. Files to start from: deploy/examples/.";

/// Pins conference rooms to Jitsi shards: everybody in a room reaches the same one.
#[derive(Debug, Parser)]
#[command(name = "roompin-proxy", version, about, after_help = AFTER_HELP)]
#[command(arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM.
    #[command(after_help = AFTER_HELP)]
    Run(Run),
    /// Print every mistake of a configuration and exit with 64, or say what it would do and exit with 0.
    #[command(after_help = AFTER_HELP)]
    Check(ConfigFile),
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration, a YAML file; relative paths in it start at its folder.
    #[arg(short, long, value_name = "FILE", env = "ROOMPIN_CONFIG")]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// What other replicas dial to reach this one, such as the pod's address; comes before cluster.advertise.
    #[arg(long, value_name = "IP[:PORT]", env = "ROOMPIN_ADVERTISE")]
    advertise: Option<Advertise>,
}

/// What `run` is to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The file, to be read again on SIGHUP.
    pub path: PathBuf,
    /// The checked configuration. Its warnings have been printed already.
    pub config: Config,
    /// What other replicas are told to dial, whatever the configuration says.
    pub advertise: Option<Advertise>,
}

/// The whole program: reads the arguments of the process, and calls `serve` for `run` with a good configuration.
pub fn main(serve: impl FnOnce(Start) -> ExitCode) -> ExitCode {
    dispatch(std::env::args_os(), &mut io::stdout(), &mut io::stderr(), serve)
}

/// [`main`] with everything it touches as a parameter.
///
/// `args` starts with the program's name. What cannot be printed (a closed pipe) is lost, the exit code is not.
pub fn dispatch(
    args: impl IntoIterator<Item = OsString>,
    out: &mut impl Write,
    err: &mut impl Write,
    serve: impl FnOnce(Start) -> ExitCode,
) -> ExitCode {
    let command = match Cli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version are errors to clap; they are what was asked for, and go to stdout.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let (Command::Run(Run { file, .. }) | Command::Check(file)) = &command;
    let Loaded { config, warnings } = match Config::load(&file.config) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let _ = report_errors(&errors, err);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let _ = report_warnings(&file.config, &warnings, err);
    match command {
        Command::Check(file) => {
            let _ = write!(out, "{}: ok\n{}", file.config.display(), config.summary());
            ExitCode::SUCCESS
        }
        Command::Run(Run { file, advertise }) => serve(Start { path: file.config, config, advertise }),
    }
}

fn report_errors(errors: &ConfigErrors, err: &mut impl Write) -> io::Result<()> {
    writeln!(err, "{errors}")?;
    match errors.findings.len() {
        1 => writeln!(err, "1 mistake"),
        n => writeln!(err, "{n} mistakes"),
    }
}

fn report_warnings(file: &Path, warnings: &[Finding], err: &mut impl Write) -> io::Result<()> {
    warnings.iter().try_for_each(|warning| writeln!(err, "{}:{warning} (warning)", file.display()))
}

#[cfg(test)]
mod tests;
