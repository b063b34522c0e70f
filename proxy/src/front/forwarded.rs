//! What a shard is told of the client: `X-Forwarded-For`, `-Proto`, `-Host` and `X-Real-IP`.
//!
//! From a trusted caller (the ingress that ends TLS) they are believed and extended, from anybody else replaced, so that
//! nobody can choose the address that prosody's rate limits see.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

/// The fields that we own on the way to a shard.
pub(crate) const FIELDS: [HeaderName; 4] = [FOR, PROTO, HOST, REAL_IP];
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Longest chain of addresses that is passed on; a longer one is replaced like a stranger's.
const MAX_CHAIN: usize = 1024;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    peer: IpAddr,
    trusted: bool,
}

impl Origin {
    pub(crate) fn new(peer: SocketAddr, trusted: &[IpNet]) -> Self {
        let peer = peer.ip().to_canonical();
        Self { peer, trusted: trusted.iter().any(|net| net.contains(&peer)) }
    }

    /// The fields for a shard, given what the request says: `field` looks a field's first value up.
    ///
    /// `host` is the request's `Host`. An absent field stays absent only where there is nothing to say.
    pub(crate) fn fields<'a>(
        &self,
        field: impl Fn(&HeaderName) -> Option<&'a [u8]>,
        chain: impl Iterator<Item = &'a [u8]>,
        host: Option<&[u8]>,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let believed = |name: &HeaderName| {
            let value = if self.trusted { field(name) } else { None };
            value.and_then(|value| HeaderValue::from_bytes(value).ok())
        };
        let peer = self.peer.to_string();
        let peer_value = HeaderValue::from_str(&peer).ok();
        let chain = if self.trusted { joined(chain) } else { None };
        // Without a word of its own, the trusted caller's client is the last one that it put on the list.
        let last = chain.as_deref().and_then(|list| list.rsplit(|&b| b == b',').next());
        let real_ip = believed(&REAL_IP).or_else(|| HeaderValue::from_bytes(last?.trim_ascii()).ok());
        let proto = believed(&PROTO).or(Some(HeaderValue::from_static("http")));
        let host = believed(&HOST).or_else(|| HeaderValue::from_bytes(host?).ok());
        let chain = chain.and_then(|list| HeaderValue::from_bytes(&[&list[..], b", ", peer.as_bytes()].concat()).ok());
        [(FOR, chain.or_else(|| peer_value.clone())), (PROTO, proto), (HOST, host), (REAL_IP, real_ip.or(peer_value))]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Several fields count as one list (RFC 9110 §5.3).
fn joined<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let parts: Vec<_> = chain.collect();
    let list = parts.join(&b", "[..]);
    (!list.is_empty() && list.len() <= MAX_CHAIN).then_some(list)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn forwarded(peer: &str, request: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in request {
            map.append(*name, HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let origin = Origin::new(SocketAddr::new(peer.parse().unwrap(), 1), &trusted);
        let chain = map.get_all(FOR).iter().map(HeaderValue::as_bytes);
        let fields = origin.fields(|name| map.get(name).map(HeaderValue::as_bytes), chain, Some(b"meet.example"));
        fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let said = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
        ];
        for request in [&said[..], &[]] {
            assert_eq!(
                forwarded("203.0.113.9", request),
                [
                    "x-forwarded-for: 203.0.113.9",
                    "x-forwarded-proto: http",
                    "x-forwarded-host: meet.example",
                    "x-real-ip: 203.0.113.9",
                ]
            );
        }
    }

    #[test]
    fn a_trusted_caller_is_believed_and_extended() {
        let said =
            [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3"), ("x-forwarded-proto", "https")];
        let expected = [
            "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.1.2.3",
            "x-forwarded-proto: https",
            "x-forwarded-host: meet.example",
            "x-real-ip: 3.3.3.3",
        ];
        assert_eq!(forwarded("10.1.2.3", &said), expected);
        // As a dual-stack listener sees it.
        assert_eq!(forwarded("::ffff:10.1.2.3", &said), expected);
    }

    #[test]
    fn an_endless_chain_is_cut() {
        let long: &'static str = "1.1.1.1, ".repeat(200).leak();
        assert_eq!(forwarded("10.1.2.3", &[("x-forwarded-for", long)])[0], "x-forwarded-for: 10.1.2.3");
    }
}
