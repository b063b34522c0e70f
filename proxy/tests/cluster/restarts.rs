//! A crash, a restart, an update: invariant 3.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    clients::{Seats, knock, pairs},
    house::{client, rooms},
    town::{Town, whole},
};

#[tokio::test]
async fn a_killed_replica_moves_no_room_and_its_people_come_back() {
    let mut town = Town::of(3, 3).await;
    let names = rooms("conference", 40);
    let (mut seats, mut tunnels): (BTreeMap<_, _>, Vec<_>) = (BTreeMap::new(), Vec::new());
    for room in &names {
        for n in 0..3 {
            let mut tunnel = town.house(n).tunnel(room).await;
            let shard = tunnel.who().await;
            assert_eq!(seats.entry(room.clone()).or_insert_with(|| shard.clone()), &shard, "{room}");
            tunnels.push((n, tunnel));
        }
    }
    town.replicas[0].house.process.kill();
    // At once, before anybody has noticed: old rooms and new ones.
    let fronts = [1, 2].map(|n| town.house(n).front());
    let found = Seats::default();
    pairs(&fronts, "new", 100, 4, &found).await;
    assert_eq!(found.split(), []);
    for room in &names {
        let mut back = town.house(1).tunnel(room).await;
        assert_eq!(back.who().await, seats[room], "{room}");
    }
    for (n, tunnel) in &mut tunnels {
        if *n == 0 {
            assert!(!tunnel.is_open().await, "its replica is dead");
        } else {
            assert!(tunnel.is_open().await, "who sat through others notices nothing");
        }
    }
    for n in [1, 2] {
        town.replicas[n].until_members("two", |members| whole(members, 2)).await;
        assert_eq!(town.house(n).visit_all(&names).await, seats);
        let metrics = town.house(n).metrics().await;
        assert_eq!(metrics.sum("roompin_pins_moved_total", ""), 0.0);
        assert_eq!(metrics.sum("roompin_conflicts_total", ""), 0.0);
    }
    // And back, empty-handed: no snapshot on disk.
    town.replicas[0].house.process.restart();
    town.ready().await;
    assert_eq!(town.house(0).visit_all(&names).await, seats);
}

#[tokio::test]
async fn a_rolling_restart_under_load_moves_no_room() {
    let mut town = Town::of(3, 3).await;
    let fronts: Vec<_> = town.replicas.iter().map(|replica| replica.house.front()).collect();
    let (seats, over, visits) = (Seats::default(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut people = JoinSet::new();
    for person in 0..6_usize {
        let (fronts, seats) = (fronts.clone(), seats.clone());
        let (over, visits) = (Arc::clone(&over), Arc::clone(&visits));
        people.spawn(async move {
            // Each connection anew, as after a load balancer.
            let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
            let http = http.timeout(Duration::from_secs(10)).build().unwrap();
            for turn in 0_usize.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // Old rooms, shared by all; and new ones, met by two at a time.
                let room = if turn % 2 == 0 {
                    format!("old{}", (turn * 7 + person) % 100)
                } else {
                    format!("n{}-{turn}", person / 2)
                };
                // Whoever is on its way out or in refuses connections; the next one takes them.
                for attempt in 0..fronts.len() {
                    if let Ok(shard) = knock(&http, fronts[(turn + person + attempt) % fronts.len()], &room).await {
                        seats.saw(&room, &shard);
                        visits.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
    }
    for n in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        town.house(n).process.signal("TERM");
        assert!(town.replicas[n].house.process.wait(Duration::from_secs(15)).await.success());
        town.replicas[n].house.process.restart();
        town.ready().await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(done) = people.join_next().await {
        done.unwrap();
    }
    let (visits, rooms) = (visits.load(Ordering::Relaxed), seats.rooms());
    println!(
        "{visits} visits of {rooms} rooms; {} fallbacks",
        town.sum("roompin_claim_seconds_count", "fallback").await
    );
    assert!(rooms > 300, "{rooms}");
    assert_eq!(seats.split(), []);
    assert_eq!(town.sum("roompin_conflicts_total", "").await, 0.0);
    assert_eq!(town.sum("roompin_pins_moved_total", "").await, 0.0);
    let http = client();
    let mut lost = 0;
    for n in 0..100 {
        let room = format!("old{n}");
        for front in &fronts {
            match knock(&http, *front, &room).await {
                Ok(shard) => seats.saw(&room, &shard),
                Err(_) => lost += 1,
            }
        }
    }
    assert_eq!((seats.split(), lost), (vec![], 0));
}
