//! XMPP over BOSH (XEP-0124, XEP-0206): at most two POSTs under way, one of them held by the server.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context as _, bail};
use tokio::task::JoinHandle;

use super::xml::{Element, escape};
use crate::support::DOMAIN;

/// How long the server may hold an empty poll, in seconds.
const WAIT: u32 = 10;

/// Requests under way at once, the XEP's usual number.
const REQUESTS: usize = 2;

/// Attributes of every body.
const BODY: &str = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'";

/// An open BOSH session. Its client keeps connections alive, as browsers do.
pub(crate) struct Bosh {
    http: reqwest::Client,
    url: String,
    sid: String,
    rid: u64,
    under_way: VecDeque<JoinHandle<anyhow::Result<Answer>>>,
    inbox: VecDeque<Element>,
    /// Every value of `X-Jitsi-Shard` so far, in order, without repetitions.
    pub(crate) shard_headers: Vec<String>,
}

struct Answer {
    shard: Option<String>,
    body: Element,
}

impl Bosh {
    /// Creates a session; `start` is awaited before the first request.
    pub(crate) async fn open(url: &str, start: impl Future<Output = ()>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(u64::from(WAIT) + 10))
            .build()?;
        start.await;
        let mut bosh = Self {
            http,
            url: url.to_owned(),
            sid: String::new(),
            rid: 1_000,
            under_way: VecDeque::new(),
            inbox: VecDeque::new(),
            shard_headers: Vec::new(),
        };
        bosh.post(&format!(
            "<body rid='{}' to='{DOMAIN}' wait='{WAIT}' hold='1' ver='1.11' xmpp:version='1.0' {BODY}/>",
            bosh.rid
        ));
        let created = bosh.absorb().await.context("create a BOSH session")?;
        created.attribute("sid").context("no sid in the answer")?.clone_into(&mut bosh.sid);
        Ok(bosh)
    }

    /// Asks for a new XMPP stream after authentication.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.request("xmpp:restart='true'", "").await
    }

    /// Sends one element.
    pub(crate) async fn send(&mut self, xml: &str) -> anyhow::Result<()> {
        self.request("", xml).await
    }

    /// The next element; an error when the session ends. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Element> {
        loop {
            if let Some(element) = self.inbox.pop_front() {
                return Ok(element);
            }
            if self.under_way.is_empty() {
                self.request("", "").await?;
            }
            self.absorb().await?;
        }
    }

    async fn request(&mut self, attributes: &str, payload: &str) -> anyhow::Result<()> {
        while self.under_way.len() >= REQUESTS {
            self.absorb().await?;
        }
        self.rid += 1;
        self.post(&format!(
            "<body rid='{}' sid='{}' {attributes} {BODY}>{payload}</body>",
            self.rid,
            escape(&self.sid)
        ));
        Ok(())
    }

    fn post(&mut self, body: &str) {
        let request = self.http.post(&self.url).header("Content-Type", "text/xml; charset=utf-8").body(body.to_owned());
        self.under_way.push_back(tokio::spawn(async move {
            let response = request.send().await?.error_for_status()?;
            let shard =
                response.headers().get("x-jitsi-shard").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = Element::parse(&response.text().await?)?;
            Ok(Answer { shard, body })
        }));
    }

    /// Takes the oldest request's answer into the inbox and returns its body.
    async fn absorb(&mut self) -> anyhow::Result<Element> {
        let oldest = self.under_way.front_mut().context("no request under way")?;
        let answer = oldest.await;
        self.under_way.pop_front();
        let Answer { shard, body } = answer??;
        if let Some(shard) = shard
            && self.shard_headers.last() != Some(&shard)
        {
            self.shard_headers.push(shard);
        }
        if body.attribute("type") == Some("terminate") {
            bail!("session ended: {}", body.attribute("condition").unwrap_or("no condition"));
        }
        self.inbox.extend(body.children.iter().cloned());
        Ok(body)
    }
}

impl Drop for Bosh {
    fn drop(&mut self) {
        for request in &self.under_way {
            request.abort();
        }
    }
}
