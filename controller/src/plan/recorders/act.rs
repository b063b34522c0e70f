//! What follows from what they are.

use jiff::Timestamp;

use super::{Action, Busy, Note, Pod, Recorder, Rules, Sight, Tally, Why, since};

/// New pods in one look. The next look makes more.
const AT_ONCE: i32 = 20;

/// What to do about one group. `prefix` begins the names of its pods: `meet-0-jibri`.
#[must_use]
pub fn plan(
    prefix: &str,
    recorders: &[Recorder],
    sights: &[Sight],
    tally: Tally,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let all = || recorders.iter().zip(sights.iter().copied());
    for (one, sight) in all() {
        let wanted = match sight {
            Sight::Busy => Busy::Busy,
            Sight::Spare | Sight::Unwell => Busy::Idle,
            Sight::Starting | Sight::Unknown | Sight::Leaving | Sight::Over(_) => continue,
        };
        if one.label != Some(wanted) {
            actions.push(Action::Mark { name: one.name.clone(), uid: one.uid.clone(), busy: wanted });
        }
    }
    for (one, sight) in all() {
        if let Sight::Over(why) = sight {
            actions.extend(farewell(one, why));
            // Deleting twice what is being deleted tells nobody anything, but where the node is gone.
            if !one.deleting || why == Why::NodeGone {
                actions.push(delete(one, why));
            }
        }
    }
    if tally.deaf {
        let text = format!(
            "None of the recorders that run ({}) reports or answers: nothing is taken away, and those that are well count as \
             free. Look at NetworkPolicies between them and the controller, and at external-api-host of jibri.",
            tally.unknown
        );
        actions.push(Action::Note(Note::warning("RecordersUnreachable", text)));
    }
    if rules.launch {
        numbers(prefix, recorders, sights, tally, rules, now, &mut actions);
    }
    actions
}

/// What people are told about an end that is not as it should be.
fn farewell(one: &Recorder, why: Why) -> Option<Action> {
    if one.deleting {
        return None;
    }
    let recorded = one.label == Some(Busy::Busy);
    let name = &one.name;
    let note = match why {
        Why::Expired => Note::normal("RecorderFinished", format!("Recorder {name} has recorded and is deleted.")),
        Why::Ended if one.pod == Pod::Succeeded => {
            Note::normal("RecorderFinished", format!("Recorder {name} has ended and is deleted."))
        }
        Why::Ended if recorded => Note::warning("RecordingLost", format!("Recorder {name} failed while it recorded.")),
        Why::Ended => Note::warning("RecorderFailed", format!("Recorder {name} failed and is deleted.")),
        Why::NodeGone if recorded => {
            Note::warning("RecordingLost", format!("Recorder {name} recorded on a node that is gone."))
        }
        Why::NodeGone => Note::warning("RecorderLost", format!("Recorder {name} was on a node that is gone.")),
        Why::Silent if recorded => Note::warning(
            "RecordingLost",
            format!(
                "Recorder {name} recorded, and neither reports nor answers nor passes its probe any more. It is deleted."
            ),
        ),
        Why::Silent | Why::Stuck => Note::warning(
            "RecorderStuck",
            format!("Recorder {name} does not come up, or has stopped to work. It is deleted."),
        ),
        Why::Surplus | Why::Outdated => return None,
    };
    Some(Action::Note(note))
}

fn delete(one: &Recorder, why: Why) -> Action {
    Action::Delete { name: one.name.clone(), uid: one.uid.clone(), why }
}

/// Makes those that are missing and takes away those that are too many.
fn numbers(
    prefix: &str,
    recorders: &[Recorder],
    sights: &[Sight],
    tally: Tally,
    rules: &Rules,
    now: Timestamp,
    actions: &mut Vec<Action>,
) {
    let all = || recorders.iter().zip(sights.iter().copied());
    let (desired, count) = (rules.desired.min(rules.max).max(0), tally.count());
    let old_spares: Vec<_> = all()
        .filter(|(one, sight)| *sight == Sight::Spare && !one.current && !is_protected(one, now))
        .map(|(one, _)| one)
        .collect();
    // A new one first, then an old one goes: one more than asked for, as long as there are old ones that are free.
    let replaces = !old_spares.is_empty() && !tally.deaf && desired > tally.busy + tally.unknown;
    let surge = i32::from(replaces);
    let (missing, room) = (desired + surge - count, (rules.max - tally.pods).max(0));
    for name in free_names(prefix, recorders).take(amount(missing.min(room).min(AT_ONCE))) {
        actions.push(Action::Create { name, protected_until: rules.protect_until });
    }
    // What comes up from an older template, and never said a word, helps nobody: the new template may be its cure.
    for (one, _) in all().filter(|(one, sight)| *sight == Sight::Starting && !one.current && !one.is_ready()) {
        actions.push(delete(one, Why::Outdated));
    }
    if tally.deaf {
        return;
    }
    if replaces {
        // The new one is there; or there is no room for both, and the old one goes first. Whether the one more is new does not
        // matter: the template may have changed again.
        let turn = if count > desired { tally.starting == 0 } else { count == desired && room == 0 };
        let first = old_spares.into_iter().min_by_key(|one| (!one.cordoned, one.created));
        actions.extend(first.filter(|_| turn).map(|one| delete(one, Why::Outdated)));
    }
    let mut victims: Vec<_> = all()
        .filter(|(one, sight)| matches!(sight, Sight::Spare | Sight::Starting) && !is_protected(one, now))
        .filter(|(one, _)| !actions.iter().any(|done| matches!(done, Action::Delete { uid, .. } if *uid == one.uid)))
        .collect();
    // What comes up has been of no use yet; then what is old, what is on a node that somebody empties, and what is young.
    victims.sort_by_key(|(one, sight)| {
        (*sight == Sight::Spare, one.current, !one.cordoned, since(now, one.created), one.name.clone())
    });
    for (one, _) in victims.into_iter().take(amount(count - desired - surge)) {
        actions.push(delete(one, Why::Surplus));
    }
}

fn amount(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn is_protected(one: &Recorder, now: Timestamp) -> bool {
    one.protected_until.is_some_and(|until| now < until)
}

/// Names that nobody has, from 0 up.
fn free_names<'a>(prefix: &'a str, recorders: &'a [Recorder]) -> impl Iterator<Item = String> + 'a {
    (0..)
        .map(move |number: u32| format!("{prefix}-{number}"))
        .filter(|name| recorders.iter().all(|one| one.name != *name))
}
