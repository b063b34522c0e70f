//! What waits to be sent to one peer: an urgent queue and a bulk queue, both bounded in bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use router_core::cluster::Lane;
use tokio::sync::{Notify, watch};

use super::frame::{self, HEADER};

/// Charged for each frame beside its body: what a queue of tiny frames costs.
const OVERHEAD: usize = 64;
/// Urgent frames are put together up to this size: the largest single frame fits.
const BATCH_BYTES: usize = 64 * 1000;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It waits its turn.
    Queued,
    /// There is no link to that replica.
    NoLink,
    /// The lane is full; the frame is dropped. For the urgent lane, `Overflowed` is reported too.
    Full,
    /// Longer than the lane allows, now or ever.
    TooLong,
}

/// How long the link is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Until something happens.
    Open,
    /// Until urgent frames are out.
    Closing,
    /// It has been replaced or given up.
    Dead,
}

/// Something the owner of the link is to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Overflowed,
    BulkDrained,
}

/// What [`Lanes::fill`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// So many frames of one lane.
    Frames(Lane, u64),
    /// Nothing waits.
    Nothing,
    /// Nothing waits, and nothing will.
    Finished,
}

/// Bounds of both queues, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBounds {
    /// Default 4 MiB: over a hundred thousand decisions, seconds of a slow peer.
    pub urgent: usize,
    /// Default 256 KiB: eight chunks on their way.
    pub bulk: usize,
}

impl Default for LaneBounds {
    fn default() -> Self {
        Self { urgent: 4 << 20, bulk: 256 << 10 }
    }
}

#[derive(Debug)]
pub(super) struct Lanes {
    queues: Mutex<Queues>,
    bounds: LaneBounds,
    /// There is something to send, or nothing more will be.
    wake: Notify,
    /// There is something to report.
    news: Notify,
    phase: watch::Sender<Phase>,
}

#[derive(Debug, Default)]
struct Queues {
    urgent: VecDeque<Bytes>,
    urgent_bytes: usize,
    bulk: VecDeque<Bytes>,
    bulk_bytes: usize,
    /// Frames have been dropped since the urgent queue was last half empty.
    overflowing: bool,
    overflowed: bool,
    drained: bool,
}

impl Lanes {
    pub(super) fn new(bounds: LaneBounds) -> Self {
        Self {
            queues: Mutex::default(),
            bounds,
            wake: Notify::new(),
            news: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Every change is complete before anything can panic.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame, or drops it.
    pub(super) fn push(&self, lane: Lane, body: Bytes) -> Sent {
        if body.len() > frame::longest(lane) {
            return Sent::TooLong;
        }
        if *self.phase.borrow() != Phase::Open {
            return Sent::NoLink;
        }
        let cost = body.len() + OVERHEAD;
        let mut queues = self.queues();
        match lane {
            Lane::Urgent if queues.urgent_bytes + cost > self.bounds.urgent => {
                if !queues.overflowing {
                    queues.overflowing = true;
                    queues.overflowed = true;
                    self.news.notify_one();
                }
                return Sent::Full;
            }
            Lane::Bulk if queues.bulk_bytes + cost > self.bounds.bulk => return Sent::Full,
            Lane::Urgent => {
                queues.urgent_bytes += cost;
                queues.urgent.push_back(body);
            }
            Lane::Bulk => {
                queues.bulk_bytes += cost;
                queues.bulk.push_back(body);
            }
        }
        drop(queues);
        self.wake.notify_one();
        Sent::Queued
    }

    /// Moves the next frames into `out`, which is cleared: all urgent ones that fit a message, or else one of bulk.
    pub(super) fn fill(&self, out: &mut Vec<u8>) -> Filled {
        out.clear();
        let closing = *self.phase.borrow() != Phase::Open;
        let mut queues = self.queues();
        let mut count = 0;
        while let Some(body) = queues.urgent.pop_front_if(|body| out.len() + HEADER + body.len() <= BATCH_BYTES) {
            queues.urgent_bytes -= body.len() + OVERHEAD;
            frame::put(out, Lane::Urgent, &body);
            count += 1;
        }
        if count > 0 {
            if queues.urgent_bytes <= self.bounds.urgent / 2 {
                queues.overflowing = false;
            }
            return Filled::Frames(Lane::Urgent, count);
        }
        if closing {
            return Filled::Finished;
        }
        let Some(body) = queues.bulk.pop_front() else {
            return Filled::Nothing;
        };
        queues.bulk_bytes -= body.len() + OVERHEAD;
        frame::put(out, Lane::Bulk, &body);
        Filled::Frames(Lane::Bulk, 1)
    }

    /// Resolves when [`Self::fill`] may find something, or sooner.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Frames of this lane have reached the socket.
    pub(super) fn written(&self, lane: Lane) {
        let mut queues = self.queues();
        if lane == Lane::Bulk && queues.bulk_bytes < self.bounds.bulk / 2 && !queues.drained {
            queues.drained = true;
            self.news.notify_one();
        }
    }

    /// The next thing to report.
    pub(super) async fn report(&self) -> Report {
        loop {
            {
                let mut queues = self.queues();
                if std::mem::take(&mut queues.overflowed) {
                    return Report::Overflowed;
                }
                if std::mem::take(&mut queues.drained) {
                    return Report::BulkDrained;
                }
            }
            self.news.notified().await;
        }
    }

    /// Takes no more frames; urgent ones that wait still go out, bulk is dropped.
    pub(super) fn close(&self) {
        self.advance(Phase::Closing);
    }

    /// Ends the link at once.
    pub(super) fn kill(&self) {
        self.advance(Phase::Dead);
    }

    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = *now < phase;
            *now = phase.max(*now);
            later
        });
        self.wake.notify_one();
    }

    /// Resolves when the link is closed this far.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender is a field of ours, so this cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Bytes that wait, urgent and bulk.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let queues = self.queues();
        (queues.urgent_bytes, queues.bulk_bytes)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lanes() -> Lanes {
        Lanes::new(LaneBounds { urgent: 10_000, bulk: 10_000 })
    }

    fn body(len: usize) -> Bytes {
        vec![7; len].into()
    }

    #[test]
    fn urgent_goes_together_and_first_and_bulk_goes_one_by_one() {
        let (lanes, mut out) = (lanes(), Vec::new());
        for lane in [Lane::Bulk, Lane::Urgent, Lane::Bulk, Lane::Urgent] {
            assert_eq!(lanes.push(lane, body(100)), Sent::Queued);
        }
        assert_eq!(lanes.fill(&mut out), Filled::Frames(Lane::Urgent, 2));
        assert_eq!(out.len(), 2 * (HEADER + 100));
        assert_eq!(lanes.fill(&mut out), Filled::Frames(Lane::Bulk, 1));
        lanes.push(Lane::Urgent, body(1));
        assert_eq!(lanes.fill(&mut out), Filled::Frames(Lane::Urgent, 1), "waits for one bulk frame at most");
        assert_eq!(lanes.fill(&mut out), Filled::Frames(Lane::Bulk, 1));
        assert_eq!(lanes.fill(&mut out), Filled::Nothing);
        assert_eq!(lanes.waiting(), (0, 0));
    }

    #[test]
    fn a_batch_fits_a_message_and_nothing_is_lost() {
        let (lanes, mut out) = (Lanes::new(LaneBounds::default()), Vec::new());
        for _ in 0..20 {
            assert_eq!(lanes.push(Lane::Urgent, body(frame::MAX_URGENT_BYTES)), Sent::Queued);
            assert_eq!(lanes.push(Lane::Urgent, body(900)), Sent::Queued);
        }
        let mut frames = 0;
        while let Filled::Frames(Lane::Urgent, count) = lanes.fill(&mut out) {
            assert!(out.len() <= BATCH_BYTES);
            frames += count;
        }
        assert_eq!(frames, 40);
    }

    #[test]
    fn an_overflow_is_reported_once_until_half_is_sent() {
        let (lanes, mut out) = (lanes(), Vec::new());
        let fill = || (0..20).filter(|_| lanes.push(Lane::Urgent, body(1_000)) == Sent::Full).count();
        assert_eq!(fill(), 11);
        assert_eq!(lanes.report().now_or_never(), Some(Report::Overflowed));
        assert_eq!(fill(), 20);
        assert_eq!(lanes.report().now_or_never(), None, "one overflow, one report");
        assert_eq!(lanes.waiting().0, 9 * 1_064);
        lanes.fill(&mut out);
        fill();
        assert_eq!(lanes.report().now_or_never(), Some(Report::Overflowed));
    }

    #[test]
    fn many_tiny_frames_are_bounded_too() {
        let lanes = lanes();
        let taken = (0..100_000).filter(|_| lanes.push(Lane::Urgent, Bytes::new()) == Sent::Queued).count();
        assert_eq!(taken, 10_000 / OVERHEAD);
    }

    #[test]
    fn bulk_asks_for_more_when_less_than_half_waits() {
        let (lanes, mut out) = (lanes(), Vec::new());
        let taken = (0..20).filter(|_| lanes.push(Lane::Bulk, body(1_000)) == Sent::Queued).count();
        assert_eq!(taken, 9);
        for n in 1..=9 {
            lanes.fill(&mut out);
            lanes.written(Lane::Bulk);
            assert_eq!(lanes.report().now_or_never(), (n >= 5).then_some(Report::BulkDrained), "after {n}");
        }
    }

    #[test]
    fn closing_lets_urgent_out_and_takes_nothing_more() {
        let (lanes, mut out) = (lanes(), Vec::new());
        lanes.push(Lane::Bulk, body(1));
        lanes.push(Lane::Urgent, body(1));
        lanes.close();
        assert_eq!(lanes.push(Lane::Urgent, body(1)), Sent::NoLink);
        assert_eq!(lanes.fill(&mut out), Filled::Frames(Lane::Urgent, 1));
        assert_eq!(lanes.fill(&mut out), Filled::Finished);
        assert!(lanes.reached(Phase::Closing).now_or_never().is_some());
        assert!(lanes.reached(Phase::Dead).now_or_never().is_none());
        lanes.kill();
        lanes.close();
        assert!(lanes.reached(Phase::Dead).now_or_never().is_some(), "the dead do not come back");
    }

    #[test]
    fn too_long_is_told_apart_from_full() {
        let lanes = lanes();
        assert_eq!(lanes.push(Lane::Bulk, body(frame::MAX_BULK_BYTES + 1)), Sent::TooLong);
        assert_eq!(lanes.push(Lane::Urgent, body(frame::MAX_URGENT_BYTES + 1)), Sent::TooLong);
    }
}
