//! Writing: server-side apply of what differs, and removal of what is not meant any more.
//!
//! An object is written only if a field that we mean is not as we mean it, or if what we mean has changed since we last wrote it
//! (its checksum is kept in an annotation). So looking twice writes nothing, what a user breaks is put right, and what other
//! managers add stays.

mod contains;

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions},
    core::{GroupVersionKind, TypeMeta},
};
use serde_json::{Value, json};

pub use self::contains::contains;
use crate::{
    build::{self, Object},
    lease::{Leadership, Refused},
};

/// Field manager of everything but statuses.
pub const MANAGER: &str = "roompin-controller";
/// Field manager of statuses.
pub const STATUS_MANAGER: &str = "roompin-controller-status";
/// Annotation with the checksum of what was last applied.
pub const CHECKSUM: &str = "apps.jit.si/applied";
/// After which a request is given up.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests under way at a time, of one reconcile.
const AT_ONCE: usize = 6;

/// Why something was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API said no.
    #[error("{what}: {source}")]
    Api {
        /// What was tried.
        what: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nothing came back, or this replica does not lead.
    #[error("{what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: Refused,
    },
    /// A read took too long.
    #[error("{0}: no answer in time")]
    Slow(String),
}

impl Error {
    /// Somebody changed the object since it was read: read it again, soon.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(status) if status.is_conflict()))
    }

    /// What the API server said no to, and why, if it will say so again until somebody does something: a quota, a
    /// webhook, a missing permission, a field that it does not know.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let Self::Api { what, source } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        let lasting = matches!(status.code, 400 | 403 | 404 | 413 | 422 | 500);
        lasting.then(|| format!("{what}: {}", status.message.trim_end_matches('.')))
    }

    /// Leadership was lost on the way: nothing is wrong.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Refused { source: Refused::NotLeading(_), .. })
    }

    /// A word for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) if status.is_conflict() => "conflict",
                kube::Error::Api(status) if status.is_forbidden() => "forbidden",
                kube::Error::Api(status) if status.is_invalid() => "invalid",
                kube::Error::Api(_) => "refused",
                _ => "transport",
            },
            Self::Refused { source: Refused::NotLeading(_), .. } => "not_leading",
            Self::Refused { .. } | Self::Slow(_) => "timeout",
        }
    }
}

/// Reads with a time limit.
///
/// # Errors
/// When the API says no or nothing in time.
pub async fn read<T>(what: &str, read: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(TIMEOUT, read).await {
        Ok(answer) => answer.map_err(|source| Error::Api { what: what.to_owned(), source: Box::new(source) }),
        Err(_) => Err(Error::Slow(what.to_owned())),
    }
}

/// Writes, if this replica leads, with a time limit.
///
/// # Errors
/// When this replica does not lead, or the API says no or nothing in time.
pub async fn write<T>(
    leadership: &Leadership,
    what: &str,
    write: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match leadership.write(TIMEOUT, write).await {
        Ok(answer) => answer.map_err(|source| Error::Api { what: what.to_owned(), source: Box::new(source) }),
        Err(source) => Err(Error::Refused { what: what.to_owned(), source }),
    }
}

/// Kinds that a shard or a Jitsi may own, with those that only some clusters know.
#[must_use]
pub fn owned_kinds(kinds: build::Kinds) -> Vec<GroupVersionKind> {
    let mut all: Vec<_> = [
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("policy", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
    ]
    .iter()
    .map(|(group, kind)| GroupVersionKind::gvk(group, "v1", kind))
    .collect();
    if kinds.pod_monitor {
        all.push(GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor"));
    }
    if kinds.http_route {
        all.push(GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"));
    }
    all
}

/// What stands in the API of the things that one resource owns, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Live(BTreeMap<(String, String), DynamicObject>);

impl Live {
    /// Everything with these labels that this owner controls, and everything with these labels that nobody does.
    ///
    /// # Errors
    /// When a list cannot be had: what is not seen must not be taken for absent.
    pub async fn list(
        client: &Client,
        namespace: &str,
        kinds: &[GroupVersionKind],
        selector: &str,
    ) -> Result<Self, Error> {
        let lists = stream::iter(kinds.iter().cloned().map(|kind| async move {
            let resource = ApiResource::from_gvk(&kind);
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            let params = ListParams::default().labels(selector);
            let mut list = read(&format!("list {}", resource.plural), api.list(&params)).await?;
            // The API leaves them out in lists.
            let types = TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() };
            list.items.iter_mut().for_each(|object| object.types = Some(types.clone()));
            Ok::<_, Error>((kind.kind, list))
        }));
        let lists: Vec<_> = lists.buffer_unordered(AT_ONCE).try_collect().await?;
        let objects = lists.into_iter().flat_map(|(kind, list)| {
            list.items.into_iter().map(move |object| ((kind.clone(), object.name_any()), object))
        });
        Ok(Self(objects.collect()))
    }

    /// Adds those of these objects that are there without the labels: somebody may have taken them off, and what hangs on
    /// an object (its passwords, say) must not be decided as if there were none.
    ///
    /// # Errors
    /// When the API does not say.
    pub async fn look_for(
        &mut self,
        client: &Client,
        namespace: &str,
        objects: &[(GroupVersionKind, String)],
    ) -> Result<(), Error> {
        for (kind, name) in objects {
            if self.get(&kind.kind, name).is_some() {
                continue;
            }
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(kind));
            if let Some(found) = read(&format!("get {} {name}", kind.kind), api.get_opt(name)).await? {
                self.0.insert((kind.kind.clone(), name.clone()), found);
            }
        }
        Ok(())
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Option<&DynamicObject> {
        self.0.get(&(kind.to_owned(), name.to_owned()))
    }

    /// One object in its own type.
    #[must_use]
    pub fn typed<K: serde::de::DeserializeOwned>(&self, kind: &str, name: &str) -> Option<K> {
        serde_json::from_value(serde_json::to_value(self.get(kind, name)?).ok()?).ok()
    }

    /// All objects of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a DynamicObject> {
        self.0.iter().filter(move |((other, _), _)| other == kind).map(|(_, object)| object)
    }
}

/// What is written for an object: its document with the checksum of it.
#[must_use]
pub fn stamped(object: &Object) -> Value {
    let mut document = object.document();
    let checksum = build::checksum(&document);
    if let Some(annotations) = document["metadata"]
        .as_object_mut()
        .map(|meta| meta.entry("annotations").or_insert_with(|| json!({})))
        .and_then(Value::as_object_mut)
    {
        annotations.insert(CHECKSUM.to_owned(), json!(checksum));
    }
    document
}

/// Whether the object has to be written.
#[must_use]
pub fn differs(live: Option<&DynamicObject>, wanted: &Value) -> bool {
    live.and_then(|live| serde_json::to_value(live).ok()).is_none_or(|live| !contains(&live, wanted))
}

/// Writes those objects that are not as they should be; says how many.
///
/// # Errors
/// When one cannot be written; those before it are.
pub async fn apply(client: &Client, leadership: &Leadership, live: &Live, objects: &[&Object]) -> Result<usize, Error> {
    let mut written = 0;
    for object in objects {
        let (kind, name) = (object.gvk(), object.name());
        let document = stamped(object);
        if !differs(live.get(&kind.kind, name), &document) {
            continue;
        }
        let resource = ApiResource::from_gvk(&kind);
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let params = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply(MANAGER).force()
        };
        let what = format!("apply {} {name}", kind.kind);
        tracing::debug!(kind = kind.kind, name, "apply");
        let patch = Patch::Apply(&document);
        write(leadership, &what, api.patch(name, &params, &patch)).await?;
        written += 1;
    }
    Ok(written)
}

/// Deletes what this owner controls and does not want any more.
///
/// # Errors
/// When one cannot be deleted.
pub async fn prune(
    client: &Client,
    leadership: &Leadership,
    live: &Live,
    owner_uid: &str,
    keep: &[&Object],
) -> Result<usize, Error> {
    let mut deleted = 0;
    for ((kind, name), object) in &live.0 {
        let kept = keep.iter().any(|wanted| wanted.kind() == *kind && wanted.name() == name);
        let ours =
            object.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == owner_uid);
        if kept || !ours || object.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let Some(types) = &object.types else { continue };
        let Ok(gvk) = GroupVersionKind::try_from(types) else { continue };
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &ApiResource::from_gvk(&gvk));
        // Exactly the object that was seen.
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
            ..DeleteParams::background()
        };
        match write(leadership, &format!("delete {kind} {name}"), api.delete(name, &params)).await {
            Ok(_) => deleted += 1,
            Err(Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_not_found()) => {
            }
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}
