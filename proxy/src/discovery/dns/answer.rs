//! From DNS records to shards. Pure: records in, [`ShardSpec`]s out.
//!
//! - Every SRV target is one shard. Its name is the target's first label, or the whole target where two targets share
//!   that label. A label that looks like an address (`10-0-0-1.web.ns.svc…`) is a name like any other.
//! - The group of the lowest priority number is `ready`. Records of larger numbers are listed as `draining`: rooms stay
//!   where they are, new ones go to the preferred group. So raising a shard's number in DNS drains it.
//! - A weight above 0 is the shard's weight, capped at 256; 0 means the weight of the configuration.
//! - Everything is sorted, so that a server that rotates its records changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use router_core::shard::{ShardName, ShardSpec, ShardState};

use super::super::DiscoveryError;

/// Most records of one answer that are used, and so the most shards of one source.
pub(super) const MAX_RECORDS: usize = 1_024;
/// Most addresses of one shard.
pub(super) const MAX_ADDRESSES: usize = 64;
/// Largest weight of a shard (HAProxy's range).
const MAX_WEIGHT: u16 = 256;

/// An SRV record as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Srv {
    pub(super) priority: u16,
    /// Lower case, without the final dot; empty for the root, which means "no such service" (RFC 2782).
    pub(super) target: String,
    pub(super) port: u16,
    pub(super) weight: u16,
}

/// What all shards of a source share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) weight: u16,
    pub(super) agent_port: Option<u16>,
}

/// First labels that more than one target has had. They stay so for the life of the source: a thin answer with only one
/// of the targets must not rename it.
#[derive(Debug, Default)]
pub(super) struct Shared(BTreeSet<String>);

/// Sorts records, drops doubles and those without a target, and keeps the first [`MAX_RECORDS`].
///
/// Sorting first makes the bound keep the same records of every answer.
pub(super) fn bounded(mut records: Vec<Srv>, problems: &mut Vec<DiscoveryError>) -> Vec<Srv> {
    records.retain(|record| !record.target.is_empty());
    records.sort_unstable();
    records.dedup();
    if records.len() > MAX_RECORDS {
        problems.push(DiscoveryError::TooMany { found: records.len(), taken: MAX_RECORDS });
        records.truncate(MAX_RECORDS);
    }
    records
}

/// The shards of an SRV answer. `records` are as [`bounded`] returns them; `addresses` by target.
///
/// A target without an address or with an impossible name is left out and said so in `problems`.
pub(super) fn srv_shards(
    records: &[Srv],
    addresses: &BTreeMap<String, Vec<IpAddr>>,
    shared: &mut Shared,
    defaults: Defaults,
    problems: &mut Vec<DiscoveryError>,
) -> Vec<ShardSpec> {
    let mut by_target: BTreeMap<&str, Vec<&Srv>> = BTreeMap::new();
    for record in records {
        by_target.entry(&record.target).or_default().push(record);
    }
    shared.learn(by_target.keys().copied());
    let preferred = records.iter().map(|record| record.priority).min();
    let mut shards = Vec::with_capacity(by_target.len());
    for (target, records) in by_target {
        let name = match ShardName::new(shared.name_of(target)) {
            Ok(name) => name,
            Err(why) => {
                problems.push(DiscoveryError::Name { target: target.to_owned(), why: why.to_string() });
                continue;
            }
        };
        // A target that is listed in several groups counts with its best one only.
        let best = records.iter().map(|record| record.priority).min();
        let best: Vec<_> = records.into_iter().filter(|record| Some(record.priority) == best).collect();
        let ips = addresses.get(target).map(Vec::as_slice).unwrap_or_default();
        let sockets = best.iter().flat_map(|record| ips.iter().map(|&ip| SocketAddr::new(ip, record.port)));
        let sockets = tidy(sockets.collect());
        if sockets.is_empty() {
            problems.push(DiscoveryError::NoAddress { target: target.to_owned() });
            continue;
        }
        let weight = best.iter().map(|record| record.weight).max().filter(|&weight| weight > 0);
        let is_preferred = best.first().map(|record| record.priority) == preferred;
        shards.push(ShardSpec {
            name,
            addresses: sockets,
            weight: weight.unwrap_or(defaults.weight).min(MAX_WEIGHT),
            state: if is_preferred { ShardState::Ready } else { ShardState::Draining },
            agent_port: defaults.agent_port,
        });
    }
    shards
}

/// The one shard of an A/AAAA look-up; none without an address.
pub(super) fn host_shard(shard: &ShardName, port: u16, ips: &[IpAddr], defaults: Defaults) -> Option<ShardSpec> {
    let addresses = tidy(ips.iter().map(|&ip| SocketAddr::new(ip, port)).collect());
    (!addresses.is_empty()).then(|| ShardSpec {
        name: shard.clone(),
        addresses,
        weight: defaults.weight.min(MAX_WEIGHT),
        state: ShardState::Ready,
        agent_port: defaults.agent_port,
    })
}

/// Sorted (IPv4 before IPv6), without doubles, at most [`MAX_ADDRESSES`].
fn tidy(mut sockets: Vec<SocketAddr>) -> Vec<SocketAddr> {
    sockets.sort_unstable();
    sockets.dedup();
    sockets.truncate(MAX_ADDRESSES);
    sockets
}

impl Shared {
    /// Most labels remembered; far above what [`MAX_RECORDS`] lets honest servers reach.
    const MAX: usize = 4 * MAX_RECORDS;

    fn learn<'a>(&mut self, targets: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for target in targets {
            let label = first_label(target);
            if !seen.insert(label) && self.0.len() < Self::MAX {
                self.0.insert(label.to_owned());
            }
        }
    }

    fn name_of<'a>(&self, target: &'a str) -> &'a str {
        let label = first_label(target);
        if self.0.contains(label) { target } else { label }
    }
}

fn first_label(target: &str) -> &str {
    target.split('.').next().unwrap_or(target)
}

#[cfg(test)]
mod tests;
