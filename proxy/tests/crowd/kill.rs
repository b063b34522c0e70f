//! `kill -9` of one of three replicas: invariant 3, acceptance 2 of issue 4.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};

use crate::{
    clients::{Seats, pairs},
    conferences::{CONFERENCES, EACH, Refused, alone, gather, name, seats, still_in},
    town::{Town, whole},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_killed_under_a_thousand_conferences_moves_none_of_them() {
    let _machine = alone().await;
    let mut town = Town::of(3, 3).await;
    let fronts: Vec<_> = town.replicas.iter().map(|replica| replica.house.front()).collect();
    let started = Instant::now();
    let people = gather(&fronts).await;
    let before = seats(&people);
    println!("{} tunnels in {CONFERENCES} conferences after {:?}", people.len(), started.elapsed());

    let (through_it, others): (Vec<_>, Vec<_>) = people.into_iter().partition(|person| person.replica == 0);
    assert_eq!(through_it.len(), CONFERENCES * EACH / 3);
    let refused = Refused::default();
    let mut coming_back = JoinSet::new();
    for mut person in through_it {
        let (fronts, refused) = (fronts.clone(), refused.clone());
        coming_back.spawn(async move {
            assert_eq!(person.thrown_out().await, None, "nobody was there to say goodbye");
            person.rejoin(&fronts, &refused).await
        });
    }
    let killed = Instant::now();
    town.replicas[0].house.process.kill();
    // New rooms all the while, before anybody has noticed and after.
    let found = Seats::default();
    let back = async {
        let back = coming_back.join_all().await;
        println!("{} are back {:?} after kill -9", back.len(), killed.elapsed());
        back
    };
    let (back, ()) = tokio::join!(back, pairs(&fronts[1..], "new", 200, 4, &found));
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    assert_eq!(refused.all(), Vec::<String>::new(), "refused by every replica");
    assert_eq!(found.split(), []);

    let moved = back.iter().filter(|person| person.shard != before[&person.room]).count();
    assert_eq!(moved, 0, "rooms have moved");
    assert!(back.iter().all(|person| person.replica != 0));
    let count = others.len();
    let (undisturbed, others) = still_in(others).await;
    assert_eq!(undisturbed, count, "who sat through others notices nothing");
    for n in [1, 2] {
        town.replicas[n].until_members("two", |members| whole(members, 2)).await;
        let metrics = town.house(n).metrics().await;
        assert_eq!(metrics.sum("roompin_pins_moved_total", ""), 0.0);
        assert_eq!(metrics.sum("roompin_conflicts_total", ""), 0.0);
        assert_eq!(metrics.get("roompin_table_entries"), Some((CONFERENCES + 200) as f64));
    }
    // It comes again, empty-handed: no snapshot on disk. And sends everybody to the same place.
    town.replicas[0].house.process.restart();
    town.ready().await;
    let names: Vec<_> = (0..CONFERENCES).map(name).collect();
    let seen = town.house(0).visit_all(&names).await;
    let elsewhere = (0..CONFERENCES).filter(|room| seen[&name(*room)] != before[room]).count();
    assert_eq!(elsewhere, 0);
    let all: Vec<_> = others.into_iter().chain(back).collect();
    assert_eq!(still_in(all).await.0, CONFERENCES * EACH);
}
