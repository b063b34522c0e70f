//! The proxy under `roompin-loadtest chaos`: whatever happens to replicas and shards, no promise of the design is broken.

use std::time::Duration;

use loadtest::chaos::{self, Choice, Options};

/// Everything that can happen, one after the other. The people of a room come through both replicas, and the flood
/// is larger than the table (invariant 5).
const SCRIPT: &str = "
    at 2500ms  kill replica-1 for 500ms
    at 5500ms  restart replica-2
    at 7500ms  partition replica-1 | replica-2, shard-1 for 1s
    at 9s      kill shard-2 for 1s
    at 10500ms slow shard-1 by 200ms for 1s
    at 11s     drain shard-3
    at 11500ms add shard-4
    at 12500ms remove shard-3
    at 13500ms flood 600 rooms
    until 15s
";

#[test]
fn no_promise_is_broken_while_replicas_and_shards_come_and_go() {
    let options = Options {
        target: Choice::Roompin(Some(env!("CARGO_BIN_EXE_roompin-proxy").into())),
        replicas: 2,
        shards: 3,
        rooms: 8,
        participants: 3,
        max_pins: 200,
        spread: true,
        script: SCRIPT.parse().unwrap(),
        seed: 7,
        // All the other tests run beside it on the same cores.
        claim_timeout: Some(Duration::from_secs(1)),
        namespaces: true,
    };
    let run = chaos::run(&options, || Ok(std::future::pending())).unwrap();
    assert_eq!((&run.violations, &run.failures), (&vec![], &vec![]), "{:#?}\n{:?}", run.events, run.totals);
    assert!(run.passed());
    // It would be no wonder if nothing had happened.
    assert_eq!(run.events.len(), 13);
    let totals = run.totals;
    assert!(totals.disconnects >= 10 && totals.moves > 0 && totals.refused >= 100, "{totals:?}");
}
