//! The two families of a host's addresses, each with its own look-up and its own failures.

use std::{net::IpAddr, time::Duration};

use hickory_resolver::proto::rr::RecordType;

use super::{
    super::DiscoveryError,
    answer,
    lookup::{Found, Nothing, Servers},
};

/// What the look-up of one family said.
pub(super) type Family = Result<Found<IpAddr>, Nothing>;

/// Looks both up at the same time.
pub(super) async fn both_families(servers: &Servers, host: &str) -> (Family, Family) {
    tokio::join!(servers.addresses(host, RecordType::A), servers.addresses(host, RecordType::AAAA))
}

/// Both families together.
pub(super) struct Merged {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Option<Duration>,
    /// Set when addresses are lost or old because a look-up failed.
    pub(super) failure: Option<DiscoveryError>,
}

/// The addresses of both families; a family whose look-up failed keeps those of `before`.
pub(super) fn merge_families(v4: Family, v6: Family, before: &[IpAddr]) -> Merged {
    let mut merged = Merged { addresses: Vec::new(), ttl: None, failure: None };
    let mut fresh = false;
    for (family, is_v4) in [(v4, true), (v6, false)] {
        match family {
            Ok(found) => {
                fresh = true;
                merged.ttl = Some(merged.ttl.map_or(found.ttl, |ttl| ttl.min(found.ttl)));
                merged.addresses.extend(found.records);
            }
            Err(Nothing::Denied(..)) => {}
            Err(Nothing::Failed(error)) => {
                let old: Vec<_> = before.iter().copied().filter(|ip| ip.is_ipv4() == is_v4).collect();
                // Some servers fail every AAAA question. Where the other family answers and nothing is lost, that
                // is nobody's concern.
                if !old.is_empty() || !fresh {
                    merged.failure = Some(error);
                }
                merged.addresses.extend(old);
            }
        }
    }
    merged.addresses.truncate(answer::MAX_ADDRESSES);
    merged
}

#[cfg(test)]
mod tests;
