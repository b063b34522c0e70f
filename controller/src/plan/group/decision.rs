//! The decision.

use super::{Decision, Look};

/// How many instances the group asks for now.
///
/// The caller carries the number out, and keeps [`Decision::memory`] in the status ([`super::remember`]) before it does.
#[must_use]
pub fn decide(look: &Look<'_>) -> Decision {
    let options = look.model.options;
    let before = look.memory.desired.unwrap_or(options.min);
    let desired = before.clamp(options.min, options.max.max(options.min));
    let mut memory = look.memory.clone();
    memory.desired = Some(desired);
    Decision { desired, options, memory, why: "as before".to_owned(), change: None, notes: Vec::new() }
}
