//! A town whose replicas live in network namespaces. Clients, operators and shards reach them by a network without
//! faults; each other they reach over the air.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use loadtest::{
    netns::{Netns, air::Air, hub},
    stub::StubShard,
};
use tokio::time::{Instant, sleep};

use crate::{
    clients::{Seats, pairs},
    house::House,
    town::{Replica, Town, whole},
};

/// Ports, in namespaces that have all of them free.
const FRONT: u16 = 8080;
const ADMIN: u16 = 9090;
const MESH: u16 = 1024;
/// Between two looks at who sees whom.
const LOOK: Duration = Duration::from_millis(200);

/// See the module.
pub(crate) struct Country {
    pub(crate) town: Town,
    pub(crate) air: Air,
}

/// Where a replica is on the air.
pub(crate) fn on_air(replica: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 19, 0, u8::try_from(replica + 1).unwrap())
}

/// Runs a test in a country of replicas that are ready. `cluster` are further fields of their `cluster:` section.
pub(crate) fn in_country(replicas: usize, cluster: &str, test: impl AsyncFnOnce(Country) + Send) {
    // Not on the thread of the test harness, which may run other tests later.
    let run = || {
        let hub = Netns::move_here().unwrap_or_else(|error| {
            panic!("no network namespaces ({error}): run as root with iproute2, or in `unshare --user --map-root-user --net`")
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let country = Country::settle(&hub, replicas, cluster).await;
            println!("PACKETS ARE LOST AND LATE BY: {}", country.air.name());
            test(country).await;
        });
    };
    let outcome = thread::scope(|scope| scope.spawn(run).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

impl Country {
    async fn settle(hub: &Netns, replicas: usize, cluster: &str) -> Self {
        let mut shards = Vec::new();
        for n in 0..3 {
            shards.push(StubShard::start(&format!("s{n}"), (hub::ADDRESS, 0).into()).await.unwrap());
        }
        let mut town = Town::with(shards);
        let home = |n: usize| Ipv4Addr::new(198, 18, 1, u8::try_from(n + 1).unwrap());
        let nets: Vec<_> = (0..replicas).map(|n| hub.attach(&format!("replica-{n}"), home(n)).unwrap()).collect();
        let stations: Vec<_> = nets.iter().cloned().zip((0..replicas).map(on_air)).collect();
        let air = Air::open(hub, &stations, std::env::var_os("ROOMPIN_NO_NETEM").is_none()).unwrap();
        let plan = town.plan((0..replicas).map(|n| (on_air(n), MESH).into()).collect());
        for (n, net) in nets.iter().enumerate() {
            let mesh = SocketAddr::from((on_air(n), MESH));
            let body = town.body(mesh, &plan).replace("cluster: {", &format!("cluster: {{{cluster}"));
            let (front, admin) = ((home(n), FRONT).into(), (home(n), ADMIN).into());
            let house = net.enter(|| House::launch_at(front, admin, &body)).unwrap();
            town.replicas.push(Replica { house, mesh, _port: None });
        }
        town.ready().await;
        Self { town, air }
    }

    /// Lets people open rooms, two at a time through different replicas, and looks all the while whether somebody
    /// alive is thought dead.
    pub(crate) async fn live(&self, prefix: &str, time: Duration, seats: &Seats) {
        let fronts: Vec<_> = self.town.replicas.iter().map(|replica| replica.house.front()).collect();
        let until = Instant::now() + time;
        let people = async {
            for round in 0.. {
                if Instant::now() >= until {
                    return;
                }
                pairs(&fronts, &format!("{prefix}{round}-"), 24, 6, seats).await;
            }
        };
        let looking = async {
            while Instant::now() < until {
                for replica in &self.town.replicas {
                    let members = replica.members().await;
                    // A link may be missing; nobody may.
                    let ready = members.iter().filter(|member| member["state"] == "ready").count();
                    assert_eq!(ready, self.town.replicas.len(), "{} sees {members:?}", replica.mesh);
                }
                sleep(LOOK).await;
            }
        };
        tokio::join!(people, looking);
    }

    /// What must be so after all that can happen to packets. So many rooms may be split: more than none only where
    /// answers are later than replicas wait for them.
    pub(crate) async fn judge(&self, seats: &Seats, may_split: usize) {
        let split = seats.split();
        assert!(split.len() <= may_split, "people sit alone: {split:?}");
        for replica in &self.town.replicas {
            let log = replica.house.process.log();
            assert!(!log.contains("replica down"), "somebody alive was thought dead:\n{log}");
            let count = self.town.replicas.len();
            replica.until_members("everybody", |members| whole(members, count)).await;
            // Repair makes up for what was not pushed.
            let rooms = seats.rooms() as f64;
            replica
                .house
                .until_metrics("everybody knows all rooms", |metrics| {
                    metrics.get("roompin_table_entries") == Some(rooms)
                })
                .await;
        }
        let [fallbacks, unconfirmed, moved] = [
            self.town.sum("roompin_claim_seconds_count", "fallback").await,
            self.town.sum("roompin_claims_unconfirmed_total", "").await,
            self.town.sum("roompin_pins_moved_total", "").await,
        ];
        let conflicts = self.town.sum("roompin_conflicts_total", "").await;
        println!(
            "{} rooms: {} split, {fallbacks} fallbacks, {unconfirmed} unconfirmed, {conflicts} conflicts, {:?}",
            seats.rooms(),
            split.len(),
            self.air.counts()
        );
        // A room that was split is one conflict, which every replica may meet, and moves in those that had it elsewhere.
        let most = (may_split * self.town.replicas.len()) as f64;
        assert!(moved <= most && conflicts <= most, "{moved} moved, {conflicts} conflicts");
        assert!(self.air.counts().is_none_or(|counts| counts.too_long == 0), "{:?}", self.air.counts());
    }

    /// When a replica logged a line with all of these words, by its own clock; the first one from `since` on.
    pub(crate) async fn logged(&self, replica: usize, since: Timestamp, words: &[&str]) -> Timestamp {
        let found = || {
            let log = self.town.house(replica).process.log();
            let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
            let mut times = lines.filter_map(|line| line.split_ascii_whitespace().next()?.parse::<Timestamp>().ok());
            times.find(|time| *time >= since)
        };
        crate::house::until(&format!("replica {replica} logs {words:?}"), async || found().is_some()).await;
        found().unwrap()
    }
}
