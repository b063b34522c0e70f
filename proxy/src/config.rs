//! The configuration as plain data. Reading and checking a file is in the submodules; binding sockets is elsewhere.
//!
//! Every default is a named constant with its reason in [`defaults`]. `docs/configuration.md` describes each field
//! for operators. [`Config::load`] reads a file and names every mistake in it at once.

pub mod defaults;
mod files;
mod hosts;
mod load;
mod node;
mod read;
mod reload;
mod report;
pub mod secret;
mod section;
mod summary;
#[cfg(test)]
mod tests;
mod value;

pub use hosts::HostError;
pub use load::{Loaded, MAX_FILE_BYTES};
pub use report::{At, ConfigErrors, Finding};

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use router_core::shard::{ShardName, ShardSpec};

/// Everything `roompin-proxy run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Addresses to serve browsers on; never empty.
    pub listen: Vec<SocketAddr>,
    /// Worker threads; 0 means one per core.
    pub threads: usize,
    /// What the front door tolerates.
    pub front: Front,
    /// How rooms are recognised and how long pins live.
    pub rooms: Rooms,
    /// Upgraded connections.
    pub tunnels: Tunnels,
    /// Connections to shards for ordinary requests.
    pub upstream: Upstream,
    /// Where shards come from.
    pub shards: Shards,
    /// How shards are probed.
    pub probes: Probes,
    /// The admin port.
    pub admin: Admin,
    /// Pins on disk; `None` keeps them in memory only.
    pub snapshot: Option<Snapshot>,
    /// Other replicas, with which pins are shared; `None` makes this one a lone replica.
    pub cluster: Option<Cluster>,
    /// How the process leaves.
    pub shutdown: Shutdown,
    /// Logs.
    pub log: Log,
}

/// `front:`
#[derive(Clone, Debug, PartialEq)]
pub struct Front {
    /// From the first byte of a request (or from accept) to its blank line, in total. Default 10 s (HAProxy's
    /// `timeout http-request` in its own guides).
    pub head_timeout: Duration,
    /// Largest request head in bytes. Default 16 KiB (HAProxy's `tune.bufsize`), 1 KiB to 64 KiB.
    pub head_max_bytes: usize,
    /// How long a kept-alive connection may idle between requests. Default 60 s.
    pub keepalive: Duration,
    /// How long a client may take for the next 64 KiB of an answer, or for the head that opens a tunnel. Default 60 s.
    pub write_timeout: Duration,
    /// Client connections at once, tunnels included; more are closed at accept and counted. Default 50,000.
    pub max_connections: usize,
    /// Networks whose `X-Forwarded-*` are believed and extended; from others they are replaced.
    /// Default: loopback and private ranges, because the usual caller is an ingress.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// `rooms:`
#[derive(Clone, Debug, PartialEq)]
pub struct Rooms {
    /// Query parameter that names the room. Default `room`.
    pub parameter: String,
    /// Life of a pin after its last request, when no tunnel holds it. Default 10 min.
    pub ttl: Duration,
    /// Hard bound on pins; reaching it refuses new rooms with 503. Default 1,000,000 (58 MB at most).
    pub max_pins: usize,
    /// File whose content keys the hash of room names; the same on all replicas. Default: a fixed key.
    pub key_file: Option<PathBuf>,
}

/// `tunnels:`
#[derive(Clone, Debug, PartialEq)]
pub struct Tunnels {
    /// A tunnel with no byte in either direction for this long is closed. Default 1 h.
    pub idle: Duration,
    /// Most bytes kept per direction for a peer that reads slowly; then its sender is not read. Default 64 KiB.
    pub buffer_max_bytes: usize,
    /// From the forwarded head to the shard's answer. Default 10 s.
    pub handshake_timeout: Duration,
}

/// `upstream:`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// TCP connect to a shard. Default 2 s.
    pub connect_timeout: Duration,
    /// Connects tried for one request before 503 (all addresses, then again). Default 3.
    pub connect_attempts: u32,
    /// Silence on a shard's response before 504. Default 65 s: above BOSH's 60 s hold.
    pub response_timeout: Duration,
    /// Idle connections kept per worker thread; 0 keeps none. Default 256.
    pub pool_size: usize,
    /// Idle time after which a pooled connection is closed. Default 55 s: below nginx' 60–75 s keepalive.
    pub pool_idle: Duration,
}

/// `shards:`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shards {
    /// Listed by hand (`shards.static[]`).
    pub fixed: Vec<ShardSpec>,
    /// Found by DNS.
    pub dns: Vec<DnsSource>,
    /// Found in Kubernetes.
    pub kubernetes: Vec<KubernetesSource>,
}

impl Shards {
    /// Whether any of them has an agent to ask.
    #[must_use]
    pub fn has_agents(&self) -> bool {
        self.fixed.iter().any(|shard| shard.agent_port.is_some())
            || self.dns.iter().any(|source| source.agent_port.is_some())
            || self.kubernetes.iter().any(|source| source.agent_port.is_some())
    }
}

/// Services of a Kubernetes cluster to watch (`shards.kubernetes[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSource {
    /// Where they are; `None`: the namespace of this process, or of the kubeconfig.
    pub namespace: Option<String>,
    /// Label selector of the Services; each of them is a shard. Default: those of roompin-controller.
    pub selector: String,
    /// Port of the web server. `None`: the port named `http`, else the first.
    pub port: Option<ServicePort>,
    /// Label with the shard's name; a Service without it gives its own. Default `apps.jit.si/shard`.
    pub shard_label: String,
    /// Label with the shard's state; a Service without it is ready. Default `apps.jit.si/shard-state`.
    pub state_label: String,
    /// How to reach the API. `None`: by the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// Time that a shard is kept whose Service is gone. Default 30 s.
    pub hold_down: Duration,
    /// Weight of the shards found. Default 100.
    pub weight: u16,
    /// Agent-check port of the shards found (signal-sidecar: 6060).
    pub agent_port: Option<u16>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// By name.
    Name(String),
    /// By number: the Service's, or that of the pods.
    Number(u16),
}

/// One DNS name to watch (`shards.dns[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSource {
    /// What to look up.
    pub record: DnsRecord,
    /// DNS servers to ask; empty means those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Time that a shard missing from answers is kept. Default 30 s.
    pub hold_down: Duration,
    /// Bounds on the time between two look-ups, whatever the TTL says. Defaults 1 s and 30 s.
    pub min_refresh: Duration,
    /// See `min_refresh`.
    pub max_refresh: Duration,
    /// Weight of the shards found, unless an SRV record has one (> 0). Default 100.
    pub weight: u16,
    /// Agent-check port of the shards found (signal-sidecar: 6060).
    pub agent_port: Option<u16>,
}

/// The kind of look-up, and where a shard's stable name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// SRV: each target is one shard, named after the target's first label (or the whole target, lower-cased,
    /// without the final dot, where two targets share the first label).
    Srv {
        /// The service name, such as `_http._tcp.web.jitsi.svc.cluster.local`.
        service: String,
    },
    /// A and AAAA: all addresses are one shard of the given name.
    Host {
        /// The shard's name.
        shard: ShardName,
        /// The host to look up.
        host: String,
        /// Port of its web server.
        port: u16,
    },
}

/// `probes:`
#[derive(Clone, Debug, PartialEq)]
pub struct Probes {
    /// Plain connect. On by default unless `http` is configured. An agent check does not replace it: a failed
    /// connection to an agent changes nothing, so it alone would never notice a dead shard.
    pub tcp: Option<ProbeTiming>,
    /// HTTP GET. Off by default.
    pub http: Option<HttpProbe>,
    /// HAProxy agent-check, for shards with an agent port. On by default when there is such a shard.
    pub agent: Option<ProbeTiming>,
}

/// When to probe and how often a verdict must repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTiming {
    /// Time between probes (±10% jitter). Default 2 s.
    pub interval: Duration,
    /// Longest a probe may take, at most `interval`. Default 1 s, or `interval` where that is shorter.
    pub timeout: Duration,
    /// Successes in a row that raise a shard. Default 2 (HAProxy's `rise`).
    pub rise: u32,
    /// Failures in a row that fell it. Default 3 (HAProxy's `fall`).
    pub fall: u32,
}

/// `probes.http:`
#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    /// When and how often.
    pub timing: ProbeTiming,
    /// Path to GET, such as `/about/health`. Default `/`, which every Jitsi web server answers.
    pub path: String,
    /// `Host` header to send. `None`: the shard's name.
    pub host: Option<String>,
    /// Accepted status codes, as inclusive ranges. Default 200–399, as HAProxy's `option httpchk`.
    pub expect: Vec<(u16, u16)>,
}

/// `admin:`
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where metrics, health and the API are served. Default `127.0.0.1:9090`.
    pub address: SocketAddr,
    /// File with the bearer token that writes need. Required when `address` is not loopback.
    pub token_file: Option<PathBuf>,
}

/// `snapshot:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The file; written beside it and renamed.
    pub path: PathBuf,
    /// Time between writes. Default 30 s.
    pub interval: Duration,
}

/// `cluster:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where other replicas connect. Default `0.0.0.0:7946`.
    pub listen: SocketAddr,
    /// What other replicas dial to reach this one. `None`: the command line says it, or it is found out.
    pub advertise: Option<Advertise>,
    /// Whom to connect to; this replica itself may be among them.
    pub peers: Vec<Peer>,
    /// DNS servers that know the names of peers; empty means those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// File with the key that all replicas share.
    pub key_file: PathBuf,
    /// File with a second key that is accepted too, while keys are changed.
    pub previous_key_file: Option<PathBuf>,
    /// How long a request for an unknown room waits for other replicas. Default 150 ms.
    pub claim_timeout: Duration,
}

/// An address under which others reach this replica. Without a port it has that of `cluster.listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// A specific address.
    pub ip: IpAddr,
    /// Its port, where that differs from the one listened on.
    pub port: Option<u16>,
}

/// A host and port at which one or several replicas listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// One replica.
    Address(SocketAddr),
    /// Every address of a DNS name is a replica.
    Name {
        /// The name.
        host: String,
        /// The port of all of them.
        port: u16,
    },
}

/// `shutdown:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Not ready, but serving everybody, so that load balancers notice. Default 5 s.
    pub drain_delay: Duration,
    /// Over which tunnels are closed, evenly jittered. Default 20 s; with the delay it stays below Kubernetes' 30 s.
    pub drain_window: Duration,
}

/// `log:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Form of all log lines. Default text.
    pub format: LogFormat,
    /// `tracing` filter, such as `info` or `info,proxy=debug`. Default `info`.
    pub level: String,
    /// One line per request and tunnel. Default: on, without health checks.
    pub access: AccessLog,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object per line.
    Json,
}

/// `log.access`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// All but health checks (`/about/health`, `/_health`).
    Requests,
    /// All.
    All,
}
