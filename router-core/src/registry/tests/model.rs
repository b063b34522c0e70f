//! The registry against a model that knows nothing of increments: it keeps every source's last word and takes the
//! strictest.

use proptest::prelude::*;

use super::*;
use crate::agent_check::{AgentAdmin, AgentHealth, AgentReply, AgentWeight};

#[derive(Clone, Debug)]
enum Step {
    List { state: ShardState, weight: u16 },
    Probe { tcp: bool, ok: bool },
    Agent(AgentReply),
    Operator(Option<ShardState>),
}

fn states() -> impl Strategy<Value = ShardState> {
    prop::sample::select(vec![Ready, Draining, Down])
}

fn steps() -> impl Strategy<Value = Step> {
    let admin = prop::sample::select(vec![AgentAdmin::Ready, AgentAdmin::Drain, AgentAdmin::Maint]);
    let health = prop::sample::select(vec![AgentHealth::Up, AgentHealth::Down { reason: None }]);
    let weight = prop_oneof![
        (0u16..=200).prop_map(AgentWeight::Percent),
        Just(AgentWeight::Percent(0)),
        (0u16..=256).prop_map(AgentWeight::Absolute),
    ];
    let reply = (prop::option::of(admin), prop::option::of(health), prop::option::of(weight))
        .prop_map(|(admin, health, weight)| AgentReply { admin, health, weight, maxconn: None });
    prop_oneof![
        (states(), 0u16..=256).prop_map(|(state, weight)| Step::List { state, weight }),
        (any::<bool>(), any::<bool>()).prop_map(|(tcp, ok)| Step::Probe { tcp, ok }),
        reply.prop_map(Step::Agent),
        prop::option::of(states()).prop_map(Step::Operator),
    ]
}

#[derive(Default)]
struct Model {
    discovery: ShardState,
    weight: u16,
    tcp_down: bool,
    http_down: bool,
    agent_down: bool,
    admin: Option<AgentAdmin>,
    agent_weight: Option<AgentWeight>,
    operator: Option<ShardState>,
}

impl Model {
    fn take(&mut self, step: &Step) {
        match step {
            Step::List { state, weight } => (self.discovery, self.weight) = (*state, *weight),
            // With rise 1 and fall 1 the last result is the verdict.
            Step::Probe { tcp: true, ok } => self.tcp_down = !ok,
            Step::Probe { tcp: false, ok } => self.http_down = !ok,
            Step::Agent(reply) => {
                self.admin = reply.admin.or(self.admin);
                self.agent_weight = reply.weight.or(self.agent_weight);
                match reply.health {
                    Some(AgentHealth::Up) => self.agent_down = false,
                    Some(AgentHealth::Down { .. }) => self.agent_down = true,
                    None => {}
                }
            }
            Step::Operator(state) => self.operator = *state,
        }
    }

    fn weight(&self) -> u32 {
        let weight = match self.agent_weight {
            None => u32::from(self.weight) * 100,
            Some(AgentWeight::Percent(percent)) => u32::from(self.weight) * u32::from(percent),
            Some(AgentWeight::Absolute(weight)) => u32::from(weight) * 100,
        };
        weight.min(25_600)
    }

    fn state(&self) -> ShardState {
        let down = self.tcp_down
            || self.http_down
            || self.agent_down
            || self.admin == Some(AgentAdmin::Maint)
            || self.discovery == Down
            || self.operator == Some(Down);
        let draining = self.admin == Some(AgentAdmin::Drain)
            || self.discovery == Draining
            || self.operator == Some(Draining)
            || self.weight() == 0;
        match (down, draining) {
            (true, _) => Down,
            (false, true) => Draining,
            (false, false) => Ready,
        }
    }
}

proptest! {
    #[test]
    fn the_strictest_wins(steps in prop::collection::vec(steps(), 1..40)) {
        let settings = RegistrySettings { tcp: Some((1, 1)), http: Some((1, 1)), agent: Some((1, 1)) };
        let mut bench = Bench { registry: Registry::new(settings), now: 1 };
        let mut model = Model { weight: 10, ..Model::default() };
        bench.list("dns", &[spec("a", 80), spec("b", 80)]);
        for step in steps {
            let before = bench.state("a");
            model.take(&step);
            let events = bench.input(match step {
                Step::List { state, weight } => ShardInput::Discovered {
                    source: "dns".into(),
                    shards: vec![ShardSpec { state, weight, ..spec("a", 80) }, spec("b", 80)],
                    hold_down: HOLD,
                },
                Step::Probe { tcp, ok } => ShardInput::Probed {
                    shard: name("a"),
                    probe: if tcp { ProbeKind::Tcp } else { ProbeKind::Http },
                    result: if ok { Ok(()) } else { Err("no".into()) },
                },
                Step::Agent(reply) => ShardInput::Agent { shard: name("a"), reply },
                Step::Operator(state) => ShardInput::Operator { shard: name("a"), state },
            });
            let a = bench.shard("a");
            prop_assert_eq!(a.state, model.state(), "{}", a.why);
            prop_assert_eq!(a.weight, model.weight());
            prop_assert_eq!(a.takes_rooms(), a.state == Ready);
            // Whoever only listens to events knows the state too.
            let told = events.iter().find_map(|e| match e {
                ShardEvent::Changed { from, to, .. } => Some((*from, *to)),
                _ => None,
            });
            prop_assert_eq!(told, (before != a.state).then_some((before, a.state)));
            prop_assert_eq!(bench.state("b"), Ready, "the others are left alone");
        }
    }
}
