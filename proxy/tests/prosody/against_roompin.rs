//! `roompin-proxy` in front of real shards. Invariants 1 and 4 of the design, seen from clients.

use super::{conference::Conference, scenario, verdict::Verdict};
use crate::support::{Prosody, RoompinProxy};

async fn proxy(shards: &[Prosody; 2]) -> RoompinProxy {
    RoompinProxy::with_shards(&shards.each_ref().map(|shard| (shard.name(), shard.address()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_and_bosh_clients_meet() {
    let shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    scenario::nine_meet(&proxy.base(), &shards).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_live_side_by_side_on_both_shards() {
    let shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    scenario::rooms_side_by_side(&proxy.base(), &shards).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_spellings_are_one_room() {
    let shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    scenario::spellings_meet(&proxy.base(), &shards).await;
}

/// Invariant 1: however close together, two first requests never go to two shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_requests_at_one_instant_never_split() {
    let shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    let mut used = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let pairs = scenario::pairs_at_one_instant(&proxy.base(), 30).await;
        for pair in &pairs {
            used.insert(pair.together().await);
            pair.assert_undisturbed();
        }
    }
    assert_eq!(used.len(), 2, "60 rooms on one shard prove nothing");
}

/// Invariant 4: a room leaves a shard only when the shard is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_a_killed_shard_meet_on_the_other() {
    let mut shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    scenario::survives_a_shard(&proxy.base(), &mut shards).await;
}

/// New rooms avoid a dead shard from the first moment, and it takes rooms again when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_returns_takes_rooms_again() {
    let mut shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    shards[0].process.kill();
    let refugee = Conference::gather(&proxy.base(), "refugee", 2, 1).await;
    assert_eq!(refugee.together().await, "shard-2");
    let before: Vec<_> = refugee.members.iter().map(|member| member.seen().sessions).collect();
    shards[0].process.restart();
    shards[0].ready().await;
    scenario::rooms_on_both(&proxy.base()).await;
    // The room opened meanwhile stays where it is.
    assert_eq!(refugee.together().await, "shard-2");
    for (member, before) in refugee.members.iter().zip(before) {
        assert_eq!(member.seen().sessions, before, "{} had to reconnect", member.nick);
    }
}

/// The same harness reports a split when clients lose their `room=`: these tests are able to fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_pins_are_seen() {
    let shards = scenario::two_shards().await;
    let proxy = proxy(&shards).await;
    let verdict = scenario::room_with_broken_pins(&proxy.base()).await;
    assert!(matches!(verdict, Verdict::Split { .. }), "{verdict:?}");
}
