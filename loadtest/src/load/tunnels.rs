//! Tunnels that carry one message after the other.

mod farm;

use std::{collections::VecDeque, time::Instant};

pub(super) use farm::Farm;

use super::{LoadError, TunnelPlan, Watch, frame::PingPong, pacer::Pacer};
use crate::result::TunnelRun;

/// Runs a plan that has been checked.
pub(super) fn run(plan: &TunnelPlan, watch: &Watch) -> Result<TunnelRun, LoadError> {
    let message = PingPong::new(plan.message_bytes, plan.seed);
    let mut farm = Farm::new(plan.target, plan.rooms, plan.seed, message)?;
    let begun = Instant::now();
    farm.open(plan.tunnels, plan.opening, watch)?;
    let opening = begun.elapsed().as_secs_f64();
    let opened = farm.alive();

    let mut pacer = Pacer::new(plan.mode, Instant::now(), plan.warm_up, plan.duration, plan.max_round_trips);
    let mut free: VecDeque<usize> = farm.free().collect();
    let (mut now, mut back) = (Instant::now(), Vec::new());
    while !pacer.over(now) && !watch.stopped() && farm.alive() > 0 {
        while let Some(id) = free.front().copied() {
            if farm.is_free(id) {
                let Some(intended) = pacer.take(now) else { break };
                farm.send(id, intended);
            }
            free.pop_front();
        }
        farm.turn(pacer.wake(!free.is_empty()), &mut back)?;
        for back in back.drain(..) {
            pacer.back(back.intended, back.at);
            free.push_back(back.id);
        }
        for _ in 0..farm.take_lost() {
            pacer.gone();
        }
        watch.set(pacer.done(), farm.errors(), 0);
        now = Instant::now();
    }
    let measured = pacer.finish(now, farm.under_way());
    #[allow(clippy::cast_precision_loss, reason = "at most some ten thousands")]
    let connects_per_second = opened as f64 / opening;
    Ok(TunnelRun {
        target: plan.target.to_string(),
        tunnels: opened,
        message_bytes: plan.message_bytes,
        mode: plan.mode,
        seconds: measured.seconds,
        round_trips: measured.done,
        per_second: measured.per_second,
        latency: measured.latency,
        connects_per_second,
        errors: farm.errors(),
        generator_cpu: measured.generator_cpu,
    })
}
