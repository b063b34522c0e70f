//! Shards found by DNS: looks up, waits for the time to live, looks up again.
//!
//! - A look-up that fails (no answer, SERVFAIL, garbage) changes nothing and is retried with growing pauses.
//! - A name that does not exist, or has no records, is an answer: the empty one. (CoreDNS says NXDOMAIN for a headless
//!   service without ready endpoints.) It is an error for the metrics all the same.
//! - No absence counts before a second answer confirms it ([`listing`]), and then the registry's hold-down starts.
//! - A target whose own address look-up fails keeps the addresses it had.

mod answer;
mod families;
mod hosts;
mod listing;
mod lookup;
mod schedule;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use router_core::shard::{ShardName, ShardSpec};
use tokio::time::Instant;

pub(crate) use self::hosts::Hosts;
use self::{
    answer::{Defaults, Shared},
    families::{both_families, merge_families},
    listing::Listing,
    lookup::{Nothing, Servers},
};
use super::{DiscoveryError, Reporter, problems::ProblemLog};
use crate::config::{DnsRecord, DnsSource};

/// For one round: the SRV look-up and all addresses (one question takes 12 s at most). A longer round has failed.
const ROUND_TIMEOUT: Duration = Duration::from_secs(25);
/// Targets whose addresses are looked up at the same time (hickory allows 32 questions per connection, two per target).
const CONCURRENT_TARGETS: usize = 8;

/// Watches one name until aborted, or until nobody listens.
pub(super) async fn run(source: DnsSource, reporter: Reporter) {
    let mut watcher = Watcher::new(source);
    let mut failures = 0_u32;
    loop {
        let round = tokio::time::timeout(ROUND_TIMEOUT, watcher.round()).await;
        let wait = match round.unwrap_or_else(|_| Err(DiscoveryError::Timeout { query: watcher.query() })) {
            Ok(round) => {
                failures = if round.denied { failures.saturating_add(1) } else { 0 };
                if !watcher.tell(round.shards, &reporter).await {
                    return;
                }
                watcher.log.report(round.problems.iter().map(ToString::to_string).collect(), &reporter);
                if !round.denied {
                    reporter.answered(round.found);
                }
                round.problems.into_iter().for_each(|problem| reporter.failed(problem));
                let ttl = round.ttl.unwrap_or_else(|| schedule::after_failure(&watcher.source, failures));
                schedule::after_answer(&watcher.source, ttl, watcher.is_missing())
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                watcher.servers = None;
                watcher.log.report(vec![error.to_string()], &reporter);
                reporter.failed(error);
                schedule::after_failure(&watcher.source, failures)
            }
        };
        reporter.settled();
        tokio::time::sleep(schedule::spread(&watcher.source, wait, rand::random())).await;
    }
}

/// What a source remembers from round to round.
struct Watcher {
    source: DnsSource,
    /// Built when needed, and anew after a failure: `/etc/resolv.conf` may have changed.
    servers: Option<Servers>,
    listing: Listing,
    shared: Shared,
    /// The last known addresses by target, for the case that a look-up of one of them fails.
    known: BTreeMap<String, Vec<IpAddr>>,
    /// A shard is missing: in doubt, or until then in its hold-down.
    missing_until: Option<Instant>,
    log: ProblemLog,
}

/// The result of a round that was answered.
struct Round {
    shards: Vec<ShardSpec>,
    /// Shards in the answer.
    found: usize,
    /// `None` when the answer names no time.
    ttl: Option<Duration>,
    /// The answer was that there is nothing.
    denied: bool,
    problems: Vec<DiscoveryError>,
}

impl Watcher {
    fn new(source: DnsSource) -> Self {
        Self {
            source,
            servers: None,
            listing: Listing::default(),
            shared: Shared::default(),
            known: BTreeMap::new(),
            missing_until: None,
            log: ProblemLog::default(),
        }
    }

    fn query(&self) -> String {
        match &self.source.record {
            DnsRecord::Srv { service } => format!("SRV {service}"),
            DnsRecord::Host { host, .. } => format!("A {host}"),
        }
    }

    async fn round(&mut self) -> Result<Round, DiscoveryError> {
        let servers = match self.servers.take() {
            Some(servers) => servers,
            None => Servers::new(&self.query(), &self.source.servers)?,
        };
        let round = match self.source.record.clone() {
            DnsRecord::Srv { service } => self.srv_round(&servers, &service).await,
            DnsRecord::Host { shard, host, port } => self.host_round(&servers, &shard, &host, port).await,
        };
        self.servers = Some(servers);
        match round {
            Err(Nothing::Denied(error, ttl)) => {
                Ok(Round { shards: Vec::new(), found: 0, ttl, denied: true, problems: vec![error] })
            }
            Err(Nothing::Failed(error)) => Err(error),
            Ok(round) => Ok(round),
        }
    }

    async fn srv_round(&mut self, servers: &Servers, service: &str) -> Result<Round, Nothing> {
        let found = servers.srv(service).await?;
        let mut problems = Vec::new();
        let mut ttl = found.srv.ttl;
        let records = answer::bounded(found.srv.records, &mut problems);
        let mut addresses: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        let targets: BTreeSet<&str> = records.iter().map(|record| record.target.as_str()).collect();
        for (name, ip, life) in found.glue {
            if targets.contains(name.as_str()) {
                let ips = addresses.entry(name).or_default();
                if ips.len() < answer::MAX_ADDRESSES {
                    ips.push(ip);
                    ttl = ttl.min(life);
                }
            }
        }
        // The server sends addresses along for all of a target's families or for none of them.
        let unknown: Vec<String> =
            targets.into_iter().filter(|target| !addresses.contains_key(*target)).map(str::to_owned).collect();
        let known = &self.known;
        let resolved: Vec<_> = stream::iter(unknown)
            .map(|target| async move {
                // With the final dot: targets are complete names, no search list applies.
                let (v4, v6) = both_families(servers, &format!("{target}.")).await;
                let before = known.get(&target).map(Vec::as_slice).unwrap_or_default();
                let merged = merge_families(v4, v6, before);
                (target, merged)
            })
            .buffer_unordered(CONCURRENT_TARGETS)
            .collect()
            .await;
        for (target, merged) in resolved {
            if !merged.addresses.is_empty() {
                addresses.insert(target, merged.addresses);
            }
            ttl = merged.ttl.map_or(ttl, |life| ttl.min(life));
            problems.extend(merged.failure);
        }
        let defaults = self.defaults();
        let shards = answer::srv_shards(&records, &addresses, &mut self.shared, defaults, &mut problems);
        self.remember(addresses);
        Ok(Round { found: shards.len(), shards, ttl: Some(ttl), denied: false, problems })
    }

    async fn host_round(
        &mut self,
        servers: &Servers,
        shard: &ShardName,
        host: &str,
        port: u16,
    ) -> Result<Round, Nothing> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            let shards: Vec<_> = answer::host_shard(shard, port, &[ip], self.defaults()).into_iter().collect();
            return Ok(Round { found: 1, shards, ttl: Some(Duration::MAX), denied: false, problems: Vec::new() });
        }
        let (v4, v6) = both_families(servers, host).await;
        let (v4, v6) = match (v4, v6) {
            (Err(Nothing::Denied(error, ttl)), Err(Nothing::Denied(..))) => {
                return Err(Nothing::Denied(error, ttl));
            }
            (Err(Nothing::Failed(error)), Err(_)) | (Err(_), Err(Nothing::Failed(error))) => {
                return Err(Nothing::Failed(error));
            }
            some => some,
        };
        let before = self.known.get(host).map(Vec::as_slice).unwrap_or_default();
        let merged = merge_families(v4, v6, before);
        let shards: Vec<_> = answer::host_shard(shard, port, &merged.addresses, self.defaults()).into_iter().collect();
        self.remember(BTreeMap::from([(host.to_owned(), merged.addresses)]));
        let problems = merged.failure.into_iter().collect();
        Ok(Round { found: shards.len(), shards, ttl: merged.ttl, denied: false, problems })
    }

    /// Passes an answer on, with what its absences mean.
    async fn tell(&mut self, shards: Vec<ShardSpec>, reporter: &Reporter) -> bool {
        let settled = self.listing.settle(shards, self.source.hold_down.is_zero());
        for shard in &settled.doubtful {
            tracing::info!(source = %reporter.source, %shard, "missing in a DNS answer, waiting for another");
        }
        for shard in &settled.dropped {
            tracing::warn!(
                source = %reporter.source, %shard, hold_down = ?self.source.hold_down, "missing in DNS again, leaves"
            );
        }
        if !settled.doubtful.is_empty() || !settled.dropped.is_empty() {
            self.missing_until = Some(Instant::now() + self.source.hold_down);
        }
        reporter.list(settled.shards, self.source.hold_down).await
    }

    fn is_missing(&self) -> bool {
        self.missing_until.is_some_and(|until| Instant::now() < until)
    }

    /// Also keeps the addresses of targets that this answer lacks, which may be a thin one.
    fn remember(&mut self, addresses: BTreeMap<String, Vec<IpAddr>>) {
        if self.known.len() > 2 * answer::MAX_RECORDS {
            self.known.clear();
        }
        self.known.extend(addresses);
    }

    fn defaults(&self) -> Defaults {
        Defaults { weight: self.source.weight, agent_port: self.source.agent_port }
    }
}
