//! Scripts that nobody has to write.

use std::{collections::BTreeSet, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Action, Node, Script, Step};

/// A minute in which everything happens once. It fits any number of replicas from 1 and of shards from 2.
#[must_use]
pub fn default_script(replicas: usize, shards: usize) -> Script {
    let last = Node::Replica(replicas);
    let mut steps = vec![
        (4_000, Action::Kill(last)),
        (6_000, Action::Restart(last)),
        (11_000, Action::Restart(Node::Replica(1))),
        (27_000, Action::Slow(Node::Shard(1), Duration::from_millis(300))),
        (31_000, Action::Slow(Node::Shard(1), Duration::ZERO)),
        (32_000, Action::Kill(Node::Shard(1))),
        (35_000, Action::Restart(Node::Shard(1))),
        (40_000, Action::Drain(2)),
        (44_000, Action::Add(shards + 1)),
        (47_000, Action::Remove(2)),
        (50_000, Action::Slow(last, Duration::from_millis(100))),
        (53_000, Action::Slow(last, Duration::ZERO)),
        (54_000, Action::Flood(3_000)),
    ];
    if replicas > 1 {
        let sides = || (vec![Node::Replica(1)], vec![last]);
        let ((a, b), (c, d)) = (sides(), sides());
        steps.push((16_000, Action::Partition(a, b)));
        steps.push((21_000, Action::Heal(c, d)));
    }
    build(steps, Duration::from_secs(60))
}

/// One fault after the other for `length`, each healed before the next but orders to shards, which overlap. Somebody
/// always stays: at most one replica and one shard are out at a time, and a new shard comes for one that goes.
#[must_use]
pub fn random_script(seed: u64, length: Duration, replicas: usize, shards: usize) -> Script {
    let mut rng = StdRng::seed_from_u64(seed);
    let end = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).saturating_sub(7_000);
    let mut here: BTreeSet<usize> = (1..=shards).collect();
    let mut steps = Vec::new();
    let mut at = 3_000;
    while at < end {
        let lasts = rng.random_range(500..4_000_u64);
        let done = at + lasts;
        let replica = Node::Replica(rng.random_range(1..=replicas));
        let number = *here.iter().nth(rng.random_range(0..here.len())).unwrap_or(&1);
        let shard = Node::Shard(number);
        match rng.random_range(0..8) {
            0 => steps.extend([(at, Action::Kill(replica)), (done, Action::Restart(replica))]),
            1 => steps.push((at, Action::Restart(replica))),
            2 => steps.extend([(at, Action::Kill(shard)), (done, Action::Restart(shard))]),
            3 if replicas > 1 => {
                let others: Vec<_> = (1..=replicas).map(Node::Replica).filter(|other| *other != replica).collect();
                steps.push((at, Action::Partition(vec![replica], others.clone())));
                steps.push((done, Action::Heal(vec![replica], others)));
            }
            4 => {
                let node = if rng.random() { replica } else { shard };
                let delay = Duration::from_millis(rng.random_range(20..400));
                steps.extend([(at, Action::Slow(node, delay)), (done, Action::Slow(node, Duration::ZERO))]);
            }
            5 => steps.extend([(at, Action::Down(number)), (done, Action::Ready(number))]),
            6 => steps.extend([(at, Action::Drain(number)), (done, Action::Ready(number))]),
            _ => {
                let new = (1..).find(|number| !here.contains(number)).unwrap_or(1);
                steps.extend([(at, Action::Add(new)), (at, Action::Drain(number)), (done, Action::Remove(number))]);
                here.insert(new);
                here.remove(&number);
            }
        }
        at = done + rng.random_range(1_000..6_000);
    }
    build(steps, length)
}

fn build(steps: Vec<(u64, Action)>, until: Duration) -> Script {
    let step = |(at, action)| Step { at: Duration::from_millis(at), action };
    let mut steps: Vec<_> = steps.into_iter().map(step).collect();
    steps.sort_by_key(|step| step.at);
    steps.retain(|step| step.at < until);
    Script { steps, until }
}
