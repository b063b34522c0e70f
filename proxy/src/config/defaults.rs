//! Every default, with its reason.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    AccessLog, Admin, Config, Front, HttpProbe, Log, LogFormat, ProbeTiming, Probes, Rooms, Shards, Shutdown, Tunnels,
    Upstream,
};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// All IPv4 interfaces, on the port people try first. IPv6 is one more line, and a container without IPv6 still starts.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
/// One worker per core.
pub const THREADS: usize = 0;

/// HAProxy's `timeout http-request` in its own guides: long for any browser, short for a slowloris.
pub const HEAD_TIMEOUT: Duration = secs(10);
/// HAProxy's `tune.bufsize`: whoever passes HAProxy today passes here.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Longer than the pauses inside a page load, shorter than ingress keep-alive pools recycle.
pub const KEEPALIVE: Duration = secs(60);
/// For 64 KiB of an answer: far below a modem's speed.
pub const WRITE_TIMEOUT: Duration = secs(60);
/// About 60 MB of idle tunnels at 1.2 KiB each, far above one Jitsi region.
pub const MAX_CONNECTIONS: usize = 50_000;
/// Loopback and the private ranges, because the usual caller is an ingress.
pub const TRUSTED_PROXIES: [IpNet; 6] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
];

/// The parameter that every Jitsi client sends.
pub const ROOM_PARAMETER: &str = "room";
/// Spans page reloads, reconnects and a network outage; open tunnels hold their pins without it.
pub const PIN_TTL: Duration = secs(10 * 60);
/// 58 MB at most at the bound.
pub const MAX_PINS: usize = 1_000_000;

/// HAProxy's usual `timeout tunnel`; XMPP pings every 10 s, so only dead tunnels reach it.
pub const TUNNEL_IDLE: Duration = secs(60 * 60);
/// A few hundred XMPP stanzas; times two directions times slow peers is the memory at stake.
pub const TUNNEL_BUFFER_MAX_BYTES: usize = 64 * 1024;
/// As long as a client may take for its head.
pub const HANDSHAKE_TIMEOUT: Duration = secs(10);

/// Several lost SYNs inside a data centre.
pub const CONNECT_TIMEOUT: Duration = secs(2);
/// HAProxy's `retries 3`.
pub const CONNECT_ATTEMPTS: u32 = 3;
/// Above the 60 s for which BOSH holds a request open.
pub const RESPONSE_TIMEOUT: Duration = secs(65);
/// More than a worker needs at once behind one ingress; an idle connection costs the shard a socket.
pub const POOL_SIZE: usize = 256;
/// Below nginx' keep-alive of 60–75 s, so that a connection is not closed just as it is used.
pub const POOL_IDLE: Duration = secs(55);

/// Room for smaller and larger shards on both sides.
pub const WEIGHT: u16 = 100;
/// HAProxy's `hold` default for everything but `obsolete`, whose 0 s takes shards away on one thin answer.
pub const HOLD_DOWN: Duration = secs(30);
/// The web Services of all shards that roompin-controller has made and found to answer.
pub const KUBERNETES_SELECTOR: &str = "apps.jit.si/shard-state";
/// Where roompin-controller writes a shard's name.
pub const SHARD_LABEL: &str = "apps.jit.si/shard";
/// Where roompin-controller writes a shard's state.
pub const STATE_LABEL: &str = "apps.jit.si/shard-state";
/// Kubernetes answers with a TTL of 5 s; nothing is gained by asking more than once a second.
pub const MIN_REFRESH: Duration = secs(1);
/// A new shard is seen within this time whatever its TTL says.
pub const MAX_REFRESH: Duration = secs(30);

/// HAProxy's `inter`.
pub const PROBE_INTERVAL: Duration = secs(2);
/// Half the interval: a probe is over before the next starts.
pub const PROBE_TIMEOUT: Duration = secs(1);
/// HAProxy's `rise`.
pub const RISE: u32 = 2;
/// HAProxy's `fall`.
pub const FALL: u32 = 3;
/// Every Jitsi web server answers it; `/about/health` exists only behind signal-sidecar.
pub const PROBE_PATH: &str = "/";
/// What HAProxy's `option httpchk` accepts.
pub const PROBE_EXPECT: (u16, u16) = (200, 399);

/// Loopback: the API can move rooms.
pub const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// The most that a crash may cost; a write of a million pins takes a fraction of it.
pub const SNAPSHOT_INTERVAL: Duration = secs(30);

/// All IPv4 interfaces, on the port that gossiping software is usually found at.
pub const CLUSTER_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7946);
/// A hundred round trips inside a data centre, and nothing that a person joining a call notices.
pub const CLAIM_TIMEOUT: Duration = Duration::from_millis(150);

/// Two probes of a usual load balancer.
pub const DRAIN_DELAY: Duration = secs(5);
/// With the delay below Kubernetes' 30 s until SIGKILL.
pub const DRAIN_WINDOW: Duration = secs(20);

/// One line per notable event.
pub const LOG_LEVEL: &str = "info";

impl Default for Config {
    /// The configuration of an empty file: complete, but without shards.
    fn default() -> Self {
        Self {
            listen: vec![LISTEN],
            threads: THREADS,
            front: Front::default(),
            rooms: Rooms::default(),
            tunnels: Tunnels::default(),
            upstream: Upstream::default(),
            shards: Shards::default(),
            probes: Probes::default(),
            admin: Admin::default(),
            snapshot: None,
            cluster: None,
            shutdown: Shutdown::default(),
            log: Log::default(),
        }
    }
}

impl Default for Front {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT,
            head_max_bytes: HEAD_MAX_BYTES,
            keepalive: KEEPALIVE,
            write_timeout: WRITE_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            trusted_proxies: TRUSTED_PROXIES.to_vec(),
        }
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self { parameter: ROOM_PARAMETER.into(), ttl: PIN_TTL, max_pins: MAX_PINS, key_file: None }
    }
}

impl Default for Tunnels {
    fn default() -> Self {
        Self { idle: TUNNEL_IDLE, buffer_max_bytes: TUNNEL_BUFFER_MAX_BYTES, handshake_timeout: HANDSHAKE_TIMEOUT }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            connect_attempts: CONNECT_ATTEMPTS,
            response_timeout: RESPONSE_TIMEOUT,
            pool_size: POOL_SIZE,
            pool_idle: POOL_IDLE,
        }
    }
}

impl Default for Probes {
    fn default() -> Self {
        Self { tcp: Some(ProbeTiming::default()), http: None, agent: None }
    }
}

impl Default for ProbeTiming {
    fn default() -> Self {
        Self { interval: PROBE_INTERVAL, timeout: PROBE_TIMEOUT, rise: RISE, fall: FALL }
    }
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self { timing: ProbeTiming::default(), path: PROBE_PATH.into(), host: None, expect: vec![PROBE_EXPECT] }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: ADMIN_ADDRESS, token_file: None }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_delay: DRAIN_DELAY, drain_window: DRAIN_WINDOW }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LOG_LEVEL.into(), access: AccessLog::Requests }
    }
}
