//! People who come to rooms through any replica, and a record of where they landed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use loadtest::stub::SHARD_HEADER;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};

/// Who has been seen where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seats(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Seats {
    /// Somebody in a room was answered by a shard.
    pub(crate) fn saw(&self, room: &str, shard: &str) {
        self.0.lock().unwrap().entry(room.to_owned()).or_default().insert(shard.to_owned());
    }

    /// Rooms whose people saw more than one shard.
    pub(crate) fn split(&self) -> Vec<(String, BTreeSet<String>)> {
        let seats = self.0.lock().unwrap();
        seats.iter().filter(|(_, shards)| shards.len() > 1).map(|(r, s)| (r.clone(), s.clone())).collect()
    }

    /// Rooms in which anybody was.
    pub(crate) fn rooms(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// One request for a room; the shard, or what came instead.
pub(crate) async fn knock(http: &reqwest::Client, front: SocketAddr, room: &str) -> Result<String, String> {
    let answer = http.get(format!("http://{front}/http-bind?room={room}")).send().await;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    let shard = answer.headers().get(SHARD_HEADER).map(|name| name.to_str().unwrap().to_owned());
    let status = answer.status();
    let _ = answer.bytes().await;
    shard.ok_or_else(|| format!("status {status}"))
}

/// New rooms, two first requests each through two different replicas, 0 to 20 ms apart, a few at a time.
pub(crate) async fn pairs(fronts: &[SocketAddr], prefix: &str, count: usize, at_once: usize, seats: &Seats) {
    let mut people = JoinSet::new();
    for lane in 0..at_once {
        let (fronts, prefix, seats) = (fronts.to_vec(), prefix.to_owned(), seats.clone());
        people.spawn(async move {
            let http = crate::house::client();
            let mut rng = StdRng::seed_from_u64(lane as u64);
            for n in (lane..count).step_by(at_once) {
                let room = format!("{prefix}{n}");
                let first = rng.random_range(0..fronts.len());
                let second = (first + rng.random_range(1..fronts.len().max(2))) % fronts.len();
                let gap = Duration::from_micros(rng.random_range(0..20_000));
                let late = async {
                    // Half of them come at the very same time.
                    if n % 2 == 0 {
                        sleep(gap).await;
                    }
                    knock(&http, fronts[second], &room).await
                };
                let (one, two) = tokio::join!(knock(&http, fronts[first], &room), late);
                for shard in [one, two] {
                    seats.saw(&room, &shard.unwrap_or_else(|error| panic!("{room}: {error}")));
                }
            }
        });
    }
    while let Some(done) = people.join_next().await {
        done.unwrap();
    }
}
