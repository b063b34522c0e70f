//! What is written on a recorder's pod, by whichever replica hears of it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Busy, Report, since};
use crate::{
    api::{PROTECTED_LABEL, REPORT, STATE_LABEL},
    build::eviction,
};

/// A report that says nothing new is not written again before that.
pub const REFRESH: Duration = Duration::from_secs(45);

/// Whether what it says now is worth writing over what stands there: when it says something else, or when what stands there is
/// so old that it would soon count as silence.
#[must_use]
pub fn is_due(before: Option<&Report>, report: &Report, now: Timestamp) -> bool {
    before.is_none_or(|before| differs(before, report) || before.at.is_none_or(|at| since(now, at) >= REFRESH))
}

/// Whether it says something else.
#[must_use]
pub fn differs(before: &Report, report: &Report) -> bool {
    Report { at: None, ..before.clone() } != Report { at: None, ..report.clone() }
}

/// A merge patch that notes what a recorder does, on exactly this pod: labels by which it is set apart, what may become of it,
/// and what it said. The same patch twice changes nothing.
#[must_use]
pub fn patch(uid: &str, busy: Option<Busy>, report: Option<&Report>) -> Value {
    let mut metadata = json!({"uid": uid});
    if let Some(busy) = busy {
        let recording = busy == Busy::Busy;
        metadata["labels"] = json!({
            STATE_LABEL: match busy { Busy::Idle => "idle", Busy::Busy => "busy", Busy::Expired => "expired" },
            PROTECTED_LABEL: if recording { "true" } else { "false" },
        });
        metadata["annotations"] = eviction(busy).into_iter().collect();
    }
    if let Some(report) = report {
        // A report is a few short fields; one that cannot be written is one that was not heard.
        metadata["annotations"][REPORT] = json!(serde_json::to_string(report).unwrap_or_default());
    }
    json!({"metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(busy: Busy, at: i64) -> Report {
        Report { at: Timestamp::from_second(at).ok(), busy: Some(busy), healthy: Some(true), ..Report::default() }
    }

    #[test]
    fn news_is_written_at_once_and_the_same_after_a_while() {
        let now = |second| Timestamp::from_second(second).unwrap();
        assert!(is_due(None, &says(Busy::Idle, 0), now(0)));
        let before = says(Busy::Idle, 100);
        assert!(!is_due(Some(&before), &says(Busy::Idle, 144), now(144)));
        assert!(is_due(Some(&before), &says(Busy::Idle, 145), now(145)));
        assert!(is_due(Some(&before), &says(Busy::Busy, 101), now(101)));
        let sick = Report { healthy: Some(false), ..says(Busy::Idle, 101) };
        assert!(is_due(Some(&before), &sick, now(101)));
    }

    #[test]
    fn a_busy_one_is_set_apart_and_protected() {
        let patch = patch("u", Some(Busy::Busy), Some(&says(Busy::Busy, 0)));
        let meta = &patch["metadata"];
        assert_eq!(meta["uid"], "u");
        assert_eq!(meta["labels"], json!({"apps.jit.si/state": "busy", "apps.jit.si/protected": "true"}));
        assert_eq!(meta["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
        let back: Report = serde_json::from_str(meta["annotations"][REPORT].as_str().unwrap()).unwrap();
        assert_eq!(back, says(Busy::Busy, 0));
        let free = super::patch("u", Some(Busy::Idle), None);
        assert_eq!(free["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"], "false");
        assert_eq!(super::patch("u", None, None), json!({"metadata": {"uid": "u"}}));
    }
}
