use super::*;

fn good() -> JoinRun {
    JoinRun {
        pins: 1e6,
        per_second: 5_000.0,
        empty_bytes: 15_000_000,
        over_bytes: vec![70_000_000, 71_000_000, 120_000_000],
        ready_ms: 5_000,
        claims: 10_000.0,
        claim_p99_ms: Some(9.9),
        rooms: 20_000,
        errors: 0,
        tables: vec![5.0, 5.0, 5.0],
        conflicts: 0.0,
        split: 0,
    }
}

#[test]
fn each_budget_is_missed_alone() {
    let missed = |run: &JoinRun| run.budgets().map(|budget| !budget.kept);
    assert_eq!(missed(&good()), [false; 3]);
    assert_eq!(missed(&JoinRun { over_bytes: vec![120_000_001, 1], ..good() }), [true, false, false]);
    assert_eq!(missed(&JoinRun { ready_ms: 5_001, ..good() }), [false, true, false]);
    assert_eq!(missed(&JoinRun { claim_p99_ms: Some(10.0), ..good() }), [false, false, true]);
    assert_eq!(missed(&JoinRun { claim_p99_ms: None, ..good() }), [false, false, true], "nothing was measured");
    assert_eq!(missed(&JoinRun { over_bytes: vec![], ..good() }), [true, false, false]);
}

#[test]
fn tables_that_differ_are_wrong() {
    assert!(good().is_right());
    assert!(!JoinRun { tables: vec![5.0, 5.0, 4.0], ..good() }.is_right());
    assert!(!JoinRun { errors: 1, ..good() }.is_right());
    assert!(!JoinRun { split: 1, ..good() }.is_right());
    assert!(!JoinRun { conflicts: 1.0, ..good() }.is_right());
    assert!(!JoinRun { rooms: 0, ..good() }.is_right());
}
