//! Reading a script.

use std::{str::FromStr, time::Duration};

use super::{Action, MAX_FLOOD, MAX_LENGTH, MAX_NODES, MAX_STEPS, Node, Script, Step};
use crate::cli::duration;

/// What is wrong with a script.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptError {
    /// A line is not a step.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// It does not say how long it lasts, and has no steps to tell.
    #[error("the script is empty")]
    Empty,
    /// A step comes after the end.
    #[error("{action:?} comes after the script's end")]
    TooLate {
        /// The step.
        action: String,
    },
    /// A step is about somebody who is not there at its time, or adds somebody who is.
    #[error("{action:?}: no such replica or shard then (or, for add, it is there already)")]
    Nobody {
        /// The step.
        action: String,
    },
}

/// After the last step, when the script does not say `until`.
const TAIL: Duration = Duration::from_secs(6);

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut steps = Vec::new();
        let mut until = None;
        for (number, line) in text.lines().enumerate() {
            let problem = |problem: String| ScriptError::Line { line: number + 1, problem };
            let line = line.split('#').next().unwrap_or_default().trim();
            let line = line.strip_prefix("- ").unwrap_or(line).trim();
            if line.is_empty() {
                continue;
            }
            let (word, rest) = split(line);
            match word {
                "until" => until = Some(time(rest).map_err(problem)?),
                "at" => {
                    let (at, rest) = split(rest);
                    let at = time(at).map_err(problem)?;
                    steps.extend(step(at, rest).map_err(problem)?);
                }
                _ => return Err(problem(format!("begins with {word:?}; `at TIME …` or `until TIME` is wanted"))),
            }
            if steps.len() > MAX_STEPS {
                return Err(problem(format!("more than {MAX_STEPS} steps")));
            }
        }
        Script::new(steps, until)
    }
}

impl Script {
    /// Brings the steps in order.
    pub(super) fn new(mut steps: Vec<Step>, until: Option<Duration>) -> Result<Self, ScriptError> {
        steps.sort_by_key(|step| step.at);
        let last = steps.last().map(|step| step.at);
        let until = until.or(last.map(|last| last + TAIL)).ok_or(ScriptError::Empty)?;
        match steps.last() {
            Some(step) if step.at >= until => Err(ScriptError::TooLate { action: step.action.to_string() }),
            _ => Ok(Self { steps, until }),
        }
    }
}

/// An action, and where it ends again if it says so.
fn step(at: Duration, text: &str) -> Result<Vec<Step>, String> {
    let (text, length) = match text.rsplit_once(" for ") {
        Some((text, length)) => (text.trim(), Some(time(length)?)),
        None => (text, None),
    };
    let (verb, rest) = split(text);
    let action = match verb {
        "kill" => Action::Kill(node(rest)?),
        "restart" => Action::Restart(node(rest)?),
        "pause" => Action::Pause(replica(rest)?),
        "resume" => Action::Resume(replica(rest)?),
        "partition" => sides(rest).map(|(a, b)| Action::Partition(a, b))?,
        "heal" => sides(rest).map(|(a, b)| Action::Heal(a, b))?,
        "slow" => {
            let (name, delay) = rest.split_once(" by ").ok_or("wants `slow NAME by TIME`")?;
            Action::Slow(node(name)?, time(delay)?)
        }
        "drain" => Action::Drain(shard(rest)?),
        "down" => Action::Down(shard(rest)?),
        "ready" => Action::Ready(shard(rest)?),
        "add" => Action::Add(shard(rest)?),
        "remove" => Action::Remove(shard(rest)?),
        "flood" => {
            let count = rest.strip_suffix("rooms").unwrap_or(rest).trim();
            let count = count.parse().ok().filter(|count| (1..=MAX_FLOOD).contains(count));
            Action::Flood(count.ok_or_else(|| format!("wants `flood N rooms` with 1 to {MAX_FLOOD}"))?)
        }
        _ => return Err(format!("{verb:?} is nothing that can be done")),
    };
    if matches!(action, Action::Kill(Node::Clients) | Action::Restart(Node::Clients) | Action::Slow(Node::Clients, _)) {
        return Err("clients can only be cut off".to_owned());
    }
    let mut steps = vec![Step { at, action: action.clone() }];
    if let Some(length) = length {
        let action = end_of(action).ok_or_else(|| format!("{verb} does not end by itself: `for` says nothing"))?;
        steps.push(Step { at: at + length, action });
    }
    Ok(steps)
}

fn end_of(action: Action) -> Option<Action> {
    match action {
        Action::Kill(node) => Some(Action::Restart(node)),
        Action::Pause(number) => Some(Action::Resume(number)),
        Action::Partition(a, b) => Some(Action::Heal(a, b)),
        Action::Slow(node, _) => Some(Action::Slow(node, Duration::ZERO)),
        Action::Drain(number) | Action::Down(number) => Some(Action::Ready(number)),
        _ => None,
    }
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

fn time(text: &str) -> Result<Duration, String> {
    // Zero is refused on the command line, and is the end of slowness here.
    let time = match text {
        "0" | "0s" | "0ms" => Duration::ZERO,
        _ => duration(text).map_err(|problem| format!("{text:?} {problem}"))?,
    };
    if time > MAX_LENGTH { Err(format!("{text:?} is more than {} s", MAX_LENGTH.as_secs())) } else { Ok(time) }
}

fn node(text: &str) -> Result<Node, String> {
    let numbered = |prefix: &str| {
        let number = text.strip_prefix(prefix)?.parse().ok()?;
        (1..=MAX_NODES).contains(&number).then_some(number)
    };
    match (numbered("replica-"), numbered("shard-")) {
        (Some(number), _) => Ok(Node::Replica(number)),
        (_, Some(number)) => Ok(Node::Shard(number)),
        _ if text == "clients" => Ok(Node::Clients),
        _ => Err(format!("{text:?} is nobody; replica-N, shard-N (1 to {MAX_NODES}) and clients are")),
    }
}

fn replica(text: &str) -> Result<usize, String> {
    match node(text)? {
        Node::Replica(number) => Ok(number),
        _ => Err(format!("{text:?} is no replica")),
    }
}

fn shard(text: &str) -> Result<usize, String> {
    match node(text)? {
        Node::Shard(number) => Ok(number),
        _ => Err(format!("{text:?} is no shard")),
    }
}

fn sides(text: &str) -> Result<(Vec<Node>, Vec<Node>), String> {
    let (a, b) = text.split_once('|').ok_or("wants two sides: `A, B | C`")?;
    let side = |text: &str| text.split(',').map(|name| node(name.trim())).collect::<Result<Vec<_>, _>>();
    let (a, b) = (side(a)?, side(b)?);
    if a.iter().any(|node| b.contains(node)) {
        return Err("somebody is on both sides".to_owned());
    }
    Ok((a, b))
}
