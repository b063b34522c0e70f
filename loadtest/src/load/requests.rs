//! Sticky requests over kept-alive connections.

mod line;

pub(crate) use line::name;

use std::{collections::VecDeque, time::Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{LoadError, RequestPlan, TIMEOUT, Watch, http::ShardId, pacer::Pacer};
use crate::result::RequestRun;
use line::{Done, Lines};

/// Runs a plan that has been checked.
pub(super) fn run(plan: &RequestPlan, watch: &Watch) -> Result<RequestRun, LoadError> {
    let mut lines = Lines::new(plan)?;
    let mut book = Book { home: vec![None; plan.rooms], wrong: 0 };
    lines.open(watch)?;
    if !plan.new_rooms {
        first_requests(plan, &mut lines, &mut book, watch)?;
    }

    let mut draw = StdRng::seed_from_u64(plan.seed);
    let mut pacer = Pacer::new(plan.mode, Instant::now(), plan.warm_up, plan.duration, plan.max_requests);
    let mut free: VecDeque<usize> = lines.free().collect();
    let (mut now, mut done) = (Instant::now(), Vec::new());
    let mut new_rooms = 0..plan.rooms;
    while !pacer.over(now) && !watch.stopped() {
        if plan.new_rooms && new_rooms.is_empty() && lines.under_way().next().is_none() {
            break;
        }
        while let Some(id) = free.front().copied() {
            if lines.is_free(id) {
                if plan.new_rooms && new_rooms.is_empty() {
                    break;
                }
                let Some(intended) = pacer.take(now) else { break };
                let room = if plan.new_rooms { new_rooms.next() } else { None };
                lines.send(id, room.unwrap_or_else(|| draw.random_range(0..plan.rooms)), intended);
            }
            free.pop_front();
        }
        lines.turn(pacer.wake(!free.is_empty()), &mut done)?;
        for done in done.drain(..) {
            match done {
                Done::Free { id } => free.push_back(id),
                Done::Lost => pacer.gone(),
                Done::Answer { room, shard, intended, at } => {
                    pacer.back(intended, at);
                    book.note(room, shard);
                }
            }
        }
        lines.give_up_overdue();
        lines.check()?;
        watch.set(pacer.done(), lines.errors(), book.wrong);
        now = Instant::now();
    }
    let measured = pacer.finish(now, lines.under_way());
    Ok(RequestRun {
        target: plan.target.to_string(),
        connections: plan.connections,
        rooms: plan.rooms,
        mode: plan.mode,
        seconds: measured.seconds,
        requests: measured.done,
        per_second: measured.per_second,
        latency: measured.latency,
        errors: lines.errors(),
        wrong_shard: book.wrong,
        generator_cpu: measured.generator_cpu,
    })
}

/// Which shard a room was first seen on.
struct Book {
    home: Vec<Option<ShardId>>,
    wrong: u64,
}

impl Book {
    fn note(&mut self, room: usize, shard: ShardId) {
        let home = *self.home[room].get_or_insert(shard);
        self.wrong += u64::from(home != shard);
    }
}

/// Asks once for every room, with no two requests for one room at a time: what a race does to first requests is for
/// [`super::conferences()`] to find out.
fn first_requests(plan: &RequestPlan, lines: &mut Lines, book: &mut Book, watch: &Watch) -> Result<(), LoadError> {
    let mut rooms = 0..plan.rooms;
    let mut free: VecDeque<usize> = lines.free().collect();
    let (mut under_way, mut done) = (0_usize, Vec::new());
    while (under_way > 0 || !rooms.is_empty()) && !watch.stopped() {
        let now = Instant::now();
        while let Some(id) = free.front().copied() {
            if lines.is_free(id) {
                let Some(room) = rooms.next() else { break };
                lines.send(id, room, now);
                under_way += 1;
            }
            free.pop_front();
        }
        lines.turn(now + TIMEOUT, &mut done)?;
        for done in done.drain(..) {
            match done {
                Done::Free { id } => free.push_back(id),
                Done::Lost => under_way -= 1,
                Done::Answer { room, shard, .. } => {
                    under_way -= 1;
                    book.note(room, shard);
                }
            }
        }
        lines.give_up_overdue();
        lines.check()?;
        watch.set(0, lines.errors(), book.wrong);
    }
    Ok(())
}
