//! What recorders' secrets are made of: generated once, by whichever replica comes first, and kept in a Secret beside the Lease.

use std::time::Duration;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rand::RngExt;

use crate::{apply::read, build::Webhook};

/// Key in the Secret.
const KEY: &str = "key";
/// Attempts before recorders are only asked.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// How recorders are known that report to `url`. `None` when the secret is not to be had; then they are only asked.
pub(super) async fn webhook(client: &Client, namespace: &str, name: &str, url: &str) -> Option<Webhook> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for attempt in 1..=ATTEMPTS {
        match key(&api, name).await {
            Ok(Some(key)) => return Some(Webhook::new(url, &key)),
            Ok(None) => {
                tracing::warn!(
                    "Secret {namespace}/{name} has no '{KEY}'; recorders do not report, they are only asked"
                );
                return None;
            }
            Err(error) => tracing::warn!(%error, attempt, "the secret of recorders is not to be had"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!("recorders that are made from now on do not report, they are only asked");
    None
}

async fn key(api: &Api<Secret>, name: &str) -> Result<Option<Vec<u8>>, crate::apply::Error> {
    let of = |secret: Secret| secret.data.and_then(|mut data| data.remove(KEY)).map(|bytes| bytes.0);
    if let Some(there) = read("get the secret of recorders", api.get_opt(name)).await? {
        return Ok(of(there).filter(|key| key.len() >= 16));
    }
    let key: Vec<u8> = crate::random::generator().random::<[u8; 32]>().to_vec();
    let labels = [("app.kubernetes.io/name", "roompin"), ("app.kubernetes.io/component", "controller")];
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        data: Some([(KEY.to_owned(), ByteString(key.clone()))].into()),
        ..Secret::default()
    };
    match read("create the secret of recorders", api.create(&PostParams::default(), &secret)).await {
        Ok(_) => Ok(Some(key)),
        // Another replica was quicker.
        Err(error) if error.is_conflict() => {
            Ok(read("get the secret of recorders", api.get_opt(name)).await?.and_then(of))
        }
        Err(error) => Err(error),
    }
}
