//! Crash points: a client dies after its n-th write. Run a scenario once without, read [`super::Faults::writes`], then
//! once for each number below it.

use std::collections::BTreeMap;

use crate::server::{Seen, Verdict};

/// Where a client dies.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    who: String,
    after: u32,
    answered: bool,
    ignored: Vec<String>,
}

impl CrashPoint {
    /// `who` dies once its n-th write from now is done and answered: every later request of it finds the connection
    /// broken. With 0 it dies in place of its first write. Reads, dry runs and writes of Leases do not count.
    pub fn after_writes(who: &str, after: u32) -> Self {
        Self { who: who.to_owned(), after, answered: true, ignored: vec!["leases".to_owned()] }
    }

    /// It does not get the answer of its last write either.
    #[must_use]
    pub fn before_the_answer(mut self) -> Self {
        self.answered = false;
        self
    }

    /// Writes of this resource do not count.
    #[must_use]
    pub fn ignoring(mut self, resource: &str) -> Self {
        self.ignored.push(resource.to_owned());
        self
    }
}

#[derive(Default)]
pub(super) struct Crashes {
    points: BTreeMap<String, Pending>,
    writes: BTreeMap<String, u32>,
}

struct Pending {
    point: CrashPoint,
    done: u32,
    dead: bool,
}

impl Crashes {
    pub(super) fn set(&mut self, point: CrashPoint) {
        self.points.insert(point.who.clone(), Pending { point, done: 0, dead: false });
    }

    pub(super) fn is_dead(&self, who: &str) -> bool {
        self.points.get(who).is_some_and(|pending| pending.dead)
    }

    pub(super) fn revive(&mut self, who: &str) {
        self.points.remove(who);
    }

    pub(super) fn writes(&self, who: &str) -> u32 {
        self.writes.get(who).copied().unwrap_or(0)
    }

    /// Counts a request that is about to be served; answers what becomes of it if it is the last one.
    pub(super) fn count(&mut self, seen: &Seen) -> Option<Verdict> {
        if !seen.writes() {
            return None;
        }
        let pending = self.points.get_mut(&seen.who);
        let ignored = match &pending {
            Some(pending) => pending.point.ignored.contains(&seen.resource),
            None => seen.resource == "leases",
        };
        if ignored {
            return None;
        }
        let writes = self.writes.entry(seen.who.clone()).or_default();
        let Some(pending) = pending else {
            *writes += 1;
            return None;
        };
        if pending.point.after == 0 {
            pending.dead = true;
            return Some(Verdict::Refuse);
        }
        *writes += 1;
        pending.done += 1;
        if pending.done < pending.point.after {
            return None;
        }
        pending.dead = true;
        (!pending.point.answered).then_some(Verdict::LoseAnswer)
    }
}
