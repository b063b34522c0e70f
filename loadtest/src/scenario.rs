//! What participants do, and when: seeded, so that the same seed makes the same conferences.

mod conference;
mod participant;
mod rooms;

#[cfg(test)]
mod tests;

pub use rooms::{ROOMS, spellings};

use std::{net::SocketAddr, sync::Arc};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, task::JoinSet};

use crate::observer::Observer;

/// A replica to send participants to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the record.
    pub name: String,
    /// Where it serves browsers.
    pub address: SocketAddr,
}

/// Which replicas the participants of one room are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All of a room to one, in turn. For replicas that do not share their pins.
    RoomPerReplica,
    /// Each participant to any. For replicas that do.
    AnyReplica,
}

impl Spread {
    /// Picks a replica out of `count` for a participant of a room.
    fn pick(self, room: usize, count: usize, rng: &mut impl RngExt) -> usize {
        match self {
            Self::RoomPerReplica => room % count,
            Self::AnyReplica => rng.random_range(0..count),
        }
    }
}

/// A few conferences.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides who comes when, how, and for how long.
    pub seed: u64,
    /// Names of the rooms.
    pub rooms: Vec<String>,
    /// Replicas; not empty.
    pub targets: Vec<Target>,
    /// Who goes where.
    pub spread: Spread,
}

/// Holds the conferences until `stop` says true; then everybody leaves in good order. `observer` must know the plan's
/// rooms.
pub async fn run(plan: &Plan, observer: &Arc<Observer>, stop: &watch::Receiver<bool>) {
    let targets: Arc<[Target]> = plan.targets.clone().into();
    let mut seats = JoinSet::new();
    for (room, name) in plan.rooms.iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(plan.seed.wrapping_add(room as u64));
        for seat in conference::seats(room, name, plan.spread, &targets, &mut rng) {
            seats.spawn(seat.keep_filled(Arc::clone(observer), stop.clone()));
        }
    }
    while let Some(ended) = seats.join_next().await {
        if let Err(error) = ended {
            observer.failed(&error);
        }
    }
}
