//! The sections of the file, field by field, with their bounds.

mod advice;
mod cluster;
mod probes;
mod shards;

use std::{net::SocketAddr, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    AccessLog, Admin, Config, Front, Log, LogFormat, Rooms, Shutdown, Snapshot, Tunnels, Upstream, defaults, secret,
    section::{Field, Section, Switch},
    value::show_duration,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Addresses to listen on.
const MAX_LISTEN: usize = 64;
/// Networks to believe.
const MAX_NETWORKS: usize = 1024;

/// The whole file. Fields that were refused hold their defaults; the report knows about them.
pub(super) fn config(root: &mut Section<'_>) -> Config {
    let listen = listen(root);
    let admin_section = root.section("admin");
    let admin = admin(admin_section, &listen);
    let cluster = cluster::read(root, &listen, admin.address);
    let found = shards::read(root);
    let config = Config {
        listen: listen.into_iter().map(|(_, address)| address).collect(),
        threads: root.number("threads", defaults::THREADS, 0, 1024),
        front: front(root.section("front")),
        rooms: rooms(root.section("rooms")),
        tunnels: tunnels(root.section("tunnels")),
        upstream: upstream(root.section("upstream")),
        probes: probes::read(root.section("probes"), &found),
        shards: found,
        admin,
        snapshot: snapshot(root),
        cluster,
        shutdown: shutdown(root.section("shutdown")),
        log: log(root.section("log")),
    };
    advice::shards(root, &config);
    config
}

fn listen<'a>(root: &mut Section<'a>) -> Vec<(Option<Field<'a>>, SocketAddr)> {
    let Some(given) = root.many("listen", MAX_LISTEN, Field::bind_address) else {
        return vec![(None, defaults::LISTEN)];
    };
    if given.is_empty() && root.sound(&["listen"]) {
        root.error("listen", "must name at least one address");
    }
    for (n, (field, address)) in given.iter().enumerate() {
        if let Some((first, other)) = given[..n].iter().find(|(_, other)| clash(*address, *other)) {
            field.error(clash_message(*address, &first.path, *other));
        }
    }
    given.into_iter().map(|(field, address)| (Some(field), address)).collect()
}

/// Whether two sockets cannot both be bound.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let overlap = a.ip() == b.ip() || (same_family && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() != 0 && a.port() == b.port() && overlap
}

fn clash_message(address: SocketAddr, other_field: &str, other: SocketAddr) -> String {
    if address == other {
        format!("{address} is already given in {other_field}")
    } else {
        format!("{address} cannot be bound together with {other} of {other_field}")
    }
}

fn front(mut s: Section<'_>) -> Front {
    let networks = s.many("trusted_proxies", MAX_NETWORKS, Field::network);
    for (field, network) in networks.iter().flatten() {
        if network.prefix_len() == 0 {
            field.warn("believes the X-Forwarded-For of every client");
        }
    }
    let defaults = Front::default();
    Front {
        head_timeout: s.duration("head_timeout", defaults.head_timeout, 100 * MILLISECOND, 5 * MINUTE),
        head_max_bytes: s.read("head_max_bytes", defaults.head_max_bytes, |f| f.size(1024, 64 * 1024)),
        keepalive: s.duration("keepalive", defaults.keepalive, SECOND, HOUR),
        write_timeout: s.duration("write_timeout", defaults.write_timeout, SECOND, 5 * MINUTE),
        max_connections: s.number("max_connections", defaults.max_connections, 1, 10_000_000),
        trusted_proxies: networks
            .map_or(defaults.trusted_proxies, |given| given.into_iter().map(|(_, network)| network).collect()),
    }
}

fn rooms(mut s: Section<'_>) -> Rooms {
    let defaults = Rooms::default();
    Rooms {
        parameter: s.read("parameter", defaults.parameter, parameter),
        ttl: s.duration("ttl", defaults.ttl, SECOND, 7 * DAY),
        max_pins: s.number("max_pins", defaults.max_pins, 1, 100_000_000),
        key_file: s.secret("key_file", |path| secret::read(path).map(|key| key.len())),
    }
}

/// A parameter's name is compared with raw query strings, so it has only characters that need no encoding there.
fn parameter(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() <= 64 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 64 letters, digits, '-', '_' or '.'".into())
    }
}

fn tunnels(mut s: Section<'_>) -> Tunnels {
    let defaults = Tunnels::default();
    Tunnels {
        idle: s.duration("idle", defaults.idle, SECOND, 7 * DAY),
        buffer_max_bytes: s.read("buffer_max_bytes", defaults.buffer_max_bytes, |f| f.size(4 * 1024, 64 * 1024)),
        handshake_timeout: s.duration("handshake_timeout", defaults.handshake_timeout, 100 * MILLISECOND, 5 * MINUTE),
    }
}

fn upstream(mut s: Section<'_>) -> Upstream {
    let defaults = Upstream::default();
    let upstream = Upstream {
        connect_timeout: s.duration("connect_timeout", defaults.connect_timeout, 10 * MILLISECOND, MINUTE),
        connect_attempts: s.number("connect_attempts", defaults.connect_attempts, 1, 20),
        response_timeout: s.duration("response_timeout", defaults.response_timeout, 100 * MILLISECOND, HOUR),
        pool_size: s.number("pool_size", defaults.pool_size, 0, 65_536),
        pool_idle: s.duration("pool_idle", defaults.pool_idle, SECOND, HOUR),
    };
    if upstream.response_timeout <= advice::BOSH_HOLD {
        let hold = show_duration(advice::BOSH_HOLD);
        s.warn("response_timeout", format!("cuts BOSH requests, which prosody holds for up to {hold}"));
    }
    upstream
}

fn admin(mut s: Section<'_>, listen: &[(Option<Field<'_>>, SocketAddr)]) -> Admin {
    let admin = Admin {
        address: s.read("address", defaults::ADMIN_ADDRESS, Field::bind_address),
        token_file: s.secret("token_file", |path| secret::read_token(path).map(|token| token.len())),
    };
    if !admin.address.ip().is_loopback() && admin.token_file.is_none() && s.sound(&["token_file"]) {
        let message = format!("{} can be reached from other machines, so token_file is needed", admin.address);
        s.error("address", message);
    }
    if let Some((field, other)) = listen.iter().find(|(_, address)| clash(admin.address, *address)) {
        let name = field.as_ref().map_or("listen", |field| &field.path);
        s.error("address", clash_message(admin.address, name, *other));
    }
    admin
}

fn snapshot(root: &mut Section<'_>) -> Option<Snapshot> {
    let Switch::On(mut s) = root.switch("snapshot") else {
        return None;
    };
    let interval = s.duration("interval", defaults::SNAPSHOT_INTERVAL, SECOND, HOUR);
    Some(Snapshot { path: s.output("path")?, interval })
}

fn shutdown(mut s: Section<'_>) -> Shutdown {
    let shutdown = Shutdown {
        drain_delay: s.duration("drain_delay", defaults::DRAIN_DELAY, Duration::ZERO, HOUR),
        drain_window: s.duration("drain_window", defaults::DRAIN_WINDOW, Duration::ZERO, HOUR),
    };
    let whole = shutdown.drain_delay + shutdown.drain_window;
    if whole >= advice::KUBERNETES_GRACE {
        let (whole, grace) = (show_duration(whole), show_duration(advice::KUBERNETES_GRACE));
        let message = format!(
            "with drain_delay this is {whole}; Kubernetes kills after {grace} unless \
             terminationGracePeriodSeconds is larger"
        );
        s.warn("drain_window", message);
    }
    shutdown
}

fn log(mut s: Section<'_>) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let access = [("off", AccessLog::Off), ("requests", AccessLog::Requests), ("all", AccessLog::All)];
    let defaults = Log::default();
    Log {
        format: s.read("format", defaults.format, |f| f.choice(&formats)),
        level: s.read("level", defaults.level, filter),
        access: s.read("access", defaults.access, |f| f.choice(&access)),
    }
}

fn filter(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    if let Err(error) = EnvFilter::try_new(text) {
        return Err(format!("must be a filter such as info or info,proxy=debug: {error}"));
    }
    advice::filter(field, text);
    Ok(text.to_owned())
}
