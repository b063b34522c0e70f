use std::sync::Mutex;

use router_core::{
    registry::{Registry, RegistrySettings, ShardEvent},
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};

use super::*;

fn spec(name: &str) -> ShardSpec {
    ShardSpec {
        name: ShardName::new(name).unwrap(),
        addresses: vec!["127.0.0.1:80".parse().unwrap()],
        weight: 100,
        state: ShardState::Ready,
        agent_port: None,
    }
}

fn dns(record: DnsRecord) -> DnsSource {
    DnsSource {
        record,
        servers: vec!["127.0.0.1:53".parse().unwrap()],
        hold_down: Duration::from_secs(30),
        min_refresh: Duration::from_secs(1),
        max_refresh: Duration::from_secs(30),
        weight: 100,
        agent_port: None,
    }
}

fn listed(input: ShardInput) -> (String, Vec<String>, Duration) {
    match input {
        ShardInput::Discovered { source, shards, hold_down } => {
            (source.to_string(), shards.iter().map(|shard| shard.name.to_string()).collect(), hold_down)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sources_have_distinct_names() {
    let service = |name: &str| dns(DnsRecord::Srv { service: name.into() });
    let host = DnsRecord::Host { shard: ShardName::new("one").unwrap(), host: "Web.Test".into(), port: 80 };
    let config = Shards {
        fixed: vec![spec("a")],
        dns: vec![service("_h._tcp.X.test."), service("_h._tcp.x.test"), dns(host)],
        ..Shards::default()
    };
    let names: Vec<_> = sources(&config).into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["static", "dns:_h._tcp.x.test", "dns:_h._tcp.x.test#2", "dns:web.test:80"]);
    assert_eq!(sources(&Shards::default()), []);
}

#[tokio::test]
async fn a_fixed_list_is_told_once_without_hold_down_and_replaced_by_reload() {
    let (sender, mut inputs) = mpsc::channel(8);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let mut config = Shards { fixed: vec![spec("a"), spec("b")], dns: Vec::new(), ..Shards::default() };
    let mut handle = Discovery::spawn(&config, sender, Arc::new(move |event| sink.lock().unwrap().push(event)));
    handle.settled().await;
    assert_eq!(listed(inputs.try_recv().unwrap()), ("static".into(), vec!["a".into(), "b".into()], Duration::ZERO));
    assert_eq!(*reports.lock().unwrap(), [DiscoveryEvent::Answered { source: "static".into(), shards: 2 }]);

    handle.replace(&config).await;
    handle.settled().await;
    assert!(inputs.try_recv().is_err(), "an equal configuration changes nothing");

    config.fixed.pop();
    handle.replace(&config).await;
    handle.settled().await;
    assert_eq!(listed(inputs.try_recv().unwrap()).1, ["a"]);

    handle.replace(&Shards::default()).await;
    assert_eq!(listed(inputs.try_recv().unwrap()), ("static".into(), vec![], Duration::ZERO));
    assert!(inputs.try_recv().is_err());
    handle.stop().await;
}

#[tokio::test]
async fn a_new_source_can_take_over_the_shards_of_a_vanished_one() {
    let (sender, mut inputs) = mpsc::channel(8);
    // The host is an address, so no server is asked.
    let host = DnsRecord::Host { shard: ShardName::new("a").unwrap(), host: "127.0.0.1".into(), port: 80 };
    let config = Shards { fixed: vec![spec("a")], dns: Vec::new(), ..Shards::default() };
    let mut handle = Discovery::spawn(&config, sender, Arc::new(|_| ()));
    handle.settled().await;
    handle.replace(&Shards { fixed: Vec::new(), dns: vec![dns(host)], ..Shards::default() }).await;
    handle.settled().await;

    let mut registry = Registry::new(RegistrySettings::default());
    let mut events = Vec::new();
    while let Ok(input) = inputs.try_recv() {
        events.extend(registry.handle(input, Timestamp(0)));
    }
    events.extend(registry.handle(ShardInput::Tick, Timestamp(0) + 2 * HANDOVER));
    assert!(
        !events.iter().any(|event| matches!(event, ShardEvent::Gone(_) | ShardEvent::Refused { .. })),
        "{events:?}"
    );
    assert_eq!(&*registry.view().by_name("a").unwrap().source, "dns:127.0.0.1:80");
}

#[test]
fn errors_have_a_word_each() {
    let query = || "SRV x".to_owned();
    let errors = [
        DiscoveryError::Timeout { query: query() },
        DiscoveryError::NoSuchName { query: query() },
        DiscoveryError::NoRecords { query: query() },
        DiscoveryError::Response { query: query(), code: "SERVFAIL".into() },
    ];
    assert_eq!(errors.each_ref().map(DiscoveryError::kind), ["timeout", "nxdomain", "empty", "response"]);
    assert_eq!(errors[3].to_string(), "SRV x: the DNS server answers SERVFAIL");
}
