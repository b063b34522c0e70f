//! The door for `fuzz/`: one entry for each decoder of what the network says. An entry takes any bytes, and panics when
//! the decoder breaks a promise. The test below drives the same entries, so that they cannot rot where nobody fuzzes.

use crate::{
    agent_check::{self, AgentHealth, AgentWeight},
    room::{self, KeyHasher, MAX_RAW_NAME, RoomName, Target},
};

pub use crate::cluster::fuzzing::{conversation, gossip, message};

/// An agent's line.
pub fn agent(data: &[u8]) {
    let Ok(reply) = agent_check::parse(data) else { return };
    match reply.weight {
        Some(AgentWeight::Percent(percent)) => assert!(percent <= 25_600),
        Some(AgentWeight::Absolute(weight)) => assert!(weight <= agent_check::MAX_WEIGHT),
        None => {}
    }
    if let Some(AgentHealth::Down { reason: Some(reason) }) = &reply.health {
        assert!(reason.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{reason:?} goes to logs");
    }
    let upper = data.to_ascii_uppercase();
    let same = agent_check::parse(&upper).expect("case does not matter");
    assert_eq!((same.weight, same.admin, same.maxconn), (reply.weight, reply.admin, reply.maxconn));
}

/// A request's target: a path and, after the first `?`, a query.
pub fn target(data: &[u8]) {
    let mut halves = data.splitn(2, |&byte| byte == b'?');
    let (path, query) = (halves.next().unwrap_or_default(), halves.next());
    let Ok(target) = room::classify(path, query, "room") else {
        assert!(data.len() > MAX_RAW_NAME, "only what is too long is refused");
        return;
    };
    let (Target::Room(name) | Target::Page(name)) = target else { return };
    let again = RoomName::new(name.tenant(), name.room());
    // A name may still hold an escape after three rounds of decoding; then another round changes it.
    if !name.room().contains('%') && !name.tenant().contains('%') {
        assert_eq!(again, name, "a normal name is its own normal form");
        let keys = KeyHasher::default();
        assert_eq!(keys.key(&again), keys.key(&name));
    }
}

/// A decoder by name, and what feeds it.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them by name.
pub const ALL: [Entry; 5] =
    [("message", message), ("gossip", gossip), ("conversation", conversation), ("agent", agent), ("target", target)];

#[cfg(test)]
mod tests;
