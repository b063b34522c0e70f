//! What a configuration comes to, in a few lines for `check`.

use std::fmt::{self, Display};

use super::{
    Config, DnsRecord, DnsSource, ProbeTiming,
    value::{show_duration, show_size},
};

/// Shards named one by one; the rest is counted.
const MAX_LISTED: usize = 20;

impl Config {
    /// Describes the configuration to its author, one subject per line.
    #[must_use]
    pub fn summary(&self) -> impl Display + '_ {
        Summary(self)
    }
}

struct Summary<'a>(&'a Config);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0;
        let threads = match config.threads {
            0 => "one worker per core".into(),
            1 => "1 worker".into(),
            n => format!("{n} workers"),
        };
        let front = &config.front;
        writeln!(
            f,
            "  serves   {}; {threads}, up to {} connections, heads of {} within {}",
            list(&config.listen),
            front.max_connections,
            show_size(front.head_max_bytes),
            show_duration(front.head_timeout)
        )?;
        let rooms = &config.rooms;
        let kept = match &config.snapshot {
            Some(snapshot) => {
                format!("saved to {} every {}", snapshot.path.display(), show_duration(snapshot.interval))
            }
            None => "in memory only".into(),
        };
        writeln!(
            f,
            "  rooms    by ?{}=; up to {} pins, kept {} after the last request, {kept}",
            rooms.parameter,
            rooms.max_pins,
            show_duration(rooms.ttl)
        )?;
        writeln!(f, "  tunnels  closed after {} of silence", show_duration(config.tunnels.idle))?;
        shards(config, f)?;
        probes(config, f)?;
        let admin = &config.admin;
        let writes = match &admin.token_file {
            Some(path) => format!("need the token of {}", path.display()),
            None => "are open to everybody on this machine".into(),
        };
        writeln!(f, "  admin    {}; writes {writes}", admin.address)?;
        cluster(config, f)?;
        let shutdown = &config.shutdown;
        writeln!(
            f,
            "  leaves   on SIGTERM: not ready for {}, then tunnels close over {}",
            show_duration(shutdown.drain_delay),
            show_duration(shutdown.drain_window)
        )
    }
}

fn shards(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fixed = &config.shards.fixed;
    for shard in fixed.iter().take(MAX_LISTED) {
        let state = shard.state.as_str();
        writeln!(f, "  shard    {} at {}; weight {}, {state}", shard.name, list(&shard.addresses), shard.weight)?;
    }
    if let more @ 1.. = fixed.len().saturating_sub(MAX_LISTED) {
        writeln!(f, "  shard    … and {more} more")?;
    }
    for source in &config.shards.dns {
        let DnsSource { hold_down, min_refresh, max_refresh, .. } = source;
        let what = match &source.record {
            DnsRecord::Srv { service } => format!("one per SRV target of {service}"),
            DnsRecord::Host { shard, host, port } => {
                format!("{shard} at the addresses of {host}, port {port}")
            }
        };
        let (min, max) = (show_duration(*min_refresh), show_duration(*max_refresh));
        let held = show_duration(*hold_down);
        writeln!(f, "  shards   {what}; asked every {min} to {max}, kept {held} when missing")?;
    }
    for source in &config.shards.kubernetes {
        let place = source.namespace.as_ref().map_or("this namespace".into(), |name| format!("namespace {name}"));
        let held = show_duration(source.hold_down);
        writeln!(f, "  shards   one per Service with {} in {place}; watched, kept {held} when gone", source.selector)?;
    }
    Ok(())
}

fn probes(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let probes = &config.probes;
    let mut line = |name: &str, timing: &ProbeTiming| {
        let ProbeTiming { interval, timeout, rise, fall } = timing;
        let (interval, timeout) = (show_duration(*interval), show_duration(*timeout));
        writeln!(f, "  probe    {name} every {interval} for up to {timeout}; down after {fall}, up after {rise}")
    };
    if let Some(timing) = &probes.tcp {
        line("TCP", timing)?;
    }
    if let Some(http) = &probes.http {
        line(&format!("GET {}", http.path), &http.timing)?;
    }
    if let Some(timing) = &probes.agent {
        line("agent", timing)?;
    }
    Ok(())
}

fn cluster(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(cluster) = &config.cluster else {
        return writeln!(f, "  cluster  off: this replica shares its pins with nobody");
    };
    let keys = if cluster.previous_key_file.is_some() { "two keys" } else { "one key" };
    let claim = show_duration(cluster.claim_timeout);
    let peers = if cluster.peers.is_empty() { "nobody".into() } else { list(&cluster.peers) };
    writeln!(f, "  cluster  {}, with {keys}; dials {peers}; a new room waits up to {claim}", cluster.listen)
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
