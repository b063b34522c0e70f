//! The server behind HTTP on loopback, for real binaries and kubectl.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Request, Uri, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use super::{ApiServer, serve};

/// Connections served at once; more wait.
const CONNECTIONS: usize = 512;

/// A running front. It stops, and breaks its connections, when dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    task: tokio::task::JoinHandle<Infallible>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiServer {
    /// Serves HTTP on a loopback port of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn serve(&self) -> std::io::Result<Front> {
        self.serve_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Serves HTTP on this address, for a front that comes back where it was.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn serve_at(&self, address: SocketAddr) -> std::io::Result<Front> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(self.clone(), listener));
        Ok(Front { address, task })
    }
}

async fn accept(server: ApiServer, listener: TcpListener) -> Infallible {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return std::future::pending().await };
        // An accept fails when the client is gone again already, or files run out: the next one may not.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let server = server.clone();
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (who, request) = identify(request);
                serve::serve(server.0.clone(), who, request)
            });
            // An error is a client that left, or a fault that breaks the connection on purpose.
            // hyper would close a connection that is idle for 30 s, just when a request may be on its way on it. An apiserver
            // leaves it open for minutes.
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(None);
            let ended = http.serve_connection(TokioIo::new(stream), service).await;
            tracing::trace!(?ended, "a connection to the API server double ended");
            drop(slot);
        });
    }
}

/// Who asks: the path prefix `/as/NAME` (taken off), an impersonated user, a bearer token, or the user agent's name.
fn identify(mut request: Request<Incoming>) -> (String, Request<Incoming>) {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    if let Some((who, rest)) = path.strip_prefix("/as/").and_then(|p| p.split_once('/'))
        && let Ok(uri) = format!("/{rest}").parse::<Uri>()
    {
        let who = who.to_owned();
        *request.uri_mut() = uri;
        return (who, request);
    }
    let text = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let token = text(header::AUTHORIZATION.as_str()).and_then(|t| t.strip_prefix("Bearer "));
    let agent = text(header::USER_AGENT.as_str()).and_then(|a| a.split('/').next());
    let who = text("impersonate-user").or(token).or(agent).unwrap_or("anonymous").to_owned();
    (who, request)
}

impl Front {
    /// The server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL under which requests are seen as `who`. Such a name holds no slash.
    pub fn url_as(&self, who: &str) -> String {
        format!("http://{}/as/{who}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig whose user is told by the user agent.
    pub fn kubeconfig(&self, namespace: &str) -> String {
        kubeconfig(&self.url(), namespace)
    }

    /// A kubeconfig whose requests are seen as `who`.
    pub fn kubeconfig_as(&self, who: &str, namespace: &str) -> String {
        kubeconfig(&self.url_as(who), namespace)
    }
}

fn kubeconfig(url: &str, namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: testkit\n\
         clusters:\n- name: testkit\n  cluster: {{server: \"{url}\"}}\n\
         users:\n- name: testkit\n  user: {{}}\n\
         contexts:\n- name: testkit\n  context: {{cluster: testkit, user: testkit, namespace: \"{namespace}\"}}\n"
    )
}
