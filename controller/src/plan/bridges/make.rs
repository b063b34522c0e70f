//! New pods: their names, their ports, and how long to wait when they fail at once.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    Action, Rules, Stand, State,
    stand::{AHEAD, since},
};

/// The wait after the first failure; each one after it is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A pod that lived so long did not fail at once.
const LIVED: Duration = Duration::from_secs(600);
/// More tries are not counted.
const MOST_TRIES: u32 = 16;

/// It ended by itself though nobody told it to.
fn unasked(stand: &Stand<'_>) -> bool {
    stand.state == State::Ended && stand.bridge.memory.shutdown_since.is_none() && !stand.bridge.deleting
}

/// How long this failed pod still stands in the place of the next.
fn left(stand: &Stand<'_>, now: Timestamp) -> Option<Duration> {
    let wait = FIRST_WAIT.saturating_mul(1 << stand.bridge.attempt.min(MOST_TRIES)).min(LONGEST_WAIT);
    let ahead = since(now, stand.bridge.created);
    let left = (wait + ahead).checked_sub(since(stand.bridge.created, now)).filter(|left| !left.is_zero())?;
    (unasked(stand) && ahead < AHEAD).then_some(left)
}

/// A pod that failed at once stays for a while: as long as it is there, no other is made in its place.
pub(super) fn held(stand: &Stand<'_>, now: Timestamp) -> bool {
    left(stand, now).is_some()
}

/// How long until the next try, if one waits.
pub(super) fn next_try(stands: &[Stand<'_>], now: Timestamp) -> Option<Duration> {
    stands.iter().filter_map(|stand| left(stand, now)).min()
}

/// So many new pods, as far as names go. `gone`: names of ended pods that are deleted before.
pub(super) fn make(
    rules: &Rules,
    stands: &[Stand<'_>],
    gone: &BTreeSet<&str>,
    count: i32,
    now: Timestamp,
) -> Vec<Action> {
    let taken: BTreeSet<&str> =
        stands.iter().map(|stand| stand.bridge.name.as_str()).filter(|name| !gone.contains(name)).collect();
    let attempt = stands
        .iter()
        .filter(|stand| since(stand.bridge.created, now) < LIVED)
        .filter_map(|stand| match stand.state {
            State::Ended => unasked(stand).then_some(stand.bridge.attempt.saturating_add(1)),
            _ => (!stand.served()).then_some(stand.bridge.attempt),
        })
        .max()
        .unwrap_or(0)
        .min(MOST_TRIES);
    let mut ports: Vec<i32> =
        stands.iter().filter(|stand| stand.living()).filter_map(|stand| stand.bridge.port).collect();
    // Numbers stay below the maximum, so even a controller with an old view cannot make one too many: the name is taken.
    (0..rules.max)
        .map(|number| format!("{}-{number}", rules.prefix))
        .filter(|name| !taken.contains(name.as_str()))
        .take(usize::try_from(count).unwrap_or(0))
        .map(|name| {
            let port = rules.ports.map(|range| port(range, &ports));
            ports.extend(port);
            Action::Create { name, port, attempt, protected_until: rules.protect_until.filter(|until| *until > now) }
        })
        .collect()
}

/// The port that the fewest have, so that nodes fill evenly; the lowest of those.
fn port((first, last): (i32, i32), taken: &[i32]) -> i32 {
    (first..=last.max(first)).min_by_key(|port| taken.iter().filter(|other| *other == port).count()).unwrap_or(first)
}
