mod model;

use std::time::Duration;

use super::*;
use crate::agent_check;
use crate::shard::ShardState::{Down, Draining, Ready};

pub(super) fn name(name: &str) -> ShardName {
    ShardName::new(name).unwrap()
}

fn spec(shard: &str, port: u16) -> ShardSpec {
    ShardSpec {
        name: name(shard),
        addresses: vec![([127, 0, 0, 1], port).into()],
        weight: 10,
        state: Ready,
        agent_port: Some(6060),
    }
}

const HOLD: Duration = Duration::from_secs(30);
const SECOND: u64 = 1000;

struct Bench {
    registry: Registry,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        let settings = RegistrySettings { tcp: Some((2, 2)), http: Some((2, 2)), agent: Some((1, 1)) };
        Self { registry: Registry::new(settings), now: 1000 }
    }

    fn with(shards: &[&str]) -> Self {
        let mut bench = Self::new();
        bench.list("dns", &shards.iter().map(|s| spec(s, 80)).collect::<Vec<_>>());
        bench
    }

    fn input(&mut self, input: ShardInput) -> Vec<ShardEvent> {
        self.registry.handle(input, Timestamp(self.now))
    }

    fn list(&mut self, source: &str, shards: &[ShardSpec]) -> Vec<ShardEvent> {
        self.input(ShardInput::Discovered { source: source.into(), shards: shards.to_vec(), hold_down: HOLD })
    }

    fn probe(&mut self, shard: &str, probe: ProbeKind, ok: bool) -> Vec<ShardEvent> {
        let result = if ok { Ok(()) } else { Err("connection refused".into()) };
        self.input(ShardInput::Probed { shard: name(shard), probe, result })
    }

    fn agent(&mut self, shard: &str, line: &str) -> Vec<ShardEvent> {
        let reply = agent_check::parse(line.as_bytes()).unwrap();
        self.input(ShardInput::Agent { shard: name(shard), reply })
    }

    fn operator(&mut self, shard: &str, state: Option<ShardState>) -> Vec<ShardEvent> {
        self.input(ShardInput::Operator { shard: name(shard), state })
    }

    fn shard(&self, shard: &str) -> crate::shard_set::Shard {
        self.registry.view().by_name(shard).unwrap().clone()
    }

    fn state(&self, shard: &str) -> ShardState {
        self.shard(shard).state
    }
}

#[test]
fn shards_come_and_are_found() {
    let mut bench = Bench::new();
    let events = bench.list("dns", &[spec("b", 80), spec("a", 80)]);
    assert_eq!(events, [ShardEvent::Added(name("a")), ShardEvent::Added(name("b"))]);
    let view = bench.registry.view();
    assert_eq!(view.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let a = view.by_name("a").unwrap();
    assert_eq!(view.get(a.id), Some(a));
    assert_eq!((a.state, a.weight, a.present, &*a.source), (Ready, 1000, true, "dns"));
    assert!(view.by_name("c").is_none() && view.get(ShardId(9)).is_none());
    assert_eq!(bench.list("dns", &[spec("b", 80), spec("a", 80)]), []);
}

#[test]
fn one_thin_answer_removes_nobody() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.now += 3600 * SECOND;
    assert_eq!(bench.list("dns", &[spec("a", 80)]), []);
    let b = bench.shard("b");
    assert!(b.takes_rooms() && !b.present);
    bench.now += 29 * SECOND;
    assert_eq!(bench.input(ShardInput::Tick), []);
    assert_eq!(bench.list("dns", &[spec("a", 80), spec("b", 80)]), []);
    bench.now += 60 * SECOND;
    assert_eq!(bench.input(ShardInput::Tick), []);
    assert!(bench.shard("b").present);
}

#[test]
fn what_stays_away_is_gone_after_the_hold_down() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.list("dns", &[spec("a", 80)]);
    bench.now += 20 * SECOND;
    // Further lists without it do not prolong its stay; nor does one without an address for it.
    let empty = ShardSpec { addresses: vec![], ..spec("b", 80) };
    assert_eq!(bench.list("dns", &[spec("a", 80), empty]), []);
    bench.now += 10 * SECOND;
    let id = bench.shard("b").id;
    assert_eq!(bench.input(ShardInput::Tick), [ShardEvent::Gone(name("b"))]);
    let view = bench.registry.view();
    assert_eq!((view.get(id), view.name(id)), (None, Some(&name("b"))));
    bench.list("dns", &[spec("b", 80)]);
    assert_eq!(bench.shard("b").id, id, "a name keeps its number");
}

#[test]
fn without_a_hold_down_it_is_gone_at_once() {
    let mut bench = Bench::with(&["a", "b"]);
    let (source, shards) = ("dns".into(), vec![spec("a", 80)]);
    let events = bench.input(ShardInput::Discovered { source, shards, hold_down: Duration::ZERO });
    assert_eq!(events, [ShardEvent::Gone(name("b"))]);
}

#[test]
fn addresses_and_weights_change_in_place() {
    let mut bench = Bench::with(&["a"]);
    let id = bench.shard("a").id;
    assert_eq!(bench.list("dns", &[spec("a", 81)]), [ShardEvent::Readdressed(name("a"))]);
    let events = bench.list("dns", &[ShardSpec { weight: 20, ..spec("a", 81) }]);
    assert_eq!(events, [ShardEvent::Reweighted { shard: name("a"), from: 1000, to: 2000 }]);
    assert_eq!(bench.shard("a").id, id);
}

#[test]
fn sources_keep_to_their_own() {
    let mut bench = Bench::with(&["a"]);
    let refused = bench.list("static", &[spec("a", 99), spec("b", 99), spec("b", 98)]);
    assert_eq!(refused.len(), 3);
    assert!(matches!(&refused[0], ShardEvent::Refused { shard, .. } if *shard == name("a")));
    assert!(matches!(&refused[1], ShardEvent::Refused { shard, .. } if *shard == name("b")));
    assert_eq!(bench.shard("a").addresses[0].port(), 80);
    assert_eq!(bench.shard("b").addresses[0].port(), 99);
    assert_eq!(bench.list("static", &[spec("a", 99), spec("b", 99), spec("b", 98)]), [], "said once");
    // The one source's list says nothing about the other's shards.
    bench.list("dns", &[]);
    assert!(bench.shard("b").present && !bench.shard("a").present);
    // What the one gave up, the other takes over, without a gap.
    let events = bench.list("static", &[spec("a", 99), spec("b", 99)]);
    assert_eq!(events, [ShardEvent::Readdressed(name("a"))]);
    assert_eq!(&*bench.shard("a").source, "static");
}

#[test]
fn names_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..MAX_SHARD_NAMES {
        assert!(bench.registry.names.intern(&name(&format!("s{n}"))).is_some());
    }
    let events = bench.list("dns", &[spec("one-more", 80), spec("s7", 80)]);
    assert!(
        matches!(&events[..], [ShardEvent::Refused { shard, .. }, ShardEvent::Added(_)] if *shard == name("one-more"))
    );
    let mut ids = HashMap::new();
    bench.registry.keep_places(&[name("another"), name("s9")], Timestamp(u64::MAX), &mut ids);
    assert_eq!((ids[&name("another")], ids[&name("s9")]), (None, Some(ShardId(9))));
}

#[test]
fn probes_rise_and_fall() {
    let mut bench = Bench::with(&["a"]);
    bench.probe("a", ProbeKind::Tcp, true);
    bench.probe("a", ProbeKind::Http, true);
    assert_eq!(bench.probe("a", ProbeKind::Http, false), []);
    let events = bench.probe("a", ProbeKind::Http, false);
    let why = "HTTP probe: connection refused".to_owned();
    assert_eq!(events, [ShardEvent::Changed { shard: name("a"), from: Ready, to: Down, why }]);
    assert_eq!(bench.shard("a").health, Down);
    // Another probe that is content does not speak for this one.
    bench.probe("a", ProbeKind::Tcp, true);
    assert_eq!(bench.state("a"), Down);
    bench.probe("a", ProbeKind::Http, true);
    assert_eq!(bench.probe("a", ProbeKind::Http, true).len(), 1);
    assert_eq!(bench.state("a"), Ready);
}

#[test]
fn an_agent_that_cannot_be_reached_changes_nothing() {
    let mut bench = Bench::with(&["a"]);
    bench.agent("a", "drain");
    for _ in 0..10 {
        assert_eq!(bench.probe("a", ProbeKind::Agent, false), []);
    }
    assert_eq!(bench.state("a"), Draining);
}

#[test]
fn an_agents_words_stay_until_it_takes_them_back() {
    let mut bench = Bench::with(&["a"]);
    bench.agent("a", "drain");
    assert_eq!(bench.state("a"), Draining);
    bench.agent("a", "50%");
    assert_eq!((bench.state("a"), bench.shard("a").weight), (Draining, 500));
    bench.agent("a", "up");
    assert_eq!(bench.state("a"), Draining, "up ends only a down");
    bench.agent("a", "maint");
    assert_eq!(bench.state("a"), Down);
    bench.agent("a", "ready");
    assert_eq!(bench.state("a"), Ready);
    bench.agent("a", "fail#no focus");
    let shard = bench.shard("a");
    assert_eq!((shard.state, shard.health, shard.why.as_str()), (Down, Ready, "its agent says down: no focus"));
    bench.agent("a", "ready");
    assert_eq!(bench.state("a"), Down, "ready ends only a drain or maint");
    bench.agent("a", "up");
    assert_eq!(bench.state("a"), Ready);
    bench.agent("a", "0%");
    assert_eq!((bench.state("a"), bench.shard("a").weight), (Draining, 0));
    bench.agent("a", "weight:256");
    assert_eq!((bench.state("a"), bench.shard("a").weight), (Ready, 25_600));
    bench.agent("a", "25600%");
    assert_eq!(bench.shard("a").weight, 25_600);
}

#[test]
fn an_agent_is_no_health_check() {
    let mut bench = Bench::with(&["a"]);
    bench.probe("a", ProbeKind::Tcp, false);
    bench.agent("a", "up ready 100%");
    assert_eq!(bench.state("a"), Down, "up counts only if the probes agree");
}

#[test]
fn words_of_an_agent_that_is_no_more_are_forgotten() {
    let mut bench = Bench::with(&["a"]);
    bench.agent("a", "down maint 0%");
    bench.list("dns", &[ShardSpec { agent_port: None, ..spec("a", 80) }]);
    assert_eq!((bench.state("a"), bench.shard("a").agent), (Ready, None));
}

#[test]
fn an_order_outlives_the_shard() {
    let mut bench = Bench::with(&["a"]);
    assert_eq!(bench.operator("a", Some(Draining)).len(), 1);
    bench.list("dns", &[]);
    bench.now += 30 * SECOND;
    assert_eq!(bench.input(ShardInput::Tick), [ShardEvent::Gone(name("a"))]);
    let events = bench.list("dns", &[spec("a", 80)]);
    assert!(matches!(&events[..], [ShardEvent::Added(_), ShardEvent::Changed { to: Draining, .. }]));
    bench.operator("a", None);
    assert_eq!(bench.state("a"), Ready);
    assert!(matches!(&bench.operator("x", Some(Down))[..], [ShardEvent::Refused { .. }]));
}

#[test]
fn every_strictest_reason_is_named() {
    let mut bench = Bench::with(&["a"]);
    bench.operator("a", Some(Draining));
    bench.agent("a", "drain");
    assert_eq!(bench.shard("a").why, "an operator says draining; its agent says drain");
    bench.operator("a", Some(Down));
    assert_eq!(bench.shard("a").why, "an operator says down");
}

#[test]
fn what_is_said_about_strangers_is_nothing() {
    let mut bench = Bench::with(&["a"]);
    assert_eq!(bench.probe("x", ProbeKind::Tcp, false), []);
    assert_eq!(bench.agent("x", "down"), []);
    assert_eq!(bench.registry.view().len(), 1);
}

#[test]
fn other_counts_hold_from_the_next_probe_on() {
    let mut bench = Bench::with(&["a"]);
    bench.probe("a", ProbeKind::Tcp, true);
    let counts = |tcp| RegistrySettings { tcp, ..RegistrySettings::default() };
    assert_eq!(bench.registry.set_settings(counts(Some((3, 1)))), []);
    bench.probe("a", ProbeKind::Tcp, false);
    assert_eq!(bench.state("a"), Down, "one failure is enough now");
    bench.probe("a", ProbeKind::Tcp, true);
    assert_eq!(bench.registry.set_settings(counts(Some((1, 1)))), [], "the verdict stays");
    assert_eq!(bench.state("a"), Down);
    bench.probe("a", ProbeKind::Tcp, true);
    assert_eq!(bench.state("a"), Ready);
    // A shard that comes later is judged by them too.
    bench.list("dns", &[spec("a", 80), spec("b", 81)]);
    bench.probe("b", ProbeKind::Tcp, true);
    bench.probe("b", ProbeKind::Tcp, false);
    assert_eq!(bench.state("b"), Down);
}

#[test]
fn a_probe_that_is_switched_off_has_no_say_any_more() {
    let mut bench = Bench::with(&["a"]);
    bench.probe("a", ProbeKind::Tcp, false);
    bench.agent("a", "maint 10%");
    assert_eq!((bench.state("a"), bench.shard("a").weight), (Down, 100));
    let events =
        bench.registry.set_settings(RegistrySettings { tcp: None, agent: None, ..RegistrySettings::default() });
    assert!(
        matches!(events.as_slice(), [ShardEvent::Reweighted { .. }, ShardEvent::Changed { to: Ready, .. }]),
        "{events:?}"
    );
    assert_eq!((bench.shard("a").health, bench.shard("a").agent), (Ready, None));
    // What they say late is not heard.
    assert_eq!(bench.probe("a", ProbeKind::Tcp, false), []);
    assert_eq!(bench.agent("a", "down"), []);
    assert_eq!(bench.state("a"), Ready);
    // Switched on again it starts afresh.
    bench.registry.set_settings(RegistrySettings::default());
    assert_eq!(bench.state("a"), Ready);
    bench.probe("a", ProbeKind::Tcp, false);
    assert_eq!(bench.state("a"), Down);
}
