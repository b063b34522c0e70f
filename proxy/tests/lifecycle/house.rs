//! A proxy with a configuration that a test rewrites, and clients who notice where they land.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use loadtest::stub::{SHARD_HEADER, StubShard};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use crate::support::{Port, Process};

/// Longer than any wait of a healthy run; only a failing test takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Probes that notice within half a second.
pub(crate) const QUICK_PROBES: &str = "probes: {tcp: {interval: 150ms, timeout: 150ms, rise: 1, fall: 2}}\n";

/// The proxy under test.
pub(crate) struct House {
    pub(crate) process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
    http: reqwest::Client,
    _ports: Vec<Port>,
}

/// What a client sees of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The shard that answered, in its own words.
    pub(crate) shard: Option<String>,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl House {
    /// Starts a proxy and waits until it is ready. `body` is the configuration without its addresses.
    pub(crate) async fn start(body: &str) -> Self {
        let mut house = Self::launch(body);
        house.ready().await;
        house
    }

    /// Starts a proxy and waits for nothing.
    pub(crate) fn launch(body: &str) -> Self {
        let ports = [Port::reserve(), Port::reserve()];
        let mut house = Self::launch_at(ports[0].address(), ports[1].address(), body);
        house._ports = ports.into();
        house
    }

    /// As [`House::launch`], at addresses of the caller's, in the network namespace of the calling thread.
    pub(crate) fn launch_at(listen: SocketAddr, admin: SocketAddr, body: &str) -> Self {
        let folder = tempfile::tempdir().expect("make a folder for the proxy");
        fs::write(folder.path().join("roompin.yaml"), configuration(listen, admin, body)).expect("write YAML");
        let http = if admin.ip().is_loopback() {
            client()
        } else {
            fs::write(folder.path().join("token"), TOKEN).expect("write the token");
            let bearer = [(reqwest::header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().expect("plain"))];
            let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
            builder.default_headers(bearer.into_iter().collect()).build().expect("build a client")
        };
        let process = Process::start("roompin-proxy", folder, |folder| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_roompin-proxy"));
            command.arg("run").arg("--config").arg(folder.join("roompin.yaml"));
            command
        });
        Self { process, listen, admin, http, _ports: Vec::new() }
    }

    /// Waits for `/readyz`.
    pub(crate) async fn ready(&mut self) {
        let (http, url) = (self.http.clone(), self.admin_url("/readyz"));
        self.process.ready(async || http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)).await;
    }

    /// Where clients connect.
    pub(crate) fn front(&self) -> SocketAddr {
        self.listen
    }

    /// Where operators connect.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin())
    }

    /// A file in the folder of the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.process.folder().join(name)
    }

    /// Writes another configuration without telling the proxy.
    pub(crate) fn write(&self, body: &str) {
        let text = configuration(self.front(), self.admin(), body);
        fs::write(self.file("roompin.yaml"), text).expect("write YAML");
    }

    /// Writes another configuration, sends SIGHUP, and tells whether it was taken.
    pub(crate) async fn reload(&self, body: &str) -> bool {
        self.write(body);
        self.hang_up().await
    }

    /// Sends SIGHUP, and tells whether the file was taken.
    pub(crate) async fn hang_up(&self) -> bool {
        let count = |log: &str| (log.matches("configuration reloaded").count(), log.matches("stays in force").count());
        let before = count(&self.process.log());
        self.process.signal("HUP");
        until("the reload is logged", async || count(&self.process.log()) != before).await;
        count(&self.process.log()).0 > before.0
    }

    /// GETs a path of the front door over a connection of the pool.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    pub(crate) async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        let url = format!("http://{}{path}", self.front());
        answer(self.http.get(url).send().await?).await
    }

    /// A request of a room's user; the name of the shard that answered.
    pub(crate) async fn visit(&self, room: &str) -> String {
        let answer = self.get(&format!("/http-bind?room={room}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.shard.expect("stubs say their name")
    }

    /// Visits every room, a few at a time; where each was.
    pub(crate) async fn visit_all(&self, rooms: &[String]) -> BTreeMap<String, String> {
        let visits = futures_util::stream::iter(rooms.iter().cloned());
        visits
            .map(async |room| {
                let shard = self.visit(&room).await;
                (room, shard)
            })
            .buffer_unordered(8)
            .collect()
            .await
    }

    /// Opens a tunnel for a room.
    pub(crate) async fn tunnel(&self, room: &str) -> Tunnel {
        Tunnel::open(self.front(), &format!("/xmpp-websocket?room={room}")).await
    }

    /// Asks the admin port.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_with(method, path, None, None).await
    }

    /// Asks the admin port, with a token or a body.
    pub(crate) async fn ask_with(&self, method: &str, path: &str, token: Option<&str>, json: Option<Value>) -> Answer {
        let mut request = self.http.request(method.parse().unwrap(), self.admin_url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(json) = json {
            request = request.json(&json);
        }
        let asked = async { answer(request.send().await?).await };
        asked.await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The JSON of an admin path.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {answer:?}"))
    }

    /// A shard as `/v1/shards` shows it; `Null` when it is not there.
    pub(crate) async fn shard(&self, name: &str) -> Value {
        let list = self.json("/v1/shards").await;
        let shards = list["shards"].as_array().expect("a list").clone();
        shards.into_iter().find(|shard| shard["name"] == name).unwrap_or(Value::Null)
    }

    /// Waits until a shard looks as it should.
    pub(crate) async fn until_shard(&self, name: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shard = self.shard(name).await;
            if done(&shard) {
                return shard;
            }
            assert!(Instant::now() < deadline, "{name}: {what}: {shard}");
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics(self.ask("GET", "/metrics").await.body)
    }

    /// Waits until `done` says yes to the metrics.
    pub(crate) async fn until_metrics(&self, what: &str, done: impl Fn(&Metrics) -> bool) -> Metrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            if done(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "{what}:\n{}", metrics.0);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the log has a line with all of these.
    pub(crate) async fn until_logged(&self, words: &[&str]) -> String {
        let found = || {
            let log = self.process.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        };
        until(&format!("the log has {words:?}"), async || found().is_some()).await;
        found().expect("it was there")
    }
}

/// Starts a body whose proxy asks for the token in the file `token`.
pub(crate) const WITH_TOKEN: &str = "# with a token\n";

/// The token of a proxy whose admin port others can reach.
const TOKEN: &str = "correct-horse-battery-staple";

fn configuration(listen: SocketAddr, admin: SocketAddr, body: &str) -> String {
    let token = if body.starts_with(WITH_TOKEN) || !admin.ip().is_loopback() { ", token_file: token" } else { "" };
    format!("listen: [\"{listen}\"]\nadmin: {{address: \"{admin}\"{token}}}\n{body}")
}

/// A client without proxies in between.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("build a client")
}

async fn answer(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let shard = headers.get(SHARD_HEADER).map(|name| name.to_str().unwrap().to_owned());
    Ok(Answer { status, shard, headers, body: response.text().await? })
}

/// The `shards:` section for stubs.
pub(crate) fn fixed(stubs: &[&StubShard]) -> String {
    let mut text = "shards:\n  static:\n".to_owned();
    for stub in stubs {
        writeln!(text, "    - {{name: {}, address: \"{}\"}}", stub.name, stub.addr).unwrap();
    }
    text
}

/// A stub shard on any free port.
pub(crate) async fn stub(name: &str) -> StubShard {
    StubShard::start(name, "127.0.0.1:0".parse().unwrap()).await.expect("start a stub shard")
}

/// Names of rooms.
pub(crate) fn rooms(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// Waits until `done`, or fails saying what was waited for.
pub(crate) async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(30)).await;
    }
}

/// What `/metrics` said.
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The value of a series, written as in the text.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// The sum over all series of a family whose labels contain `label`.
    pub(crate) fn sum(&self, family: &str, label: &str) -> f64 {
        let series = self.0.lines().filter(|line| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(label)
        });
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

/// A WebSocket through the proxy.
pub(crate) struct Tunnel {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Tunnel {
    pub(crate) async fn open(front: SocketAddr, path: &str) -> Self {
        let (socket, _) = connect_async(format!("ws://{front}{path}")).await.expect("open a tunnel");
        Self { socket }
    }

    /// The shard at the other end. Only the first message may ask.
    pub(crate) async fn who(&mut self) -> String {
        self.echo("who").await
    }

    /// Sends a text, and returns what comes back.
    pub(crate) async fn echo(&mut self, text: &str) -> String {
        self.socket.send(Message::text(text)).await.expect("send through a tunnel");
        let reply = timeout(PATIENCE, self.socket.next()).await.expect("an echo in time");
        reply.expect("an open tunnel").expect("a frame").into_text().expect("text").to_string()
    }

    /// Waits for the tunnel's end; its close code and when it came.
    pub(crate) async fn closed(&mut self) -> (Option<u16>, Instant) {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a tunnel's end in time") {
                Some(Ok(Message::Close(frame))) => {
                    let at = Instant::now();
                    // Reading on sends the answer to the Close frame.
                    while let Ok(Some(Ok(_))) = timeout(PATIENCE, self.socket.next()).await {}
                    return (frame.map(|CloseFrame { code, .. }| code.into()), at);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (None, Instant::now()),
            }
        }
    }

    /// Whether it still echoes.
    pub(crate) async fn is_open(&mut self) -> bool {
        if self.socket.send(Message::text("still there?")).await.is_err() {
            return false;
        }
        matches!(timeout(PATIENCE, self.socket.next()).await, Ok(Some(Ok(Message::Text(_)))))
    }

    /// Leaves politely.
    pub(crate) async fn leave(mut self) {
        let _ = self.socket.close(None).await;
        while let Ok(Some(Ok(_))) = timeout(PATIENCE, self.socket.next()).await {}
    }
}
