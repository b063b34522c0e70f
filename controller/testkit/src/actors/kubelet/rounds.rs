//! The kubelet's rounds: one small state machine for each pod on a node that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::status::{self, Report};
use super::{Behaviour, Kubelet, nowhere, on_the_loopback};
use crate::actors::Actor;
use crate::actors::pods::PODS;
use crate::actors::world::{Trouble, World, deleting, finished, items, name, path_of, text, time, uid};

const NODES: &str = "/api/v1/nodes";
/// How long a pod that crashed waits before its next run, doubled each time up to five minutes.
const FIRST_BACK_OFF: u64 = 10;

/// The kubelet at work.
pub(in crate::actors) struct Rounds {
    script: Kubelet,
    lives: BTreeMap<String, Life>,
    new_address: fn() -> Ipv4Addr,
}

/// What the kubelet knows of a pod beyond its status.
#[derive(Clone, Debug)]
struct Life {
    stage: Stage,
    restarts: u32,
    last_exit: Option<(i32, Timestamp)>,
    address: String,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Starting { since: Timestamp },
    Running { since: Timestamp },
    BackOff { until: Timestamp },
    Stopping { since: Timestamp, started: Timestamp },
    Ended { code: i32, at: Timestamp },
}

impl Rounds {
    pub(in crate::actors) fn new(script: Kubelet) -> Self {
        Self { script, lives: BTreeMap::new(), new_address: on_the_loopback }
    }

    /// Gives pods addresses that a real server takes as endpoints, where nobody can listen.
    pub(in crate::actors) fn listening_nowhere(mut self) -> Self {
        self.new_address = nowhere;
        self
    }
}

impl Actor for Rounds {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        world.watch(PODS);
        world.watch(NODES);
        let nodes = world.list(NODES).await?;
        let pods = world.list(PODS).await?;
        let seen: BTreeSet<&str> = pods.iter().map(uid).collect();
        self.lives.retain(|uid, _| seen.contains(uid.as_str()));
        let mut due: Option<Duration> = None;
        for pod in &pods {
            let Some(node) = nodes.iter().find(|node| name(node) == text(pod, "/spec/nodeName")) else { continue };
            if self.script.is_silent(name(node)) {
                continue;
            }
            if let Some(next) = self.step(world, pod, node).await? {
                due = Some(due.map_or(next, |due| due.min(next)));
            }
        }
        Ok(due)
    }
}

impl Rounds {
    /// Moves one pod on as far as time allows. Answers when it has to be looked at again.
    async fn step(&mut self, world: &World, pod: &Value, node: &Value) -> Result<Option<Duration>, Trouble> {
        let now = world.now();
        let host = host_address(node);
        if finished(pod) && !self.lives.contains_key(uid(pod)) {
            return self.see_off(world, pod).await;
        }
        let life = self.lives.entry(uid(pod).to_owned()).or_insert_with(|| {
            // A pod that ran before this kubelet began keeps its address and is simply found running.
            let known = text(pod, "/status/podIP");
            let stage = match text(pod, "/status/phase") {
                "Running" if !known.is_empty() => {
                    Stage::Running { since: time(pod, "/status/startTime").unwrap_or(now) }
                }
                _ => Stage::Starting { since: now },
            };
            let address = match (known.is_empty(), pod["spec"]["hostNetwork"] == true) {
                (false, _) => known.to_owned(),
                (true, true) => host.to_owned(),
                (true, false) => (self.new_address)().to_string(),
            };
            Life { stage, restarts: 0, last_exit: None, address }
        });
        let behaviour = self.script.behaviour(pod);
        let due = advance(life, pod, &behaviour, &self.script, now);
        let life = life.clone();
        let ready = match life.stage {
            Stage::Running { since } | Stage::Stopping { started: since, .. } => {
                let by_script = behaviour.ready_after.is_some_and(|after| passed(since, after, now).is_none());
                self.script.set_by_hand(pod).unwrap_or(by_script)
            }
            _ => false,
        };
        let report = report(&life, &behaviour, ready, host);
        let next = status::of(pod, &report, &world.stamp());
        world.set_status(&path_of("/api/v1", "pods", pod), pod, next).await?;
        if let Stage::Ended { .. } = life.stage
            && deleting(pod)
        {
            return self.see_off(world, pod).await;
        }
        // Not ready yet is a reason to come back as well.
        let to_readiness = match (life.stage, behaviour.ready_after) {
            (Stage::Running { since }, Some(after)) => passed(since, after, now),
            _ => None,
        };
        Ok([due, to_readiness].into_iter().flatten().min())
    }

    /// Takes a pod that has ended and is being deleted out of the API.
    async fn see_off(&self, world: &World, pod: &Value) -> Result<Option<Duration>, Trouble> {
        if deleting(pod) {
            world.delete(&path_of("/api/v1", "pods", pod), pod, json!({"gracePeriodSeconds": 0})).await?;
            self.script.forget(pod);
        }
        Ok(None)
    }
}

/// The time that is left until `after` has passed since `since`; `None` when it has.
fn passed(since: Timestamp, after: Duration, now: Timestamp) -> Option<Duration> {
    let gone = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    after.checked_sub(gone).filter(|left| !left.is_zero())
}

/// Goes through the stages whose time has come; answers how long the present one still lasts.
fn advance(life: &mut Life, pod: &Value, behaviour: &Behaviour, script: &Kubelet, now: Timestamp) -> Option<Duration> {
    if deleting(pod) {
        return stop(life, pod, behaviour, script, now);
    }
    if let Stage::Starting { since } = life.stage {
        if behaviour.no_image {
            return None;
        }
        if let Some(left) = passed(since, behaviour.start_after, now) {
            return Some(left);
        }
        life.stage = Stage::Running { since: now };
    }
    if let Stage::BackOff { until } = life.stage {
        if let Some(left) = passed(now, duration(until, now), now) {
            return Some(left);
        }
        life.restarts += 1;
        life.stage = Stage::Running { since: now };
    }
    if let Stage::Running { since } = life.stage {
        let code = match (script.take_exit(pod), behaviour.exit) {
            (Some(code), _) => code,
            (None, Some(exit)) => match passed(since, exit.after, now) {
                Some(left) => return Some(left),
                None => exit.code,
            },
            (None, None) => return None,
        };
        return ended(life, pod, code, now);
    }
    None
}

fn duration(until: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

/// What follows a run: another one after a while, or the pod's end.
fn ended(life: &mut Life, pod: &Value, code: i32, now: Timestamp) -> Option<Duration> {
    life.last_exit = Some((code, now));
    let again = match text(pod, "/spec/restartPolicy") {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    };
    if !again {
        life.stage = Stage::Ended { code, at: now };
        return None;
    }
    // The first restart comes at once, as the real one's does.
    let wait = if life.restarts == 0 { 0 } else { FIRST_BACK_OFF << (life.restarts - 1).min(5) };
    let wait = Duration::from_secs(wait.min(300));
    life.stage = Stage::BackOff { until: now.checked_add(wait).unwrap_or(Timestamp::MAX) };
    Some(wait.max(Duration::from_millis(1)))
}

/// A pod that is being deleted: told to stop, given its grace, then killed.
fn stop(life: &mut Life, pod: &Value, behaviour: &Behaviour, script: &Kubelet, now: Timestamp) -> Option<Duration> {
    match life.stage {
        Stage::Starting { .. } | Stage::BackOff { .. } => {
            let code = life.last_exit.map_or(137, |(code, _)| code);
            life.stage = Stage::Ended { code, at: now };
        }
        Stage::Running { since } => life.stage = Stage::Stopping { since: now, started: since },
        Stage::Stopping { .. } | Stage::Ended { .. } => {}
    }
    let Stage::Stopping { since, .. } = life.stage else { return None };
    let grace = time(pod, "/metadata/deletionTimestamp").map_or(Duration::ZERO, |kill| duration(kill, now));
    let leaving = passed(since, behaviour.on_stop.after, now);
    let code = match (script.take_exit(pod), leaving) {
        (Some(code), _) => code,
        (None, None) => behaviour.on_stop.code,
        (None, Some(_)) if grace.is_zero() => 137,
        (None, Some(left)) => return Some(left.min(grace)),
    };
    life.stage = Stage::Ended { code, at: now };
    None
}

fn report<'a>(life: &'a Life, behaviour: &Behaviour, ready: bool, host: &'a str) -> Report<'a> {
    let state = match life.stage {
        Stage::Starting { .. } if behaviour.no_image => status::State::Waiting("ImagePullBackOff"),
        Stage::Starting { .. } => status::State::Waiting("ContainerCreating"),
        Stage::BackOff { .. } => status::State::Waiting("CrashLoopBackOff"),
        Stage::Running { since } | Stage::Stopping { started: since, .. } => status::State::Running(since),
        Stage::Ended { code, at } => status::State::Ended(code, at),
    };
    Report { state, ready, restarts: life.restarts, last_exit: life.last_exit, address: &life.address, host }
}

fn host_address(node: &Value) -> &str {
    let internal = items(node, "/status/addresses").iter().find(|a| a["type"] == "InternalIP");
    internal.map_or("127.1.0.1", |a| text(a, "/address"))
}
