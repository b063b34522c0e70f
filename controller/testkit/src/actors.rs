//! What else lives in a cluster, as opt-in tasks on the test's clock: the controllers, the scheduler and the kubelet.
//!
//! Each is a plain client of the API under an identity of its own (so that faults and the record can tell them apart),
//! wakes at changes, looks at everything afresh, and does what is due. They do what a controller's tests can see, not
//! all that the real ones do; each module says what it leaves out.

mod budgets;
mod collector;
mod daemons;
mod deployments;
mod endpoints;
pub mod kubelet;
pub(crate) mod nodes;
mod pods;
mod replicas;
mod scheduler;
mod stateful;
mod world;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinHandle;

pub use self::kubelet::{Behaviour, Exit, Kubelet};
pub use self::nodes::NodeShape;
use self::world::{Clock, Trouble, World};
use crate::ApiServer;

/// Which actors to run.
#[derive(Clone, Default)]
pub struct Actors {
    /// Collects objects whose owners are gone.
    pub garbage_collector: bool,
    /// Deployments and ReplicaSets.
    pub deployments: bool,
    /// StatefulSets.
    pub stateful_sets: bool,
    /// DaemonSets.
    pub daemon_sets: bool,
    /// EndpointSlices of Services with a selector.
    pub endpoint_slices: bool,
    /// The status of PodDisruptionBudgets.
    pub disruption: bool,
    /// Gives pods a node.
    pub scheduler: bool,
    /// Runs pods.
    pub kubelet: Option<Kubelet>,
    /// The nodes to make; three of a middling shape when empty and the scheduler, the kubelet or DaemonSets run.
    pub nodes: Vec<NodeShape>,
}

impl Actors {
    /// All of them, with a kubelet whose pods start, get ready and stop without trouble.
    pub fn all() -> Self {
        Self::with_kubelet(Kubelet::default())
    }

    /// All of them, with a kubelet that a test keeps a handle of.
    pub fn with_kubelet(kubelet: Kubelet) -> Self {
        Self {
            garbage_collector: true,
            deployments: true,
            stateful_sets: true,
            daemon_sets: true,
            endpoint_slices: true,
            disruption: true,
            scheduler: true,
            kubelet: Some(kubelet),
            nodes: Vec::new(),
        }
    }

    /// The scheduler and the kubelet alone, for the pods of one namespace of a real cluster without nodes. The nodes
    /// are objects that nobody stands behind, shared by all tests, and they stay. A pod that is "run" here has an
    /// address where nobody listens.
    pub(crate) async fn start_hollow(self, client: &Client, namespace: &str) -> Running {
        let world = || World::new(client.clone(), Arc::new(jiff::Timestamp::now)).within(namespace);
        if let Err(e) = nodes::make(&world(), &nodes::hollow(), nodes::NOWHERE).await {
            panic!("the hollow nodes: {e}");
        }
        let kubelet = self.kubelet.unwrap_or_default();
        let mut running = Running { tasks: Vec::new(), kubelet: Some(kubelet.clone()) };
        running.run(scheduler::WHO, world(), scheduler::Scheduler);
        let world = world();
        kubelet.attach(world.waker());
        running.run(kubelet::WHO, world, kubelet::Rounds::new(kubelet).listening_nowhere());
        running
    }

    /// Starts them as clients of the double.
    pub async fn start(self, server: &ApiServer) -> Running {
        let clock: Clock = {
            let server = server.clone();
            Arc::new(move || server.now())
        };
        if self.scheduler || self.kubelet.is_some() || self.daemon_sets || !self.nodes.is_empty() {
            let world = World::new(server.client_as(nodes::WHO, "default"), clock.clone());
            if let Err(e) = nodes::make(&world, &self.nodes, nodes::LOOPBACK).await {
                panic!("the nodes: {e}");
            }
        }
        let mut running = Running { tasks: Vec::new(), kubelet: self.kubelet.clone() };
        let go = |who: &'static str| World::new(server.client_as(who, "default"), clock.clone());
        if self.garbage_collector {
            running.run(collector::WHO, go(collector::WHO), collector::Collector::default());
        }
        if self.deployments {
            running.run(deployments::WHO, go(deployments::WHO), deployments::Deployments);
            running.run(replicas::WHO, go(replicas::WHO), replicas::ReplicaSets);
        }
        if self.stateful_sets {
            running.run(stateful::WHO, go(stateful::WHO), stateful::StatefulSets);
        }
        if self.daemon_sets {
            running.run(daemons::WHO, go(daemons::WHO), daemons::DaemonSets);
        }
        if self.endpoint_slices {
            running.run(endpoints::WHO, go(endpoints::WHO), endpoints::EndpointSlices);
        }
        if self.disruption {
            running.run(budgets::WHO, go(budgets::WHO), budgets::Budgets);
        }
        if self.scheduler {
            running.run(scheduler::WHO, go(scheduler::WHO), scheduler::Scheduler);
        }
        if let Some(kubelet) = self.kubelet {
            let world = go(kubelet::WHO);
            kubelet.attach(world.waker());
            running.run(kubelet::WHO, world, kubelet::Rounds::new(kubelet));
        }
        running
    }
}

/// The running actors. They end when this is dropped.
pub struct Running {
    tasks: Vec<(&'static str, JoinHandle<()>, World)>,
    kubelet: Option<Kubelet>,
}

impl Running {
    /// The kubelet's script, to change what pods do while they run.
    pub fn kubelet(&self) -> Option<&Kubelet> {
        self.kubelet.as_ref()
    }

    /// The identities of the running actors.
    pub fn names(&self) -> Vec<&'static str> {
        self.tasks.iter().map(|(who, ..)| *who).collect()
    }

    /// Stops one actor, by its identity (`kube-scheduler`, `kubelet`, …). What it did stays.
    pub fn stop(&mut self, who: &str) {
        self.tasks.retain(|(name, task, world)| {
            if *name == who {
                task.abort();
                world.stop();
            }
            *name != who
        });
    }

    fn run<A: Actor>(&mut self, who: &'static str, world: World, mut actor: A) {
        let seen = world.clone();
        let task = tokio::spawn(async move {
            let mut pause = Duration::from_millis(50);
            loop {
                match actor.round(&world).await {
                    Ok(due) => {
                        pause = Duration::from_millis(50);
                        world.wait(due).await;
                    }
                    Err(e) => {
                        tracing::debug!(who, error = %e, "an actor's round failed");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_secs(5));
                    }
                }
            }
        });
        self.tasks.push((who, task, seen));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for (_, task, world) in &self.tasks {
            task.abort();
            world.stop();
        }
    }
}

/// One round: look at everything, do what is due, say when to look again even if nothing changes.
trait Actor: Send + 'static {
    fn round(&mut self, world: &World) -> impl Future<Output = Result<Option<Duration>, Trouble>> + Send;
}
