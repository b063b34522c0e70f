//! Strangers at the mesh ports of a cluster that is busy: acceptance 7 of issue 4.

use std::{fs, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    assault::{HALF_OPEN, TIMES, assault},
    clients::{Seats, pairs},
    conferences::{CONFERENCES, EACH, alone, gather, seats, still_in},
    house::{House, until},
    support::Port,
    tap::Tap,
    town::{Town, whole},
};

/// Connections that a replica keeps while they have not proved the key (`mesh::Limits::half_open`).
const KEPT: usize = 256;
/// Descriptors of connections that were put out a moment ago (a hundred or so are accepted at a time), and of the people
/// who open rooms meanwhile, to them and to shards.
const COMING: usize = 384;
/// What a half-open connection may cost, and what rooms and metrics take meanwhile.
const MEMORY_KIB: u64 = 6 * 1024;
/// New rooms opened meanwhile.
const ROOMS: usize = 600;

/// What strangers could take from a replica.
#[derive(Clone, Copy, Debug)]
struct Held {
    files: usize,
    memory_kib: u64,
}

impl Held {
    fn by(house: &House) -> Self {
        let process = format!("/proc/{}", house.process.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory_kib = memory.trim().trim_end_matches(" kB").parse().unwrap();
        Self { files: fs::read_dir(format!("{process}/fd")).unwrap().count(), memory_kib }
    }

    fn most(self, other: Self) -> Self {
        Self { files: self.files.max(other.files), memory_kib: self.memory_kib.max(other.memory_kib) }
    }
}

/// Three replicas, and what the second one said to the first when it came.
async fn town_overheard() -> (Town, Tap, Vec<u8>) {
    let mut town = Town::new(3).await;
    let [first, second, third] = [Port::reserve(), Port::reserve(), Port::reserve()];
    let (address, other) = (first.address(), second.address());
    let plan = town.plan(vec![]);
    town.launch(first, &plan);
    town.ready().await;
    let tap = Tap::start(address).await;
    let plan = town.plan(vec![tap.address()]);
    town.launch(second, &plan);
    town.ready().await;
    let plan = town.plan(vec![address, other]);
    town.launch(third, &plan);
    town.ready().await;
    let (said, answered) = tap.recorded();
    assert!(said.len() > 130 && answered.len() > 130, "a whole handshake: {} {}", said.len(), answered.len());
    (town, tap, said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_a_busy_cluster_are_refused_bounded_and_counted() {
    let _machine = alone().await;
    // Without the tap their link would end.
    let (mut town, _tap, recorded) = town_overheard().await;
    let fronts: Vec<_> = town.replicas.iter().map(|replica| replica.house.front()).collect();
    let peers: Vec<_> = town.replicas.iter().map(|replica| replica.mesh).collect();
    let people = gather(&fronts).await;
    let before = seats(&people);
    let found = Seats::default();
    // Everything that is set up once.
    pairs(&fronts, "first", 60, 6, &found).await;
    let base: Vec<_> = (0..3).map(|n| Held::by(town.house(n))).collect();

    // A replica of somebody else's, which tries again and again.
    let mut plan = town.plan(peers.clone());
    plan.key = "another key";
    town.launch(Port::reserve(), &plan);
    let mut stranger = town.replicas.pop().unwrap();
    stranger.house.ready().await;

    let started = Instant::now();
    let mut most = base.clone();
    let strangers = assault(&peers, &recorded);
    let rooms = pairs(&fronts, "new", ROOMS, 6, &found);
    let mut besieged = Box::pin(async { tokio::join!(strangers, rooms).0 });
    let connections = loop {
        tokio::select! {
            connections = &mut besieged => break connections,
            () = sleep(Duration::from_millis(100)) => {}
        }
        for (n, most) in most.iter_mut().enumerate() {
            *most = most.most(Held::by(town.house(n)));
            let members = town.replicas[n].members().await;
            assert!(whole(&members, 3), "a member is lost: {members:?}");
        }
    };
    let took = started.elapsed();

    assert_eq!(found.split(), []);
    assert_eq!(found.rooms(), ROOMS + 60);
    // Metrics follow within a second. The other replica's dials come on top.
    until("all strangers are counted", async || {
        town.sum("roompin_mesh_handshakes_total", r#"side="accepted""#).await - 3.0 >= connections as f64
    })
    .await;
    let mut counted = 0.0;
    for n in 0..3 {
        let metrics = town.house(n).metrics().await;
        let count = |outcome: &str| {
            metrics.sum("roompin_mesh_handshakes_total", &format!(r#"outcome="{outcome}",side="accepted""#))
        };
        let outcomes = ["wrong_key", "not_mesh", "version", "replayed", "evicted", "timeout", "closed"]
            .map(|name| (name, count(name)));
        println!("replica {n}: {outcomes:?}; {:?} at first, {:?} at most", base[n], most[n]);
        counted += outcomes.iter().map(|(_, count)| count).sum::<f64>();
        assert!(count("wrong_key") >= TIMES as f64 + 2.0, "also the replica's with another key");
        assert!(count("not_mesh") >= (TIMES * 3 / 4) as f64, "{outcomes:?}");
        assert!(count("version") >= (TIMES / 4) as f64, "{outcomes:?}");
        // A recorded message is known again, the first time where it was recorded, then everywhere.
        assert!(count("replayed") >= (TIMES - 1) as f64, "{outcomes:?}");
        assert!(count("evicted") + count("timeout") >= (HALF_OPEN - KEPT) as f64, "{outcomes:?}");
        assert!(most[n].files <= base[n].files + KEPT + COMING, "{:?} {:?}", base[n], most[n]);
        assert!(most[n].memory_kib <= base[n].memory_kib + MEMORY_KIB, "{:?} {:?}", base[n], most[n]);
        let log = town.house(n).process.log();
        assert!(!log.contains("replica down") && !log.contains("link ended"), "{log}");
        assert_eq!(metrics.sum("roompin_conflicts_total", ""), 0.0);
    }
    let fallbacks = town.sum("roompin_claim_seconds_count", "fallback").await;
    println!("{connections} strangers in {took:?}, {counted} counted, {fallbacks} fallbacks, 0 splits");
    assert!(counted >= connections as f64, "{counted} of {connections} are counted");
    assert!(whole(&stranger.members().await, 1), "the stranger is alone");
    let (undisturbed, people) = still_in(people).await;
    assert_eq!(undisturbed, CONFERENCES * EACH);
    assert_eq!(seats(&people), before);
}
