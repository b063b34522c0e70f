//! One shard: what each source says about it, and what that comes to.

use std::{net::SocketAddr, sync::Arc};

use super::{ProbeKind, RegistrySettings, ShardEvent, Votes};
use crate::{
    agent_check::{AgentAdmin, AgentHealth, AgentReply, AgentWeight, MAX_WEIGHT},
    health::RiseFall,
    placement,
    shard::{ShardId, ShardName, ShardSpec, ShardState},
    shard_set::{AgentSays, Shard},
    time::Timestamp,
};

/// Longest reason kept, in characters: it comes from the network.
const MAX_REASON: usize = 200;

/// A probe's verdict and its last complaint.
#[derive(Debug)]
struct Probe {
    check: RiseFall,
    complaint: String,
}

impl Probe {
    fn new((rise, fall): (u32, u32)) -> Self {
        Self { check: RiseFall::new(rise, fall), complaint: String::new() }
    }

    /// The same probe under other counts; `None` when it is switched off.
    fn with_counts(probe: Option<Self>, counts: Option<(u32, u32)>) -> Option<Self> {
        let (rise, fall) = counts?;
        Some(match probe {
            None => Self::new((rise, fall)),
            Some(mut probe) => {
                probe.check.set_counts(rise, fall);
                probe
            }
        })
    }

    fn record(&mut self, result: Result<(), String>) {
        let verdict = self.check.record(result.is_ok());
        // The complaint that took it down stays; later ones would make a new picture with every probe.
        if let (Err(complaint), Some(false)) = (result, verdict) {
            self.complaint = complaint.chars().take(MAX_REASON).collect();
        }
    }
}

/// How long a shard that its source no longer lists stays.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    Listed,
    Until(Timestamp),
}

#[derive(Debug)]
pub(super) struct Entry {
    id: ShardId,
    name: ShardName,
    seed: u64,
    source: Arc<str>,
    presence: Presence,
    addresses: Arc<[SocketAddr]>,
    weight: u16,
    discovery: ShardState,
    agent_port: Option<u16>,
    /// The probes; `None` while switched off.
    tcp: Option<Probe>,
    http: Option<Probe>,
    agent_health: Option<Probe>,
    agent: Option<AgentSays>,
    settings: RegistrySettings,
}

impl Entry {
    /// A shard that nobody has listed yet.
    pub(super) fn awaited(id: ShardId, name: ShardName, until: Timestamp, settings: RegistrySettings) -> Self {
        Self {
            id,
            seed: placement::seed(&name),
            name,
            source: Arc::from(""),
            presence: Presence::Until(until),
            addresses: Arc::from([]),
            weight: 0,
            discovery: ShardState::Ready,
            agent_port: None,
            tcp: settings.tcp.map(Probe::new),
            http: settings.http.map(Probe::new),
            agent_health: settings.agent.map(Probe::new),
            agent: None,
            settings,
        }
    }

    pub(super) fn name(&self) -> &ShardName {
        &self.name
    }

    pub(super) fn is_of(&self, source: &Arc<str>) -> bool {
        self.source == *source
    }

    pub(super) fn id(&self) -> ShardId {
        self.id
    }

    /// Whether its time here is over. While replicas vote on it, that takes their majority: they may still see it, and
    /// its rooms with it.
    pub(super) fn outlived(&self, now: Timestamp, votes: Option<Votes>) -> bool {
        self.is_gone(now) && votes.is_none_or(Votes::say_down)
    }

    /// This replica's sources have lost it for good.
    fn is_gone(&self, now: Timestamp) -> bool {
        matches!(self.presence, Presence::Until(end) if end <= now)
    }

    /// What this replica alone finds: true if it is down or gone, nothing while it is only awaited.
    pub(super) fn finding(&self, now: Timestamp) -> Option<bool> {
        if self.is_gone(now) {
            return Some(true);
        }
        (!self.addresses.is_empty()).then(|| self.health() == ShardState::Down)
    }

    /// A source lists it. Two sources that list one name at a time are a mistake, and the first one stays; a source
    /// takes over what another one ceased to list.
    pub(super) fn listed(&mut self, source: &Arc<str>, spec: ShardSpec) -> Result<(), String> {
        if self.presence == Presence::Listed && !self.is_of(source) {
            return Err(format!("{source} lists it, and so does {}", self.source));
        }
        self.source = Arc::clone(source);
        self.presence = Presence::Listed;
        self.weight = spec.weight.min(MAX_WEIGHT);
        self.discovery = spec.state;
        if *self.addresses != *spec.addresses {
            self.addresses = spec.addresses.into();
        }
        if spec.agent_port.is_none() {
            // Nobody is left to take its words back.
            self.agent = None;
            self.agent_health = self.settings.agent.map(Probe::new);
        }
        self.agent_port = spec.agent_port;
        Ok(())
    }

    /// Its source ceased to list it; the first list without it sets the end.
    pub(super) fn unlisted(&mut self, end: Timestamp) {
        if self.presence == Presence::Listed {
            self.presence = Presence::Until(end);
        }
    }

    pub(super) fn probed(&mut self, probe: ProbeKind, result: Result<(), String>) {
        let probe = match probe {
            ProbeKind::Tcp => &mut self.tcp,
            ProbeKind::Http => &mut self.http,
            ProbeKind::Agent => return,
        };
        // A late result of a probe that a reload has switched off finds nothing to change.
        if let Some(probe) = probe {
            probe.record(result);
        }
    }

    /// Other counts, from a reload.
    pub(super) fn set_settings(&mut self, settings: RegistrySettings) {
        self.settings = settings;
        self.tcp = Probe::with_counts(self.tcp.take(), settings.tcp);
        self.http = Probe::with_counts(self.http.take(), settings.http);
        self.agent_health = Probe::with_counts(self.agent_health.take(), settings.agent);
        if settings.agent.is_none() {
            self.agent = None;
        }
    }

    pub(super) fn agent_said(&mut self, reply: AgentReply) {
        let Some(health) = &mut self.agent_health else { return };
        match reply.health {
            Some(AgentHealth::Up) => health.record(Ok(())),
            Some(AgentHealth::Down { reason }) => {
                health.record(Err(reason.unwrap_or_else(|| "down".into())));
            }
            None => {}
        }
        let says = self.agent.get_or_insert_default();
        says.weight = reply.weight.or(says.weight);
        says.admin = reply.admin.or(says.admin);
        says.down = (!health.check.is_up()).then(|| health.complaint.clone());
    }

    /// In hundredths, capped where HAProxy caps it.
    fn effective_weight(&self) -> u32 {
        let (weight, most) = (u32::from(self.weight), u32::from(MAX_WEIGHT) * 100);
        match self.agent.as_ref().and_then(|says| says.weight) {
            None => weight * 100,
            Some(AgentWeight::Percent(percent)) => (weight * u32::from(percent)).min(most),
            Some(AgentWeight::Absolute(weight)) => (u32::from(weight) * 100).min(most),
        }
    }

    fn health(&self) -> ShardState {
        let up = [&self.tcp, &self.http].into_iter().flatten().all(|probe| probe.check.is_up());
        if up { ShardState::Ready } else { ShardState::Down }
    }

    fn complaints(&self) -> Vec<String> {
        let probes = [(&self.tcp, "TCP"), (&self.http, "HTTP")].into_iter();
        let failed = probes.filter_map(|(probe, kind)| Some((probe.as_ref().filter(|p| !p.check.is_up())?, kind)));
        failed.map(|(probe, kind)| format!("{kind} probe: {}", probe.complaint)).collect()
    }

    /// Everything that keeps it from being ready: how strict, and the words for it.
    fn verdicts(&self, operator: Option<ShardState>, votes: Option<Votes>) -> Vec<(ShardState, String)> {
        use ShardState::{Down, Draining};
        let mut verdicts = Vec::new();
        let mut say = |state: ShardState, words: String| verdicts.push((state, words));
        if self.addresses.is_empty() {
            say(Down, "named by pins, not discovered yet".into());
            return verdicts;
        }
        say(self.discovery, format!("{} says {}", self.source, self.discovery.as_str()));
        if let Some(state) = operator {
            say(state, format!("an operator says {}", state.as_str()));
        }
        let own = || self.complaints().join("; ");
        match votes {
            Some(votes) if votes.say_down() && self.health() == Down => say(Down, format!("{votes}; here: {}", own())),
            Some(votes) if votes.say_down() => say(Down, votes.to_string()),
            Some(_) => {}
            None if self.health() == Down => say(Down, own()),
            None => {}
        }
        if let Some(says) = &self.agent {
            match says.admin {
                Some(AgentAdmin::Drain) => say(Draining, "its agent says drain".into()),
                Some(AgentAdmin::Maint) => say(Down, "its agent says maint".into()),
                Some(AgentAdmin::Ready) | None => {}
            }
            if let Some(reason) = &says.down {
                say(Down, format!("its agent says down: {reason}"));
            }
        }
        if self.effective_weight() == 0 {
            // As HAProxy shows it: weight 0 is DRAIN.
            say(Draining, "its weight is 0".into());
        }
        verdicts
    }

    /// The picture of it. The strictest verdict wins; the words are those of all that are as strict.
    pub(super) fn view(&self, operator: Option<ShardState>, votes: Option<Votes>) -> Shard {
        let verdicts = self.verdicts(operator, votes);
        let state = verdicts.iter().map(|v| v.0).max().unwrap_or_default();
        let strictest = verdicts.into_iter().filter(|v| v.0 == state).map(|v| v.1);
        let why = match state {
            ShardState::Ready if self.health() == ShardState::Down => {
                let votes = votes.map(|votes| votes.to_string()).unwrap_or_default();
                format!("outvoted: {votes}; here: {}", self.complaints().join("; "))
            }
            ShardState::Ready => "nobody objects".into(),
            _ => strictest.collect::<Vec<_>>().join("; "),
        };
        let awaited_until = match (&self.presence, votes) {
            (Presence::Until(_), Some(votes)) if self.addresses.is_empty() && votes.say_down() => Timestamp(0),
            // Somebody sees it, so it will be found here too.
            (Presence::Until(_), Some(_)) if self.addresses.is_empty() => Timestamp(u64::MAX),
            (&Presence::Until(end), None) if self.addresses.is_empty() => end,
            _ => Timestamp(0),
        };
        Shard {
            id: self.id,
            name: self.name.clone(),
            addresses: Arc::clone(&self.addresses),
            weight: self.effective_weight(),
            state,
            discovery: self.discovery,
            operator,
            health: self.health(),
            votes,
            agent: self.agent.clone(),
            why,
            agent_port: self.agent_port,
            present: self.presence == Presence::Listed,
            source: Arc::clone(&self.source),
            awaited_until,
            seed: self.seed,
        }
    }
}

/// What a human or a log wants to know about a shard's new picture.
pub(super) fn differences(old: Option<&Shard>, new: &Shard, events: &mut Vec<ShardEvent>) {
    let shard = || new.name.clone();
    // A place kept for restored pins is not a shard yet: it is added when a source lists it.
    if new.addresses.is_empty() {
        return;
    }
    let Some(old) = old.filter(|old| !old.addresses.is_empty()) else {
        events.push(ShardEvent::Added(shard()));
        if new.state != ShardState::Ready {
            let (from, to, why) = (ShardState::Ready, new.state, new.why.clone());
            events.push(ShardEvent::Changed { shard: shard(), from, to, why });
        }
        return;
    };
    if old.addresses != new.addresses {
        events.push(ShardEvent::Readdressed(shard()));
    }
    if old.weight != new.weight {
        events.push(ShardEvent::Reweighted { shard: shard(), from: old.weight, to: new.weight });
    }
    if old.state != new.state {
        let (from, to, why) = (old.state, new.state, new.why.clone());
        events.push(ShardEvent::Changed { shard: shard(), from, to, why });
    }
}
