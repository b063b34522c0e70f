//! Writing to `spec.groups` of a shard, by server-side apply.
//!
//! An apply says everything that a field manager means of an object; what it leaves out is given up. So what this manager
//! already owns is read back from `managedFields` first, changed, and applied as a whole, on exactly the version that was read.
//! Nothing is forced: a field that GitOps or a person owns is answered with 409 and that manager's name.

mod own;

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, ValidationDirective},
};
use serde_json::{Value, json};

use super::{
    MANAGER, Rest, find,
    find::Found,
    refusal::{Problem, Refusal, owners},
};
use crate::{
    api::{GroupSpec, JitsiShard},
    apply::{self, read},
    validate,
};

/// Somebody else may write in between this often.
const TRIES: usize = 6;
/// Longest `kept` of a group, bytes.
pub const KEPT_LIMIT: usize = 16 * 1024;

/// Changes what is written about one group. `edit` gets the group as it stands and what this manager says of it so far.
///
/// # Errors
/// When there is no such group, the change is wrong, or somebody else owns a field.
pub async fn change(
    rest: &Rest,
    name: &str,
    edit: impl Fn(&Found, GroupSpec) -> Result<GroupSpec, Refusal>,
) -> Result<Found, Refusal> {
    for _ in 0..TRIES {
        let found = find::group(rest, name).await?;
        let mut own = own::groups(&found.shard, MANAGER);
        let mine = own.iter().position(|group| group.kind == found.kind).map(|at| own.remove(at));
        let before = mine.clone();
        let after = edit(&found, mine.unwrap_or_else(|| GroupSpec { kind: found.kind, ..Default::default() }))?;
        if before.as_ref() == Some(&after) {
            return Ok(found);
        }
        check(&after)?;
        own.push(after);
        own.sort_by_key(|group| group.kind);
        if let Some(shard) = put(rest, &found.shard, &own).await? {
            let model = find::of_shard(rest, &shard)?.into_iter().find(|model| model.kind == found.kind);
            return Ok(Found { shard, model: model.unwrap_or(found.model), ..found });
        }
    }
    Err(Refusal::Unavailable("others change this shard all the time; try again".to_owned()))
}

/// Changes what this manager says of all groups of one shard.
///
/// # Errors
/// When it cannot be written.
pub async fn change_shard(
    rest: &Rest,
    shard: &JitsiShard,
    edit: impl Fn(Vec<GroupSpec>) -> Vec<GroupSpec>,
) -> Result<(), Refusal> {
    let mut shard = shard.clone();
    for _ in 0..TRIES {
        let own = own::groups(&shard, MANAGER);
        let after = edit(own.clone());
        if own == after || put(rest, &shard, &after).await?.is_some() {
            return Ok(());
        }
        let api: Api<JitsiShard> = Api::namespaced(rest.client.clone(), &shard.namespace().unwrap_or_default());
        shard = read("get the JitsiShard", api.get(&shard.name_any())).await?;
    }
    Err(Refusal::Unavailable("others change this shard all the time; try again".to_owned()))
}

/// Applies; `None` when somebody else wrote in between.
async fn put(rest: &Rest, shard: &JitsiShard, own: &[GroupSpec]) -> Result<Option<JitsiShard>, Refusal> {
    let (name, namespace) = (shard.name_any(), shard.namespace().unwrap_or_default());
    // A group of which nothing is said is not mentioned at all.
    let said: Vec<Value> = own
        .iter()
        .filter(|group| **group != GroupSpec { kind: group.kind, ..Default::default() })
        .filter_map(|group| serde_json::to_value(group).ok())
        .collect();
    let mut document = json!({
        "apiVersion": "apps.jit.si/v1alpha1",
        "kind": "JitsiShard",
        "metadata": {"name": name, "resourceVersion": shard.resource_version()},
    });
    if !said.is_empty() {
        document["spec"] = json!({ "groups": said });
    }
    let api: Api<JitsiShard> = Api::namespaced(rest.client.clone(), &namespace);
    let params = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply(MANAGER) };
    // What it would become is looked at first: a shard that the controller cannot understand is not looked after any more.
    let dry = PatchParams { dry_run: true, ..params.clone() };
    let Some(would_be) = conflict(read("try the change", api.patch(&name, &dry, &Patch::Apply(&document))).await)?
    else {
        return Ok(None);
    };
    let understood = |shard: &JitsiShard| validate::shard(shard, &rest.defaults, None);
    if let Err(invalid) = understood(&would_be)
        && understood(shard).is_ok()
    {
        let problems = invalid.0.iter().map(|problem| Problem::body("", problem.to_string(), None));
        return Err(Refusal::Invalid(problems.collect()));
    }
    conflict(read("write the change", api.patch(&name, &params, &Patch::Apply(&document))).await)
}

/// Tells a version that is not the newest any more from a field that is somebody else's.
fn conflict(answer: Result<JitsiShard, apply::Error>) -> Result<Option<JitsiShard>, Refusal> {
    match answer {
        Ok(shard) => Ok(Some(shard)),
        Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_conflict() && owners(status).is_none()) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn check(group: &GroupSpec) -> Result<(), Refusal> {
    let size = group.kept.as_ref().map_or(0, |kept| kept.to_string().len());
    if size > KEPT_LIMIT {
        let why = format!("fields without a meaning here may have {KEPT_LIMIT} bytes together; these have {size}");
        return Err(Refusal::invalid(Problem::body("", why, None)));
    }
    Ok(())
}
