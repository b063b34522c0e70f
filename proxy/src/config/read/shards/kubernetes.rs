//! `shards.kubernetes[]`

use std::{collections::HashMap, time::Duration};

use super::{
    super::{
        super::{
            KubernetesSource, ServicePort, defaults,
            report::clip,
            section::{Field, Section},
        },
        DAY,
    },
    port, weight,
};

/// Longest label key: a prefix of 253, a slash and a name of 63 characters.
const MAX_LABEL: usize = 317;
/// Longest selector that is sent.
const MAX_SELECTOR: usize = 1024;

/// `watched` has the selectors given so far, with the item that gave each.
pub(super) fn source(
    mut s: Section<'_>,
    watched: &mut HashMap<(Option<String>, String), String>,
) -> Option<KubernetesSource> {
    let namespace = s.optional("namespace", namespace);
    let selector = s.read("selector", defaults::KUBERNETES_SELECTOR.to_owned(), selector);
    let port_wanted = s.optional("port", service_port);
    let shard_label = s.read("shard_label", defaults::SHARD_LABEL.to_owned(), label);
    let state_label = s.read("state_label", defaults::STATE_LABEL.to_owned(), label);
    let kubeconfig = s.optional("kubeconfig", Field::file);
    let hold_down = s.duration("hold_down", defaults::HOLD_DOWN, Duration::ZERO, DAY);
    let weight = weight(&mut s);
    let agent_port = port(&mut s, "agent_port");
    if !s.sound(&["namespace", "selector"]) {
        return None;
    }
    if let Some(first) = watched.insert((namespace.clone(), selector.clone()), s.title().to_owned()) {
        s.error("selector", format!("is already watched by {first}"));
        return None;
    }
    let port = port_wanted;
    Some(KubernetesSource {
        namespace,
        selector,
        port,
        shard_label,
        state_label,
        kubeconfig,
        hold_down,
        weight,
        agent_port,
    })
}

/// RFC 1123 label.
fn namespace(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.len() > 63 || !text.chars().all(fits) || text.starts_with('-') || text.ends_with('-') {
        return Err(format!("must be a namespace: up to 63 of a–z, 0–9 and '-', not \"{}\"", clip(text)));
    }
    Ok(text.to_owned())
}

/// Only what no selector can contain is refused here; the API server judges the rest.
fn selector(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "./_-=!,() ".contains(c);
    if text.len() > MAX_SELECTOR || !text.chars().all(fits) || text.matches('(').count() != text.matches(')').count() {
        return Err(format!("must be a label selector, such as app=jitsi-web,tier!=test, not \"{}\"", clip(text)));
    }
    Ok(text.to_owned())
}

fn label(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if text.len() > MAX_LABEL || !text.chars().all(fits) || text.matches('/').count() > 1 {
        return Err(format!("must be the key of a label, such as app.kubernetes.io/instance, not \"{}\"", clip(text)));
    }
    Ok(text.to_owned())
}

/// A number from 1 to 65535, or a port's name.
fn service_port(field: &Field<'_>) -> Result<ServicePort, String> {
    let text = field.text()?;
    if text.chars().all(|c| c.is_ascii_digit()) {
        return field.number(1, u16::MAX).map(ServicePort::Number);
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.len() > 63 || !text.chars().all(fits) {
        return Err(format!("must be a port's number or name, such as 80 or http, not \"{}\"", clip(text)));
    }
    Ok(ServicePort::Name(text.to_owned()))
}
