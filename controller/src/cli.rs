//! The command line: what it says and what it does, apart from serving.

mod recorders;

use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::recorders::{Recorders, WEBHOOK_PORT};

/// `EX_USAGE` of sysexits.h: the command line is wrong; starting again will not help.
pub const EXIT_USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: something is not to be had, a port or the API.
pub const EXIT_UNAVAILABLE: u8 = 69;

const AFTER_HELP: &str = "\
Examples:
  roompin-controller crds | kubectl apply --server-side -f -    teach a cluster what a Jitsi is
  roompin-controller run                                        look after the namespace it runs in
  roompin-controller run --namespace meet                       look after another one
  roompin-controller run --all-namespaces                       look after all of them (needs a ClusterRole)
  kubectl get jitsi,jitsishards                                 where everything stands, and what it waits for

Run two replicas: one leads, the other takes over within 15 seconds.

Signals:
  SIGTERM, SIGINT  leave: finish what is being written, let go of the lease

Exit codes:
  0   done
  64  the command line is wrong
  69  the API or a port is not to be had";

/// Makes and keeps Jitsi Meets of any number of shards, and adds and removes shards without cutting a call.
#[derive(Debug, Parser)]
#[command(name = "roompin-controller", version, about, after_help = AFTER_HELP)]
#[command(arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look after Jitsis and JitsiShards until SIGTERM.
    #[command(after_help = AFTER_HELP)]
    Run(Box<Run>),
    /// Print the definitions of Jitsi and JitsiShard as YAML, for kubectl apply --server-side.
    Crds,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What `run` takes.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Look after this namespace; without it, after the one that the controller runs in or that kubectl uses.
    #[arg(short, long, value_name = "NAMESPACE", env = "ROOMPIN_NAMESPACE", conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,
    /// The same under the name that jibri-pod-controller gave it.
    #[arg(long, hide = true, value_name = "NAMESPACE", env = "NAMESPACE")]
    pub old_namespace: Option<String>,
    /// Look after all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Where health and metrics are served.
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:9091", env = "ROOMPIN_LISTEN")]
    pub listen: SocketAddr,
    /// Port of webhooks and groups, under the name that jibri-pod-controller gave it.
    #[arg(long, hide = true, value_name = "PORT", env = "PORT")]
    pub port: Option<u16>,
    /// The namespace that the controller runs in.
    #[arg(long, hide = true, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// Recorders.
    #[command(flatten)]
    pub recorders: Recorders,
    /// Name of the Lease by which replicas agree who writes. Its namespace is the one that the controller runs in.
    #[arg(long, value_name = "NAME", default_value = "roompin-controller", env = "ROOMPIN_LEASE")]
    pub lease_name: String,
    /// The name of this replica in the Lease; something random is added.
    #[arg(long, value_name = "NAME", default_value = "roompin-controller", env = "POD_NAME")]
    pub identity: String,
    /// Registry and folder of the Jitsi images, unless a resource names another.
    #[arg(long, value_name = "REGISTRY", env = "ROOMPIN_IMAGE_REGISTRY")]
    pub image_registry: Option<String>,
    /// Tag of the Jitsi images, unless a resource names another. stable-11146-1 or later.
    #[arg(long, value_name = "TAG", env = "ROOMPIN_IMAGE_TAG")]
    pub image_tag: Option<String>,
    /// Image of the proxies, unless a resource names another.
    #[arg(long, value_name = "IMAGE", env = "ROOMPIN_PROXY_IMAGE")]
    pub proxy_image: Option<String>,
    /// DNS domain of the cluster.
    #[arg(long, value_name = "DOMAIN", env = "ROOMPIN_CLUSTER_DOMAIN")]
    pub cluster_domain: Option<String>,
    /// What is logged: error, warn, info, debug, or a filter such as controller=debug,warn.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "ROOMPIN_LOG")]
    pub log_level: String,
    /// How lines of the log look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "ROOMPIN_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// The whole program: reads the arguments of the process, and calls `serve` for `run`.
pub fn main(serve: impl FnOnce(Run) -> ExitCode) -> ExitCode {
    dispatch(std::env::args_os(), &mut io::stdout(), &mut io::stderr(), serve)
}

/// [`main`] with everything it touches as a parameter. `args` starts with the program's name.
pub fn dispatch(
    args: impl IntoIterator<Item = OsString>,
    out: &mut impl Write,
    err: &mut impl Write,
    serve: impl FnOnce(Run) -> ExitCode,
) -> ExitCode {
    let command = match Cli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version are errors to clap; they are what was asked for, and go to stdout.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match command {
        Command::Run(run) => serve(*run),
        Command::Crds => match crate::crds::yaml() {
            Ok(yaml) => {
                let _ = out.write_all(yaml.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => {
                let _ = writeln!(err, "the definitions cannot be printed: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Run, clap::Error> {
        let all = ["roompin-controller", "run"].iter().chain(args);
        Cli::try_parse_from(all).map(|cli| match cli.command {
            Command::Run(run) => *run,
            Command::Crds => panic!("run was asked for"),
        })
    }

    #[test]
    fn one_namespace_or_all_but_not_both() {
        assert_eq!(parse(&["-n", "meet"]).unwrap().namespace.as_deref(), Some("meet"));
        assert!(parse(&["-A"]).unwrap().all_namespaces);
        assert!(parse(&["-A", "-n", "meet"]).is_err());
    }

    #[test]
    fn crds_prints_both_definitions() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = ["roompin-controller", "crds"].map(OsString::from);
        let code = dispatch(args, &mut out, &mut err, |_| panic!("nothing is to be served"));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("name: jitsis.apps.jit.si") && text.contains("name: jitsishards.apps.jit.si"));
    }
}
