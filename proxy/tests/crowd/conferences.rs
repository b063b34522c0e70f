//! A thousand conferences: participants who are no more than a socket each, and who remember their shard.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, MutexGuard, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{house::PATIENCE, support::raise_file_limit};

/// How many there are.
pub(crate) const CONFERENCES: usize = 1_000;
/// Participants of each.
pub(crate) const EACH: usize = 3;
/// Handshakes at a time.
const OPENING: usize = 32;
/// Sockets of participants and of stubs, and those that come again, with room to spare.
const FILES: u64 = 12_000;
/// How often somebody who is refused everywhere knocks again, and after what pause.
const ROUNDS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps the machine for one test.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    raise_file_limit(FILES);
    MACHINE.lock().await
}

/// Somebody in a conference.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) room: usize,
    /// Through which replica.
    pub(crate) replica: usize,
    /// Who is at the other end, in its own words.
    pub(crate) shard: String,
    tcp: TcpStream,
}

/// The name of a conference's room.
pub(crate) fn name(room: usize) -> String {
    format!("conference-{room}")
}

impl Participant {
    /// Joins through a replica.
    pub(crate) async fn join(front: SocketAddr, room: usize, replica: usize) -> Result<Self, String> {
        let joined = timeout(PATIENCE, Self::try_join(front, room, replica)).await;
        joined.map_err(|_| "timed out".to_owned())?.map_err(|error| error.to_string())
    }

    async fn try_join(front: SocketAddr, room: usize, replica: usize) -> io::Result<Self> {
        let mut tcp = TcpStream::connect(front).await?;
        tcp.set_nodelay(true)?;
        let ask = format!(
            "GET /xmpp-websocket?room={} HTTP/1.1\r\nHost: meet\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            name(room)
        );
        tcp.write_all(ask.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // The shard says nothing until it is asked, so nothing comes behind the head.
            if tcp.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or("hung up").to_owned();
            return Err(io::Error::other(line));
        }
        let mut participant = Self { room, replica, shard: String::new(), tcp };
        participant.shard = participant.echo("who").await?;
        Ok(participant)
    }

    /// Sends a short text, and returns what comes back.
    async fn echo(&mut self, text: &str) -> io::Result<String> {
        let length = u8::try_from(text.len()).unwrap();
        // Masked with zeros, which changes nothing.
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.tcp.write_all(&frame).await?;
        let mut head = [0; 2];
        self.tcp.read_exact(&mut head).await?;
        if head[0] != 0x81 || head[1] > 125 {
            return Err(io::Error::other(format!("a frame {head:?}")));
        }
        let mut text = vec![0; head[1].into()];
        self.tcp.read_exact(&mut text).await?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    /// Whether its tunnel still echoes.
    pub(crate) async fn is_in(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.echo("still there?")).await, Ok(Ok(text)) if text == "still there?")
    }

    /// Waits for the end of its tunnel; the code of a Close frame, or nothing when it just broke off.
    pub(crate) async fn thrown_out(&mut self) -> Option<u16> {
        let mut bytes = Vec::new();
        while self.tcp.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
            if let [0x88, length, high, low, ..] = bytes[..]
                && bytes.len() >= 2 + usize::from(length)
            {
                return Some(u16::from_be_bytes([high, low]));
            }
        }
        None
    }

    /// Comes back through the replicas, beginning with the one after its own, as a load balancer sends it.
    pub(crate) async fn rejoin(self, fronts: &[SocketAddr], refused: &Refused) -> Self {
        let Self { room, replica, .. } = self;
        drop(self.tcp);
        for _ in 0..ROUNDS {
            let mut why = Vec::new();
            for step in 1..=fronts.len() {
                let next = (replica + step) % fronts.len();
                match Self::join(fronts[next], room, next).await {
                    Ok(back) => return back,
                    Err(error) => why.push(format!("{next}: {error}")),
                }
            }
            refused.everywhere(&name(room), &why);
            sleep(PAUSE).await;
        }
        panic!("nobody lets anybody into {}", name(room));
    }
}

/// Visits that every replica refused. There should be none: one of them is always there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Arc<std::sync::Mutex<Vec<String>>>);

impl Refused {
    /// One more.
    pub(crate) fn everywhere(&self, room: &str, why: &[String]) {
        self.0.lock().unwrap().push(format!("{room}: {}", why.join(", ")));
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Fills the conferences, each through all replicas in turn; fails if one is split.
pub(crate) async fn gather(fronts: &[SocketAddr]) -> Vec<Participant> {
    let (gate, mut joining) = (Arc::new(Semaphore::new(OPENING)), JoinSet::new());
    for turn in 0..CONFERENCES * EACH {
        let (gate, fronts) = (Arc::clone(&gate), fronts.to_vec());
        joining.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            // Participants of one room one after the other in the queue, so that they often come at the same time.
            let (room, replica) = (turn / EACH, turn % fronts.len());
            Participant::join(fronts[replica], room, replica).await.unwrap()
        });
    }
    let people = joining.join_all().await;
    let seats = seats(&people);
    assert_eq!(seats.len(), CONFERENCES);
    people
}

/// Where each conference is; fails if one is in two places.
pub(crate) fn seats(people: &[Participant]) -> BTreeMap<usize, String> {
    let mut seats = BTreeMap::new();
    for Participant { room, shard, .. } in people {
        let seat = seats.entry(*room).or_insert_with(|| shard.clone());
        assert_eq!(seat, shard, "{} is split", name(*room));
    }
    seats
}

/// How many of them still hear themselves.
pub(crate) async fn still_in(people: Vec<Participant>) -> (usize, Vec<Participant>) {
    let (gate, count) = (Arc::new(Semaphore::new(OPENING)), Arc::new(AtomicUsize::new(0)));
    let mut asking = JoinSet::new();
    for mut person in people {
        let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
        asking.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            count.fetch_add(usize::from(person.is_in().await), Relaxed);
            person
        });
    }
    let people = asking.join_all().await;
    (count.load(Relaxed), people)
}
