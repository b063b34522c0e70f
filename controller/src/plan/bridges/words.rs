//! What is waited for, in words.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Pod, Rules, Stand, State,
    choose::Choice,
    stand::{FRESH, since},
};
use crate::plan::{count, span};

/// So many of one kind are named; more are counted.
const NAMED: usize = 3;

/// All that is waited for, the most important first.
pub(super) fn waiting(rules: &Rules, stands: &[Stand<'_>], choice: &Choice, now: Timestamp) -> Vec<String> {
    let mut words = Vec::new();
    if choice.ready == 0 && rules.desired > 0 {
        words.push("none takes work yet".to_owned());
    }
    words.extend(choice.waiting.iter().cloned());
    let nodeless = stands.iter().filter_map(|stand| match stand.bridge.pod {
        Pod::Unschedulable(then) => Some(since(then, now)),
        _ => None,
    });
    let (number, longest) = nodeless.fold((0, Duration::ZERO), |(number, most), time| (number + 1, time.max(most)));
    if number > 0 {
        words.push(format!("no node fits {}, for {}", count(number, "pod"), span(longest)));
    }
    words.extend(choice.lasting.iter().map(|note| note.text.clone()));
    let crashing = names(stands, |stand| matches!(stand.bridge.pod, Pod::Crashing(_)));
    words.extend(crashing.map(|names| format!("{names} ends again and again")));
    let stuck = names(stands, |stand| stand.state == State::Stuck);
    words.extend(stuck.map(|names| format!("{names} has not been ready for long")));
    let lost = names(stands, |stand| stand.state == State::Lost);
    words.extend(lost.map(|names| format!("the node of {names} is gone")));
    let silent = names(stands, |stand| {
        stand.state == State::Active && stand.fresh.is_none() && since(stand.bridge.created, now) > FRESH
    });
    words.extend(silent.map(|names| format!("{names} is ready and does not say how it is")));
    let sick = names(stands, |stand| stand.fresh.is_some_and(|report| report.healthy == Some(false)));
    words.extend(sick.map(|names| format!("{names} says that it is not healthy")));
    words.extend(leaving(rules, stands, now));
    words
}

/// How many are on their way out, who is on them, and how long it may take.
fn leaving(rules: &Rules, stands: &[Stand<'_>], now: Timestamp) -> Option<String> {
    let out: Vec<_> = stands.iter().filter(|stand| matches!(stand.state, State::Draining | State::Stopping)).collect();
    let known: u64 = out.iter().filter_map(|stand| stand.people()).sum();
    let unknown = out.iter().filter(|stand| stand.people().is_none()).count();
    let longest = out
        .iter()
        .filter_map(|stand| stand.bridge.memory.drain_since)
        .map(|then| rules.drain_deadline.saturating_sub(since(then, now)))
        .max();
    let number = u64::try_from(out.len()).ok().filter(|number| *number > 0)?;
    let mut text = format!("{number} on the way out with {}", count(known, "participant"));
    if unknown > 0 {
        text += &format!(", {unknown} of them silent");
    }
    if let Some(longest) = longest {
        text += &format!(", for {} at most", span(longest));
    }
    Some(text)
}

fn names(stands: &[Stand<'_>], which: impl Fn(&Stand<'_>) -> bool) -> Option<String> {
    let names: Vec<&str> = stands.iter().filter(|stand| which(stand)).map(|stand| stand.bridge.name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named),
        (false, more) => Some(format!("{named} and {more} more")),
    }
}
