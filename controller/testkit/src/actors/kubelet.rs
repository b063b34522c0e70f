//! The kubelet: brings pods up, reports on them, restarts them, and sees them off. What a pod does is a script by
//! label selector, for nothing is really run. A pod's address is a loopback address of its own, so that a test can
//! listen there with a stub of whatever the pod is meant to be.
//!
//! Left out: volumes, init containers that take time, probes that really ask (readiness is scripted), eviction.

mod rounds;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

pub(super) use self::rounds::Rounds;
use super::world::{name, namespace};

pub(super) const WHO: &str = "kubelet";

/// How a run of a pod's containers ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How long it takes to come to that.
    pub after: Duration,
    /// The exit code.
    pub code: i32,
}

/// What a pod does. All of its containers do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// From its binding to its start.
    pub start_after: Duration,
    /// From its start to its readiness; `None` for never.
    pub ready_after: Option<Duration>,
    /// The end that it comes to by itself, in every run.
    pub exit: Option<Exit>,
    /// How it answers a request to stop. Past its grace it is killed, with code 137.
    pub on_stop: Exit,
    /// Its image cannot be pulled, so that it never starts.
    pub no_image: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            start_after: Duration::from_secs(1),
            ready_after: Some(Duration::from_secs(1)),
            exit: None,
            on_stop: Exit { after: Duration::from_secs(1), code: 0 },
            no_image: false,
        }
    }
}

/// The script that the kubelet follows; a clone is another handle of the same.
#[derive(Clone, Default)]
pub struct Kubelet {
    script: Arc<Mutex<Script>>,
}

/// A label that a pod must have, with the value if that matters.
type Wanted = (String, Option<String>);

#[derive(Default)]
struct Script {
    usual: Behaviour,
    rules: Vec<(Vec<Wanted>, Behaviour)>,
    ready: BTreeMap<(String, String), bool>,
    exits: BTreeMap<(String, String), i32>,
    silent: BTreeSet<String>,
    wake: Option<Arc<Notify>>,
}

impl Kubelet {
    /// A kubelet whose pods do `usual` unless a rule says otherwise.
    pub fn with_usual(usual: Behaviour) -> Self {
        let kubelet = Self::default();
        kubelet.change(|script| script.usual = usual);
        kubelet
    }

    /// What pods with these labels do from now on: `a=b,c=d`, where a bare `a` asks only for the label. Of several
    /// rules that fit, the last one given counts.
    pub fn script(&self, selector: &str, behaviour: Behaviour) {
        let wanted = selector.split(',').filter(|part| !part.trim().is_empty());
        let wanted = wanted.map(|part| match part.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), Some(value.trim_start_matches('=').trim().to_owned())),
            None => (part.trim().to_owned(), None),
        });
        let rule = wanted.collect();
        self.change(|script| script.rules.push((rule, behaviour)));
    }

    /// Sets one running pod's readiness, whatever its script says.
    pub fn set_ready(&self, namespace: &str, pod: &str, ready: bool) {
        self.change(|script| script.ready.insert((namespace.to_owned(), pod.to_owned()), ready));
    }

    /// Ends the present run of one pod's containers. What follows is up to its restart policy.
    pub fn exit(&self, namespace: &str, pod: &str, code: i32) {
        self.change(|script| script.exits.insert((namespace.to_owned(), pod.to_owned()), code));
    }

    /// A node whose kubelet says and does nothing, until `silent` is taken back.
    pub fn silence(&self, node: &str, silent: bool) {
        self.change(|script| if silent { script.silent.insert(node.to_owned()) } else { script.silent.remove(node) });
    }

    pub(super) fn attach(&self, wake: Arc<Notify>) {
        self.lock().wake = Some(wake);
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) {
        let mut script = self.lock();
        let _old = change(&mut script);
        if let Some(wake) = &script.wake {
            wake.notify_one();
        }
    }

    fn is_silent(&self, node: &str) -> bool {
        self.lock().silent.contains(node)
    }

    fn behaviour(&self, pod: &Value) -> Behaviour {
        let script = self.lock();
        let labels = &pod["metadata"]["labels"];
        let fits = |rule: &[Wanted]| {
            rule.iter().all(|(key, value)| match value {
                Some(value) => labels[key] == **value,
                None => labels[key].is_string(),
            })
        };
        let rule = script.rules.iter().rev().find(|(rule, _)| fits(rule));
        rule.map_or_else(|| script.usual.clone(), |(_, behaviour)| behaviour.clone())
    }

    /// The readiness that was set by hand.
    fn set_by_hand(&self, pod: &Value) -> Option<bool> {
        self.lock().ready.get(&key(pod)).copied()
    }

    /// The exit that was asked for, once.
    fn take_exit(&self, pod: &Value) -> Option<i32> {
        self.lock().exits.remove(&key(pod))
    }

    fn forget(&self, pod: &Value) {
        let mut script = self.lock();
        script.ready.remove(&key(pod));
        script.exits.remove(&key(pod));
    }
}

fn key(pod: &Value) -> (String, String) {
    (namespace(pod).to_owned(), name(pod).to_owned())
}

/// A loopback address that no other pod of this process has. Processes begin at different places.
fn on_the_loopback() -> Ipv4Addr {
    // 127.16.0.1 to 127.239.255.254: out of the way of what else lives on the loopback.
    let (second, third, last) = next_place(224);
    Ipv4Addr::new(127, second + 16, third, last)
}

/// The like among the addresses for benchmarks, below those of the hollow nodes.
fn nowhere() -> Ipv4Addr {
    let (_, third, last) = next_place(1);
    Ipv4Addr::new(198, 18, third, last)
}

fn next_place(seconds: u32) -> (u8, u8, u8) {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(crate::harness::by_chance() % 0x00ff_0000));
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    let octet = |part: u32| u8::try_from(part).unwrap_or(u8::MAX);
    (octet(count / (254 * 256) % seconds), octet(count / 254 % 256), octet(count % 254 + 1))
}
