//! What each recorder is, from all that is known of it.

use jiff::Timestamp;

use super::{Busy, Pod, Recorder, SILENCE, START, UNWELL, Why, since};

/// What a recorder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It comes up.
    Starting,
    /// It can be taken for a recording.
    Spare,
    /// It is idle, and says that it cannot work; nobody takes it.
    Unwell,
    /// It records, or did when it was last heard.
    Busy,
    /// It runs, and nobody knows what it does.
    Unknown,
    /// It goes already.
    Leaving,
    /// It has to go.
    Over(Why),
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that come up.
    pub starting: i32,
    /// Those that can be taken.
    pub spare: i32,
    /// Idle ones that are not well.
    pub unwell: i32,
    /// Those that record.
    pub busy: i32,
    /// Those of which nobody knows.
    pub unknown: i32,
    /// Pods that go, or have to.
    pub leaving: i32,
    /// Pods that take room on a node: all but those whose process has ended.
    pub pods: i32,
    /// None of those that run can be heard: it is more likely that this controller is deaf than that all of them are dumb.
    pub deaf: bool,
}

impl Tally {
    /// Those that count towards the number asked for.
    #[must_use]
    pub fn count(self) -> i32 {
        self.starting + self.spare + self.busy + self.unknown
    }

    /// Those of them that are no spare and will not be one. Where nobody can be heard, who is well is taken for a spare: a
    /// controller that cannot hear must not make one pod after another.
    #[must_use]
    pub fn taken(self) -> i32 {
        if self.deaf { self.busy } else { self.busy + self.unknown }
    }
}

/// What each of them is, in their order, and how many of each.
#[must_use]
pub fn look(recorders: &[Recorder], now: Timestamp) -> (Vec<Sight>, Tally) {
    let sights: Vec<Sight> = recorders.iter().map(|one| sight(one, now)).collect();
    let mut tally = Tally::default();
    for (one, sight) in recorders.iter().zip(&sights) {
        let of = match sight {
            Sight::Starting => &mut tally.starting,
            Sight::Spare => &mut tally.spare,
            Sight::Unwell => &mut tally.unwell,
            Sight::Busy => &mut tally.busy,
            Sight::Unknown => &mut tally.unknown,
            Sight::Leaving | Sight::Over(_) => &mut tally.leaving,
        };
        *of += 1;
        if !matches!(one.pod, Pod::Succeeded | Pod::Failed) {
            tally.pods += 1;
        }
    }
    let heard = recorders.iter().any(|one| said(one, now).is_some());
    tally.deaf = tally.unknown > 0 && !heard;
    (sights, tally)
}

/// What it said last, unless that is so long ago that it means nothing: to us just now, or to anybody.
fn said(one: &Recorder, now: Timestamp) -> Option<(Busy, bool)> {
    let fresh = |at: Option<Timestamp>| at.is_some_and(|at| since(now, at) <= SILENCE);
    let report = one.answer.as_ref().or_else(|| one.report.as_ref().filter(|report| fresh(report.at)))?;
    Some((report.busy?, report.healthy.unwrap_or(true)))
}

fn sight(one: &Recorder, now: Timestamp) -> Sight {
    // Its end is certain whatever it said before.
    if one.lost {
        return Sight::Over(Why::NodeGone);
    }
    if matches!(one.pod, Pod::Succeeded | Pod::Failed) {
        return if one.deleting { Sight::Leaving } else { Sight::Over(Why::Ended) };
    }
    if one.deleting {
        return Sight::Leaving;
    }
    let unready = one.unready_since.map(|at| since(now, at.max(one.created))).filter(|_| !one.unreachable);
    match (said(one, now), one.label) {
        (Some((Busy::Expired, _)), _) => Sight::Over(Why::Expired),
        (Some((Busy::Busy, _)), _) => Sight::Busy,
        // An answer that was sent before it was taken may come after the word that it was taken: only what it says when it is
        // asked makes it free again.
        (Some((Busy::Idle, _)), Some(Busy::Busy)) if one.answer.is_none() => Sight::Busy,
        // It may become well again by itself, but not for ever.
        (Some((Busy::Idle, false)), _) if unready.is_some_and(|time| time > UNWELL) => Sight::Over(Why::Stuck),
        (Some((Busy::Idle, false)), _) if since(now, one.created) <= SILENCE => Sight::Starting,
        (Some((Busy::Idle, false)), _) => Sight::Unwell,
        (Some((Busy::Idle, true)), _) => Sight::Spare,
        (None, label) => silent(one, label, unready, now),
    }
}

/// One that neither answers nor has reported lately. What its kubelet sees of it, from inside its node, decides.
fn silent(one: &Recorder, label: Option<Busy>, unready: Option<std::time::Duration>, now: Timestamp) -> Sight {
    let heard_once = label.is_some() || one.report.is_some();
    match (one.pod, unready) {
        // It cannot start for want of a node. Another one could not either.
        (Pod::Unschedulable(_), _) if !heard_once => Sight::Starting,
        (_, Some(time)) if heard_once && time > SILENCE => Sight::Over(Why::Silent),
        (_, Some(_)) if !heard_once && since(now, one.created) > START => Sight::Over(Why::Stuck),
        (_, Some(_)) if !heard_once => Sight::Starting,
        _ if label == Some(Busy::Busy) => Sight::Busy,
        // Ready, and its first report is still on its way.
        (_, None) if !heard_once && since(now, one.created) <= SILENCE => Sight::Starting,
        _ => Sight::Unknown,
    }
}
