//! Groups by name.
//!
//! A group is called `<shard>-<kind>`: `meet-0-jvb`. Where all namespaces are looked after and two of them have a shard of that
//! name, each is called `<namespace>.<shard>-<kind>`; that longer name always works. Names of shards and namespaces have no dots.

use kube::{Api, ResourceExt, api::ListParams, core::DeserializeGuard};

use super::{Rest, refusal::Refusal};
use crate::{
    api::{GroupKind, GroupStatus, JitsiShard},
    apply::read,
    plan::group::GroupModel,
    validate,
};

/// A group that there is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its shard.
    pub shard: JitsiShard,
    /// Its kind.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// What is meant.
    pub model: GroupModel,
}

impl Found {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.shard.namespace().unwrap_or_default()
    }

    /// As the controller last saw it.
    #[must_use]
    pub fn status(&self) -> Option<&GroupStatus> {
        self.shard.status.as_ref()?.groups.iter().find(|group| group.kind == self.kind)
    }
}

/// A name taken apart: namespace, if it says one, shard and kind. Several readings are possible: `x-sip-jibri` may be the
/// recorders of a shard `x-sip`.
fn readings(name: &str) -> Vec<(Option<&str>, &str, GroupKind)> {
    let (namespace, name) = name.split_once('.').map_or((None, name), |(namespace, rest)| (Some(namespace), rest));
    // The longer kinds first, so that `x-sip-jibri` is the group that says so.
    [GroupKind::SipJibri, GroupKind::Jibri, GroupKind::Jigasi, GroupKind::Jvb]
        .into_iter()
        .filter_map(|kind| Some((namespace, name.strip_suffix(kind.as_str())?.strip_suffix('-')?, kind)))
        .filter(|(_, shard, _)| !shard.is_empty())
        .collect()
}

/// The group of this name.
///
/// # Errors
/// When there is none, with what is missing.
pub async fn group(rest: &Rest, name: &str) -> Result<Found, Refusal> {
    let readings = readings(name);
    if readings.is_empty() {
        let why =
            format!("'{name}' is not the name of a group; they are called <shard>-jvb, -jibri, -sip-jibri or -jigasi");
        return Err(Refusal::NotFound(why));
    }
    let mut reason = None;
    for (namespace, shard, kind) in readings {
        let mut named = shards_named(rest, namespace, shard).await?;
        if named.len() > 1 {
            reason.get_or_insert(format!(
                "there is a JitsiShard '{shard}' in several namespaces; write <namespace>.{name}"
            ));
            continue;
        }
        let Some(found) = named.pop() else {
            reason.get_or_insert(format!("there is no JitsiShard '{shard}'"));
            continue;
        };
        match of_shard(rest, &found)?.into_iter().find(|model| model.kind == kind) {
            Some(model) => return Ok(Found { shard: found, kind, name: name.to_owned(), model }),
            None => {
                reason = Some(format!(
                    "the JitsiShard '{shard}' has no {}; enable it in the resource, that makes the group",
                    kind.as_str()
                ));
            }
        }
    }
    Err(Refusal::NotFound(reason.unwrap_or_default()))
}

/// All groups, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn all(rest: &Rest) -> Result<Vec<Found>, Refusal> {
    let shards = list(rest, rest.namespace.as_deref(), ListParams::default()).await?;
    let mut found = Vec::new();
    for shard in &shards {
        let name = shard.name_any();
        let single = shards.iter().filter(|other| other.name_any() == name).count() == 1;
        let prefix = if single { name } else { format!("{}.{name}", shard.namespace().unwrap_or_default()) };
        // What is wrong with it stands in its status.
        for model in of_shard(rest, shard).unwrap_or_default() {
            found.push(Found {
                shard: shard.clone(),
                kind: model.kind,
                name: format!("{prefix}-{}", model.kind.as_str()),
                model,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The name of a group of a shard that a watch shows.
#[must_use]
pub fn name(rest: &Rest, shard: &JitsiShard, kind: GroupKind) -> String {
    use kube::Resource;
    let name = shard.name_any();
    let single = rest.namespace.is_some()
        || rest.shards.state().iter().filter(|other| other.meta().name.as_deref() == Some(name.as_str())).count() <= 1;
    let prefix = if single { name } else { format!("{}.{name}", shard.namespace().unwrap_or_default()) };
    format!("{prefix}-{}", kind.as_str())
}

/// What a shard's groups are meant to be.
///
/// # Errors
/// When its spec is invalid.
pub fn of_shard(rest: &Rest, shard: &JitsiShard) -> Result<Vec<GroupModel>, Refusal> {
    let model = validate::shard(shard, &rest.defaults, None)
        .map_err(|invalid| Refusal::Failed(format!("the JitsiShard '{}' is invalid: {invalid}", shard.name_any())))?;
    let recorders = model.recorders.map(|recorders| recorders.group);
    let sip = model.sip_recorders.map(|recorders| recorders.group);
    let gateways = model.gateways.map(|gateways| gateways.group);
    Ok([Some(model.bridges.group), recorders, sip, gateways].into_iter().flatten().collect())
}

async fn shards_named(rest: &Rest, namespace: Option<&str>, name: &str) -> Result<Vec<JitsiShard>, Refusal> {
    // Somebody who looks after one namespace does not see the others.
    let own = rest.namespace.as_deref();
    if own.is_some() && namespace.is_some() && own != namespace {
        return Ok(Vec::new());
    }
    let legal = |text: &str| {
        !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    if !legal(name) || !namespace.is_none_or(legal) {
        return Ok(Vec::new());
    }
    list(rest, own.or(namespace), ListParams::default().fields(&format!("metadata.name={name}"))).await
}

async fn list(rest: &Rest, namespace: Option<&str>, params: ListParams) -> Result<Vec<JitsiShard>, Refusal> {
    let api: Api<DeserializeGuard<JitsiShard>> = match namespace {
        Some(namespace) => Api::namespaced(rest.client.clone(), namespace),
        None => Api::all(rest.client.clone()),
    };
    let list = read("list JitsiShards", api.list(&params)).await?;
    Ok(list.items.into_iter().filter_map(|guard| guard.0.ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_end() {
        assert_eq!(readings("meet-0-jvb"), [(None, "meet-0", GroupKind::Jvb)]);
        assert_eq!(readings("prod.meet-0-jigasi"), [(Some("prod"), "meet-0", GroupKind::Jigasi)]);
        assert_eq!(
            readings("meet-0-sip-jibri"),
            [(None, "meet-0", GroupKind::SipJibri), (None, "meet-0-sip", GroupKind::Jibri)]
        );
        for none in ["", "jvb", "-jvb", "meet-0", "meet-0-JVB", "meet-0-jvb-1"] {
            assert_eq!(readings(none), [], "{none}");
        }
    }
}
