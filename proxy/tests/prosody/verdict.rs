//! The judgement on one conference.

use std::collections::{BTreeMap, BTreeSet};

use super::participant::Seen;

/// Where the participants of one conference are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All on one shard, and everyone sees everyone.
    Together {
        /// That shard.
        shard: String,
    },
    /// All have joined, on more than one shard: what Roompin exists to prevent.
    Split {
        /// Shard → nicks.
        groups: BTreeMap<String, BTreeSet<String>>,
    },
    /// Somebody is not in yet, or does not see everyone yet.
    Incomplete {
        /// Shard → nicks of those who are in.
        groups: BTreeMap<String, BTreeSet<String>>,
        /// Who lacks what, for people.
        missing: Vec<String>,
    },
}

/// Judges by what each participant (by nick) sees.
pub(crate) fn judge(participants: &[(String, Seen)]) -> Verdict {
    let everyone: BTreeSet<_> = participants.iter().map(|(nick, _)| nick.clone()).collect();
    let mut groups = BTreeMap::<String, BTreeSet<String>>::new();
    let mut missing = Vec::new();
    for (nick, seen) in participants {
        match &seen.shard {
            Some(shard) if seen.joined => {
                groups.entry(shard.clone()).or_default().insert(nick.clone());
            }
            _ => missing.push(format!("{nick} has not joined (last failure: {:?})", seen.failure)),
        }
    }
    if missing.is_empty() && groups.len() > 1 {
        return Verdict::Split { groups };
    }
    for (nick, seen) in participants.iter().filter(|(_, seen)| seen.joined && seen.occupants != everyone) {
        let unseen: Vec<_> = everyone.difference(&seen.occupants).collect();
        let strangers: Vec<_> = seen.occupants.difference(&everyone).collect();
        missing.push(format!("{nick} does not see {unseen:?}, sees strangers {strangers:?}"));
    }
    match groups.first_key_value() {
        Some((shard, _)) if missing.is_empty() => Verdict::Together { shard: shard.clone() },
        _ => Verdict::Incomplete { groups, missing },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(shard: &str, occupants: &[&str]) -> Seen {
        Seen {
            shard: Some(shard.to_owned()),
            joined: true,
            occupants: occupants.iter().map(|&nick| nick.to_owned()).collect(),
            ..Seen::default()
        }
    }

    fn conference<const N: usize>(seen: [(&str, Seen); N]) -> Verdict {
        judge(&seen.map(|(nick, seen)| (nick.to_owned(), seen)))
    }

    #[test]
    fn together_needs_everyone_to_see_everyone() {
        let all = conference([("a", seen("s1", &["a", "b"])), ("b", seen("s1", &["a", "b"]))]);
        assert_eq!(all, Verdict::Together { shard: "s1".into() });
        let partial = conference([("a", seen("s1", &["a"])), ("b", seen("s1", &["a", "b"]))]);
        assert!(matches!(partial, Verdict::Incomplete { .. }), "{partial:?}");
        assert!(matches!(judge(&[]), Verdict::Incomplete { .. }), "nobody is no conference");
    }

    #[test]
    fn two_shards_are_a_split() {
        let split = conference([("a", seen("s1", &["a"])), ("b", seen("s2", &["b"]))]);
        assert!(matches!(&split, Verdict::Split { groups } if groups.len() == 2), "{split:?}");
    }

    #[test]
    fn an_absent_participant_is_no_split_yet() {
        let absent = conference([("a", seen("s1", &["a"])), ("b", seen("s2", &["b"])), ("c", Seen::default())]);
        assert!(matches!(absent, Verdict::Incomplete { .. }), "{absent:?}");
    }
}
