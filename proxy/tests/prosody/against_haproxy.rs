//! The harness itself, checked against HAProxy: it passes where HAProxy is right and reports a split where it is not.

use super::{
    conference::{BLIND, Conference},
    scenario,
    verdict::Verdict,
};
use crate::support::{Balance, Haproxy, Prosody, require};

fn targets(shards: &[Prosody; 2]) -> [(&str, std::net::SocketAddr); 2] {
    shards.each_ref().map(|shard| (shard.name(), shard.address()))
}

/// With one join at a time HAProxy pins every room, and moves rooms of a dead shard together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harness_passes_with_one_join_at_a_time() {
    let mut shards = scenario::two_shards().await;
    let haproxy = Haproxy::start(Balance::Sticky, &targets(&shards)).await;
    scenario::nine_meet(&haproxy.base(), &shards).await;
    scenario::rooms_side_by_side(&haproxy.base(), &shards).await;
    scenario::survives_a_shard(&haproxy.base(), &mut shards).await;
}

/// Without a pin, the same joins are a split, and the verdict says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harness_sees_a_split_without_pins() {
    let shards = scenario::two_shards().await;
    let haproxy = Haproxy::start(Balance::Forgetful, &targets(&shards)).await;
    // WebSockets only: a BOSH session without a pin does not even log in.
    let conference = Conference::gather(&haproxy.base(), "split", 6, 0).await;
    let verdict = conference.settle().await;
    assert!(matches!(&verdict, Verdict::Split { groups } if groups.len() == 2), "{verdict:?}");
    assert_eq!(conference.census(&shards).await.len(), 2, "the shards count the same");
}

/// Two first requests at the same instant split rooms behind HAProxy's stick table (haproxy#3243): so the same
/// scenario, which the proxy must pass without one split, does put them at the same instant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harness_shows_haproxys_race() {
    let shards = scenario::two_shards().await;
    let haproxy = Haproxy::start(Balance::Sticky, &targets(&shards)).await;
    let pairs = scenario::pairs_at_one_instant(&haproxy.base(), 20).await;
    let split = pairs.iter().filter(|pair| matches!(pair.verdict(), Verdict::Split { .. })).count();
    println!("HAProxy split {split} of {} rooms", pairs.len());
    assert!(split > 0, "the two requests of a pair were never close enough");
}

/// Where a hash decides, the same pairs meet: the scenario fails for a split, not for being hasty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_meet_behind_a_hash() {
    let shards = scenario::two_shards().await;
    let haproxy = Haproxy::start(Balance::Hashed, &targets(&shards)).await;
    for pair in scenario::pairs_at_one_instant(&haproxy.base(), 20).await {
        pair.together().await;
        pair.assert_undisturbed();
    }
}

/// A missing server is a failure that says how to install it.
#[test]
#[should_panic(expected = "run `apt-get install -y no-such-package` as root")]
fn a_missing_server_fails_loudly() {
    require("no-such-program", "no-such-package");
}

/// All spellings reach a shard when nothing stands in between, the raw bytes in the request line included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_take_every_spelling() {
    let shard = Prosody::start("shard-1").await;
    let base = shard.base();
    scenario::spellings_meet(&base, &[shard]).await;
}

/// Taking `room=` out of some URLs is seen as a split.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harness_sees_broken_pins() {
    assert!(std::env::var_os(BLIND).is_none(), "{BLIND} is set: all pins are broken on purpose");
    let shards = scenario::two_shards().await;
    let haproxy = Haproxy::start(Balance::Sticky, &targets(&shards)).await;
    let verdict = scenario::room_with_broken_pins(&haproxy.base()).await;
    assert!(matches!(verdict, Verdict::Split { .. }), "{verdict:?}");
}
