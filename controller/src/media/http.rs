//! The real thing: `GET /stats` of jicofo, `GET /v1/shards` of a proxy, and the requests that the other parts are made of.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, Method, StatusCode, Url, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Media, recorder};
use crate::{
    api::ShardState,
    plan::{drain::ProxyShard, report::Report},
};

/// From the first byte sent to the last received.
const TIMEOUT: Duration = Duration::from_secs(3);
/// 100 shards with their addresses are some 40 KiB, a jicofo's statistics 10 KiB, a bridge's metrics 100 KiB.
const LIMIT: usize = 1 << 20;

/// Where the parts of a shard listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// jicofo's REST interface.
    pub focus: u16,
    /// The proxies' admin interface.
    pub admin: u16,
    /// A bridge's private HTTP server.
    pub bridge: u16,
    /// A gateway's HTTP server.
    pub gateway: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { focus: 8888, admin: 9090, bridge: 8080, gateway: 8788 }
    }
}

/// Asks pods by their address.
#[derive(Clone, Debug)]
pub struct HttpMedia {
    client: Client,
    pub(super) ports: Ports,
}

impl HttpMedia {
    /// A client without proxies, redirects and idle connections: pods come and go, and an address may be another's soon.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::with_ports(Ports::default())
    }

    /// The same for parts that listen elsewhere.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn with_ports(ports: Ports) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(TIMEOUT).no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0);
        Ok(Self { client: client.build()?, ports })
    }

    /// One request, and what came back, whatever its status.
    pub(super) async fn send(
        &self,
        method: Method,
        (ip, port): (&str, u16),
        path: &str,
        query: &[(&str, &str)],
        body: Option<&'static str>,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let mut url = Url::parse(&format!("http://{host}:{port}{path}")).map_err(|_| "it has no address".to_owned())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let mut answer = request.send().await.map_err(|error| reason(&error))?;
        let status = answer.status();
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| reason(&error))? {
            if text.len() + chunk.len() > LIMIT {
                return Err("its answer is too long".to_owned());
            }
            text.extend_from_slice(&chunk);
        }
        Ok((status, text))
    }

    /// A JSON document of an answer of success.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        ip: &str,
        port: u16,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, String> {
        let (status, body) = self.send(Method::GET, (ip, port), path, query, None).await?;
        success(status)?;
        serde_json::from_slice(&body).map_err(|_| "its answer cannot be read".to_owned())
    }

    /// Tells something, and wants to hear that it was heard.
    pub(super) async fn post(&self, ip: &str, port: u16, path: &str, body: Option<&'static str>) -> Result<(), String> {
        let (status, _) = self.send(Method::POST, (ip, port), path, &[], body).await?;
        success(status)
    }
}

pub(super) fn success(status: StatusCode) -> Result<(), String> {
    if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
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
            let stats: FocusStats = self.get(ip, self.ports.focus, "/stats", &[]).await?;
            Ok(stats.conferences)
        })
    }

    fn shard<'a>(&'a self, ip: &'a str, shard: &'a str) -> BoxFuture<'a, Result<Option<ProxyShard>, String>> {
        Box::pin(async move {
            let list: ShardList = self.get(ip, self.ports.admin, "/v1/shards", &[]).await?;
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
