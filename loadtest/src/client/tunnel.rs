//! A WebSocket through the proxy to a stub.

use std::{future::Future, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderValue;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, error::ProtocolError},
};

use super::{ClientError, TIMEOUT, shard_of};
use crate::stub::{WHO, websocket_limits};

/// An open tunnel.
#[derive(Debug)]
pub struct Tunnel {
    socket: WebSocketStream<TcpStream>,
}

impl Tunnel {
    /// Opens a tunnel for a room through the replica at `address`, and asks who is at the other end.
    /// `room` is percent-encoded and sent as it stands.
    ///
    /// # Errors
    /// See [`ClientError`]. The shard that answers `who` must be the one that answered the handshake.
    pub async fn open(address: SocketAddr, room: &str) -> Result<(Self, String), ClientError> {
        let url = format!("ws://{address}/xmpp-websocket?room={room}");
        let mut request = url.into_client_request().map_err(failed("handshake"))?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("xmpp"));

        let (socket, response) = within("handshake", async {
            let stream = TcpStream::connect(address).await?;
            // Without this, the kernel may hold small messages back, and we would measure that.
            stream.set_nodelay(true)?;
            client_async_with_config(request, stream, Some(websocket_limits())).await.map_err(failed("handshake"))
        })
        .await?;
        let shard = shard_of("handshake", response.headers())?;

        let mut tunnel = Self { socket };
        let name = tunnel.round_trip("who", Message::text(WHO)).await?;
        if name == Message::text(shard.as_str()) {
            Ok((tunnel, shard))
        } else {
            let claimed = name.into_text().ok().map(|name| name.as_str().to_owned());
            Err(ClientError::Misnamed { what: "who", shard, claimed })
        }
    }

    /// Sends a message and waits for the same to come back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn echo(&mut self, text: &str) -> Result<(), ClientError> {
        let sent = Message::text(text);
        if self.round_trip("echo", sent.clone()).await? == sent { Ok(()) } else { Err(ClientError::Echo) }
    }

    /// Says goodbye and waits until the other side has hung up.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn close(mut self) -> Result<(), ClientError> {
        within("close", async {
            self.socket.close(None).await.map_err(failed("close"))?;
            while let Some(message) = self.socket.next().await {
                match message {
                    Ok(_) => {}
                    // Both Close frames are through; the bare end of the connection is as good as a clean one.
                    Err(Error::ConnectionClosed | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                        break;
                    }
                    Err(error) => return Err(failed("close")(error)),
                }
            }
            Ok(())
        })
        .await
    }

    async fn round_trip(&mut self, what: &'static str, message: Message) -> Result<Message, ClientError> {
        within(what, async {
            self.socket.send(message).await.map_err(failed(what))?;
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(message) => return message.map_err(failed(what)),
                    None => return Err(failed(what)(Error::ConnectionClosed)),
                }
            }
        })
        .await
    }
}

fn failed(what: &'static str) -> impl Fn(Error) -> ClientError {
    move |source| ClientError::Tunnel { what, source: Box::new(source) }
}

async fn within<T>(what: &'static str, step: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    timeout(TIMEOUT, step).await.unwrap_or(Err(ClientError::Timeout(what)))
}
