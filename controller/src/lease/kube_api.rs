//! The lease in the Kubernetes API.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
};

use super::{
    Timing,
    elector::LeaseApi,
    machine::{Found, Record, WriteFailure},
};

/// A `Lease` object by name.
pub struct KubeLease {
    api: Api<Lease>,
    name: String,
    /// The metadata last seen, so that a write takes away nobody's labels.
    metadata: Mutex<Option<ObjectMeta>>,
}

impl KubeLease {
    /// The `Lease` of this name. `client` must not retry by itself, see [`client_config`].
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), metadata: Mutex::new(None) }
    }

    fn keep(&self, metadata: &ObjectMeta) {
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = Some(metadata.clone());
    }

    fn found(&self, lease: Lease) -> Result<Found, String> {
        self.keep(&lease.metadata);
        let version = lease.metadata.resource_version.clone().ok_or("the API gave no resourceVersion")?;
        Ok(Found { record: record(lease.spec.unwrap_or_default()), version })
    }
}

/// The configuration for a client of the lease: no retries, because a repeated write is none the machine knows of, and
/// short timeouts, because a renewal that comes late is worth nothing.
#[must_use]
pub fn client_config(config: &Config, timing: Timing) -> Config {
    let mut config = config.clone();
    config.default_retry = false;
    config.connect_timeout = Some(timing.request);
    config.read_timeout = Some(timing.request);
    config.write_timeout = Some(timing.request);
    config.reset_reader_on_write = true;
    config
}

impl LeaseApi for KubeLease {
    async fn read(&self) -> Result<Option<Found>, String> {
        match self.api.get_opt(&self.name).await {
            Ok(Some(lease)) => self.found(lease).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn write(&self, record: Record, version: Option<String>) -> Result<String, (WriteFailure, String)> {
        let creates = version.is_none();
        let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let metadata = match known {
            Some(known) if !creates => ObjectMeta { resource_version: version, managed_fields: None, ..known },
            _ => ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), "roompin-controller".to_owned())].into()),
                resource_version: version,
                ..ObjectMeta::default()
            },
        };
        let lease = Lease { metadata, spec: Some(spec(record)) };
        let params = PostParams { field_manager: Some("roompin-controller".to_owned()), ..PostParams::default() };
        let answer = if creates {
            self.api.create(&params, &lease).await
        } else {
            self.api.replace(&self.name, &params, &lease).await
        };
        match answer {
            Ok(lease) => self.found(lease).map(|found| found.version).map_err(|why| (WriteFailure::Unknown, why)),
            // Not found: it was deleted since we read it.
            Err(kube::Error::Api(status))
                if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
            {
                Err((WriteFailure::Conflict, status.message))
            }
            Err(error) => Err((WriteFailure::Unknown, error.to_string())),
        }
    }
}

fn record(spec: LeaseSpec) -> Record {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        acquired: spec.acquire_time.map(|time| time.0),
        renewed: spec.renew_time.map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or_default(),
        duration: Duration::from_secs(seconds),
    }
}

fn spec(record: Record) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(record.holder),
        acquire_time: record.acquired.map(MicroTime),
        renew_time: record.renewed.map(MicroTime),
        lease_transitions: Some(record.transitions),
        // At least 1 is what the API accepts.
        lease_duration_seconds: Some(i32::try_from(record.duration.as_secs().max(1)).unwrap_or(i32::MAX)),
        ..LeaseSpec::default()
    }
}
