//! Plain requests of a participant: the page, its configuration, the conference request, the keep-alive.

use std::net::SocketAddr;

use reqwest::{Client, Method, RequestBuilder, redirect::Policy};

use super::{ClientError, TIMEOUT, shard_of};

/// Largest response body read.
const MAX_BODY: usize = 1 << 20;

/// A participant's HTTP client, with its own kept-alive connections as a browser has.
#[derive(Clone, Debug)]
pub struct Browser {
    http: Client,
    base: String,
    room: String,
}

impl Browser {
    /// A browser that goes to a room through the replica at `address`. `room` is percent-encoded and sent as it stands.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(address: SocketAddr, room: &str) -> Result<Self, ClientError> {
        // Neither a proxy from the environment nor a redirect may lead anywhere but to the given address.
        let http = Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT).build();
        let http = http.map_err(|source| ClientError::Http { what: "client", source })?;
        Ok(Self { http, base: format!("http://{address}"), room: room.to_owned() })
    }

    /// Loads the room's page; the shard that served it.
    ///
    /// # Errors
    /// As any step of a participant: see [`ClientError`].
    pub async fn page(&self) -> Result<String, ClientError> {
        let request = self.http.get(format!("{}/{}", self.base, self.room));
        Ok(fetch("page", request).await?.0)
    }

    /// Loads `config.js` for the room.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn config(&self) -> Result<String, ClientError> {
        Ok(fetch("config.js", self.request(Method::GET, "config.js")).await?.0)
    }

    /// Asks for the conference, as clients do before they connect.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn conference(&self) -> Result<String, ClientError> {
        let body = serde_json::json!({ "room": format!("{}@conference.stub", self.room) });
        let request = self.request(Method::POST, "conference-request/v1").json(&body);
        Ok(fetch("conference-request", request).await?.0)
    }

    /// The request by which clients find out once a minute whether their room moved.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn keep_alive(&self) -> Result<String, ClientError> {
        Ok(fetch("_unlock", self.request(Method::GET, "_unlock")).await?.0)
    }

    /// Posts to BOSH; the shard and its answer.
    pub(super) async fn bosh(&self, body: String) -> Result<(String, String), ClientError> {
        let request = self.request(Method::POST, "http-bind").header("content-type", "text/xml; charset=utf-8");
        fetch("http-bind", request.body(body)).await
    }

    fn request(&self, method: Method, endpoint: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/{endpoint}?room={}", self.base, self.room))
    }
}

/// Sends, reads all, and says which shard answered and what.
async fn fetch(what: &'static str, request: RequestBuilder) -> Result<(String, String), ClientError> {
    let failed = |source| ClientError::Http { what, source };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        return Err(ClientError::Status { what, status });
    }
    let shard = shard_of(what, response.headers())?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ClientError::TooLarge(what));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((shard, String::from_utf8_lossy(&body).into_owned()))
}
