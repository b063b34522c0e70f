//! The proxies taking turns under load, and their memory.

use std::time::Duration;

use super::{
    Options, VersusError,
    cpu::Watch,
    progress::Progress,
    result::{HalfLoad, Measured, Round},
    stats::median,
    subject::{Replicas, Subject, Workshop},
};
use crate::{
    load::{self, IdlePlan, RequestPlan, TunnelPlan},
    result::{IdleRun, Mode, RequestRun, TunnelRun},
};

type Shards<'a> = &'a [(String, std::net::SocketAddr)];
type Pair = (Measured<TunnelRun>, Measured<RequestRun>);

/// The load that a pair of runs offers.
#[derive(Clone, Copy, Debug)]
enum Load {
    Peak,
    Half(HalfLoad),
}

/// Lets the proxies take turns: first all at their peak, then all at half of the lowest peak.
///
/// # Errors
/// See [`VersusError`].
pub async fn take_turns(
    options: &Options,
    workshop: &Workshop,
    shards: Shards<'_>,
    progress: &mut Progress,
) -> Result<(HalfLoad, Vec<Vec<Round>>), VersusError> {
    let peaks = turns(options, workshop, shards, Load::Peak, progress).await?;
    let lowest = |rate: fn(&Pair) -> f64| {
        let medians = peaks.iter().filter_map(|turns| median(&turns.iter().map(rate).collect::<Vec<_>>()));
        medians.fold(f64::INFINITY, f64::min) / 2.0
    };
    let half =
        HalfLoad { tunnels: lowest(|pair| pair.0.run.per_second), requests: lowest(|pair| pair.1.run.per_second) };
    let halves = turns(options, workshop, shards, Load::Half(half), progress).await?;
    let join = |(peaks, halves): (Vec<Pair>, Vec<Pair>)| {
        let turns = peaks.into_iter().zip(halves);
        let round = |(peak, half): (Pair, Pair)| Round {
            tunnels_peak: peak.0,
            requests_peak: peak.1,
            tunnels_half: half.0,
            requests_half: half.1,
        };
        turns.map(round).collect()
    };
    Ok((half, peaks.into_iter().zip(halves).map(join).collect()))
}

/// Per proxy, its turns. Who begins changes from turn to turn.
async fn turns(
    options: &Options,
    workshop: &Workshop,
    shards: Shards<'_>,
    load: Load,
    progress: &mut Progress,
) -> Result<Vec<Vec<Pair>>, VersusError> {
    let mut all: Vec<Vec<Pair>> = Subject::ALL.map(|_| Vec::new()).into();
    for turn in 0..options.rounds {
        for place in 0..Subject::ALL.len() {
            let index = (turn + place) % Subject::ALL.len();
            let subject = Subject::ALL[index];
            let name = match load {
                Load::Peak => "peak load",
                Load::Half(_) => "half load",
            };
            progress.next(&format!("{name}, round {} of {}: {}", turn + 1, options.rounds, subject.name()));
            all[index].push(pair(options, workshop, shards, subject, load).await?);
        }
    }
    Ok(all)
}

/// One turn: a fresh process under tunnels, then under requests.
async fn pair(
    options: &Options,
    workshop: &Workshop,
    shards: Shards<'_>,
    subject: Subject,
    load: Load,
) -> Result<Pair, VersusError> {
    let replicas = Replicas::start(workshop, subject, 1, shards).await?;
    let target = replicas.addresses[0];
    let failed = |source| VersusError::Load { subject: subject.name(), source };

    let plan = TunnelPlan {
        tunnels: options.tunnels,
        rooms: options.tunnels,
        message_bytes: options.message_bytes,
        mode: match load {
            Load::Peak => Mode::ClosedLoop { in_flight: options.tunnels },
            Load::Half(half) => Mode::Rate { per_second: half.tunnels },
        },
        warm_up: options.warm_up(),
        duration: options.duration,
        seed: options.seed,
        ..TunnelPlan::new(target)
    };
    let (run, watch) = Watch::during(workshop.core, load::tunnels(&plan)).await;
    let run = run.map_err(failed)?;
    let tunnels = Measured { core: watch.last(run.seconds, run.round_trips), run };

    let plan = RequestPlan {
        connections: options.connections,
        rooms: options.rooms,
        mode: match load {
            Load::Peak => Mode::ClosedLoop { in_flight: options.connections },
            Load::Half(half) => Mode::Rate { per_second: half.requests },
        },
        warm_up: options.warm_up(),
        duration: options.duration,
        seed: options.seed,
        ..RequestPlan::new(target)
    };
    let (run, watch) = Watch::during(workshop.core, load::requests(&plan)).await;
    let run = run.map_err(failed)?;
    let requests = Measured { core: watch.last(run.seconds, run.requests), run };
    replicas.end().await?;
    Ok((tunnels, requests))
}

/// The memory of idle tunnels, for each number of them in a fresh process.
///
/// # Errors
/// See [`VersusError`].
pub async fn memory(
    options: &Options,
    workshop: &Workshop,
    shards: Shards<'_>,
    progress: &mut Progress,
) -> Result<Vec<Vec<IdleRun>>, VersusError> {
    let mut all: Vec<Vec<IdleRun>> = Subject::ALL.map(|_| Vec::new()).into();
    for &tunnels in &options.idle {
        for (index, subject) in Subject::ALL.into_iter().enumerate() {
            progress.next(&format!("memory of {tunnels} idle tunnels: {}", subject.name()));
            let replicas = Replicas::start(workshop, subject, 1, shards).await?;
            let plan = IdlePlan {
                tunnels,
                settle: Duration::from_millis(500),
                seed: options.seed,
                ..IdlePlan::new(replicas.addresses[0], replicas.pid())
            };
            let run = load::idle(&plan).await;
            all[index].push(run.map_err(|source| VersusError::Load { subject: subject.name(), source })?);
            replicas.end().await?;
        }
    }
    Ok(all)
}
