//! An update of all replicas, one after the other: invariant 3, acceptance 3 of issue 4.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    clients::{Seats, knock},
    conferences::{CONFERENCES, EACH, Participant, Refused, alone, gather, seats, still_in},
    house::PATIENCE,
    town::Town,
};

/// Who opens rooms and asks for old ones meanwhile.
const VISITORS: usize = 4;

/// What happens to those who sit, and whether it is over.
#[derive(Clone)]
struct Ends {
    over: watch::Receiver<bool>,
    thrown_out: Arc<AtomicUsize>,
    moved: Arc<AtomicUsize>,
}

/// Sits in a conference, and comes back whenever it is thrown out.
async fn sit(mut person: Participant, fronts: Vec<SocketAddr>, refused: Refused, mut ends: Ends) -> Participant {
    loop {
        let code = tokio::select! {
            code = person.thrown_out() => code,
            _ = ends.over.wait_for(|over| *over) => return person,
        };
        assert_eq!(code, Some(1012), "everybody is told to come again");
        ends.thrown_out.fetch_add(1, Relaxed);
        let shard = person.shard.clone();
        person = person.rejoin(&fronts, &refused).await;
        ends.moved.fetch_add(usize::from(person.shard != shard), Relaxed);
    }
}

/// Visits rooms until told to stop, each visit by a connection of its own, as behind a load balancer. Whoever is on its
/// way out or in may refuse; not everybody.
async fn visit(lane: usize, fronts: Vec<SocketAddr>, seats: Seats, refused: Refused, ends: Ends) -> usize {
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
    for turn in 0.. {
        if *ends.over.borrow() {
            return turn;
        }
        // Old rooms, shared by all; and new ones, met by two at a time.
        let old = turn % 2 == 0;
        let room = if old { format!("old{}", (turn * 7 + lane) % 100) } else { format!("n{}-{turn}", lane / 2) };
        let mut why = Vec::new();
        for attempt in 0..fronts.len() {
            match knock(&http, fronts[(turn + lane + attempt) % fronts.len()], &room).await {
                Ok(shard) => {
                    seats.saw(&room, &shard);
                    why.clear();
                    break;
                }
                Err(error) => why.push(error),
            }
        }
        if !why.is_empty() {
            refused.everywhere(&room, &why);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unreachable!("it turns for ever")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_all_replicas_under_a_thousand_conferences_moves_none_of_them() {
    let _machine = alone().await;
    let mut town = Town::of(3, 3).await;
    let fronts: Vec<_> = town.replicas.iter().map(|replica| replica.house.front()).collect();
    let people = gather(&fronts).await;
    let before = seats(&people);
    let (over, told) = watch::channel(false);
    let ends = Ends { over: told, thrown_out: Arc::default(), moved: Arc::default() };
    let (refused, found) = (Refused::default(), Seats::default());
    let (mut sitting, mut visiting) = (JoinSet::new(), JoinSet::new());
    for person in people {
        sitting.spawn(sit(person, fronts.clone(), refused.clone(), ends.clone()));
    }
    for lane in 0..VISITORS {
        visiting.spawn(visit(lane, fronts.clone(), found.clone(), refused.clone(), ends.clone()));
    }
    let started = Instant::now();
    for n in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        town.house(n).process.signal("TERM");
        assert!(town.replicas[n].house.process.wait(PATIENCE).await.success());
        town.replicas[n].house.process.restart();
        town.ready().await;
    }
    let took = started.elapsed();
    over.send_replace(true);
    let visits: usize = visiting.join_all().await.into_iter().sum();
    let people = sitting.join_all().await;
    let (thrown_out, moved) = (ends.thrown_out.load(Relaxed), ends.moved.load(Relaxed));
    println!(
        "an update in {took:?}: {thrown_out} tunnels were told to come again, {moved} came to another shard; \
         {visits} visits of {} rooms, {} refused by every replica; {} fallbacks",
        found.rooms(),
        refused.all().len(),
        town.sum("roompin_claim_seconds_count", "fallback").await
    );
    assert_eq!(refused.all(), Vec::<String>::new(), "refused by every replica");
    assert!(thrown_out >= CONFERENCES * EACH && found.rooms() > 200, "{thrown_out} {}", found.rooms());
    assert_eq!((moved, found.split()), (0, vec![]));
    assert_eq!(seats(&people), before);
    assert_eq!(still_in(people).await.0, CONFERENCES * EACH);
    assert_eq!(town.sum("roompin_conflicts_total", "").await, 0.0);
    assert_eq!(town.sum("roompin_pins_moved_total", "").await, 0.0);
}
