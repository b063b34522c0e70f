//! Asking DNS servers, one after the other, with hickory-resolver.
//!
//! Each server has a resolver of its own: hickory gives up at the first SERVFAIL of a group of servers, and one broken
//! server must not speak for all. There is no cache, because our schedule is one. UDP with EDNS, TCP when an answer is
//! truncated; hickory bounds a message to 64 KiB.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, Record, RecordType},
    },
    system_conf,
};

use super::{super::DiscoveryError, answer::Srv};

/// For one server's answer to one question, retransmissions included.
const SERVER_TIMEOUT: Duration = Duration::from_secs(3);
/// For one attempt at one server.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// For all servers' answers to one question; shared out evenly among many servers, so that the last one is still asked.
const ALL_SERVERS_TIMEOUT: Duration = Duration::from_secs(12);
/// Servers of a configuration that are asked (resolv.conf itself takes three).
const MAX_SERVERS: usize = 8;
/// Largest UDP answer we ask for: what passes every link unfragmented (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1_232;

/// A positive answer.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) records: Vec<T>,
    /// The shortest time to live of the records used.
    pub(super) ttl: Duration,
}

/// Why there are no records.
#[derive(Debug)]
pub(super) enum Nothing {
    /// The servers say so; with the time for which that holds, if they name one.
    Denied(DiscoveryError, Option<Duration>),
    /// Nobody knows.
    Failed(DiscoveryError),
}

/// SRV records with the addresses that came along.
#[derive(Debug)]
pub(super) struct SrvAnswer {
    /// The SRV records themselves.
    pub(super) srv: Found<Srv>,
    /// Addresses from the additional section, by canonical name.
    pub(super) glue: Vec<(String, IpAddr, Duration)>,
}

/// The servers of one source.
pub(super) struct Servers {
    resolvers: Vec<TokioResolver>,
    /// For one server's answer.
    patience: Duration,
    /// Index of the server that answered last, asked first: a dead server costs its timeout once, not every time.
    preferred: AtomicUsize,
    search: Vec<Name>,
    ndots: usize,
}

impl Servers {
    /// The given servers, or those of `/etc/resolv.conf` (then with its search list and `/etc/hosts`).
    pub(super) fn new(name: &str, servers: &[SocketAddr]) -> Result<Self, DiscoveryError> {
        let setup = |why: NetError| DiscoveryError::Setup { name: name.to_owned(), why: why.to_string() };
        let (configs, search, ndots, hosts) = if servers.is_empty() {
            let (config, options) = system_conf::read_system_conf().map_err(setup)?;
            let (domain, mut search, servers) = config.into_parts();
            search.extend(domain);
            (servers, search, options.ndots, ResolveHosts::Auto)
        } else {
            (servers.iter().copied().map(server_config).collect(), Vec::new(), 1, ResolveHosts::Never)
        };
        let resolvers = configs.into_iter().take(MAX_SERVERS).map(|server| resolver(server, hosts));
        let resolvers = resolvers.collect::<Result<Vec<_>, _>>().map_err(setup)?;
        if resolvers.is_empty() {
            return Err(DiscoveryError::Setup { name: name.to_owned(), why: "no DNS server is configured".into() });
        }
        let count = u32::try_from(resolvers.len()).unwrap_or(u32::MAX);
        let patience = (ALL_SERVERS_TIMEOUT / count).min(SERVER_TIMEOUT);
        Ok(Self { resolvers, patience, preferred: AtomicUsize::new(0), search, ndots })
    }

    /// SRV records of a service, through the search list.
    pub(super) async fn srv(&self, service: &str) -> Result<SrvAnswer, Nothing> {
        let lookup = self.search(service, RecordType::SRV).await?;
        let mut ttl = Duration::MAX;
        let mut records = Vec::new();
        for record in lookup.answers() {
            if let RData::SRV(srv) = &record.data {
                ttl = ttl.min(time_to_live(record));
                let target = canonical(&srv.target);
                records.push(Srv { priority: srv.priority, target, port: srv.port, weight: srv.weight });
            }
        }
        let glue = lookup.additionals().iter();
        let glue = glue.filter_map(|r| Some((canonical(&r.name), r.data.ip_addr()?, time_to_live(r)))).collect();
        match records.is_empty() {
            true => Err(Nothing::Denied(DiscoveryError::NoRecords { query: format!("SRV {service}") }, None)),
            false => Ok(SrvAnswer { srv: Found { records, ttl }, glue }),
        }
    }

    /// Addresses of one family, through the search list. `record` is A or AAAA.
    pub(super) async fn addresses(&self, host: &str, record: RecordType) -> Result<Found<IpAddr>, Nothing> {
        let lookup = self.search(host, record).await?;
        let mut ttl = Duration::MAX;
        let mut records = Vec::new();
        // Also takes what a CNAME leads to, under whatever name.
        for answer in lookup.answers() {
            ttl = ttl.min(time_to_live(answer));
            records.extend(answer.data.ip_addr());
        }
        match records.is_empty() {
            true => Err(Nothing::Denied(DiscoveryError::NoRecords { query: format!("{record} {host}") }, None)),
            false => Ok(Found { records, ttl }),
        }
    }

    /// The first name of the search list that exists. A failure ends the search: going on could find another name's
    /// records, and then a flaky server would switch sources.
    async fn search(&self, name: &str, record: RecordType) -> Result<Lookup, Nothing> {
        let names = candidates(name, &self.search, self.ndots)
            .map_err(|why| Nothing::Failed(DiscoveryError::Setup { name: name.to_owned(), why }))?;
        let mut denied = None;
        for name in names {
            match self.ask(&name, record).await {
                Ok(lookup) => return Ok(lookup),
                Err(nothing @ Nothing::Denied(..)) => denied = Some(nothing),
                Err(failed) => return Err(failed),
            }
        }
        let query = format!("{record} {name}");
        Err(denied.unwrap_or(Nothing::Denied(DiscoveryError::NoRecords { query }, None)))
    }

    /// Asks server after server until one answers or denies.
    async fn ask(&self, name: &Name, record: RecordType) -> Result<Lookup, Nothing> {
        let count = self.resolvers.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for index in (0..count).map(|i| (first + i) % count) {
            let lookup = self.resolvers[index].lookup(name.clone(), record);
            // hickory's own limit is per transport and attempt.
            let result = tokio::time::timeout(self.patience, lookup).await;
            let result = result.unwrap_or(Err(NetError::Timeout));
            match result.map_err(|error| nothing(name, record, error)) {
                Err(Nothing::Failed(error)) => failure = Some(error),
                outcome => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return outcome;
                }
            }
        }
        let query = format!("{record} {name}");
        Err(Nothing::Failed(failure.unwrap_or(DiscoveryError::Timeout { query })))
    }
}

fn server_config(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn resolver(mut server: NameServerConfig, hosts: ResolveHosts) -> Result<TokioResolver, NetError> {
    // With one server per resolver nobody else could contradict it.
    server.trust_negative_responses = true;
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = 0;
    // A lost datagram is sent again well within our own limit.
    options.timeout = ATTEMPT_TIMEOUT;
    options.attempts = 2;
    options.edns0 = true;
    options.edns_payload_len = UDP_PAYLOAD;
    options.use_hosts_file = hosts;
    builder.build()
}

/// The names to try for `name`, in order, as resolv.conf(5) has it: a final dot means "as it is"; a name with at least
/// `ndots` dots is tried as it is first, another one last.
fn candidates(name: &str, search: &[Name], ndots: usize) -> Result<Vec<Name>, String> {
    let mut absolute = Name::from_str_relaxed(name).map_err(|why| why.to_string())?;
    let complete = absolute.is_fqdn();
    absolute.set_fqdn(true);
    if complete || search.is_empty() {
        return Ok(vec![absolute]);
    }
    let mut relative = absolute.clone();
    relative.set_fqdn(false);
    // A suffix that makes the name too long is no candidate.
    let mut names: Vec<Name> = search.iter().filter_map(|suffix| relative.clone().append_domain(suffix).ok()).collect();
    for name in &mut names {
        name.set_fqdn(true);
    }
    let dots = name.matches('.').count();
    let place = if dots >= ndots { 0 } else { names.len() };
    names.insert(place, absolute);
    Ok(names)
}

fn nothing(name: &Name, record: RecordType, error: NetError) -> Nothing {
    let query = format!("{record} {name}");
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, negative_ttl, .. })) => {
            let error = match response_code {
                ResponseCode::NXDomain => DiscoveryError::NoSuchName { query },
                _ => DiscoveryError::NoRecords { query },
            };
            Nothing::Denied(error, negative_ttl.map(|secs| Duration::from_secs(secs.into())))
        }
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Nothing::Failed(DiscoveryError::Response { query, code: code.to_string() })
        }
        NetError::Timeout => Nothing::Failed(DiscoveryError::Timeout { query }),
        other => Nothing::Failed(DiscoveryError::Transport { query, why: other.to_string() }),
    }
}

fn time_to_live(record: &Record) -> Duration {
    Duration::from_secs(record.ttl.into())
}

fn canonical(name: &Name) -> String {
    if name.is_root() { String::new() } else { super::super::canonical(&name.to_ascii()) }
}

#[cfg(test)]
mod tests;
