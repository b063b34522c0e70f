//! Which shards a Jitsi has, gets and loses.
//!
//! A shard is *active* when it is neither draining nor being deleted. There are to be as many active shards as the spec says,
//! all made of what it says now.
//! - Too few: a draining one is taken back; failing that, new ones are made, at the lowest free ordinals.
//! - Too many: the one marked `retire` drains first, then one made of an old template, then the highest ordinal.
//! - Made of an old template: what can be changed under a conference is. The rest is replaced, one at a time: one shard more than
//!   asked for is made, and when it is ready an old one drains. Only when that is gone does the next follow.
//! - The last shard that is ready is kept as long as another one is wanted and not ready.
//!
//! Every action is on one object whose version was read with the rest; if it has changed since, the action fails and all is read
//! anew. A name that is taken makes a creation fail. So an old view does no harm.

use std::collections::BTreeSet;

use super::Note;
use crate::api::Phase;

/// A shard as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// The number in its name; `None` for one that somebody named by hand and gave to the Jitsi.
    pub ordinal: Option<u32>,
    /// It drains because its spec says so.
    pub drain: bool,
    /// It goes first.
    pub retire: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Where it stands, if its status is about its present spec.
    pub phase: Option<Phase>,
    /// It was shown to proxies at some time, so people may be on it.
    pub announced: bool,
    /// Prosody and jicofo are what the Jitsi says now.
    pub current: bool,
    /// Its spec is not what the Jitsi says now.
    pub differs: bool,
}

impl Shard {
    fn active(&self) -> bool {
        !self.drain && !self.deleting
    }

    fn ready(&self) -> bool {
        self.active() && self.phase == Some(Phase::Ready)
    }
}

/// What a Jitsi wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// So many shards.
    pub shards: usize,
    /// Change prosody and jicofo in place, whoever is on them.
    pub at_once: bool,
}

/// One write, on one JitsiShard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make it.
    Create(u32),
    /// Write what the Jitsi says now.
    Update(String),
    /// Let it drain.
    Drain(String),
    /// Take it back.
    Undrain(String),
    /// Delete it; its finalizer looks once more.
    Delete(String),
}

/// What to do about the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// What has to happen before there is more to do.
    pub waiting_for: Option<String>,
    /// To be told when the actions are done.
    pub notes: Vec<Note>,
}

/// Decides, where no other shard has a name of ours.
#[must_use]
pub fn plan(wanted: Wanted, shards: &[Shard]) -> Plan {
    plan_beside(wanted, shards, &BTreeSet::new())
}

/// Decides. `strangers` are ordinals that shards of somebody else have in their names.
#[must_use]
pub fn plan_beside(wanted: Wanted, shards: &[Shard], strangers: &BTreeSet<u32>) -> Plan {
    let mut plan = Plan::default();
    // The order in which shards are kept: the last one goes first.
    let mut active: Vec<&Shard> = shards.iter().filter(|shard| shard.active()).collect();
    active.sort_by_key(|shard| {
        let old = !updatable(shard, wanted);
        (shard.retire, old, old && !shard.ready(), shard.ordinal.is_none(), shard.ordinal)
    });

    for shard in &active {
        if updatable(shard, wanted) && shard.differs {
            plan.actions.push(Action::Update(shard.name.clone()));
        }
    }
    if active.len() < wanted.shards {
        add(&mut plan, wanted.shards - active.len(), wanted, shards, strangers);
    } else if active.len() > wanted.shards {
        remove(&mut plan, wanted, &active);
    } else {
        replace(&mut plan, wanted, &active, shards, strangers);
    }
    for shard in shards.iter().filter(|shard| shard.drain && !shard.deleting && shard.phase == Some(Phase::Drained)) {
        if !plan.actions.contains(&Action::Undrain(shard.name.clone())) {
            plan.actions.push(Action::Delete(shard.name.clone()));
            plan.notes.push(Note::normal("ShardRemoved", format!("Shard {} is deleted.", shard.name)));
        }
    }
    if plan.waiting_for.is_none() {
        plan.waiting_for = waiting(shards);
    }
    plan
}

/// What the Jitsi says can be written into it: nothing restarts under a conference.
fn updatable(shard: &Shard, wanted: Wanted) -> bool {
    shard.current || wanted.at_once || !shard.announced
}

fn add(plan: &mut Plan, missing: usize, wanted: Wanted, shards: &[Shard], strangers: &BTreeSet<u32>) {
    // One that would be replaced at once is not worth taking back.
    let mut returning: Vec<_> =
        shards.iter().filter(|shard| shard.drain && !shard.deleting && updatable(shard, wanted)).collect();
    returning.sort_by_key(|shard| (shard.retire, shard.ordinal.is_none(), shard.ordinal));
    returning.truncate(missing);
    for shard in &returning {
        plan.actions.push(Action::Undrain(shard.name.clone()));
        plan.notes.push(Note::normal("ShardTakenBack", format!("Shard {} is wanted again.", shard.name)));
    }
    create(plan, missing - returning.len(), shards, strangers);
}

fn create(plan: &mut Plan, number: usize, shards: &[Shard], strangers: &BTreeSet<u32>) {
    let mut taken: BTreeSet<u32> = shards.iter().filter_map(|shard| shard.ordinal).collect();
    taken.extend(strangers);
    for ordinal in (0..).filter(|ordinal| !taken.contains(ordinal)).take(number) {
        plan.actions.push(Action::Create(ordinal));
        plan.notes.push(Note::normal("ShardCreated", format!("Shard {ordinal} is made.")));
    }
}

fn remove(plan: &mut Plan, wanted: Wanted, active: &[&Shard]) {
    let mut left: Vec<&Shard> = active.to_vec();
    while left.len() > wanted.shards {
        let Some(victim) = left.pop() else { return };
        let outdated = !updatable(victim, wanted);
        // An old one that is replaced rather than too many: as many as asked for must be ready without it. One that
        // does not work itself need not wait.
        let enough = if outdated && victim.ready() {
            left.iter().filter(|shard| shard.ready()).count() >= wanted.shards.min(left.len())
        } else {
            true
        };
        let last = victim.ready() && wanted.shards > 0 && !left.iter().any(|shard| shard.ready());
        if !enough || last {
            let late: Vec<_> = left.iter().filter(|shard| !shard.ready()).map(|shard| shard.name.as_str()).collect();
            plan.waiting_for = Some(format!("{} to be ready before {} drains", late.join(", "), victim.name));
            return;
        }
        plan.actions.push(Action::Drain(victim.name.clone()));
        let why = if outdated { "it is replaced" } else { "it is one too many" };
        plan.notes.push(Note::normal("ShardDraining", format!("Shard {} drains: {why}.", victim.name)));
    }
}

fn replace(plan: &mut Plan, wanted: Wanted, active: &[&Shard], shards: &[Shard], strangers: &BTreeSet<u32>) {
    let old: Vec<&&Shard> = active.iter().filter(|shard| !updatable(shard, wanted)).collect();
    if old.is_empty() {
        return;
    }
    let leaving: Vec<_> = shards.iter().filter(|shard| !shard.active()).map(|shard| shard.name.as_str()).collect();
    if !leaving.is_empty() {
        plan.waiting_for = Some(format!("{} to be gone before the next old shard is replaced", leaving.join(", ")));
        return;
    }
    // A shard that is about to work must not be taken for the replacement of an old one.
    let late: Vec<_> = active
        .iter()
        .filter(|shard| updatable(shard, wanted) && !shard.ready())
        .map(|shard| shard.name.as_str())
        .collect();
    if !late.is_empty() {
        plan.waiting_for = Some(format!("{} to be ready before the next old shard is replaced", late.join(", ")));
        return;
    }
    create(plan, 1, shards, strangers);
    let names: Vec<_> = old.iter().map(|shard| shard.name.as_str()).collect();
    plan.notes.push(Note::normal(
        "Replacing",
        format!("Prosody or jicofo change, so {} will be replaced, one at a time.", names.join(", ")),
    ));
}

fn waiting(shards: &[Shard]) -> Option<String> {
    let names = |pick: &dyn Fn(&Shard) -> bool| {
        let names: Vec<_> = shards.iter().filter(|shard| pick(shard)).map(|shard| shard.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let late = names(&|shard| shard.active() && !shard.ready()).map(|names| format!("{names} to be ready"));
    let leaving = names(&|shard| !shard.active()).map(|names| format!("{names} to be empty and gone"));
    match (late, leaving) {
        (Some(late), Some(leaving)) => Some(format!("{late}, {leaving}")),
        (late, leaving) => late.or(leaving),
    }
}

#[cfg(test)]
mod tests;
