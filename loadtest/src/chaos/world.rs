//! Replicas and shards, and what the script does to them. The observer hears of everything, before or after it is done,
//! so that what may have been the script is never blamed on the proxy.

mod shard;
mod stutter;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    crowd,
    ground::{Ground, Place},
    observer::{Happening, Observer},
    script::{Action, Node},
    targets::{ShardEntry, ShardState, Target},
};
use shard::Shard;
use stutter::Stutter;

/// Between a shard's end on the lists and its own end, as between a pod's deletion and its SIGKILL.
const PARTING: Duration = Duration::from_millis(500);

/// A pair of sides between which nothing passes.
type Sides = (Vec<Node>, Vec<Node>);

/// Everything that can be broken.
pub(super) struct World {
    ground: Ground,
    replicas: Vec<Place>,
    shards: BTreeMap<usize, Shard>,
    /// Before the processes, so that it is dropped first.
    stutters: BTreeMap<usize, Stutter>,
    target: Box<dyn Target>,
    observer: Observer,
    doors: Arc<crowd::Doors>,
    partitions: Vec<Sides>,
    /// Replicas that stand still, and how many reasons there are.
    paused: BTreeMap<usize, usize>,
    /// Replicas killed and not started again.
    dead: Vec<usize>,
    floods: u32,
}

/// In words, why a step was not done.
type Problem = String;

fn words(error: impl std::fmt::Display) -> Problem {
    error.to_string()
}

impl World {
    /// Starts `shards` shards and all replicas.
    pub(super) async fn start(
        ground: Ground,
        replicas: Vec<Place>,
        shards: usize,
        target: Box<dyn Target>,
        observer: Observer,
        doors: Arc<crowd::Doors>,
    ) -> Result<Self, Problem> {
        let mut world = Self {
            ground,
            replicas,
            shards: BTreeMap::new(),
            stutters: BTreeMap::new(),
            target,
            observer,
            doors,
            partitions: Vec::new(),
            paused: BTreeMap::new(),
            dead: Vec::new(),
            floods: 0,
        };
        for number in 1..=shards {
            let place = world.ground.place(Node::Shard(number)).map_err(words)?;
            world.shards.insert(number, Shard::start(number, place).await.map_err(words)?);
        }
        world.publish().await?;
        for replica in 1..=world.replicas.len() {
            world.target.start(replica).await.map_err(words)?;
        }
        Ok(world)
    }

    /// From now on, this observer is told.
    pub(super) fn observed_by(&mut self, observer: Observer) {
        self.observer = observer;
    }

    /// A replica that ended without having been told to.
    pub(super) async fn ended(&mut self) -> Option<String> {
        self.target.ended().await
    }

    /// Decisions that replicas took without hearing from each other in time.
    pub(super) async fn late(&self) -> Option<u64> {
        self.target.late().await
    }

    /// Ends all replicas, in no order.
    pub(super) async fn end(mut self) {
        self.stutters.clear();
        for replica in 1..=self.replicas.len() {
            self.target.stop(replica, false).await;
        }
        for shard in self.shards.into_values() {
            if let Some(stub) = shard.stub {
                stub.stop().await;
            }
        }
    }

    /// Does one thing.
    pub(super) async fn carry_out(&mut self, action: &Action) -> Result<(), Problem> {
        match action {
            Action::Kill(Node::Replica(replica)) => {
                self.observer.happened(Happening::ReplicaDies);
                self.stutters.remove(replica);
                self.target.stop(*replica, false).await;
                self.dead.push(*replica);
                Ok(())
            }
            Action::Restart(Node::Replica(replica)) => self.restart(*replica).await,
            Action::Kill(Node::Shard(number)) => {
                self.observer.happened(Happening::ShardDies(Node::Shard(*number).to_string()));
                if let Some(stub) = self.shard(*number)?.stub.take() {
                    stub.stop().await;
                }
                Ok(())
            }
            Action::Restart(Node::Shard(number)) => {
                let name = Node::Shard(*number).to_string();
                self.observer.happened(Happening::ShardDies(name.clone()));
                self.shard(*number)?.revive(*number).await.map_err(words)?;
                self.observer.happened(Happening::ShardLives(name));
                Ok(())
            }
            Action::Pause(replica) => self.pause(*replica),
            Action::Resume(replica) => self.resume(*replica),
            Action::Partition(a, b) => self.partition(a, b),
            Action::Heal(a, b) => self.heal(a, b),
            Action::Slow(Node::Replica(replica), by) => self.slow_replica(*replica, *by),
            Action::Slow(Node::Shard(number), by) => self.slow_shard(*number, *by),
            Action::Drain(number) => self.order(*number, ShardState::Draining).await,
            Action::Down(number) => self.order(*number, ShardState::Down).await,
            Action::Ready(number) => self.order(*number, ShardState::Ready).await,
            Action::Add(number) => self.add(*number).await,
            Action::Remove(number) => self.remove(*number).await,
            Action::Flood(rooms) => {
                self.floods += 1;
                crowd::flood(&self.observer, &self.doors, self.floods, *rooms).await.map_err(words)
            }
            Action::Kill(Node::Clients) | Action::Restart(Node::Clients) | Action::Slow(Node::Clients, _) => {
                Err("clients can only be cut off".to_owned())
            }
        }
    }

    async fn restart(&mut self, replica: usize) -> Result<(), Problem> {
        self.observer.happened(Happening::ReplicaDies);
        self.stutters.remove(&replica);
        self.target.stop(replica, true).await;
        self.target.start(replica).await.map_err(words)?;
        self.dead.retain(|dead| *dead != replica);
        if self.dead.is_empty() {
            self.observer.happened(Happening::ReplicaLives);
        }
        if self.paused.contains_key(&replica) {
            self.target.pause(replica, true).map_err(words)?;
        }
        Ok(())
    }

    fn pause(&mut self, replica: usize) -> Result<(), Problem> {
        self.observer.happened(Happening::PartitionBegins);
        *self.paused.entry(replica).or_default() += 1;
        self.target.pause(replica, true).map_err(words)
    }

    fn resume(&mut self, replica: usize) -> Result<(), Problem> {
        let still = self.paused.get_mut(&replica).is_some_and(|reasons| {
            *reasons -= 1;
            *reasons > 0
        });
        if !still {
            self.paused.remove(&replica);
            self.target.pause(replica, false).map_err(words)?;
        }
        self.whole_again();
        Ok(())
    }

    fn partition(&mut self, a: &[Node], b: &[Node]) -> Result<(), Problem> {
        if !self.ground.can_cut() {
            for replica in stand_ins(a, b)? {
                self.pause(replica)?;
            }
            return Ok(());
        }
        self.observer.happened(Happening::PartitionBegins);
        self.partitions.push((a.to_vec(), b.to_vec()));
        self.cut(a, b, true)
    }

    fn heal(&mut self, a: &[Node], b: &[Node]) -> Result<(), Problem> {
        if !self.ground.can_cut() {
            for replica in stand_ins(a, b)? {
                self.resume(replica)?;
            }
            return Ok(());
        }
        let same = self.partitions.iter().position(|(c, d)| c == a && d == b);
        self.partitions.remove(same.ok_or("there is no such partition")?);
        self.cut(a, b, false)?;
        // What others cut too stays cut.
        for (c, d) in self.partitions.clone() {
            self.cut(&c, &d, true)?;
        }
        self.whole_again();
        Ok(())
    }

    fn whole_again(&self) {
        if self.partitions.is_empty() && self.paused.is_empty() {
            self.observer.happened(Happening::PartitionOver);
        }
    }

    fn cut(&self, a: &[Node], b: &[Node], cut: bool) -> Result<(), Problem> {
        for (from, to) in a.iter().flat_map(|a| b.iter().flat_map(move |b| [(a, b), (b, a)])) {
            // Who has been removed meanwhile is cut off from everybody anyhow.
            if let (Some(from), Some(to)) = (self.place(*from), self.place(*to)) {
                self.ground.cut(from, to, cut).map_err(words)?;
            }
        }
        Ok(())
    }

    /// Where somebody is; `Some(None)` for clients.
    fn place(&self, node: Node) -> Option<Option<&Place>> {
        match node {
            Node::Replica(number) => self.replicas.get(number - 1).map(Some),
            Node::Shard(number) => self.shards.get(&number).map(|shard| Some(&shard.place)),
            Node::Clients => Some(None),
        }
    }

    fn slow_replica(&mut self, replica: usize, by: Duration) -> Result<(), Problem> {
        if self.ground.can_delay() {
            return self.ground.delay(&self.replicas[replica - 1], by).map_err(words);
        }
        self.stutters.remove(&replica);
        if !by.is_zero() {
            let pid = self.target.pid(replica).ok_or("the replica has no process to slow")?;
            self.stutters.insert(replica, Stutter::start(pid, by)?);
        }
        Ok(())
    }

    fn slow_shard(&mut self, number: usize, by: Duration) -> Result<(), Problem> {
        let name = Node::Shard(number).to_string();
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        if !by.is_zero() {
            self.observer.happened(Happening::ShardSlow(name.clone(), by_ms));
        }
        if self.ground.can_delay() {
            let place = self.shard(number)?.place.clone();
            self.ground.delay(&place, by).map_err(words)?;
        } else {
            let shard = self.shard(number)?;
            shard.delay = by;
            if let Some(stub) = &shard.stub {
                stub.set_delay(by);
            }
        }
        if by.is_zero() {
            self.observer.happened(Happening::ShardSlow(name, 0));
        }
        Ok(())
    }

    async fn order(&mut self, number: usize, state: ShardState) -> Result<(), Problem> {
        let name = Node::Shard(number).to_string();
        let before = std::mem::replace(&mut self.shard(number)?.state, state);
        match (before, state) {
            (_, ShardState::Down) => self.observer.happened(Happening::OrderedDown(name.clone())),
            (ShardState::Draining, _) => self.observer.happened(Happening::OrdersBack(name.clone())),
            _ => {}
        }
        self.publish().await?;
        match (before, state) {
            (ShardState::Down, ShardState::Ready) => self.observer.happened(Happening::OrdersBack(name)),
            (_, ShardState::Draining) => self.observer.happened(Happening::Draining(name)),
            _ => {}
        }
        Ok(())
    }

    async fn add(&mut self, number: usize) -> Result<(), Problem> {
        let place = self.ground.place(Node::Shard(number)).map_err(words)?;
        self.observer.happened(Happening::Comes(Node::Shard(number).to_string()));
        self.shards.insert(number, Shard::start(number, place).await.map_err(words)?);
        self.publish().await
    }

    async fn remove(&mut self, number: usize) -> Result<(), Problem> {
        let name = Node::Shard(number).to_string();
        let Some(shard) = self.shards.remove(&number) else { return Err(format!("there is no {name}")) };
        self.observer.happened(Happening::Leaving(name.clone()));
        self.publish().await?;
        self.observer.happened(Happening::Gone(name));
        sleep(PARTING).await;
        if let Some(stub) = shard.stub {
            stub.stop().await;
        }
        Ok(())
    }

    fn shard(&mut self, number: usize) -> Result<&mut Shard, Problem> {
        self.shards.get_mut(&number).ok_or_else(|| format!("there is no {}", Node::Shard(number)))
    }

    /// Tells the replicas which shards there are.
    async fn publish(&mut self) -> Result<(), Problem> {
        let entry = |(number, shard): (&usize, &Shard)| ShardEntry {
            number: *number,
            name: Node::Shard(*number).to_string(),
            address: shard.place.serve,
            state: shard.state,
        };
        let list: Vec<_> = self.shards.iter().map(entry).collect();
        self.target.set_shards(&list).await.map_err(words)
    }
}

/// Without namespaces: the replicas that are stopped in place of a partition, those of the side with fewer of them.
fn stand_ins(a: &[Node], b: &[Node]) -> Result<Vec<usize>, Problem> {
    let replicas = |side: &[Node]| -> Vec<usize> {
        let number = |node: &Node| if let Node::Replica(number) = node { Some(*number) } else { None };
        side.iter().filter_map(number).collect()
    };
    let (a, b) = (replicas(a), replicas(b));
    let side = if a.is_empty() || (!b.is_empty() && b.len() < a.len()) { b } else { a };
    if side.is_empty() {
        Err("no replica is on either side, and only those can be stopped".to_owned())
    } else {
        Ok(side)
    }
}
