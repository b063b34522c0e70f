//! Meshes on loopback: finding each other, one link per pair, strangers, keys, slow peers, cuts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/dns.rs"]
mod dns;
#[path = "support/tap.rs"]
mod tap;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use dns::DnsServer;
use proxy::{
    config::Peer,
    mesh::{
        Counters, Direction, Keys, LaneBounds, Limits, MAX_BULK_BYTES, MAX_URGENT_BYTES, Mesh, MeshConfig, MeshEvent,
        MeshHandle, MeshKey, Outcome, Sent, Side,
    },
};
use router_core::{
    cluster::{Lane, Node, ReplicaId},
    time::Timestamp,
};
use tap::Tap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, timeout},
};

/// Longer than any wait of a healthy run; only a failing test takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn key(n: u8) -> MeshKey {
    MeshKey::parse(&(0..32).map(|i: u8| i.wrapping_mul(41) ^ n ^ 0x80).collect::<Vec<_>>()).unwrap()
}

fn config() -> MeshConfig {
    MeshConfig {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        advertise: None,
        peers: Vec::new(),
        servers: Vec::new(),
        keys: Keys { current: key(1), previous: None },
        room_key: 0,
        versions: 1..=1,
        lanes: LaneBounds::default(),
        limits: Limits { backoff_max: Duration::from_millis(400), ..Limits::default() },
    }
}

/// A mesh and what it has told.
struct Replica {
    id: ReplicaId,
    address: SocketAddr,
    handle: MeshHandle,
    events: mpsc::Receiver<MeshEvent>,
    links: BTreeSet<ReplicaId>,
    ups: usize,
    found: Vec<SocketAddr>,
}

impl Replica {
    async fn start(id: u64, config: MeshConfig) -> Self {
        Self::serve(id, Mesh::bind(config).await.unwrap(), 64).await
    }

    async fn serve(id: u64, mesh: Mesh, capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity);
        let (id, address) = (ReplicaId(id), mesh.advertised().await.unwrap());
        let handle = mesh.start(Node { id, address, started: Timestamp(0) }, sender);
        Self { id, address, handle, events, links: BTreeSet::new(), ups: 0, found: Vec::new() }
    }

    async fn event(&mut self) -> MeshEvent {
        let event = timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("a living mesh");
        match &event {
            MeshEvent::Up(node) => {
                assert!(self.links.insert(node.id), "up twice: {node:?}");
                self.ups += 1;
            }
            MeshEvent::Down(id) => assert!(self.links.remove(id), "down without up: {id}"),
            MeshEvent::Frame { from, .. } => assert!(self.links.contains(from), "a frame before up"),
            MeshEvent::Found(found) => self.found.clone_from(found),
            MeshEvent::BulkDrained(_) | MeshEvent::Overflowed(_) => {}
        }
        event
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.event().await;
        }
    }

    async fn linked(&mut self, others: &[u64]) {
        let others: BTreeSet<_> = others.iter().copied().map(ReplicaId).collect();
        self.until(|replica| replica.links == others).await;
    }

    async fn frame(&mut self) -> (ReplicaId, Bytes) {
        loop {
            if let MeshEvent::Frame { from, bytes } = self.event().await {
                return (from, bytes);
            }
        }
    }

    fn send(&self, to: &Self, body: &'static str) {
        assert_eq!(self.handle.send(to.id, Lane::Urgent, Bytes::from_static(body.as_bytes())), Sent::Queued);
    }

    fn counters(&self) -> Arc<Counters> {
        self.handle.counters()
    }

    fn peer(&self) -> Peer {
        Peer::Address(self.address)
    }
}

/// Waits until something that cannot be awaited is so.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A round trip, so that whatever came before it on the link has arrived.
async fn ping(a: &mut Replica, b: &mut Replica) {
    a.send(b, "ping");
    assert_eq!(b.frame().await, (a.id, Bytes::from_static(b"ping")));
    b.send(a, "pong");
    assert_eq!(a.frame().await, (b.id, Bytes::from_static(b"pong")));
}

async fn two() -> (Replica, Replica) {
    let mut a = Replica::start(1, config()).await;
    let mut b = Replica::start(2, MeshConfig { peers: vec![a.peer()], ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    (a, b)
}

/// The one link of a pair, as both ends see it: who has dialled it.
fn dialler(a: &Replica, b: &Replica) -> ReplicaId {
    let side = |at: &Replica, to: &Replica| {
        let links = at.handle.links();
        links.iter().find(|link| link.node.id == to.id).unwrap_or_else(|| panic!("no link: {links:?}")).side
    };
    match (side(a, b), side(b, a)) {
        (Side::Dialled, Side::Accepted) => a.id,
        (Side::Accepted, Side::Dialled) => b.id,
        both => panic!("two links: {both:?}"),
    }
}

async fn meshes(count: u64) -> Vec<(u64, Mesh)> {
    let mut meshes = Vec::new();
    for id in 1..=count {
        meshes.push((id, Mesh::bind(config()).await.unwrap()));
    }
    meshes
}

#[tokio::test]
async fn a_list_is_enough_and_every_pair_has_one_link() {
    for count in [2, 5] {
        let meshes = meshes(count).await;
        let peers: Vec<Peer> = meshes.iter().map(|(_, mesh)| Peer::Address(mesh.address())).collect();
        let mut replicas = Vec::new();
        for (id, mesh) in meshes {
            let replica = Replica::serve(id, mesh, 64).await;
            // All at the same time, each knowing all: every pair dials from both sides.
            replica.handle.set_peers(peers.clone(), vec![]);
            replicas.push(replica);
        }
        for replica in &mut replicas {
            let others: Vec<u64> = (1..=count).filter(|id| *id != replica.id.0).collect();
            replica.linked(&others).await;
        }
        for a in 0..replicas.len() {
            for b in a + 1..replicas.len() {
                let [a, b] = replicas.get_disjoint_mut([a, b]).unwrap();
                ping(a, b).await;
                dialler(a, b);
            }
        }
        for replica in &replicas {
            assert_eq!(replica.ups, replicas.len() - 1, "no link came and went");
            assert_eq!(replica.counters().links(), count - 1);
            assert!(!replica.links.contains(&replica.id));
        }
    }
}

#[tokio::test]
async fn a_name_is_enough_and_newcomers_are_found_by_it() {
    let server = DnsServer::start().await;
    // One port, several addresses of loopback, as pods behind a headless service have it.
    let first = Mesh::bind(config()).await.unwrap();
    let port = first.address().port();
    let name = |mut config: MeshConfig, ip: [u8; 4]| {
        config.listen = (ip, port).into();
        config.peers = vec![Peer::Name { host: "mesh.test".into(), port }];
        config.servers = vec![server.address()];
        config.limits.refresh = Duration::from_millis(50);
        config.limits.refresh_alone = Duration::from_millis(20);
        config
    };
    drop(first);
    let mut a = Replica::start(1, name(config(), [127, 0, 0, 1])).await;
    while a.event().await != MeshEvent::Found(Vec::new()) {}
    server.host("mesh.test", 1, &["127.0.0.1", "127.0.0.2"]);
    let mut b = Replica::start(2, name(config(), [127, 0, 0, 2])).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    server.host("mesh.test", 1, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let mut c = Replica::start(3, name(config(), [127, 0, 0, 3])).await;
    for replica in [&mut a, &mut b] {
        replica.until(|replica| replica.found.len() == 2 && replica.links.len() == 2).await;
    }
    c.linked(&[1, 2]).await;
    // A name that loses its addresses takes no link away.
    server.remove("mesh.test");
    a.until(|a| a.found.is_empty()).await;
    ping(&mut a, &mut c).await;
    assert_eq!((a.ups, b.ups, c.ups), (2, 2, 2));
}

#[tokio::test]
async fn simultaneous_dials_leave_one_link() {
    for round in 0..20 {
        let mut a = Replica::start(1, config()).await;
        let mut b = Replica::start(2, config()).await;
        a.handle.dial(b.address);
        b.handle.dial(a.address);
        a.linked(&[2]).await;
        b.linked(&[1]).await;
        ping(&mut a, &mut b).await;
        dialler(&a, &b);
        assert_eq!((a.ups, b.ups), (1, 1), "round {round}");
    }
}

#[tokio::test]
async fn two_addresses_of_one_replica_make_one_link() {
    let mut a = Replica::start(1, config()).await;
    let tap = Tap::start(a.address).await;
    let peers = vec![Peer::Address(tap.address()), a.peer()];
    let mut b = Replica::start(2, MeshConfig { peers, ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let dialled = b.counters();
    eventually("the second address is tried", || {
        let tried: u64 = Outcome::ALL.iter().map(|outcome| dialled.handshakes(Side::Dialled, *outcome)).sum();
        tried >= 2 || b.handle.links()[0].node.address == a.address
    })
    .await;
    ping(&mut a, &mut b).await;
    assert_eq!((a.ups, b.ups), (1, 1));
}

#[tokio::test]
async fn nobody_links_to_itself() {
    let mesh = Mesh::bind(config()).await.unwrap();
    let tap = Tap::start(mesh.address()).await;
    let mut a = Replica::serve(1, mesh, 64).await;
    // Under its own address it does not even try; under another one it finds out, once.
    a.handle.set_peers(vec![a.peer(), Peer::Address(tap.address())], vec![]);
    let counters = a.counters();
    eventually("noticed", || counters.handshakes(Side::Dialled, Outcome::Itself) == 1).await;
    a.handle.dial(tap.address());
    let mut b = Replica::start(2, MeshConfig { peers: vec![a.peer()], ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    ping(&mut a, &mut b).await;
    assert_eq!(counters.handshakes(Side::Dialled, Outcome::Itself), 1, "it is remembered");
    assert_eq!(tap.connections(), 1);
}

#[tokio::test]
async fn replicas_that_could_harm_each_other_refuse() {
    let mut a = Replica::start(1, MeshConfig { room_key: 1, ..config() }).await;
    let b = MeshConfig { room_key: 2, peers: vec![a.peer()], ..config() };
    let b = Replica::start(2, b).await;
    let c = MeshConfig { room_key: 1, versions: 3..=4, peers: vec![a.peer()], ..config() };
    let c = Replica::start(3, c).await;
    for (other, why) in [(&b, Outcome::RoomKey), (&c, Outcome::Version)] {
        let (ours, its) = (a.counters(), other.counters());
        eventually(why.as_str(), || ours.handshakes(Side::Accepted, why) > 0 && its.handshakes(Side::Dialled, why) > 0)
            .await;
        assert_eq!(other.handle.links(), []);
    }
    let d = MeshConfig { room_key: 1, versions: 1..=2, peers: vec![a.peer()], ..config() };
    let mut d = Replica::start(4, d).await;
    d.linked(&[1]).await;
    a.linked(&[4]).await;
    assert_eq!(d.handle.links()[0].version, 1, "the newest that both speak");
}

#[tokio::test]
async fn urgent_frames_keep_their_order_and_their_size() {
    let (a, mut b) = two().await;
    let sizes = [0, 1, 100, MAX_URGENT_BYTES, 7, MAX_URGENT_BYTES, 50_000, 0];
    for size in sizes {
        assert_eq!(a.handle.send(b.id, Lane::Urgent, vec![5; size].into()), Sent::Queued);
    }
    for size in sizes {
        assert_eq!(b.frame().await.1.len(), size);
    }
    let (there, here) = (a.counters(), b.counters());
    let total: usize = sizes.iter().sum();
    assert_eq!(here.frames(Lane::Urgent, Direction::In), sizes.len() as u64);
    assert_eq!(here.bytes(Lane::Urgent, Direction::In), total as u64);
    eventually("counted", || there.bytes(Lane::Urgent, Direction::Out) == total as u64).await;
    assert!(there.wire_bytes(Direction::Out) > total as u64);
    assert_eq!(a.handle.send(b.id, Lane::Urgent, vec![5; MAX_URGENT_BYTES + 1].into()), Sent::TooLong);
    assert_eq!(a.handle.send(ReplicaId(9), Lane::Urgent, Bytes::new()), Sent::NoLink);
}

#[tokio::test]
async fn urgent_overtakes_all_but_what_is_on_its_way() {
    let (mut a, mut b) = two().await;
    // Bulk up to the brim, in an instant; then one urgent frame.
    let mut bulk = 0;
    while a.handle.send(b.id, Lane::Bulk, vec![0; MAX_BULK_BYTES].into()) == Sent::Queued {
        bulk += 1;
    }
    assert_eq!(bulk, 7, "256 KiB, with their overhead");
    a.send(&b, "urgent");
    let mut before = 0;
    while b.frame().await.1.len() == MAX_BULK_BYTES {
        before += 1;
    }
    // The test runs on one thread, so the link has not sent any yet.
    assert_eq!(before, 0);
    for _ in 0..bulk {
        assert_eq!(b.frame().await.1.len(), MAX_BULK_BYTES);
    }
    while a.event().await != MeshEvent::BulkDrained(b.id) {}
    assert_eq!(a.counters().dropped(Lane::Bulk), 1);
}

#[tokio::test]
async fn bulk_that_never_ends_delays_no_urgent_frame() {
    let (a, mut b) = two().await;
    let counters = a.counters();
    let mut arrived = 0;
    for round in 0..200 {
        // On this one thread nothing is sent between here and the next await.
        while a.handle.send(b.id, Lane::Bulk, vec![0; MAX_BULK_BYTES].into()) == Sent::Queued {}
        let written = counters.frames(Lane::Bulk, Direction::Out);
        let waiting = a.handle.links()[0].waiting.1 / MAX_BULK_BYTES;
        assert!(waiting >= 6, "round {round}: only {waiting} frames of bulk are waiting");
        a.send(&b, "urgent");
        while b.frame().await.1.len() == MAX_BULK_BYTES {
            arrived += 1;
        }
        // What was with the kernel, and the one frame that was being written.
        assert!(arrived <= written + 1, "round {round}: {arrived} frames of bulk came first, {written} were written");
    }
    assert!(arrived > 100, "bulk flows all the time: {arrived}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_reading_costs_bounded_memory_and_nobody_else() {
    let mut a = Replica::start(1, config()).await;
    let mut slow = Replica::serve(2, Mesh::bind(config()).await.unwrap(), 1).await;
    let mut well = Replica::start(3, MeshConfig { peers: vec![a.peer()], ..config() }).await;
    a.handle.dial(slow.address);
    slow.linked(&[1]).await;
    well.linked(&[1]).await;
    a.linked(&[2, 3]).await;
    // `slow` takes no more events, so it reads no more. The kernel's buffers fill, then ours.
    let body = Bytes::from(vec![1; 32 * 1024]);
    let deadline = Instant::now() + PATIENCE;
    while a.handle.send(slow.id, Lane::Urgent, body.clone()) != Sent::Full {
        assert!(Instant::now() < deadline, "everything is taken");
        tokio::task::yield_now().await;
    }
    while a.event().await != MeshEvent::Overflowed(slow.id) {}
    let waiting = |a: &Replica| a.handle.links().iter().map(|link| link.waiting.0).max().unwrap();
    for _ in 0..1_000 {
        a.handle.send(slow.id, Lane::Urgent, body.clone());
    }
    assert!(waiting(&a) <= LaneBounds::default().urgent, "{}", waiting(&a));
    // 32 MiB were offered; the kernel may have taken ten of them.
    assert!(a.counters().dropped(Lane::Urgent) >= 500);
    for _ in 0..20 {
        ping(&mut a, &mut well).await;
    }
    // It wakes up, and finds everything that was not dropped.
    let queued = waiting(&a);
    assert!(queued > LaneBounds::default().urgent / 2);
    eventually("taken in the end", || {
        while let Ok(event) = slow.events.try_recv() {
            assert!(matches!(event, MeshEvent::Frame { .. }), "{event:?}");
        }
        waiting(&a) == 0
    })
    .await;
    ping(&mut a, &mut well).await;
}

#[tokio::test]
async fn frames_that_are_kept_are_few_and_stop_their_own_link_only() {
    const KEPT: usize = 128 * 1024;
    // Room for thousands of events: it is not their number that stops the reading.
    let mut keeper = Replica::serve(1, Mesh::bind(config()).await.unwrap(), 4096).await;
    let mut flood = Replica::start(2, config()).await;
    let mut well = Replica::start(3, config()).await;
    flood.handle.dial(keeper.address);
    well.handle.dial(keeper.address);
    keeper.linked(&[2, 3]).await;
    flood.linked(&[1]).await;
    well.linked(&[1]).await;
    let body = Bytes::from(vec![1; 32 * 1024]);
    let deadline = Instant::now() + PATIENCE;
    while flood.handle.send(keeper.id, Lane::Urgent, body.clone()) != Sent::Full {
        assert!(Instant::now() < deadline, "everything is taken");
        tokio::task::yield_now().await;
    }
    well.send(&keeper, "still here");
    let (mut kept, mut bytes) = (Vec::new(), 0);
    loop {
        let (from, frame) = keeper.frame().await;
        if from == well.id {
            break;
        }
        bytes += frame.len();
        kept.push(frame);
        assert!(bytes <= KEPT, "{bytes} bytes wait");
    }
    // Once they are dropped, everything comes that was not dropped on the way.
    drop(kept);
    let waiting = || flood.handle.links().iter().map(|link| link.waiting.0).max().unwrap();
    assert!(waiting() > LaneBounds::default().urgent / 2);
    eventually("taken in the end", || {
        while keeper.events.try_recv().is_ok() {}
        waiting() == 0
    })
    .await;
}

#[tokio::test]
async fn links_come_back_after_a_cut() {
    let mut a = Replica::start(1, config()).await;
    let tap = Tap::start(a.address).await;
    let peers = vec![Peer::Address(tap.address())];
    let mut b = Replica::start(2, MeshConfig { peers, ..config() }).await;
    for cut in 1..=3 {
        a.linked(&[2]).await;
        b.linked(&[1]).await;
        ping(&mut a, &mut b).await;
        tap.cut();
        a.linked(&[]).await;
        b.linked(&[]).await;
        assert_eq!((a.ups, b.ups), (cut, cut));
    }
    b.linked(&[1]).await;
}

#[tokio::test]
async fn an_end_that_has_not_heard_of_the_cut_lets_the_other_back_in() {
    let mut a = Replica::start(1, config()).await;
    let tap = Tap::start(a.address).await;
    let peers = vec![Peer::Address(tap.address())];
    let mut b = Replica::start(2, MeshConfig { peers, ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    // Only the dialler hears of it. The acceptor has the smaller number and a link that looks well.
    tap.cut_diallers();
    b.linked(&[]).await;
    b.linked(&[1]).await;
    a.until(|a| a.ups == 2).await;
    ping(&mut a, &mut b).await;
    assert_eq!((a.ups, b.ups), (2, 2));
    assert!(a.counters().handshakes(Side::Accepted, Outcome::Duplicate) >= 1);
}

#[tokio::test]
async fn an_order_dials_at_once_and_stands_for_a_while() {
    let unreachable = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = unreachable.local_addr().unwrap();
    drop(unreachable);
    let mut a = Replica::start(1, config()).await;
    a.handle.dial(address);
    let counters = a.counters();
    eventually("tried twice", || counters.handshakes(Side::Dialled, Outcome::Unreachable) >= 2).await;
    let b = Mesh::bind(MeshConfig { listen: address, ..config() }).await.unwrap();
    let mut b = Replica::serve(2, b, 64).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
}

#[tokio::test]
async fn keys_change_from_old_to_both_to_new_without_losing_a_link() {
    let mut replicas = Vec::new();
    let both = Keys { current: key(2), previous: Some(key(1)) };
    let new = Keys { current: key(2), previous: None };
    for id in [1, 2] {
        let peers = replicas.iter().map(Replica::peer).collect();
        replicas.push(Replica::start(id, MeshConfig { peers, ..config() }).await);
    }
    // At each step all others change one after the other, and somebody new arrives while they differ.
    for (id, after) in [(3, both), (4, new)] {
        let peers = replicas.iter().map(Replica::peer).collect();
        replicas[0].handle.set_keys(after.clone());
        let newcomer = MeshConfig { peers, keys: after.clone(), ..config() };
        let mut newcomer = Replica::start(id, newcomer).await;
        newcomer.linked(&(1..id).collect::<Vec<_>>()).await;
        for replica in &replicas[1..] {
            replica.handle.set_keys(after.clone());
        }
        replicas.push(newcomer);
    }
    for replica in &mut replicas {
        let others: Vec<u64> = (1..=4).filter(|id| *id != replica.id.0).collect();
        replica.linked(&others).await;
        assert_eq!(replica.ups, 3, "no link was lost");
    }
    // The old key opens nothing any more.
    let peers = replicas.iter().map(Replica::peer).collect();
    let late = Replica::start(5, MeshConfig { peers, ..config() }).await;
    let counters = late.counters();
    eventually("refused by all", || counters.handshakes(Side::Dialled, Outcome::Closed) >= 4).await;
    assert_eq!(late.handle.links(), []);
}

#[tokio::test]
async fn goodbyes_arrive_before_a_shutdown() {
    let (a, mut b) = two().await;
    // `a` has unread bytes when it goes: a socket that is simply dropped then takes back what was written.
    for _ in 0..200 {
        b.send(&a, "unread");
    }
    let counters = a.counters();
    eventually("more than is taken", || counters.frames(Lane::Urgent, Direction::In) > 60).await;
    for _ in 0..100 {
        b.send(&a, "unread");
        a.send(&b, "work");
    }
    a.send(&b, "goodbye");
    a.handle.shutdown().await;
    for _ in 0..100 {
        assert_eq!(b.frame().await.1, "work");
    }
    assert_eq!(b.frame().await.1, "goodbye");
    b.linked(&[]).await;
    assert_eq!(a.handle.links(), []);
    assert!(TcpStream::connect(a.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_closed_link_says_so_on_both_sides() {
    let (mut a, mut b) = two().await;
    a.send(&b, "last word");
    a.handle.close(b.id);
    assert_eq!(a.handle.send(b.id, Lane::Urgent, Bytes::new()), Sent::NoLink);
    assert_eq!(b.frame().await.1, "last word");
    b.until(|b| b.ups == 2).await;
    a.until(|a| a.ups == 2).await;
}

// --- strangers ---

/// Sends `bytes` and reads until the other side hangs up: what it said.
async fn stranger(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may hang up in the middle.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("hangs up");
    answer
}

/// What a TLS client says first, roughly.
fn tls_hello() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    hello.resize(205, 0xab);
    hello
}

#[tokio::test]
async fn strangers_get_no_byte_and_are_counted() {
    let (mut a, mut b) = two().await;
    let counters = a.counters();
    let count = |outcome| counters.handshakes(Side::Accepted, outcome);
    let mut wrong = b"RPIN\x01".to_vec();
    wrong.resize(5 + 48, 0x55);
    let cases = [
        (tls_hello(), Outcome::NotMesh),
        (b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n".to_vec(), Outcome::NotMesh),
        (vec![0; 100_000], Outcome::NotMesh),
        (b"RPIN\x02................".to_vec(), Outcome::Version),
        (wrong, Outcome::WrongKey),
    ];
    for (bytes, outcome) in cases {
        let before = count(outcome);
        assert_eq!(stranger(a.address, &bytes).await, b"", "{outcome:?}");
        assert_eq!(count(outcome), before + 1, "{outcome:?}");
        ping(&mut a, &mut b).await;
    }
    let before = count(Outcome::Closed);
    drop(TcpStream::connect(a.address).await.unwrap());
    eventually("counted", || count(Outcome::Closed) == before + 1).await;
    let other = Keys { current: key(9), previous: Some(key(8)) };
    let other = Replica::start(3, MeshConfig { keys: other, peers: vec![a.peer()], ..config() }).await;
    let (before, its) = (count(Outcome::WrongKey), other.counters());
    eventually("both of its keys are refused", || {
        count(Outcome::WrongKey) >= before + 2 && its.handshakes(Side::Dialled, Outcome::Closed) >= 2
    })
    .await;
    ping(&mut a, &mut b).await;
    assert_eq!((a.ups, b.ups), (1, 1));
}

#[tokio::test]
async fn a_recorded_conversation_played_back_makes_no_link() {
    let mut a = Replica::start(1, config()).await;
    let tap = Tap::start(a.address).await;
    let peers = vec![Peer::Address(tap.address())];
    let mut b = Replica::start(2, MeshConfig { peers, ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    ping(&mut a, &mut b).await;
    let (dialled, answered) = tap.recorded();
    assert!(dialled.len() > 130 && answered.len() > 130, "{} {}", dialled.len(), answered.len());

    // To the same replica: it knows the first message again and says nothing.
    let counters = a.counters();
    for n in 1..=20 {
        assert_eq!(stranger(a.address, &dialled).await, b"");
        assert_eq!(counters.handshakes(Side::Accepted, Outcome::Replayed), n);
    }
    // To another one with the same key: one bounded answer, and then nothing fits.
    let mut c = Replica::start(3, config()).await;
    let answer = stranger(c.address, &dialled).await;
    assert!(!answer.is_empty() && answer.len() < 200, "{}", answer.len());
    assert_eq!(c.counters().handshakes(Side::Accepted, Outcome::WrongKey), 1);
    assert_eq!(stranger(c.address, &dialled).await, b"", "once");
    // To one that dials: the answer is to somebody else's key.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    c.handle.dial(listener.local_addr().unwrap());
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    stream.write_all(&answered).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("hangs up");
    assert_eq!(said.len(), 5 + 48, "not a byte after the first message");
    let dialling = c.counters();
    eventually("counted", || dialling.handshakes(Side::Dialled, Outcome::WrongKey) >= 1).await;
    drop(listener);
    // And its own first message, thrown back at it.
    assert_eq!(stranger(c.address, &said).await.len(), answer.len(), "an answer that nobody can open");
    assert_eq!(dialling.handshakes(Side::Accepted, Outcome::Timeout), 1, "nothing that could come next");
    ping(&mut a, &mut b).await;
    assert_eq!((a.ups, b.ups), (1, 1));
    assert_eq!(c.handle.links(), []);
    assert!(c.events.try_recv().is_ok_and(|event| matches!(event, MeshEvent::Found(_))) && c.events.is_empty());
}

#[tokio::test]
async fn a_thousand_half_open_connections_keep_nobody_out() {
    // Nobody runs out of time here; see below for that.
    let limits = Limits { handshake: PATIENCE, ..config().limits };
    let mut a = Replica::start(1, MeshConfig { limits, ..config() }).await;
    let mut b = Replica::start(2, MeshConfig { peers: vec![a.peer()], ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let counters = a.counters();
    let count = |outcome| counters.handshakes(Side::Accepted, outcome);
    let mut idle = Vec::new();
    for n in 0..1_000 {
        let mut stream = TcpStream::connect(a.address).await.unwrap();
        // Some say nothing, some begin well.
        let begin = [&b""[..], b"RP", b"RPIN\x01\x07\x07"][n % 3];
        stream.write_all(begin).await.unwrap();
        idle.push(stream);
        if n % 100 == 0 {
            ping(&mut a, &mut b).await;
        }
    }
    // Even now a replica gets in at once: the oldest stranger makes room.
    let mut c = Replica::start(3, MeshConfig { peers: vec![a.peer()], ..config() }).await;
    c.linked(&[1]).await;
    a.linked(&[2, 3]).await;
    ping(&mut a, &mut c).await;
    ping(&mut a, &mut b).await;
    let kept = Limits::default().half_open as u64;
    // The newcomer has put out one more.
    assert_eq!(count(Outcome::Evicted), 1_000 - kept + 1);
    for mut stream in idle.drain(..700) {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("hung up on");
        assert_eq!(rest, b"");
    }
    drop(idle);
    eventually("the others have left", || count(Outcome::Closed) == kept - 1).await;
    assert_eq!((a.ups, b.ups), (2, 1));
}

#[tokio::test]
async fn a_handshake_by_drops_runs_out_of_time() {
    let limits = Limits { handshake: Duration::from_millis(300), ..config().limits };
    let mut a = Replica::start(1, MeshConfig { limits, ..config() }).await;
    let mut b = Replica::start(2, MeshConfig { peers: vec![a.peer()], ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let mut stream = TcpStream::connect(a.address).await.unwrap();
    let drops = [b"RPIN\x01".as_slice(), &[3; 48]].concat();
    let mut sent = 0;
    for byte in drops {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(sent > 1);
    let counters = a.counters();
    assert_eq!(counters.handshakes(Side::Accepted, Outcome::Timeout), 1, "{sent} bytes were taken");
    // The same from the other side: an acceptor that never answers.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    a.handle.dial(silent.local_addr().unwrap());
    eventually("given up", || counters.handshakes(Side::Dialled, Outcome::Timeout) >= 1).await;
    ping(&mut a, &mut b).await;
}

#[tokio::test]
async fn changed_bytes_end_a_link_and_never_arrive() {
    let mut a = Replica::start(1, config()).await;
    let tap = Tap::start(a.address).await;
    let peers = vec![Peer::Address(tap.address())];
    let mut b = Replica::start(2, MeshConfig { peers, ..config() }).await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    tap.corrupt();
    b.send(&a, "not what was said");
    a.until(|a| a.links.is_empty()).await;
    assert_eq!(a.counters().protocol_errors(), 1);
    b.until(|b| b.ups == 2).await;
    a.until(|a| a.ups == 2).await;
    ping(&mut a, &mut b).await;
}
