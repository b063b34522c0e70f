//! The ring is bounded, and the answers are those of the autoscaler.
#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn launched(seconds: i64, name: &str) -> Item {
    Item { at: at(seconds), entry: Entry::Launched { instances: vec![name.to_owned()], count: 1, desired: 2 } }
}

#[test]
fn no_more_than_the_limit_and_two_days() {
    let ring: Vec<_> = (0..500).map(|n| launched(n, "a")).collect();
    let kept: Vec<Item> = serde_json::from_str(&fit(ring, at(500), BYTES)).unwrap();
    assert_eq!((kept.len(), kept[0].at, kept[LIMIT - 1].at), (LIMIT, at(300), at(499)));
    let old = vec![launched(0, "old"), launched(48 * 3600, "edge"), launched(48 * 3600 + 1, "new")];
    let kept: Vec<Item> = serde_json::from_str(&fit(old, at(48 * 3600 + 1), BYTES)).unwrap();
    assert_eq!(kept.len(), 2);
}

#[test]
fn long_items_push_others_out() {
    let long = "x".repeat(4000);
    let ring: Vec<_> = (0..150).map(|n| launched(n, &long)).collect();
    let text = fit(ring, at(150), BYTES);
    let kept: Vec<Item> = serde_json::from_str(&text).unwrap();
    assert!(text.len() <= BYTES && kept.len() > 40, "{} bytes, {} items", text.len(), kept.len());
    assert_eq!(kept.last().unwrap().at, at(149));
    let huge = vec![launched(0, &"x".repeat(BYTES))];
    assert_eq!(fit(huge, at(0), BYTES), "[]");
    let data = BTreeMap::from([("jvb".to_owned(), "x".repeat(BYTES)), ("jibri".to_owned(), "x".repeat(BYTES))]);
    assert_eq!(room(&data, GroupKind::Jvb), BYTES / 4);
    assert!(room(&BTreeMap::new(), GroupKind::Jvb) == BYTES);
}

#[test]
fn what_somebody_broke_begins_anew() {
    assert_eq!(parse(Some(&"no json".to_owned())), []);
    assert_eq!(parse(None), []);
    let ring = vec![launched(1, "a")];
    assert_eq!(parse(Some(&serde_json::to_string(&ring).unwrap())), ring);
}

#[test]
fn the_group_audit_shows_the_newest_first() {
    let change = Change { by: Mover::Up, from: 2, to: 3, periods: vec![Some(0.9), None] };
    let items = [
        Item { at: at(0), entry: Entry::scaled(&change, 2, "stress 0.9") },
        launched(1, "a-1"),
        Item { at: at(2), entry: Entry::Retired { instances: vec!["a-0".into(), "a-1".into()], count: 3, desired: 1 } },
        Item { at: at(3), entry: Entry::scaled(&Change { by: Mover::Word, from: 3, to: 1, periods: vec![] }, 3, "") },
        Item { at: at(4), entry: Entry::ReconfigureAsked { instances: vec!["a-0".into()] } },
    ];
    let audit = group_audit(&items);
    assert_eq!(audit.last_launcher_run, "2027-01-15T08:00:02.000Z");
    assert_eq!(audit.last_auto_scaler_run, "2027-01-15T08:00:03.000Z");
    assert_eq!(audit.last_reconfigure_request, "2027-01-15T08:00:04.000Z");
    assert_eq!(audit.last_scale_metrics, [Some(0.9), None]);
    let actions: Vec<_> = audit.auto_scaler_action_items.iter().map(|item| item.action_type.as_str()).collect();
    assert_eq!(actions, ["decreaseDesiredCount", "increaseDesiredCount"]);
    let launches: Vec<_> =
        audit.launcher_action_items.iter().map(|item| (item.action_type.as_str(), item.scale_quantity)).collect();
    assert_eq!(launches, [("scaleDown", 2), ("scaleUp", 1)]);
    assert_eq!(group_audit(&[]).last_launcher_run, "unknown");
}

#[test]
fn a_name_that_is_used_again_is_another_instance() {
    let items = [
        launched(0, "a-0"),
        Item { at: at(10), entry: Entry::Retired { instances: vec!["a-0".into()], count: 1, desired: 0 } },
        Item { at: at(20), entry: Entry::Ended { instances: vec!["a-0".into()] } },
        launched(30, "a-0"),
    ];
    let before = &instance_audit(&items[..3], &[])[0];
    assert_eq!(before.request_to_terminate, iso(at(10)));
    assert_eq!(before.termination_confirmation, iso(at(20)));
    let after = &instance_audit(&items, &[])[0];
    assert_eq!((after.request_to_launch.as_str(), after.request_to_terminate.as_str()), (&*iso(at(30)), "unknown"));
}

use crate::rest::report::iso;
