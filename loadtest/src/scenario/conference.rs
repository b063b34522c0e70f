//! One room's conference: seats, filled again and again.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use super::{Spread, Target, participant, rooms::spellings};
use crate::observer::{Kind, Observer};

/// Participants of one conference at most, and at least (but for the moments between two of them).
const SEATS: std::ops::RangeInclusive<usize> = 2..=6;
/// A participant stays this many milliseconds.
const STAY: std::ops::Range<u64> = 1_500..8_000;
/// A seat is empty this many milliseconds.
const GAP: std::ops::Range<u64> = 300..2_000;

/// A seat: at most one participant at a time.
pub(super) struct SeatPlan {
    room: usize,
    spellings: [String; 4],
    targets: Arc<[Target]>,
    spread: Spread,
    /// Whoever sits here first stays to the end, so that the conference goes on.
    resident: bool,
    rng: StdRng,
}

/// The seats of a room.
pub(super) fn seats(
    room: usize,
    name: &str,
    spread: Spread,
    targets: &Arc<[Target]>,
    rng: &mut StdRng,
) -> Vec<SeatPlan> {
    let spellings = spellings(name);
    let count = rng.random_range(SEATS);
    let seat = |number| SeatPlan {
        room,
        spellings: spellings.clone(),
        targets: Arc::clone(targets),
        spread,
        resident: number == 0,
        rng: StdRng::seed_from_u64(rng.random()),
    };
    (0..count).map(seat).collect()
}

impl SeatPlan {
    /// Lets one participant after the other sit here until `stop`. All seats start at once: first requests that
    /// coincide are where proxies split rooms.
    pub(super) async fn keep_filled(mut self, observer: Arc<Observer>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let kind = [Kind::Tunnel, Kind::Bosh, Kind::Plain][self.rng.random_range(0..3)];
            let target = &self.targets[self.spread.pick(self.room, self.targets.len(), &mut self.rng)];
            let spelling = &self.spellings[self.rng.random_range(0..self.spellings.len())];
            let stay = self.rng.random_range(STAY);
            let stay = if self.resident { Duration::MAX } else { Duration::from_millis(stay) };

            let seat = observer.seat(self.room, kind, &target.name);
            let rng = StdRng::seed_from_u64(self.rng.random());
            if let Err(error) = participant::attend(&seat, kind, target.address, spelling, stay, rng, &mut stop).await {
                tracing::debug!(room = self.room, ?kind, %error, "participant lost");
                seat.failed(&error);
            }
            drop(seat);
            let gap = Duration::from_millis(self.rng.random_range(GAP));
            let _ = tokio::time::timeout(gap, stop.wait_for(|stop| *stop)).await;
        }
    }
}
