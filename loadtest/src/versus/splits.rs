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
pub const REPLICAS: [usize; 2] = [1, 2];

/// Per proxy, every gap through one process and through two that know each other.
///
/// # Errors
/// See [`VersusError`].
pub async fn count(
    options: &Options,
    workshop: &Workshop,
    shards: &[(String, std::net::SocketAddr)],
    progress: &mut Progress,
) -> Result<Vec<Vec<SplitRun>>, VersusError> {
    let mut all = Vec::new();
    for subject in Subject::ALL {
        let mut runs = Vec::new();
        for replicas in REPLICAS {
            progress.next(&format!("splits, {replicas} replica(s): {}", subject.name()));
            if replicas > 1 && !subject.shares_pins() {
                runs.extend(GAPS_MS.map(|gap_ms| SplitRun { gap_ms, replicas, run: None }));
            } else {
                runs.extend(gaps(options, workshop, shards, subject, replicas).await?);
            }
        }
        all.push(runs);
    }
    Ok(all)
}

async fn gaps(
    options: &Options,
    workshop: &Workshop,
    shards: &[(String, std::net::SocketAddr)],
    subject: Subject,
    count: usize,
) -> Result<Vec<SplitRun>, VersusError> {
    let replicas = Replicas::start(workshop, subject, count, shards).await?;
    let mut runs = Vec::new();
    for gap_ms in GAPS_MS {
        let plan = ConferencePlan {
            choice: Choice::Shuffled,
            rooms: options.split_rooms,
            arrival: Arrival::Gap(Duration::from_millis(gap_ms)),
            // Conferences do not wait for each other: other requests come in between.
            stagger: Duration::from_millis(30),
            prefix: format!("gap{gap_ms}"),
            deadline: Duration::from_secs(60),
            seed: options.seed,
            ..ConferencePlan::new(replicas.addresses.clone())
        };
        let run = tokio::select! {
            run = load::conferences(&plan) => run,
            () = pages::browse(&plan.targets, options.seed) => continue,
        };
        let run = run.map_err(|source| VersusError::Load { subject: subject.name(), source })?;
        runs.push(SplitRun { gap_ms, replicas: count, run: Some(run) });
    }
    replicas.end().await?;
    Ok(runs)
}
