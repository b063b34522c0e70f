//! Discovery against a DNS server on loopback, down to what the registry makes of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/dns.rs"]
mod dns;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use dns::{DnsServer, Mood};
use proxy::{
    config::{DnsRecord, DnsSource, Shards},
    discovery::{Discovery, DiscoveryEvent, DiscoveryHandle},
};
use router_core::{
    registry::{Registry, RegistrySettings, ShardEvent, ShardInput},
    shard::{ShardName, ShardSpec, ShardState},
    shard_set::ShardSet,
    time::Timestamp,
};
use tokio::{sync::mpsc, time::Instant};

const SERVICE: &str = "_http._tcp.web.test";
const HOLD_DOWN: Duration = Duration::from_millis(600);
/// Longer than any wait of a healthy run; only a failing test takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Discovery, and a registry behind it.
struct House {
    handle: DiscoveryHandle,
    inputs: mpsc::Receiver<ShardInput>,
    registry: Registry,
    started: Instant,
    events: Vec<ShardEvent>,
    reports: Arc<Mutex<Vec<DiscoveryEvent>>>,
}

impl House {
    fn start(config: &Shards) -> Self {
        let (sender, inputs) = mpsc::channel(64);
        let reports = Arc::new(Mutex::new(Vec::new()));
        let sink = reports.clone();
        let handle = Discovery::spawn(config, sender, Arc::new(move |event| sink.lock().unwrap().push(event)));
        Self {
            handle,
            inputs,
            registry: Registry::new(RegistrySettings::default()),
            started: Instant::now(),
            events: Vec::new(),
            reports,
        }
    }

    /// Lets time pass, with a tick every 20 ms, until `done` or until patience ends.
    async fn until(&mut self, what: &str, mut done: impl FnMut(&ShardSet, &[ShardEvent], &[DiscoveryEvent]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reports = self.reports.lock().unwrap().clone();
            if done(&self.registry.view(), &self.events, &reports) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {:?} {:?}", self.events, reports.last());
            self.step().await;
        }
    }

    /// Lets a while pass.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let input = tokio::time::timeout(Duration::from_millis(20), self.inputs.recv()).await;
        let now = Timestamp(1_000_000) + self.started.elapsed();
        if let Ok(Some(input)) = input {
            self.events.extend(self.registry.handle(input, now));
        }
        self.events.extend(self.registry.handle(ShardInput::Tick, now));
    }

    async fn has(&mut self, names: &[&str]) {
        let what = format!("waiting for {names:?}");
        self.until(&what, |set, _, _| set.iter().map(|shard| shard.name.as_str()).eq(names.iter().copied())).await;
    }

    fn gone(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| if let ShardEvent::Gone(name) = event { Some(name.as_str()) } else { None })
            .collect()
    }

    fn failures(&self, kind: &str) -> usize {
        let reports = self.reports.lock().unwrap();
        reports
            .iter()
            .filter(|report| matches!(report, DiscoveryEvent::Failed { error, .. } if error.kind() == kind))
            .count()
    }

    fn answers(&self) -> usize {
        let reports = self.reports.lock().unwrap();
        reports.iter().filter(|report| matches!(report, DiscoveryEvent::Answered { .. })).count()
    }

    /// Waits until discovery has answered `more` times again.
    async fn answered(&mut self, more: usize) {
        let goal = self.answers() + more;
        self.until("more answers", |_, _, reports| {
            reports.iter().filter(|report| matches!(report, DiscoveryEvent::Answered { .. })).count() >= goal
        })
        .await;
        // The list went into the channel before the report.
        while let Ok(input) = self.inputs.try_recv() {
            let now = Timestamp(1_000_000) + self.started.elapsed();
            self.events.extend(self.registry.handle(input, now));
        }
    }

    fn addresses(&self, name: &str) -> Vec<String> {
        let set = self.registry.view();
        set.by_name(name).unwrap().addresses.iter().map(ToString::to_string).collect()
    }
}

fn source(server: &DnsServer, record: DnsRecord) -> DnsSource {
    DnsSource {
        record,
        servers: vec![server.address()],
        hold_down: HOLD_DOWN,
        min_refresh: Duration::from_millis(50),
        max_refresh: Duration::from_millis(150),
        weight: 100,
        agent_port: Some(6060),
    }
}

fn srv(server: &DnsServer) -> DnsSource {
    source(server, DnsRecord::Srv { service: SERVICE.into() })
}

fn shards(dns: Vec<DnsSource>) -> Shards {
    Shards { dns, ..Shards::default() }
}

async fn two_shards() -> DnsServer {
    let server = DnsServer::start().await;
    server.host("web-0.web.test", 1, &["127.0.0.2"]);
    server.host("web-1.web.test", 1, &["127.0.0.3", "::1"]);
    both(&server);
    server
}

fn both(server: &DnsServer) {
    server.service(SERVICE, 1, &[(0, 50, 80, "web-0.web.test"), (0, 50, 81, "web-1.web.test")]);
}

fn only_first(server: &DnsServer) {
    server.service(SERVICE, 1, &[(0, 100, 80, "web-0.web.test")]);
}

fn fixed(name: &str) -> ShardSpec {
    ShardSpec {
        name: ShardName::new(name).unwrap(),
        addresses: vec!["127.0.0.9:80".parse().unwrap()],
        weight: 100,
        state: ShardState::Ready,
        agent_port: None,
    }
}

#[tokio::test]
async fn srv_targets_become_shards() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    assert_eq!(house.addresses("web-0"), ["127.0.0.2:80"]);
    assert_eq!(house.addresses("web-1"), ["127.0.0.3:81", "[::1]:81"]);
    assert_eq!(house.registry.view().by_name("web-1").unwrap().agent_port, Some(6060));
}

#[tokio::test]
async fn addresses_that_come_along_are_not_asked_for() {
    let server = two_shards().await;
    server.with_glue();
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    assert_eq!(house.addresses("web-1"), ["127.0.0.3:81", "[::1]:81"]);
    let answers = house.answers();
    let (udp, tcp) = server.questions();
    assert!(udp + tcp <= answers + 1, "{udp} and {tcp} questions for {answers} rounds");
}

#[tokio::test]
async fn a_host_is_one_shard_of_the_given_name() {
    let server = two_shards().await;
    let record = DnsRecord::Host { shard: ShardName::new("one").unwrap(), host: "web-1.web.test".into(), port: 8080 };
    let mut house = House::start(&shards(vec![source(&server, record)]));
    house.has(&["one"]).await;
    assert_eq!(house.addresses("one"), ["127.0.0.3:8080", "[::1]:8080"]);
}

#[tokio::test]
async fn one_thin_answer_removes_nobody() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    only_first(&server);
    house.answered(2).await;
    both(&server);
    house.answered(2).await;
    house.pass(2 * HOLD_DOWN).await;
    assert_eq!(house.gone(), [""; 0]);
    house.has(&["web-0", "web-1"]).await;
}

#[tokio::test]
async fn a_thin_answer_and_then_silence_removes_nobody() {
    let server = two_shards().await;
    let mut source = srv(&server);
    // One answer per hold-down at most.
    source.max_refresh = 2 * HOLD_DOWN;
    source.min_refresh = HOLD_DOWN / 2;
    let mut house = House::start(&shards(vec![source]));
    house.has(&["web-0", "web-1"]).await;
    only_first(&server);
    house.answered(1).await;
    server.mood(SERVICE, Mood::Broken);
    house.pass(3 * HOLD_DOWN).await;
    assert!(house.failures("response") >= 1);
    assert_eq!(house.gone(), [""; 0]);
}

#[tokio::test]
async fn a_shard_that_stays_away_leaves_after_the_hold_down() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    only_first(&server);
    let removed = Instant::now();
    house.has(&["web-0"]).await;
    assert!(removed.elapsed() >= HOLD_DOWN);
    assert_eq!(house.gone(), ["web-1"]);
}

#[tokio::test]
async fn a_vanished_name_empties_the_list_only_after_the_hold_down() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    server.remove(SERVICE);
    let removed = Instant::now();
    house.has(&[]).await;
    assert!(removed.elapsed() >= HOLD_DOWN);
    assert!(house.failures("nxdomain") >= 2);
}

#[tokio::test]
async fn a_moved_shard_keeps_its_name() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    server.host("web-0.web.test", 1, &["127.0.0.77"]);
    house
        .until("the new address", |set, _, _| {
            set.by_name("web-0").is_some_and(|shard| shard.addresses[0].to_string() == "127.0.0.77:80")
        })
        .await;
    assert!(house.events.contains(&ShardEvent::Readdressed(ShardName::new("web-0").unwrap())));
    assert_eq!(house.gone(), [""; 0]);
}

#[tokio::test]
async fn servfail_changes_nothing() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    server.mood(SERVICE, Mood::Broken);
    house
        .until("errors", |_, _, reports| {
            reports.iter().filter(|report| matches!(report, DiscoveryEvent::Failed { .. })).count() >= 3
        })
        .await;
    house.pass(2 * HOLD_DOWN).await;
    assert_eq!(house.gone(), [""; 0]);
    assert_eq!(house.registry.view().iter().count(), 2);
    server.mood(SERVICE, Mood::Well);
    house.answered(1).await;
}

#[tokio::test]
async fn silence_is_a_timeout_and_settles_readiness() {
    let server = two_shards().await;
    server.mood(SERVICE, Mood::Silent);
    let mut house = House::start(&shards(vec![srv(&server)]));
    assert!(!house.handle.is_settled());
    let settled = house.handle.settled();
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
    assert!(house.failures("timeout") >= 1);
    house.pass(Duration::from_millis(50)).await;
    assert_eq!(house.events, []);
}

#[tokio::test]
async fn a_target_whose_address_fails_keeps_the_old_one() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    server.mood("web-1.web.test", Mood::Broken);
    house
        .until("an error", |_, _, reports| reports.iter().any(|report| matches!(report, DiscoveryEvent::Failed { .. })))
        .await;
    house.pass(2 * HOLD_DOWN).await;
    assert_eq!(house.addresses("web-1"), ["127.0.0.3:81", "[::1]:81"]);
    assert_eq!(house.gone(), [""; 0]);
}

async fn with_a_first_server_that_is(mood: Mood) -> House {
    let (first, well) = (two_shards().await, two_shards().await);
    first.mood(SERVICE, mood);
    let mut source = srv(&well);
    source.servers = vec![first.address(), well.address()];
    let mut house = House::start(&shards(vec![source]));
    house.has(&["web-0", "web-1"]).await;
    house
}

#[tokio::test]
async fn the_second_server_is_asked_when_the_first_is_broken() {
    let house = with_a_first_server_that_is(Mood::Broken).await;
    assert_eq!(house.failures("response"), 0);
}

#[tokio::test]
async fn the_second_server_is_asked_when_the_first_is_silent() {
    let house = with_a_first_server_that_is(Mood::Silent).await;
    assert_eq!(house.failures("timeout"), 0);
}

#[tokio::test]
async fn the_time_to_live_is_honoured() {
    let server = two_shards().await;
    let mut source = srv(&server);
    source.max_refresh = Duration::from_secs(60);
    let mut house = House::start(&shards(vec![source]));
    house.answered(1).await;
    let first = Instant::now();
    house.answered(1).await;
    // The TTL is 1 s; what passed between the answer and `first` is the allowance.
    assert!(first.elapsed() >= Duration::from_millis(700), "{:?}", first.elapsed());
}

#[tokio::test]
async fn large_answers_come_by_tcp_and_are_bounded() {
    let server = DnsServer::start().await;
    let ips: Vec<_> = (0..2_000_u32).map(|i| format!("10.1.{}.{}", i >> 8, i & 255)).collect();
    server.host("many.test", 1, &ips.iter().map(String::as_str).collect::<Vec<_>>());
    let record = DnsRecord::Host { shard: ShardName::new("many").unwrap(), host: "many.test".into(), port: 80 };
    let mut house = House::start(&shards(vec![source(&server, record)]));
    house.has(&["many"]).await;
    assert!(server.questions().1 >= 1, "no question came by TCP");
    assert_eq!(house.addresses("many").len(), 64);
}

#[tokio::test]
async fn five_thousand_targets_do_not_fit_and_change_nothing() {
    let server = two_shards().await;
    let mut house = House::start(&shards(vec![srv(&server)]));
    house.has(&["web-0", "web-1"]).await;
    let names: Vec<_> = (0..5_000).map(|i| format!("s{i}.web.test")).collect();
    let targets: Vec<_> = names.iter().map(|name| (0, 1, 80, name.as_str())).collect();
    server.service(SERVICE, 1, &targets);
    house
        .until("an error", |_, _, reports| reports.iter().any(|report| matches!(report, DiscoveryEvent::Failed { .. })))
        .await;
    house.pass(2 * HOLD_DOWN).await;
    assert_eq!(house.gone(), [""; 0]);
    assert_eq!(house.registry.view().iter().count(), 2);
}

#[tokio::test]
async fn more_targets_than_the_bound_are_cut() {
    let server = DnsServer::start().await;
    let names: Vec<_> = (0..1_100).map(|i| format!("s{i:04}.t")).collect();
    let targets: Vec<_> = names.iter().map(|name| (0, 1, 80, name.as_str())).collect();
    for name in &names {
        server.host(name, 1, &["127.0.0.2"]);
    }
    server.service("_h._tcp.t", 1, &targets);
    let record = DnsRecord::Srv { service: "_h._tcp.t".into() };
    let mut house = House::start(&shards(vec![source(&server, record)]));
    house.until("1024 shards", |set, _, _| set.iter().count() == 1_024).await;
    house
        .until("an error", |_, _, reports| {
            reports
                .iter()
                .any(|report| matches!(report, DiscoveryEvent::Failed { error, .. } if error.kind() == "bound"))
        })
        .await;
}

#[tokio::test]
async fn a_reload_takes_the_shards_of_a_removed_source_back() {
    let server = two_shards().await;
    let mut config = shards(vec![srv(&server)]);
    config.fixed = vec![fixed("hand")];
    let mut house = House::start(&config);
    house.has(&["hand", "web-0", "web-1"]).await;
    let before: BTreeMap<_, _> = house.handle.sources().cloned().map(|name| (name, ())).collect();
    assert_eq!(before.keys().map(|name| &**name).collect::<Vec<_>>(), ["dns:_http._tcp.web.test", "static"]);
    config.dns.clear();
    house.handle.replace(&config).await;
    house.has(&["hand"]).await;
    config.fixed.push(fixed("hand-2"));
    house.handle.replace(&config).await;
    house.has(&["hand", "hand-2"]).await;
    config.fixed.remove(0);
    house.handle.replace(&config).await;
    house.has(&["hand-2"]).await;
    // Nothing of the stopped source comes after.
    house.pass(Duration::from_millis(300)).await;
    house.has(&["hand-2"]).await;
}

#[tokio::test]
async fn without_sources_everything_is_settled() {
    let house = House::start(&Shards::default());
    assert!(house.handle.is_settled());
    house.handle.settled().await;
}
