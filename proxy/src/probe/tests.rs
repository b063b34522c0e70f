use std::{
    future::Future,
    net::Ipv4Addr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use router_core::{
    registry::{Registry, RegistrySettings, ShardEvent},
    shard::{ShardSpec, ShardState},
    time::Timestamp,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Longer than any wait of a healthy run.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves every connection with `answer` until the test ends.
async fn serve<F, A>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// Serves a fixed text, and closes.
async fn serve_text(text: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| async move {
        let _ = stream.write_all(text).await;
    })
    .await
}

/// Reads a request first, as a web server does.
async fn serve_http(text: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let _ = stream.write_all(text).await;
    })
    .await
}

/// An address where nothing listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

fn timing() -> ProbeTiming {
    ProbeTiming { interval: Duration::from_millis(40), timeout: Duration::from_secs(5), rise: 2, fall: 3 }
}

fn http() -> HttpProbe {
    HttpProbe { timing: timing(), path: "/about/health".into(), host: None, expect: vec![(200, 399)] }
}

fn name() -> ShardName {
    ShardName::new("web-0").unwrap()
}

async fn one(plan: Plan, addresses: &[SocketAddr], agent: Option<u16>) -> Result<Option<AgentReply>, ProbeError> {
    tokio::time::timeout(PATIENCE, probe(&name(), &plan, addresses, agent)).await.unwrap()
}

async fn one_http(config: HttpProbe, address: SocketAddr) -> Result<(), ProbeError> {
    one(Plan::Http(Arc::new(config)), &[address], None).await.map(drop)
}

async fn one_agent(address: SocketAddr) -> Result<AgentReply, ProbeError> {
    // The agent is looked for on the shard's address with the agent's port.
    let shard = SocketAddr::new(address.ip(), 1);
    one(Plan::Agent(timing()), &[shard], Some(address.port())).await.map(Option::unwrap)
}

#[tokio::test]
async fn tcp_connects_or_says_why_not() {
    let well = serve_text(b"").await;
    assert!(one(Plan::Tcp(timing()), &[well], None).await.is_ok());
    let error = one(Plan::Tcp(timing()), &[nobody().await], None).await.unwrap_err();
    assert_eq!(error.kind(), "connect");
}

#[tokio::test]
async fn one_address_that_answers_is_enough() {
    let addresses = [nobody().await, serve_text(b"").await];
    assert!(one(Plan::Tcp(timing()), &addresses, None).await.is_ok());
}

#[tokio::test]
async fn http_judges_the_status() {
    assert!(one_http(http(), serve_http(b"HTTP/1.1 204 No Content\r\n\r\n").await).await.is_ok());
    let bad = serve_http(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    assert!(matches!(one_http(http(), bad).await, Err(ProbeError::Status(503))));
    let expected = HttpProbe { expect: vec![(200, 200), (503, 503)], ..http() };
    assert!(one_http(expected, bad).await.is_ok());
}

#[tokio::test]
async fn http_sends_what_is_configured() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let address = serve(move |mut stream| {
        let sink = sink.clone();
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            sink.lock().unwrap().push(String::from_utf8(request).unwrap());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        }
    })
    .await;
    one_http(http(), address).await.unwrap();
    one_http(HttpProbe { host: Some("meet.test".into()), ..http() }, address).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(
        seen[0].starts_with("GET /about/health HTTP/1.1\r\nHost: web-0\r\nUser-Agent: roompin-probe\r\n"),
        "{seen:?}"
    );
    assert!(seen[0].contains("Connection: close\r\n"));
    assert!(seen[1].contains("Host: meet.test\r\n"));
}

#[tokio::test]
async fn http_refuses_garbage_oversize_and_half_an_answer() {
    let garbage = serve_http(b"220 smtp.example.test ESMTP\r\n\r\n").await;
    assert_eq!(one_http(http(), garbage).await.unwrap_err().kind(), "not_http");
    let half = serve_http(b"HTTP/1.1 200 OK\r\nServer:").await;
    assert_eq!(one_http(http(), half).await.unwrap_err().kind(), "closed");
    let oversized = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(one_http(http(), oversized).await.unwrap_err().kind(), "too_long");
}

#[tokio::test]
async fn http_byte_by_byte_counts_until_the_timeout() {
    async fn drip(mut stream: TcpStream, text: &'static [u8], pause: Duration) {
        for byte in text {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<()>().await;
    }
    let slow = serve(|stream| drip(stream, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Duration::from_millis(1))).await;
    assert!(one_http(http(), slow).await.is_ok());
    let slower = serve(|stream| drip(stream, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Duration::from_millis(50))).await;
    let hasty = HttpProbe { timing: ProbeTiming { timeout: Duration::from_millis(200), ..timing() }, ..http() };
    assert_eq!(one_http(hasty, slower).await.unwrap_err().kind(), "timeout");
}

#[tokio::test]
async fn the_agent_speaks_as_signal_sidecar_does() {
    assert!(one_agent(serve_text(b"up ready 100%\n").await).await.is_ok());
    assert!(one_agent(serve_text(b"down drain 0%\r\nmore").await).await.is_ok());
    assert!(one_agent(serve_text(b"up").await).await.is_ok(), "the end of the connection ends the line");
}

#[tokio::test]
async fn a_bad_agent_is_told_from_an_absent_one() {
    assert_eq!(one_agent(nobody().await).await.unwrap_err().kind(), "connect");
    assert_eq!(one_agent(serve_text(b"").await).await.unwrap_err().kind(), "closed");
    assert_eq!(one_agent(serve_text(b"HTTP/1.1 400 Bad Request\r\n").await).await.unwrap_err().kind(), "malformed");
    let endless = serve(|mut stream| async move { while stream.write_all(&[b'u'; 512]).await.is_ok() {} }).await;
    assert_eq!(one_agent(endless).await.unwrap_err().kind(), "too_long");
}

/// A finished probe, with the kind of its failure.
type Seen = (ShardName, ProbeKind, Option<&'static str>);

/// A registry, its published picture, and the probes that follow it.
struct House {
    registry: Registry,
    set: watch::Sender<Arc<ShardSet>>,
    inputs: mpsc::Receiver<ShardInput>,
    probes: ProberHandle,
    seen: Arc<Mutex<Vec<Seen>>>,
    changes: Vec<ShardEvent>,
}

impl House {
    fn start(config: &Probes, shards: Vec<ShardSpec>) -> Self {
        let mut registry = Registry::new(RegistrySettings::default());
        let hold_down = Duration::ZERO;
        registry.handle(ShardInput::Discovered { source: "test".into(), shards, hold_down }, Timestamp(0));
        let (set, follow) = watch::channel(registry.view());
        let (sender, inputs) = mpsc::channel(16);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let events: ProbeEvents = Arc::new(move |event| {
            sink.lock().unwrap().push((event.shard, event.kind, event.result.err().map(|error| error.kind())));
        });
        let probes = Prober::spawn(config, follow, sender, events);
        Self { registry, set, inputs, probes, seen, changes: Vec::new() }
    }

    async fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            let input = tokio::time::timeout_at(end, self.inputs.recv()).await;
            let input = input.unwrap_or_else(|_| panic!("{what}: {:?}", self.changes)).unwrap();
            self.apply(input);
        }
    }

    fn apply(&mut self, input: ShardInput) {
        self.changes.extend(self.registry.handle(input, Timestamp(1)));
        self.set.send_replace(self.registry.view());
    }

    fn state(&self, shard: &str) -> ShardState {
        self.set.borrow().by_name(shard).unwrap().state
    }

    fn seen(&self, kind: ProbeKind, result: Option<&str>) -> usize {
        self.seen.lock().unwrap().iter().filter(|(_, k, r)| *k == kind && r.as_deref() == result).count()
    }
}

fn spec(shard: &str, address: SocketAddr, agent_port: Option<u16>) -> ShardSpec {
    ShardSpec {
        name: ShardName::new(shard).unwrap(),
        addresses: vec![address],
        weight: 100,
        state: ShardState::Ready,
        agent_port,
    }
}

#[tokio::test]
async fn a_shard_goes_down_and_comes_back_by_http() {
    let failing = Arc::new(AtomicUsize::new(1));
    let switch = failing.clone();
    let address = serve(move |mut stream| {
        let failing = switch.load(Ordering::SeqCst) == 1;
        async move {
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await;
            let answer: &[u8] = if failing { b"HTTP/1.1 503 No\r\n\r\n" } else { b"HTTP/1.1 200 OK\r\n\r\n" };
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    let config = Probes { http: Some(http()), ..Probes::default() };
    let mut house = House::start(&config, vec![spec("web-0", address, None)]);
    house.until("down", |house| house.state("web-0") == ShardState::Down).await;
    failing.store(0, Ordering::SeqCst);
    house.until("ready", |house| house.state("web-0") == ShardState::Ready).await;
}

#[tokio::test]
async fn the_agent_drains_and_a_draining_shard_is_still_probed() {
    let agent = serve_text(b"up drain 0%\n").await;
    let config = Probes { tcp: Some(timing()), agent: Some(timing()), ..Probes::default() };
    let mut house = House::start(&config, vec![spec("web-0", agent, Some(agent.port()))]);
    house.until("draining", |house| house.state("web-0") == ShardState::Draining).await;
    let before = house.seen(ProbeKind::Tcp, None);
    house.until("more probes", |house| house.seen(ProbeKind::Tcp, None) >= before + 3).await;
}

#[tokio::test]
async fn a_broken_or_absent_agent_changes_nothing() {
    let web = serve_text(b"").await;
    let garbage = serve_text(b"whatever this is\n").await;
    let absent = nobody().await;
    let config = Probes { tcp: Some(timing()), agent: Some(timing()), ..Probes::default() };
    let shards = vec![spec("a", web, Some(garbage.port())), spec("b", web, Some(absent.port())), spec("c", web, None)];
    let mut house = House::start(&config, shards);
    house
        .until("agent failures", |house| {
            house.seen(ProbeKind::Agent, Some("malformed")) >= 3 && house.seen(ProbeKind::Agent, Some("connect")) >= 3
        })
        .await;
    assert!(["a", "b", "c"].iter().all(|shard| house.state(shard) == ShardState::Ready));
    let of_c = house.seen.lock().unwrap().iter().any(|(n, k, _)| n.as_str() == "c" && *k == ProbeKind::Agent);
    assert!(!of_c, "a shard without an agent port has no agent");
}

#[tokio::test]
async fn probes_follow_the_shards() {
    let web = serve_text(b"").await;
    let config = Probes { tcp: Some(timing()), ..Probes::default() };
    let mut house = House::start(&config, vec![spec("old", web, None)]);
    house.until("first", |house| house.seen(ProbeKind::Tcp, None) >= 1).await;
    let shards = vec![spec("new", web, None)];
    house.apply(ShardInput::Discovered { source: "test".into(), shards, hold_down: Duration::ZERO });
    assert!(house.set.borrow().by_name("old").is_none());
    // Long enough for a probe that was under way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    house.seen.lock().unwrap().clear();
    house.until("the new one", |house| house.seen(ProbeKind::Tcp, None) >= 3).await;
    assert!(house.seen.lock().unwrap().iter().all(|(shard, ..)| shard.as_str() == "new"));

    // Another address of the same shard is found without a restart.
    let moved = vec![spec("new", nobody().await, None)];
    house.apply(ShardInput::Discovered { source: "test".into(), shards: moved, hold_down: Duration::ZERO });
    house.until("failures", |house| house.seen(ProbeKind::Tcp, Some("connect")) >= 1).await;
}

#[tokio::test]
async fn another_configuration_replaces_the_probes_and_stopping_ends_them() {
    let web = serve_http(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let config = Probes { tcp: Some(timing()), ..Probes::default() };
    let mut house = House::start(&config, vec![spec("web-0", web, None)]);
    house.until("tcp", |house| house.seen(ProbeKind::Tcp, None) >= 1).await;
    house.probes.replace(&Probes { http: Some(http()), ..Probes::default() });
    house.until("http", |house| house.seen(ProbeKind::Http, None) >= 2).await;
    house.probes.stop().await;
    while house.inputs.try_recv().is_ok() {}
    assert!(house.inputs.recv().await.is_none(), "every sender is gone");
}
