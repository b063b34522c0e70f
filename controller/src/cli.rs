//! The command line: what it says and what it does, apart from serving.

mod recorders;

use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::recorders::Recorders;
use crate::{
    jwt::Rules,
    rest::auth::{self, Guard, Keys},
};

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

/// Yes or no, as environment variables say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is on.
    #[value(name = "true", aliases = ["on", "yes", "1"])]
    On,
    /// It is off.
    #[value(name = "false", aliases = ["off", "no", "0"])]
    Off,
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
    /// The REST API of groups and sidecars, and webhooks of recorders.
    #[command(flatten)]
    pub rest: Rest,
    /// What is logged: error, warn, info, debug, or a filter such as controller=debug,warn.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "ROOMPIN_LOG")]
    pub log_level: String,
    /// How lines of the log look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "ROOMPIN_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// Flags of the REST API. The variables beside our own are those of jitsi-autoscaler.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "REST API (groups, sidecars, webhooks)")]
pub struct Rest {
    /// Where it is served; [default: 0.0.0.0:3000, or the port in PORT]
    #[arg(long, value_name = "IP:PORT", env = "ROOMPIN_REST_LISTEN")]
    pub rest_listen: Option<SocketAddr>,
    /// The port, on all addresses, if --rest-listen is not given.
    #[arg(long, value_name = "PORT", env = "PORT", default_value_t = 3000, hide = true)]
    pub rest_port: u16,
    /// Ask for a Bearer token. Off: whoever reaches the port may change groups and speak for instances.
    #[arg(long, value_enum, value_name = "BOOL", default_value_t = Switch::On, env = "PROTECTED_API")]
    pub protected_api: Switch,
    /// Public keys are at this address, each in a file named by the SHA-256 of its key id, with .pem behind it.
    #[arg(long, value_name = "URL", env = "ASAP_PUB_KEY_BASE_URL", conflicts_with = "asap_pub_key_file")]
    pub asap_pub_key_base_url: Option<String>,
    /// Public keys are in this PEM file, such as a mounted Secret.
    #[arg(long, value_name = "FILE", env = "ROOMPIN_ASAP_PUB_KEY_FILE")]
    pub asap_pub_key_file: Option<PathBuf>,
    /// For how many seconds a key counts before it is asked for again.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, env = "ASAP_PUB_KEY_TTL",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub asap_pub_key_ttl: u64,
    /// The audience that a token must be for; several with commas between them.
    #[arg(long, value_name = "AUDIENCE", value_delimiter = ',', env = "ASAP_JWT_AUD")]
    pub asap_jwt_aud: Vec<String>,
    /// The issuers of whom one must have made a token, with commas between them.
    #[arg(long, value_name = "ISSUERS", value_delimiter = ',', env = "ASAP_JWT_ACCEPTED_HOOK_ISS")]
    pub asap_jwt_iss: Vec<String>,
    /// A sidecar may speak only for its own instance: its token's subject is the pod, or it calls from the pod's address.
    #[arg(long, value_enum, value_name = "BOOL", default_value_t = Switch::On, env = "ROOMPIN_SIDECAR_OWNERSHIP")]
    pub sidecar_ownership: Switch,
    /// Show metrics under the names of jitsi-autoscaler too, for dashboards that exist.
    #[arg(long, env = "ROOMPIN_AUTOSCALER_METRICS")]
    pub autoscaler_metrics: bool,
}

impl Rest {
    /// Where it is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.rest_listen.unwrap_or_else(|| (std::net::Ipv4Addr::UNSPECIFIED, self.rest_port).into())
    }

    /// Who may call.
    ///
    /// # Errors
    /// When what was given does not fit together, with a word on what to do.
    pub fn guard(&self) -> Result<Guard, String> {
        if self.protected_api == Switch::Off {
            return Ok(Guard::Open);
        }
        let given = |list: &[String]| -> Vec<String> {
            list.iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
        };
        let rules = Rules { audiences: given(&self.asap_jwt_aud), issuers: given(&self.asap_jwt_iss) };
        let base = self.asap_pub_key_base_url.as_ref().filter(|base| !base.is_empty());
        let keys = match (base, &self.asap_pub_key_file) {
            (Some(base), _) => auth::server(base, Duration::from_secs(self.asap_pub_key_ttl))
                .map_err(|error| format!("--asap-pub-key-base-url {base}: {error:#}"))?,
            (None, Some(file)) => Keys::file(file.clone()),
            (None, None) => return Ok(Guard::Tokens(Keys::None, rules)),
        };
        // A key server often has keys of many: without these, each of them could call.
        for (list, flag) in [(&rules.audiences, "--asap-jwt-aud"), (&rules.issuers, "--asap-jwt-iss")] {
            if list.is_empty() {
                return Err(format!("{flag}: with public keys it must say whose tokens count"));
            }
        }
        Ok(Guard::Tokens(keys, rules))
    }
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
    fn the_rest_api_is_closed_unless_it_is_opened_in_so_many_words() {
        let guard = |args: &[&str]| parse(args).unwrap().rest.guard();
        assert!(matches!(guard(&[]), Ok(Guard::Tokens(Keys::None, _))));
        assert!(matches!(guard(&["--protected-api", "false"]), Ok(Guard::Open)));
        assert!(parse(&["--protected-api", "maybe"]).is_err());
        let file = ["--asap-pub-key-file", "/keys/a.pem"];
        let with = |more: &[&str]| guard(&[&file[..], more].concat());
        assert!(with(&[]).is_err_and(|why| why.contains("--asap-jwt-aud")));
        assert!(with(&["--asap-jwt-aud", "a"]).is_err_and(|why| why.contains("--asap-jwt-iss")));
        assert!(with(&["--asap-jwt-aud", " ,", "--asap-jwt-iss", "b"]).is_err(), "nothing but commas is nothing");
        let Ok(Guard::Tokens(Keys::File(_), rules)) = with(&["--asap-jwt-aud", "a", "--asap-jwt-iss", "b, c"]) else {
            panic!("that is all it takes")
        };
        assert_eq!(rules.issuers, ["b", "c"]);
        assert!(parse(&["--asap-pub-key-file", "a", "--asap-pub-key-base-url", "https://keys.example.org"]).is_err());
    }

    #[test]
    fn the_rest_api_listens_where_the_autoscaler_did() {
        assert_eq!(parse(&[]).unwrap().rest.address().to_string(), "0.0.0.0:3000");
        assert_eq!(parse(&["--rest-port", "8080"]).unwrap().rest.address().to_string(), "0.0.0.0:8080");
        let both = parse(&["--rest-port", "8080", "--rest-listen", "127.0.0.1:1"]).unwrap();
        assert_eq!(both.rest.address().to_string(), "127.0.0.1:1");
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
