//! The one line a script reads.

use serde::Serialize;

/// The sum of a run: `{"rooms":…,"participants":…,"splits":…,"errors":…}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Rooms in which somebody sat.
    pub rooms: u64,
    /// Participants that sat down, all together.
    pub participants: u64,
    /// Times that participants of one room saw different shards at once.
    pub splits: u64,
    /// Requests, handshakes and echoes that failed, and proxies that ended.
    pub errors: u64,
}

impl Verdict {
    /// Whether the run shows what it should. A run without participants shows nothing, so it does not pass.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.splits == 0 && self.errors == 0 && self.rooms > 0 && self.participants > 0
    }

    /// The line, without its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: four numbers are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Verdict = Verdict { rooms: 8, participants: 31, splits: 0, errors: 0 };

    #[test]
    fn the_line_has_four_numbers_in_order() {
        assert_eq!(GOOD.to_json(), r#"{"rooms":8,"participants":31,"splits":0,"errors":0}"#);
    }

    #[test]
    fn only_a_clean_run_with_people_passes() {
        assert!(GOOD.passed());
        assert!(!Verdict { splits: 1, ..GOOD }.passed());
        assert!(!Verdict { errors: 1, ..GOOD }.passed());
        assert!(!Verdict { participants: 0, ..GOOD }.passed());
        assert!(!Verdict { rooms: 0, ..GOOD }.passed());
    }
}
