use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::stub::StubShard;

#[test]
fn a_room_is_written_in_four_ways() {
    assert_eq!(spellings("Café"), ["Caf%C3%A9", "caf%c3%a9", "caf%25c3%25a9", "Cafe%CC%81"]);
    assert_eq!(spellings("retro_42"), ["retro_42"; 4]);
}

#[test]
fn rooms_of_the_demo_are_different_rooms() {
    let names: BTreeSet<_> = ROOMS.iter().map(|name| spellings(name)[1].clone()).collect();
    assert_eq!(names.len(), ROOMS.len());
}

#[tokio::test]
async fn the_same_seed_makes_the_same_conferences() {
    let shape = |seed: u64| {
        let targets: Arc<[Target]> = Arc::new([]);
        let mut rng = StdRng::seed_from_u64(seed);
        let seats = |room| conference::seats(room, "x", Spread::RoomPerReplica, &targets, &mut rng).len();
        (0..50).map(seats).collect::<Vec<_>>()
    };
    assert_eq!(shape(1), shape(1));
    assert_ne!(shape(1), shape(2));
    assert!(shape(1).iter().all(|seats| (2..=6).contains(seats)));
}

/// Two replicas that each know one shard only, so that a room is split exactly when it is spread over both.
async fn two_worlds(spread: Spread) -> crate::report::Verdict {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shards = [StubShard::start("a", any).await.unwrap(), StubShard::start("b", any).await.unwrap()];
    let targets = shards.iter().map(|shard| Target { name: shard.name.clone(), address: shard.addr }).collect();
    let rooms: Vec<String> = ROOMS.map(str::to_owned).into();
    let observer = Observer::new(rooms.clone());
    let (stop, stopped) = watch::channel(false);
    let plan = Plan { seed: 3, rooms, targets, spread };
    tokio::join!(run(&plan, &observer, &stopped), async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        stop.send_replace(true);
    });
    assert_eq!(observer.recent_errors(), Vec::<String>::new());
    assert!(observer.rooms().iter().all(|room| room.sitting.is_empty()), "all have left");
    observer.verdict()
}

#[tokio::test]
async fn rooms_kept_to_one_replica_are_not_split() {
    let verdict = two_worlds(Spread::RoomPerReplica).await;
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(verdict.rooms, 8);
    assert!(verdict.participants >= 16, "{verdict:?}");
}

#[tokio::test]
async fn rooms_spread_over_replicas_that_share_nothing_are_split() {
    let verdict = two_worlds(Spread::AnyReplica).await;
    assert!(verdict.splits > 0 && verdict.errors == 0, "{verdict:?}");
}
