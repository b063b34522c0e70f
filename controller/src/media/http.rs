//! The real thing: `GET /stats` of jicofo, `GET /v1/shards` of a proxy.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Media, recorder};
use crate::{api::ShardState, plan::{drain::ProxyShard, report::Report}};

/// From the first byte sent to the last received.
const TIMEOUT: Duration = Duration::from_secs(3);
/// 100 shards with their addresses are some 40 KiB, a jicofo's statistics 10 KiB.
const LIMIT: usize = 1 << 20;
/// Port of jicofo's REST interface.
const FOCUS_PORT: u16 = 8888;
/// Port of the proxies' admin interface.
const ADMIN_PORT: u16 = 9090;

/// Asks pods by their address.
#[derive(Clone, Debug)]
pub struct HttpMedia {
    client: Client,
}

impl HttpMedia {
    /// A client without proxies, redirects and idle connections: pods come and go, and an address may be another's soon.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(TIMEOUT).no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0);
        Ok(Self { client: client.build()? })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, ip: &str, port: u16, path: &str) -> Result<T, String> {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let request = self.client.get(format!("http://{host}:{port}{path}"));
        let mut answer = request.send().await.map_err(|error| reason(&error))?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| reason(&error))? {
            if body.len() + chunk.len() > LIMIT {
                return Err("its answer is too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| "its answer cannot be read".to_owned())
    }
}

/// Short and always the same for the same trouble, as it is shown in statuses.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "its answer broke off"
    }
    .to_owned()
}

/// Only what counts; `conferences` must be there.
#[derive(Deserialize)]
struct FocusStats {
    conferences: u64,
}

#[derive(Deserialize)]
struct ShardList {
    shards: Vec<ShardView>,
}

#[derive(Deserialize)]
struct ShardView {
    name: String,
    discovery: ShardState,
    rooms: u64,
    tunnels: u64,
    tunnels_in_cluster: u64,
}

impl Media for HttpMedia {
    fn conferences<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let stats: FocusStats = self.get(ip, FOCUS_PORT, "/stats").await?;
            Ok(stats.conferences)
        })
    }

    fn shard<'a>(&'a self, ip: &'a str, shard: &'a str) -> BoxFuture<'a, Result<Option<ProxyShard>, String>> {
        Box::pin(async move {
            let list: ShardList = self.get(ip, ADMIN_PORT, "/v1/shards").await?;
            Ok(list.shards.into_iter().find(|view| view.name == shard).map(|view| ProxyShard {
                discovery: view.discovery,
                rooms: view.rooms,
                tunnels: view.tunnels.max(view.tunnels_in_cluster),
            }))
        })
    }

    fn recorder<'a>(&'a self, ip: &'a str, port: u16) -> BoxFuture<'a, Result<Report, String>> {
        Box::pin(recorder::ask(self, ip, port))
    }
}
