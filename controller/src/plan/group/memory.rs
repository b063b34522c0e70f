//! What is remembered of a group, as it stands in the shard's status.
//!
//! Reading is forgiving: a text that is no time is as if it were not there. Then a grace that was running is over early, or a
//! smooth edge is a sharp one; nothing is cut by that.

use jiff::Timestamp;

use super::Memory;
use crate::api::GroupStatus;

/// What a status remembers. A group without a status has never been looked at: [`Memory::default`].
#[must_use]
pub fn memory_of(status: &GroupStatus) -> Memory {
    Memory {
        desired: Some(status.desired),
        heard: status.heard.clone(),
        grace_until: status.grace_until.as_deref().and_then(|text| text.parse().ok()),
        period: status.period.clone(),
        base: status.base,
        edge: status.edge.as_deref().and_then(edge),
    }
}

/// Writes what is to be remembered into a status, and leaves its other fields alone.
pub fn remember(memory: &Memory, status: &mut GroupStatus) {
    status.desired = memory.desired.unwrap_or_default();
    status.heard.clone_from(&memory.heard);
    status.grace_until = memory.grace_until.map(|time| time.to_string());
    status.period.clone_from(&memory.period);
    status.base = memory.base;
    status.edge = memory.edge.map(|(from, since)| format!("{from} {since}"));
}

/// `5 2026-11-21T08:00:00Z`.
fn edge(text: &str) -> Option<(i32, Timestamp)> {
    let (from, since) = text.split_once(' ')?;
    Some((from.parse().ok()?, since.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::GroupKind;

    fn full() -> Memory {
        Memory {
            desired: Some(4),
            heard: Some("2026-11-21T08:00:00.123Z".to_owned()),
            grace_until: Some("2026-11-21T08:08:00Z".parse().unwrap()),
            period: Some("work day".to_owned()),
            base: Some(2),
            edge: Some((5, "2026-11-21T08:00:00.5Z".parse().unwrap())),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for memory in [full(), Memory { desired: Some(0), ..Memory::default() }] {
            let mut status = GroupStatus { kind: GroupKind::Jibri, count: 7, ready: 3, ..GroupStatus::default() };
            remember(&memory, &mut status);
            assert_eq!(memory_of(&status), memory);
            assert_eq!((status.kind, status.count, status.ready), (GroupKind::Jibri, 7, 3));
        }
    }

    #[test]
    fn what_is_over_is_wiped_out() {
        let mut status = GroupStatus::default();
        remember(&full(), &mut status);
        assert_eq!(status.edge.as_deref(), Some("5 2026-11-21T08:00:00.5Z"));
        remember(&Memory { desired: Some(1), ..Memory::default() }, &mut status);
        assert_eq!(status, GroupStatus { desired: 1, ..GroupStatus::default() });
    }

    #[test]
    fn nonsense_is_as_if_it_were_not_there() {
        for edge in ["", "5", "x 2026-11-21T08:00:00Z", "5 soon", "5  2026-11-21T08:00:00Z"] {
            let status = GroupStatus {
                edge: Some(edge.to_owned()),
                grace_until: Some("soon".to_owned()),
                desired: 3,
                ..GroupStatus::default()
            };
            assert_eq!(memory_of(&status), Memory { desired: Some(3), ..Memory::default() }, "{edge:?}");
        }
    }
}
