//! Rooms whose first two participants come shortly one after the other.

use std::time::Duration;

use super::{
    Options, VersusError, pages,
    progress::Progress,
    result::SplitRun,
    subject::{Replicas, Subject, Workshop},
};
use crate::load::{self, Arrival, Choice, ConferencePlan};

/// Time between the two, in ms.
pub const GAPS_MS: [u64; 4] = [0, 1, 5, 20];
/// Replicas that participants come through.
pub const REPLICAS: [usize; 3] = [1, 2, 5];
/// Rooms begin within this time, drawn for each. Conferences do not wait for each other: other requests come in between.
const STAGGER: Duration = Duration::from_millis(30);
/// New rooms per millisecond, as far as the proxy keeps up: that many are held at once as it takes at each gap.
const PACE: usize = 2;
/// Most sockets: three times what the longest gap needs at this pace.
const MAX_SOCKETS: usize = 1_024;
/// For the rooms of one gap. Where they do not fit in, they are missing from the count, which is a failure.
const DEADLINE: Duration = Duration::from_secs(120);

type Shards<'a> = &'a [(String, std::net::SocketAddr)];

/// Per proxy, every gap through one process and through several that know each other.
///
/// # Errors
/// See [`VersusError`].
pub async fn count(
    options: &Options,
    workshop: &Workshop,
    shards: Shards<'_>,
    progress: &mut Progress,
) -> Result<Vec<Vec<SplitRun>>, VersusError> {
    let mut all = Vec::new();
    for subject in Subject::ALL {
        // HAProxy's share shows with few rooms; that we have none shows only with many.
        let rooms = if subject == Subject::Roompin { options.split_rooms } else { options.split_rooms_others };
        let mut runs = Vec::new();
        for replicas in REPLICAS {
            progress.next(&format!("splits, {rooms} rooms, {replicas} replica(s): {}", subject.name()));
            runs.extend(gaps(options, workshop, shards, subject, replicas, rooms).await?);
        }
        all.push(runs);
    }
    Ok(all)
}

/// Every gap, each with its share of the rooms.
async fn gaps(
    options: &Options,
    workshop: &Workshop,
    shards: Shards<'_>,
    subject: Subject,
    count: usize,
    rooms: usize,
) -> Result<Vec<SplitRun>, VersusError> {
    let replicas = Replicas::start(workshop, subject, count, shards).await?;
    let mut runs = Vec::new();
    let mut late_before = replicas.late().await?;
    for gap_ms in GAPS_MS {
        let asked = rooms.div_ceil(GAPS_MS.len());
        let plan = plan(options, replicas.addresses.clone(), gap_ms, asked);
        let run = tokio::select! {
            run = load::conferences(&plan) => run,
            () = pages::browse(&plan.targets, options.seed) => continue,
        };
        let run = run.map_err(|source| VersusError::Load { subject: subject.name(), source })?;
        let late_after = replicas.late().await?;
        let late = late_after.zip(late_before).map(|(after, before)| after.saturating_sub(before));
        late_before = late_after;
        runs.push(SplitRun { gap_ms, replicas: count, asked, late, run });
    }
    replicas.end().await?;
    Ok(runs)
}

fn plan(options: &Options, targets: Vec<std::net::SocketAddr>, gap_ms: u64, rooms: usize) -> ConferencePlan {
    let gap = Duration::from_millis(gap_ms);
    // From a room's place being free to its two answers: a longer gap needs more rooms under way for the same pace.
    let lasts = STAGGER / 2 + gap + 2 * options.split_delay;
    let at_once = usize::try_from(lasts.as_millis()).unwrap_or(usize::MAX).saturating_mul(PACE);
    ConferencePlan {
        choice: Choice::Shuffled,
        rooms,
        arrival: Arrival::Gap(gap),
        stagger: STAGGER,
        at_once: at_once.min(MAX_SOCKETS / 3),
        max_sockets: MAX_SOCKETS,
        prefix: format!("gap{gap_ms}"),
        deadline: DEADLINE,
        seed: options.seed,
        ..ConferencePlan::new(targets)
    }
}
