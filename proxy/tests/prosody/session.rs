//! A logged-in XMPP session, whatever carries it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::timeout;

use super::{bosh::Bosh, websocket::WebSocket, xml::Element};
use crate::support::{CONFERENCE, DOMAIN};

/// Bound on connecting and logging in together.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// What carries XMPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// RFC 7395 at `/xmpp-websocket`.
    WebSocket,
    /// XEP-0124 at `/http-bind`.
    Bosh,
}

impl Transport {
    /// The path Jitsi serves it on.
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            Self::WebSocket => "/xmpp-websocket",
            Self::Bosh => "/http-bind",
        }
    }
}

enum Stream {
    // Boxed: a socket with its buffers is much larger than a BOSH session.
    WebSocket(Box<WebSocket>),
    Bosh(Bosh),
}

/// An anonymous login with a bound resource.
pub(crate) struct Session {
    stream: Stream,
    /// Name of the shard, from the shard's own service discovery.
    pub(crate) shard: String,
}

impl Session {
    /// Connects and logs in within 10 s; `start` is awaited right before the first request.
    pub(crate) async fn open(transport: Transport, url: &str, start: impl Future<Output = ()>) -> anyhow::Result<Self> {
        timeout(LOGIN_LIMIT, Self::log_in(transport, url, start)).await.context("login took too long")?
    }

    async fn log_in(transport: Transport, url: &str, start: impl Future<Output = ()>) -> anyhow::Result<Self> {
        let stream = match transport {
            Transport::WebSocket => Stream::WebSocket(Box::new(WebSocket::open(url, start).await?)),
            Transport::Bosh => Stream::Bosh(Bosh::open(url, start).await?),
        };
        let mut session = Self { stream, shard: String::new() };
        session.expect("features").await?;
        session.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>").await?;
        session.expect("success").await?;
        match &mut session.stream {
            Stream::WebSocket(stream) => stream.restart().await?,
            Stream::Bosh(stream) => stream.restart().await?,
        }
        session.expect("features").await?;
        session.ask("set", DOMAIN, "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>").await?;
        let about = session.ask("get", DOMAIN, "<query xmlns='http://jabber.org/protocol/disco#info'/>").await?;
        let identities = about.child("query").map(|query| query.children.as_slice()).unwrap_or_default();
        let shard = identities.iter().find(|child| child.attribute("type") == Some("shard"));
        session.shard =
            shard.and_then(|shard| shard.attribute("name")).context("the shard does not say its name")?.to_owned();
        Ok(session)
    }

    /// Every `X-Jitsi-Shard` this session has seen.
    pub(crate) fn shard_headers(&self) -> Vec<String> {
        match &self.stream {
            Stream::WebSocket(stream) => stream.shard_header.iter().cloned().collect(),
            Stream::Bosh(stream) => stream.shard_headers.clone(),
        }
    }

    /// Sends one element.
    pub(crate) async fn send(&mut self, xml: &str) -> anyhow::Result<()> {
        match &mut self.stream {
            Stream::WebSocket(stream) => stream.send(xml).await,
            Stream::Bosh(stream) => stream.send(xml).await,
        }
    }

    /// The next element. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Element> {
        match &mut self.stream {
            Stream::WebSocket(stream) => stream.receive().await,
            Stream::Bosh(stream) => stream.receive().await,
        }
    }

    async fn expect(&mut self, name: &str) -> anyhow::Result<Element> {
        let element = self.receive().await?;
        if element.name != name {
            bail!("expected <{name}/>, got {element:?}");
        }
        Ok(element)
    }

    /// One iq and its answer; whatever arrives in between is dropped, so use it before joining a room.
    async fn ask(&mut self, kind: &str, to: &str, payload: &str) -> anyhow::Result<Element> {
        // `bind` must not be addressed to anyone.
        let to = if kind == "set" { String::new() } else { format!("to='{to}'") };
        self.send(&format!("<iq xmlns='jabber:client' type='{kind}' id='q' {to}>{payload}</iq>")).await?;
        loop {
            let element = self.receive().await?;
            if element.name == "iq" && element.attribute("id") == Some("q") {
                return Ok(element);
            }
        }
    }

    /// How many occupants this shard's MUC counts in a room (by the room part of its JID); 0 when there is no such room.
    pub(crate) async fn occupants(&mut self, room: &str) -> anyhow::Result<usize> {
        let jid = format!("{room}@{CONFERENCE}");
        let about = self.ask("get", &jid, "<query xmlns='http://jabber.org/protocol/disco#info'/>").await?;
        if about.attribute("type") == Some("error") {
            let unknown = about.child("error").is_some_and(|error| error.child("item-not-found").is_some());
            return if unknown { Ok(0) } else { bail!("cannot ask about {jid}: {about:?}") };
        }
        let form = about.child("query").and_then(|query| query.child("x")).context("no room information")?;
        let field = form.children.iter().find(|field| field.attribute("var") == Some("muc#roominfo_occupants"));
        let value = field.and_then(|field| field.child("value")).context("no occupant count")?;
        Ok(value.text.parse()?)
    }
}
