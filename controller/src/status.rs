//! Conditions: what is true of a resource, since when, and why.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Types of conditions, in the order in which they are shown.
pub mod kinds {
    /// All is as asked for.
    pub const READY: &str = "Ready";
    /// People can meet: web, prosody and jicofo answer.
    pub const SIGNALLING: &str = "SignallingAvailable";
    /// At least one bridge is ready.
    pub const BRIDGES: &str = "BridgesAvailable";
    /// At least one recorder is ready, or none is wanted.
    pub const RECORDERS: &str = "RecordersAvailable";
    /// A group has fewer instances than it should, and may not or cannot get more.
    pub const LIMITED: &str = "ScalingLimited";
    /// Something is being changed.
    pub const PROGRESSING: &str = "Progressing";
    /// The controller was told to leave it alone.
    pub const PAUSED: &str = "Paused";
}

/// What a condition says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its type.
    pub kind: &'static str,
    /// Whether it is so; `None`: not known.
    pub holds: Option<bool>,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub text: String,
}

impl Fact {
    /// A fact.
    #[must_use]
    pub fn new(
        kind: &'static str,
        holds: impl Into<Option<bool>>,
        reason: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self { kind, holds: holds.into(), reason, text: text.into() }
    }
}

/// The conditions for these facts. The time of one moves only when its status does.
#[must_use]
pub fn conditions(old: &[Condition], facts: Vec<Fact>, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    facts
        .into_iter()
        .map(|fact| {
            let status = match fact.holds {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let before = old.iter().find(|condition| condition.type_ == fact.kind && condition.status == status);
            Condition {
                type_: fact.kind.to_owned(),
                status: status.to_owned(),
                observed_generation: generation,
                last_transition_time: before.map_or(Time(now), |condition| condition.last_transition_time.clone()),
                reason: fact.reason.to_owned(),
                // What the API accepts at most.
                message: fact.text.chars().take(4096).collect(),
            }
        })
        .collect()
}

/// Whether this condition is true.
#[must_use]
pub fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Since when this condition is false, if it is.
#[must_use]
pub fn false_since(conditions: &[Condition], kind: &str) -> Option<Timestamp> {
    let condition = conditions.iter().find(|condition| condition.type_ == kind)?;
    (condition.status == "False").then_some(condition.last_transition_time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_moves_only_with_its_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let fact = |holds, text: &str| vec![Fact::new(kinds::READY, holds, "Because", text)];
        let first = conditions(&[], fact(false, "a"), Some(1), at(10));
        let second = conditions(&first, fact(false, "b"), Some(2), at(20));
        assert_eq!(second[0].last_transition_time.0, at(10));
        assert_eq!((second[0].message.as_str(), second[0].observed_generation), ("b", Some(2)));
        assert_eq!(false_since(&second, kinds::READY), Some(at(10)));
        let third = conditions(&second, fact(true, "c"), Some(2), at(30));
        assert_eq!(third[0].last_transition_time.0, at(30));
        assert_eq!(false_since(&third, kinds::READY), None);
    }
}
