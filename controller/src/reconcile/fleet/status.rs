//! `status.groups` of a shard, under a field manager of its own: the other loop writes the rest of the status.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Error, Tend};
use crate::{
    api::{GroupStatus, JitsiShard},
    apply,
};

/// Field manager of `status.groups`.
pub(super) const MANAGER: &str = "roompin-controller-fleet";
/// The mean stress changes with every look. Alone it is not worth writing more often than that: each write is a look for
/// everybody who watches.
const STRESS: Duration = Duration::from_secs(60);

/// Writes the groups where they differ from what stands there.
pub(super) async fn write(tend: &Tend<'_>, mut groups: Vec<GroupStatus>) -> Result<(), Error> {
    groups.sort_by_key(|group| group.kind);
    let empty = Vec::new();
    let before = tend.shard.status.as_ref().map_or(&empty, |status| &status.groups);
    let uid = tend.shard.metadata.uid.clone().unwrap_or_default();
    if !is_due(before, &groups, |kind| tend.context.fleet.written(&uid, kind), tend.now) {
        return Ok(());
    }
    let (name, namespace) = (tend.shard.name_any(), tend.shard.namespace().unwrap_or_default());
    let api: Api<JitsiShard> = Api::namespaced(tend.context.client.clone(), &namespace);
    let document = json!({
        "apiVersion": JitsiShard::api_version(&()),
        "kind": JitsiShard::kind(&()),
        // Not another one of the same name.
        "metadata": {"name": name, "uid": uid},
        "status": {"groups": groups},
    });
    let params = PatchParams::apply(MANAGER).force();
    let what = format!("write the groups of JitsiShard {name}");
    let patch = Patch::Apply(&document);
    match apply::write(&tend.context.leadership, &what, api.patch_status(&name, &params, &patch)).await {
        Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_not_found()) =>
        {
            return Ok(());
        }
        answer => answer?,
    };
    for group in &groups {
        tend.context.fleet.set_written(&uid, group.kind, tend.now);
    }
    Ok(())
}

/// Whether anything changed that is worth a write now.
fn is_due(
    before: &[GroupStatus],
    groups: &[GroupStatus],
    written: impl Fn(crate::api::GroupKind) -> Option<Timestamp>,
    now: Timestamp,
) -> bool {
    if before == groups {
        return false;
    }
    let plain = |list: &[GroupStatus]| -> Vec<GroupStatus> {
        list.iter().map(|group| GroupStatus { stress: None, why: None, ..group.clone() }).collect()
    };
    if plain(before) != plain(groups) {
        return true;
    }
    groups.iter().filter(|group| !before.contains(group)).any(|group| {
        written(group.kind).is_none_or(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default() >= STRESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::GroupKind;

    #[test]
    fn stress_alone_is_written_once_a_minute_and_a_number_at_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let group = |desired, stress: &str| GroupStatus {
            kind: GroupKind::Jvb,
            desired,
            stress: Some(stress.to_owned()),
            ..Default::default()
        };
        let before = [group(2, "0.50")];
        let due =
            |now: &[GroupStatus], written: Option<i64>, second| is_due(&before, now, |_| written.map(at), at(second));
        assert!(!due(&before, None, 0));
        assert!(due(&[group(2, "0.51")], None, 0), "a new leader does not know when it was written");
        assert!(!due(&[group(2, "0.51")], Some(0), 59));
        assert!(due(&[group(2, "0.51")], Some(0), 60));
        assert!(due(&[group(3, "0.50")], Some(0), 1));
        assert!(due(&[], Some(0), 1), "a group that is gone");
    }
}
