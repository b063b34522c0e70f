//! What is allowed but probably not meant.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use super::super::{
    Config, DnsRecord, Shards,
    report::clip,
    section::{Field, Section},
};

/// `terminationGracePeriodSeconds` unless the pod says otherwise.
pub(super) const KUBERNETES_GRACE: Duration = Duration::from_secs(30);
/// The longest that Jitsi's prosody holds a BOSH request (`bosh_max_wait`).
pub(super) const BOSH_HOLD: Duration = Duration::from_secs(60);

/// The levels of `tracing`.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A word that is no level is the name of a module to the filter library, and a typo silences everything else.
pub(super) fn filter(field: &Field<'_>, text: &str) {
    let is_level =
        |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) || word.parse::<u8>().is_ok();
    for directive in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if !directive.contains(['=', '[', ':']) && !is_level(directive) {
            let levels = LEVELS.join(", ");
            field.warn(format!("\"{}\" is no level ({levels}) and is taken as the name of a module", clip(directive)));
        }
    }
}

/// Shards and probes that do not fit together. Says nothing about what other mistakes have made incomplete.
pub(super) fn shards(root: &Section<'_>, config: &Config) {
    let Shards { fixed, dns, kubernetes } = &config.shards;
    if !fixed.is_empty() && dns.is_empty() && kubernetes.is_empty() && fixed.iter().all(|shard| shard.weight == 0) {
        root.warn("shards", "no shard takes new rooms: every weight is 0");
    }
    let mut owners: HashMap<SocketAddr, &str> = HashMap::new();
    for shard in fixed {
        for address in &shard.addresses {
            if let Some(other) =
                owners.insert(*address, shard.name.as_str()).filter(|name| *name != shard.name.as_str())
            {
                root.warn("shards", format!("{other} and {} are the same server, {address}", shard.name));
            }
        }
    }
    let agents = config.shards.has_agents();
    let probes = &config.probes;
    if agents && probes.agent.is_none() {
        root.warn("probes", "agent is off, so the agent_port of the shards is not asked");
    }
    if !agents && probes.agent.is_some() && !(fixed.is_empty() && dns.is_empty()) {
        root.warn("probes", "agent is on, but no shard has an agent_port");
    }
    if probes.tcp.is_none() && probes.http.is_none() {
        root.warn("probes", "tcp and http are off: a shard that dies keeps its rooms, and gets new ones");
    }
    if dns.iter().any(|dns| dns.hold_down.is_zero()) {
        let named = |record: &DnsRecord| match record {
            DnsRecord::Srv { service } => service.clone(),
            DnsRecord::Host { host, .. } => host.clone(),
        };
        let which = dns.iter().find(|dns| dns.hold_down.is_zero()).map(|dns| named(&dns.record)).unwrap_or_default();
        root.warn("shards", format!("{which}: without hold_down, one thin DNS answer takes shards away"));
    }
}
