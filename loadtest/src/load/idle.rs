//! What idle tunnels cost the process that holds them.

use std::time::Instant;

use super::{IdlePlan, LoadError, TIMEOUT, Watch, frame::PingPong, process::resident_kib, tunnels::Farm};
use crate::result::IdleRun;

/// Runs a plan that has been checked.
pub(super) fn run(plan: &IdlePlan, watch: &Watch) -> Result<IdleRun, LoadError> {
    let resident = || resident_kib(plan.pid).map_err(|source| LoadError::Process { pid: plan.pid, source });
    resident()?;
    let mut farm = Farm::new(plan.target, plan.rooms, plan.seed, PingPong::new(64, plan.seed))?;
    let mut add = |count: usize| {
        let begun = Instant::now();
        farm.open(count, plan.opening, watch)?;
        let took = begun.elapsed();
        // A tunnel that never carried anything is not what a proxy holds thousands of.
        greet(&mut farm)?;
        farm.rest(plan.settle, watch)?;
        if watch.stopped() {
            return Err(LoadError::Plan("stopped before there was a result".to_owned()));
        }
        if farm.errors() > 0 {
            return Err(LoadError::Target { target: plan.target.to_string(), why: farm.last_error().to_owned() });
        }
        Ok((resident()?, took))
    };
    let before = if plan.warm > 0 { add(plan.warm)?.0 } else { resident()? };
    let (after, took) = add(plan.tunnels)?;
    #[allow(clippy::cast_precision_loss, reason = "KiB of memory and tunnels stay far below 2^52")]
    let bytes_per_tunnel = (after as f64 - before as f64) * 1_024.0 / plan.tunnels as f64;
    Ok(IdleRun {
        target: plan.target.to_string(),
        tunnels: plan.tunnels,
        rss_before_kib: before,
        rss_after_kib: after,
        bytes_per_tunnel,
        accept_seconds: took.as_secs_f64(),
    })
}

/// One message through every tunnel, a few at a time.
fn greet(farm: &mut Farm) -> Result<(), LoadError> {
    let all: Vec<_> = farm.free().collect();
    let mut back = Vec::new();
    for some in all.chunks(64) {
        let now = Instant::now();
        for id in some {
            farm.send(*id, now);
        }
        back.clear();
        while back.len() + farm.take_lost() < some.len() && now.elapsed() < TIMEOUT {
            farm.turn(now + TIMEOUT, &mut back)?;
        }
    }
    Ok(())
}
