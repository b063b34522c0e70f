//! XMPP over WebSocket (RFC 7395): one message is one element, streams open and close with `<open/>` and `<close/>`.

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::Uri},
};

use super::xml::Element;
use crate::support::DOMAIN;

/// An open WebSocket that speaks XMPP.
pub(crate) struct WebSocket {
    socket: WebSocketStream<TcpStream>,
    /// `X-Jitsi-Shard` of the 101 response.
    pub(crate) shard_header: Option<String>,
}

impl WebSocket {
    /// Connects to an `http://` service URL. `start` is awaited between the TCP connection and the request, so that
    /// clients that share it send their requests at the same instant.
    pub(crate) async fn open(url: &str, start: impl Future<Output = ()>) -> anyhow::Result<Self> {
        let uri: Uri = url.replacen("http://", "ws://", 1).parse().with_context(|| format!("bad URL {url}"))?;
        let host = uri.authority().context("a URL without host")?.as_str().to_owned();
        let stream = TcpStream::connect(&host).await.with_context(|| format!("connect to {host}"))?;
        stream.set_nodelay(true)?;
        start.await;
        let mut request = uri.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse()?);
        request.headers_mut().insert("Origin", "https://meet.test".parse()?);
        let (socket, response) = client_async(request, stream).await.context("WebSocket handshake")?;
        let shard_header =
            response.headers().get("x-jitsi-shard").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut websocket = Self { socket, shard_header };
        websocket.restart().await?;
        Ok(websocket)
    }

    /// Opens the XMPP stream, at first or again after authentication.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        let open = format!("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{DOMAIN}' version='1.0'/>");
        self.send(&open).await
    }

    /// Sends one element.
    pub(crate) async fn send(&mut self, xml: &str) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(xml)).await?)
    }

    /// The next element that is not stream framing; an error when the stream ends. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Element> {
        loop {
            match self.socket.next().await.context("connection closed")?? {
                Message::Text(text) => {
                    let element = Element::parse(&text)?;
                    match element.name.as_str() {
                        "open" => {}
                        "close" | "error" => bail!("stream ended: {text}"),
                        _ => return Ok(element),
                    }
                }
                Message::Close(frame) => bail!("closed by the peer: {frame:?}"),
                _ => {}
            }
        }
    }
}
