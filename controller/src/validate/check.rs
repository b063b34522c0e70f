//! Small checks, and the list that they write to.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LocalObjectReference, SecretKeySelector};

use super::{Existing, Invalid, Need, NeedKind, Problem};

/// Collects what is wrong, instead of stopping at the first.
#[derive(Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Problems {
    pub(super) fn add(&mut self, path: impl Into<String>, advice: impl Into<String>) {
        self.found.push(Problem { path: path.into(), advice: advice.into() });
    }

    pub(super) fn warn(&mut self, path: impl Into<String>, advice: impl Into<String>) {
        self.warnings.push(Problem { path: path.into(), advice: advice.into() });
    }

    pub(super) fn check(&mut self, good: bool, path: &str, advice: &str) {
        if !good {
            self.add(path, advice);
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Problem>, Invalid> {
        let Self { mut found, warnings } = self;
        if found.is_empty() {
            return Ok(warnings);
        }
        found.sort();
        found.dedup();
        Err(Invalid(found))
    }

    /// Every need must exist and have its keys.
    pub(super) fn met(&mut self, needs: &[Need], existing: &Existing) {
        for need in needs {
            let (word, there) = match need.kind {
                NeedKind::Secret => ("Secret", existing.secrets.get(&need.name)),
                NeedKind::ConfigMap => ("ConfigMap", existing.config_maps.get(&need.name)),
            };
            match there {
                None => self.add(
                    &need.path,
                    format!("there is no {word} '{}' in this namespace; create it, or name another", need.name),
                ),
                Some(keys) => {
                    for key in need.keys.iter().filter(|key| !keys.contains(*key)) {
                        self.add(&need.path, format!("{word} '{}' has no key '{key}'; add it", need.name));
                    }
                }
            }
        }
    }
}

/// A DNS label that may begin the name of a Service: `a-z`, then `a-z`, `0-9` and `-`.
pub(super) fn dns_label(name: &str, longest: usize) -> bool {
    name.len() <= longest
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// A host name in lower case.
pub(super) fn host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|part| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

/// What can be the value of a label.
pub(super) fn label_value(value: &str) -> bool {
    value.len() <= 63
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The name of an environment variable.
pub(super) fn variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// An address or a network.
pub(super) fn network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

/// `203.0.113.7` or `203.0.113.7#10000`.
pub(super) fn advertised(text: &str) -> bool {
    let (address, port) = text.split_once('#').map_or((text, None), |(address, port)| (address, Some(port)));
    address.parse::<IpAddr>().is_ok() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A need for one key of a Secret.
pub(super) fn secret_key(path: &str, selector: &SecretKeySelector) -> Need {
    Need {
        path: path.to_owned(),
        kind: NeedKind::Secret,
        name: selector.name.clone(),
        keys: vec![selector.key.clone()],
    }
}

/// A need for one key of a ConfigMap.
pub(super) fn config_map(path: &str, reference: &LocalObjectReference, key: &str) -> Need {
    Need { path: path.to_owned(), kind: NeedKind::ConfigMap, name: reference.name.clone(), keys: vec![key.to_owned()] }
}
