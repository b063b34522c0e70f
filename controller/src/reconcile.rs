//! From a change to what follows from it: read, validate, plan, write, report. One resource at a time.

mod fleet;
mod jitsi;
mod shard;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::controller::Action,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

pub use self::{
    fleet::{FleetMemory, reconcile as reconcile_fleet},
    jitsi::reconcile as reconcile_jitsi,
    shard::reconcile as reconcile_shard,
};
use crate::{
    api::{Jitsi, JitsiShard},
    apply::{self, STATUS_MANAGER},
    events::Events,
    lease::Leadership,
    media::Media,
    metrics::Metrics,
    plan::Note,
    validate::Defaults,
};

/// When all is well, one looks again after this time all the same.
const RESYNC: Duration = Duration::from_secs(300);

/// What every reconcile needs.
pub struct Context {
    /// The API.
    pub client: Client,
    /// The right to write.
    pub leadership: Leadership,
    /// jicofo and the proxies.
    pub media: Box<dyn Media>,
    /// Notes for people.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Images and the like.
    pub defaults: Defaults,
    /// The wall clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Failures in a row, by uid.
    pub failures: Mutex<BTreeMap<String, u32>>,
    /// What bridges, recorders and gateways said in the last minutes.
    pub fleet: FleetMemory,
}

impl Context {
    /// Counts failures in a row of one resource.
    pub fn count(&self, uid: Option<String>, failed: bool) {
        let (mut all, uid) = (self.failures.lock().unwrap_or_else(PoisonError::into_inner), uid.unwrap_or_default());
        if failed {
            let failures = all.entry(uid).or_default();
            *failures = failures.saturating_add(1);
        } else {
            all.remove(&uid);
        }
    }

    /// When to try one again.
    pub fn retry(&self, uid: &Option<String>, error: &Error) -> Action {
        let all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = uid.as_ref().and_then(|uid| all.get(uid)).copied().unwrap_or(1);
        retry_after(error, failures.saturating_sub(1))
    }

    /// The time in whole seconds, as statuses hold it.
    fn now(&self) -> Timestamp {
        let now = (self.clock)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }
}

/// Why a reconcile ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read or written.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// A pod did not hear what it was told, or cannot be told.
    #[error("{pod} cannot be told: {why}")]
    Untold {
        /// Its name.
        pod: String,
        /// Why.
        why: String,
    },
    /// The resource as it stands in the API is not one of ours.
    #[error("it cannot be read: {0}")]
    Malformed(String),
}

impl Error {
    /// A word for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.label(),
            Self::Untold { .. } => "untold",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// When to try again after an error. What changes meanwhile is looked at when it changes.
#[must_use]
pub fn retry_after(error: &Error, failures: u32) -> Action {
    match error {
        Error::Malformed(_) => Action::await_change(),
        Error::Apply(error) if error.is_conflict() => Action::requeue(Duration::from_millis(200)),
        Error::Apply(_) | Error::Untold { .. } => Action::requeue(Duration::from_secs(1 << failures.min(6))),
    }
}

/// What a guard holds. What cannot be read is told to people, and left alone until somebody changes it.
async fn guarded<'a, K>(context: &Context, object: &'a DeserializeGuard<K>) -> Result<&'a K, Error>
where
    K: Resource<DynamicType = ()>,
{
    match &object.0 {
        Ok(read) => Ok(read),
        Err(invalid) => {
            let error = Error::Malformed(invalid.error.clone());
            let note =
                Note::warning("Malformed", format!("{error}. Nothing about it is changed until it is put right."));
            context.events.publish(&object.object_ref(&()), &[note]).await;
            Err(error)
        }
    }
}

/// Writes a status if it differs, on exactly the version that was read. The answer is the object's new version.
async fn write_status<K, S>(context: &Context, object: &K, old: Option<&S>, status: &S) -> Result<Option<String>, Error>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    S: Serialize + PartialEq,
{
    let meta = object.meta();
    if old == Some(status) {
        return Ok(meta.resource_version.clone());
    }
    let name = meta.name.as_deref().unwrap_or_default();
    let api: Api<K> = Api::namespaced(context.client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let document = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "resourceVersion": meta.resource_version},
        "status": status,
    });
    let what = format!("write the status of {} {name}", K::kind(&()));
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let patch = Patch::Apply(&document);
    let answer = apply::write(&context.leadership, &what, api.patch_status(name, &params, &patch)).await?;
    Ok(answer.meta().resource_version.clone())
}

/// Both kinds, for metrics.
pub trait Kind {
    /// Its name.
    const NAME: &'static str;
}

impl Kind for Jitsi {
    const NAME: &'static str = "Jitsi";
}

impl Kind for JitsiShard {
    const NAME: &'static str = "JitsiShard";
}
