//! The admin port as a client sees it: a real listener on loopback, real HTTP.

mod rooms;
mod shards;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use reqwest::{Method, RequestBuilder};
use router_core::{
    pin::DeciderId,
    registry::{ProbeKind, RegistrySettings, ShardInput},
    room::RoomName,
    router::RouterSettings,
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Tunnels as a plain list of room, shard and name.
#[derive(Default)]
struct FakeTunnels(Mutex<Vec<(RoomKey, ShardId, String)>>);

impl FakeTunnels {
    fn open(&self, room: RoomKey, shard: ShardId, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((room, shard, name.into()));
    }
}

impl Tunnels for FakeTunnels {
    fn open_on(&self, shard: ShardId) -> usize {
        self.0.lock().unwrap().iter().filter(|tunnel| tunnel.1 == shard).count()
    }

    fn name_of(&self, room: RoomKey) -> Option<String> {
        self.0.lock().unwrap().iter().find(|tunnel| tunnel.0 == room).map(|tunnel| tunnel.2.clone())
    }

    fn close_room(&self, room: RoomKey, except: Option<ShardId>) -> usize {
        let mut tunnels = self.0.lock().unwrap();
        let before = tunnels.len();
        tunnels.retain(|tunnel| tunnel.0 != room || Some(tunnel.1) == except);
        before - tunnels.len()
    }

    fn close_shard(&self, shard: ShardId) -> usize {
        let mut tunnels = self.0.lock().unwrap();
        let before = tunnels.len();
        tunnels.retain(|tunnel| tunnel.1 != shard);
        before - tunnels.len()
    }
}

struct Admin {
    address: SocketAddr,
    client: reqwest::Client,
    router: Arc<Router>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    tunnels: Arc<FakeTunnels>,
    events: Arc<Mutex<Vec<ShardEvent>>>,
    clock: Clock,
}

/// Serves until the runtime ends.
async fn start(token: Option<&str>) -> Admin {
    let router = Arc::new(Router::new(RouterSettings {
        ttl: Duration::from_secs(600),
        max_pins: 10_000,
        decider: DeciderId(1),
        registry: RegistrySettings::default(),
        restored_hold: Duration::from_secs(30),
    }));
    let clock = Clock::starting_at(NOW);
    let shards = ["a", "b", "c"].map(|name| ShardSpec {
        name: ShardName::new(name).unwrap(),
        addresses: vec!["127.0.0.1:8081".parse().unwrap()],
        weight: 100,
        state: ShardState::Ready,
        agent_port: None,
    });
    let input =
        ShardInput::Discovered { source: "static".into(), shards: shards.into(), hold_down: Duration::from_secs(30) };
    router.handle(input, clock.now());
    let events: Arc<Mutex<Vec<ShardEvent>>> = Arc::default();
    let (metrics, readiness) = (Arc::new(Metrics::new()), Readiness::new(["static".to_owned()]));
    metrics.sync_shards(&router.shards());
    let (tunnels, seen) = (Arc::new(FakeTunnels::default()), Arc::clone(&events));
    let state = AdminState::from(AdminParts {
        router: Arc::clone(&router),
        metrics: Arc::clone(&metrics),
        hasher: KeyHasher::default(),
        clock,
        token: token.map(Into::into),
        readiness: readiness.clone(),
        tunnels: Arc::clone(&tunnels) as Arc<dyn Tunnels>,
        on_shard_events: Arc::new(move |events| seen.lock().unwrap().extend_from_slice(events)),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, state, std::future::pending()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Admin { address, client, router, metrics, readiness, tunnels, events, clock }
}

impl Admin {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::POST, path)).await
    }

    async fn put(&self, path: &str, body: &str) -> (u16, Value) {
        let request = self.request(Method::PUT, path).header("content-type", "application/json");
        answer(request.body(body.to_owned())).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::DELETE, path)).await
    }

    fn shard(&self, name: &str) -> ShardId {
        self.router.shards().by_name(name).unwrap().id
    }

    fn pin(&self, tenant: &str, room: &str, shard: &str) -> RoomKey {
        let key = KeyHasher::default().key(&RoomName::new(tenant, room));
        self.router.pin(key, &ShardName::new(shard).unwrap(), self.clock.now()).unwrap();
        key
    }

    /// Sends bytes as they are and reads until the other side closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that has read enough may close before all is written.
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[track_caller]
fn assert_error((status, body): &(u16, Value), expected: u16, word: &str) {
    assert_eq!(*status, expected, "{body}");
    let message = body["error"].as_str().unwrap_or_else(|| panic!("no words in {body}"));
    assert!(message.contains(word), "{word:?} is not in {message:?}");
}

#[tokio::test]
async fn health_and_readiness() {
    let admin = start(None).await;
    assert_eq!(admin.get("/healthz").await.0, 200);
    assert_eq!(admin.get("/readyz").await, (503, Value::String("starting: waiting for static\n".into())));
    admin.readiness.clear("static");
    assert_eq!(admin.get("/readyz").await, (200, Value::String("ready\n".into())));
    admin.readiness.draining();
    let (status, text) = admin.get("/readyz").await;
    assert!(status == 503 && text.as_str().unwrap().starts_with("draining"), "{text}");
    assert_eq!(admin.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn metrics_show_the_router_as_it_is() {
    let admin = start(None).await;
    admin.pin("", "room", "a");
    let response = admin.request(Method::GET, "/metrics").send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = response.text().await.unwrap();
    for line in
        ["roompin_pins{shard=\"a\"} 1", "roompin_table_entries 1", "roompin_table_limit 10000", "roompin_ready 0"]
    {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    admin.metrics.shard(admin.shard("a")).pins_made.inc();
    admin.readiness.clear("static");
    let text = admin.get("/metrics").await.1;
    let text = text.as_str().unwrap();
    assert!(text.contains("roompin_pins_made_total{shard=\"a\"} 1") && text.contains("roompin_ready 1"), "{text}");
}

#[tokio::test]
async fn writes_need_the_token() {
    let admin = start(Some("s3cret")).await;
    let order = || admin.request(Method::POST, "/v1/shards/a/drain");
    let refused = order().send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_error(&answer(order().bearer_auth("guess")).await, 403, "admin.token_file");
    assert_eq!(admin.router.shards().by_name("a").unwrap().state, ShardState::Ready);
    assert_error(&admin.put("/v1/rooms/x", "{\"shard\":\"a\"}").await, 401, "Bearer");
    assert_error(&admin.delete("/v1/rooms/x").await, 401, "Bearer");
    assert_eq!(admin.router.len(), 0);
    assert_eq!(answer(order().bearer_auth("s3cret")).await.0, 200);
    assert_eq!(admin.router.shards().by_name("a").unwrap().state, ShardState::Draining);
    // Reads go without, as on /metrics.
    for path in ["/v1/shards", "/v1/rooms", "/metrics", "/healthz"] {
        assert_eq!(admin.get(path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_no_page_of_another_host_gets_through() {
    let admin = start(None).await;
    let order = || admin.request(Method::POST, "/v1/shards/a/down");
    let foreign = answer(order().header("origin", "http://evil.example")).await;
    assert_error(&foreign, 403, "another origin");
    assert_error(&answer(order().header("sec-fetch-site", "cross-site")).await, 403, "another origin");
    // DNS rebinding: the page's own host name, and hence its origin, resolve to 127.0.0.1.
    let rebound = || order().header("host", "evil.example:9090").header("origin", "http://evil.example:9090");
    assert_error(&answer(rebound()).await, 403, "localhost");
    let reading = admin.request(Method::GET, "/v1/rooms").header("host", "evil.example");
    assert_error(&answer(reading).await, 403, "localhost");
    assert_eq!(admin.router.shards().by_name("a").unwrap().state, ShardState::Ready);
    let own = format!("http://{}", admin.address);
    assert_eq!(answer(order().header("origin", own)).await.0, 200);
    // Scrapers and probes come by any name.
    for path in ["/metrics", "/healthz"] {
        let request = admin.request(Method::GET, path).header("host", "proxy.internal");
        assert_eq!(answer(request).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_what_there_is() {
    let admin = start(None).await;
    assert_error(&admin.get("/v2/shards").await, 404, "/v1/shards");
    assert_error(&admin.post("/v1/shards").await, 405, "GET /v1/shards");
    assert_error(&admin.delete("/v1/rooms").await, 405, "DELETE /v1/rooms/ROOM");
}

#[tokio::test]
async fn large_and_broken_bodies_are_refused() {
    let admin = start(None).await;
    let large = format!("{{\"shard\":\"{}\"}}", "a".repeat(BODY_MAX_BYTES));
    assert_eq!(admin.put("/v1/rooms/x", &large).await.0, 413);
    for body in ["", "[]", "{}", "{\"shard\":1}", "{\"shard\":\"a\",\"colour\":\"red\"}", "{\"shard\":\"a\""] {
        let answer = admin.put("/v1/rooms/x", body).await;
        assert!((400..500).contains(&answer.0), "{body} {answer:?}");
        assert_error(&answer, answer.0, "{\"shard\": \"name\"}");
    }
    let untyped = admin.request(Method::PUT, "/v1/rooms/x").body("{\"shard\":\"a\"}");
    assert_error(&answer(untyped).await, 415, "Content-Type");
    assert_eq!(admin.router.len(), 0);
}

#[tokio::test]
async fn hostile_heads_are_closed() {
    let admin = start(None).await;
    let large = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    let said = admin.raw(large.as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    let said = admin.raw(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
    assert_eq!(admin.get("/healthz").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn slow_heads_and_idle_connections_are_closed() {
    let admin = start(None).await;
    for sent in [b"GET /healthz HTTP/1.1\r\nhost: lo".as_slice(), b""] {
        // Ends only because the server closes; paused time runs as fast as nobody has anything to do.
        let said = tokio::time::timeout(Duration::from_secs(60), admin.raw(sent)).await;
        assert!(said.is_ok_and(|said| said.is_empty() || said.starts_with("HTTP/1.1 408")));
    }
    let idle = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let said = tokio::time::timeout(Duration::from_secs(60), admin.raw(idle)).await;
    assert!(said.is_ok_and(|said| said.starts_with("HTTP/1.1 200")));
}

/// A map of the JSON objects in an array by one of their fields.
fn by<'a>(list: &'a Value, field: &str) -> HashMap<&'a str, &'a Value> {
    list.as_array().unwrap().iter().map(|item| (item[field].as_str().unwrap(), item)).collect()
}
