//! `shards:`

mod kubernetes;

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use router_core::shard::{ShardName, ShardSpec, ShardState};

use super::super::{
    DnsRecord, DnsSource, Shards, defaults,
    section::{Field, Section},
    value::show_duration,
};
use super::{DAY, HOUR, MILLISECOND};

/// Shards in one file; larger fleets come from DNS.
const MAX_STATIC: usize = 4096;
/// DNS names to watch.
const MAX_DNS: usize = 256;
/// Selectors to watch.
const MAX_KUBERNETES: usize = 64;
/// Addresses of one shard, and servers of one DNS source.
const MAX_ADDRESSES: usize = 64;
/// The largest weight, as HAProxy's.
const MAX_WEIGHT: u16 = 256;

/// Names given so far, with the item that gave each.
type Names = HashMap<ShardName, String>;

pub(super) fn read(root: &mut Section<'_>) -> Shards {
    let mut s = root.section("shards");
    let mut names = Names::new();
    let fixed = s.sections("static", MAX_STATIC);
    let dns = s.sections("dns", MAX_DNS);
    let kubernetes = s.sections("kubernetes", MAX_KUBERNETES);
    let none = fixed.is_empty() && dns.is_empty() && kubernetes.is_empty();
    if none && s.sound(&["static", "dns", "kubernetes"]) {
        root.error("shards", "no source of shards: give shards.static, shards.dns or shards.kubernetes");
    }
    let fixed = fixed.into_iter().filter_map(|item| fixed_shard(item, &mut names)).collect();
    let mut lookups = HashMap::new();
    let dns = dns.into_iter().filter_map(|item| dns_source(item, &mut names, &mut lookups)).collect();
    let mut watched = HashMap::new();
    let kubernetes = kubernetes.into_iter().filter_map(|item| kubernetes::source(item, &mut watched)).collect();
    Shards { fixed, dns, kubernetes }
}

fn fixed_shard(mut s: Section<'_>, names: &mut Names) -> Option<ShardSpec> {
    let states = [("ready", ShardState::Ready), ("draining", ShardState::Draining), ("down", ShardState::Down)];
    let name = s.require("name", Field::shard_name);
    claim_name(&s, "name", name.as_ref(), names);
    let addresses = addresses(&mut s);
    let weight = weight(&mut s);
    let state = s.read("state", ShardState::Ready, |f| f.choice(&states));
    let agent_port = port(&mut s, "agent_port");
    Some(ShardSpec { name: name?, addresses: addresses?, weight, state, agent_port })
}

fn claim_name(s: &Section<'_>, field: &str, name: Option<&ShardName>, names: &mut Names) {
    let Some(name) = name else { return };
    match names.get(name) {
        Some(first) => s.error(field, format!("\"{name}\" is already the name of {first}")),
        None => {
            names.insert(name.clone(), s.title().to_owned());
        }
    }
}

/// `address: 10.0.0.1:80` or `addresses: [..]`.
fn addresses(s: &mut Section<'_>) -> Option<Vec<SocketAddr>> {
    let read = |field: &Field<'_>| field.peer_address("host names belong in shards.dns");
    let one = s.field("address").is_some();
    let many = s.many("addresses", MAX_ADDRESSES, read);
    let single = one.then(|| s.require("address", read)).flatten();
    let Some(many) = many else {
        if !one {
            s.error("address", "is missing");
        }
        return Some(vec![single?]);
    };
    if one {
        s.error("address", "cannot be given together with addresses");
    }
    if many.is_empty() && s.sound(&["addresses"]) {
        s.error("addresses", "must name at least one address");
    }
    for (n, (field, address)) in many.iter().enumerate() {
        if many[..n].iter().any(|(_, other)| other == address) {
            field.error(format!("{address} is given twice"));
        }
    }
    Some(many.into_iter().map(|(_, address)| address).collect())
}

fn weight(s: &mut Section<'_>) -> u16 {
    s.number("weight", defaults::WEIGHT, 0, MAX_WEIGHT)
}

fn port(s: &mut Section<'_>, name: &'static str) -> Option<u16> {
    s.optional(name, |field| field.number(1, u16::MAX))
}

fn dns_source(mut s: Section<'_>, names: &mut Names, lookups: &mut HashMap<String, String>) -> Option<DnsSource> {
    let record = record(&mut s, names, lookups);
    let servers = s.many("servers", MAX_ADDRESSES, Field::dns_server).unwrap_or_default();
    let hold_down = s.duration("hold_down", defaults::HOLD_DOWN, Duration::ZERO, DAY);
    let min_refresh = s.duration("min_refresh", defaults::MIN_REFRESH, 100 * MILLISECOND, HOUR);
    let longest = defaults::MAX_REFRESH.max(min_refresh);
    let max_refresh = s.duration("max_refresh", longest, 100 * MILLISECOND, DAY);
    if max_refresh < min_refresh && s.sound(&["min_refresh", "max_refresh"]) {
        s.error("max_refresh", format!("must not be shorter than min_refresh, {}", show_duration(min_refresh)));
    }
    let weight = weight(&mut s);
    let agent_port = port(&mut s, "agent_port");
    let servers = servers.into_iter().map(|(_, server)| server).collect();
    Some(DnsSource { record: record?, servers, hold_down, min_refresh, max_refresh, weight, agent_port })
}

/// `srv`, or `host` with `shard` and `port`.
fn record(s: &mut Section<'_>, names: &mut Names, lookups: &mut HashMap<String, String>) -> Option<DnsRecord> {
    let given = ["srv", "host", "shard", "port"].map(|name| s.field(name).is_some());
    match given {
        [true, true, ..] => s.error("host", "cannot be given together with srv"),
        [false, false, ..] => s.error("srv", "is missing; give srv, or host with shard and port"),
        [true, false, shard, port] => {
            for name in [(shard, "shard"), (port, "port")].into_iter().filter_map(|(given, name)| given.then_some(name))
            {
                s.error(name, "goes with host only; SRV records name their shards and ports");
            }
            let service = s.require("srv", Field::dns_name)?;
            let plain = service.trim_end_matches('.').to_lowercase();
            if let Some(first) = lookups.insert(plain, s.title().to_owned()) {
                s.error("srv", format!("is already looked up by {first}"));
            }
            return Some(DnsRecord::Srv { service });
        }
        [false, true, ..] => {
            let host = s.require("host", Field::dns_name);
            let shard = s.require("shard", Field::shard_name);
            claim_name(s, "shard", shard.as_ref(), names);
            let port = s.require("port", |field| field.number(1, u16::MAX));
            return Some(DnsRecord::Host { shard: shard?, host: host?, port: port? });
        }
    }
    None
}
