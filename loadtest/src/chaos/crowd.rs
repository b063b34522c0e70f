//! Conferences that go on whatever happens: some for the whole run, and new ones all the time.

mod member;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::redirect::Policy;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::observer::Observer;
use crate::{client::TIMEOUT, scenario::spellings, stub::SHARD_HEADER};
use member::Member;

/// A new room begins every so many milliseconds.
const NEW_ROOM_EVERY: std::ops::Range<u64> = 400..1_000;
/// Participants of a new room, and how long they stay in milliseconds.
const NEW_ROOM_SIZE: usize = 2;
const NEW_ROOM_STAY: std::ops::Range<u64> = 2_000..6_000;
/// A participant of a lasting room stays this many milliseconds before the next takes the place; the first of a room
/// stays for ever.
const STAY: std::ops::Range<u64> = 4_000..20_000;
/// Time within which the participants of a new room come, in milliseconds.
const JOIN_WINDOW: std::ops::Range<u64> = 0..20;
/// Requests of a flood at once.
const FLOOD_WIDTH: usize = 8;

/// The replicas' addresses, and who knocks where.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    /// In order of their numbers.
    pub addresses: Vec<SocketAddr>,
    /// Connections of one room go to all replicas, as behind a Kubernetes Service; else a room keeps to one.
    pub spread: bool,
}

impl Doors {
    /// A replica for the next connection of a room: its number from 1, and its address.
    fn pick(&self, room: usize, rng: &mut impl RngExt) -> (usize, SocketAddr) {
        let count = self.addresses.len();
        let index = if self.spread { rng.random_range(0..count) } else { room % count };
        (index + 1, self.addresses[index])
    }
}

/// What the crowd does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Lasting rooms.
    pub rooms: usize,
    /// Participants of each.
    pub participants: usize,
    /// Decides who comes when and how.
    pub seed: u64,
}

/// Holds conferences until `stop` says true, or this is dropped.
pub(crate) async fn hold(plan: &Plan, doors: &Arc<Doors>, observer: &Observer, stop: &watch::Receiver<bool>) {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut people = JoinSet::new();
    let room = |number: usize, name: String| Room { number, spellings: spellings(&name).into(), name };
    for number in 0..plan.rooms {
        let room = Arc::new(room(number, format!("Café {}", number + 1)));
        for seat in 0..plan.participants {
            let member = Member::new(&room, doors, observer, stop, &mut rng);
            people.spawn(keep_filled(member, seat == 0));
        }
    }
    let mut number = plan.rooms;
    let mut stopped = stop.clone();
    while !*stop.borrow() {
        let pause = Duration::from_millis(rng.random_range(NEW_ROOM_EVERY));
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            () = sleep(pause) => {}
        }
        while people.try_join_next().is_some() {}
        let room = Arc::new(room(number, format!("new-{number}")));
        number += 1;
        for _ in 0..NEW_ROOM_SIZE {
            let mut member = Member::new(&room, doors, observer, stop, &mut rng);
            let after = Duration::from_millis(rng.random_range(JOIN_WINDOW));
            let stay = Duration::from_millis(rng.random_range(NEW_ROOM_STAY));
            people.spawn(async move {
                sleep(after).await;
                member.attend(Some(stay)).await;
            });
        }
    }
    while people.join_next().await.is_some() {}
}

async fn keep_filled(mut member: Member, resident: bool) {
    while !member.stopped() {
        let stay = (!resident).then(|| Duration::from_millis(member.rng.random_range(STAY)));
        member.attend(stay).await;
    }
}

/// A conference.
#[derive(Debug)]
struct Room {
    number: usize,
    /// Its name in the record.
    name: String,
    /// As clients write it, percent-encoded.
    spellings: Vec<String>,
}

/// Sends one request each for `rooms` new rooms, to all replicas in turn.
///
/// # Errors
/// When the HTTP client cannot be made.
pub(crate) async fn flood(
    observer: &Observer,
    doors: &Arc<Doors>,
    flood: u32,
    rooms: u32,
) -> Result<(), reqwest::Error> {
    let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT).build()?;
    let mut senders = JoinSet::new();
    for sender in 0..FLOOD_WIDTH {
        let (http, observer, doors) = (http.clone(), observer.clone(), Arc::clone(doors));
        senders.spawn(async move {
            for number in (0..rooms as usize).skip(sender).step_by(FLOOD_WIDTH) {
                let replica = number % doors.addresses.len();
                let room = format!("flood-{flood}-{number}");
                let url = format!("http://{}/_unlock?room={room}", doors.addresses[replica]);
                let sent = observer.now();
                let Ok(response) = http.get(url).send().await else {
                    observer.refused(&room, None, replica + 1, sent);
                    continue;
                };
                let status = response.status();
                let shard = response.headers().get(SHARD_HEADER).and_then(|value| value.to_str().ok());
                match shard {
                    Some(shard) if status.is_success() => observer.answered(&room, shard, replica + 1, sent),
                    _ => observer.refused(&room, Some(status.as_u16()), replica + 1, sent),
                }
                // Read to its end, so that the connection is used again.
                let _ = timeout(TIMEOUT, response.bytes()).await;
            }
        });
    }
    while senders.join_next().await.is_some() {}
    Ok(())
}
