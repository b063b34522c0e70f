use std::{fs, os::unix::fs::PermissionsExt};

use proptest::prelude::*;
use router_core::{
    pin::{DeciderId, Pin},
    registry::{RegistrySettings, ShardInput},
    room::{KeyHasher, RoomKey},
    router::{Route, RouterSettings},
    shard::{ShardName, ShardSpec, ShardState},
    time::Timestamp,
};
use tempfile::TempDir;

use super::{file::Staged, *};
use crate::metrics::Success;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const TTL: Duration = Duration::from_secs(600);

fn pin(shard: &str, last_seen: Timestamp) -> Pin {
    Pin {
        shard: ShardName::new(shard).unwrap(),
        epoch: 1,
        ended: false,
        created: Timestamp(last_seen.0 - 1_000),
        decider: DeciderId(7),
        last_seen,
    }
}

fn encode(fingerprint: u64, pins: &[(RoomKey, Pin)]) -> Vec<u8> {
    let mut encoder = Encoder::new(Sealing::new(Vec::new()), Header { fingerprint, written_at: NOW }).unwrap();
    for (key, pin) in pins {
        encoder.push(*key, pin).unwrap();
    }
    let (sealing, written) = encoder.finish().unwrap();
    let (bytes, len) = sealing.seal().unwrap();
    assert_eq!((written, len), (pins.len() as u64, bytes.len() as u64));
    bytes
}

fn decode(bytes: &[u8]) -> Result<(Header, Vec<(RoomKey, Pin)>), FormatError> {
    let mut decoder = Decoder::new(bytes)?;
    let header = decoder.header();
    let pins = decoder.by_ref().collect::<Result<_, _>>()?;
    Ok((header, pins))
}

fn router_with(max_pins: usize) -> Router {
    let router = Router::new(RouterSettings {
        ttl: TTL,
        max_pins,
        decider: DeciderId(1),
        registry: RegistrySettings::default(),
        restored_hold: Duration::from_secs(30),
    });
    let shards = ["a", "b", "c"].map(|name| ShardSpec {
        name: ShardName::new(name).unwrap(),
        addresses: vec!["127.0.0.1:80".parse().unwrap()],
        weight: 100,
        state: ShardState::Ready,
        agent_port: None,
    });
    let input = ShardInput::Discovered { source: "static".into(), shards: shards.into(), hold_down: TTL };
    router.handle(input, NOW);
    router
}

struct Bench {
    dir: TempDir,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), metrics: Arc::new(Metrics::new()), clock: Clock::starting_at(NOW) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("pins")
    }

    fn writer(&self, router: &Arc<Router>) -> Arc<SnapshotWriter> {
        let fingerprint = KeyHasher::default().fingerprint();
        SnapshotWriter::new(self.path(), fingerprint, Arc::clone(router), self.clock, Arc::clone(&self.metrics))
    }

    fn restore(&self, router: &Router) -> Restore {
        let fingerprint = KeyHasher::default().fingerprint();
        restore(&self.path(), router, fingerprint, 1_000, self.clock, &self.metrics)
    }

    fn files(&self) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut files: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(name).collect();
        files.sort();
        files
    }
}

fn small() -> Vec<u8> {
    let pins = [(RoomKey(1), pin("a", NOW)), (RoomKey(u128::MAX), pin("b", NOW)), (RoomKey(3), pin("a", NOW))];
    encode(KeyHasher::default().fingerprint(), &pins)
}

fn any_pin() -> impl Strategy<Value = (RoomKey, Pin)> {
    let name = prop_oneof!["[a-c]", "[A-Za-z0-9._-]{1,253}"];
    (any::<u128>(), name, any::<u32>(), any::<bool>(), any::<[u64; 2]>(), prop_oneof![0..3_u64, any::<u64>()]).prop_map(
        |(key, name, epoch, ended, [created, last_seen], decider)| {
            let pin = Pin {
                shard: ShardName::new(&name).unwrap(),
                epoch,
                ended,
                created: Timestamp(created),
                decider: DeciderId(decider),
                last_seen: Timestamp(last_seen),
            };
            (RoomKey(key), pin)
        },
    )
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(pins in prop::collection::vec(any_pin(), 0..60), fingerprint: u64) {
        let (header, back) = decode(&encode(fingerprint, &pins)).unwrap();
        prop_assert_eq!(header, Header { fingerprint, written_at: NOW });
        prop_assert_eq!(back, pins);
    }

    #[test]
    fn garbage_is_refused_in_bounded_time(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), framed: bool) {
        if framed {
            bytes.splice(0..0, small()[..26].iter().copied());
        }
        prop_assert!(decode(&bytes).is_err());
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_noticed() {
    let good = small();
    assert_eq!(decode(&good).unwrap().1.len(), 3);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(decode(&bad).is_err(), "bit {bit} of byte {at}");
        }
        assert!(decode(&good[..at]).is_err(), "cut to {at} bytes");
    }
    let longer = [good.as_slice(), b"\n"].concat();
    assert!(matches!(decode(&longer), Err(FormatError::TrailingBytes)));
}

#[test]
fn every_damaged_file_is_set_aside_and_the_start_goes_on() {
    let bench = Bench::new();
    let good = small();
    let mut bad: Vec<_> = (0..good.len()).map(|cut| good[..cut].to_vec()).collect();
    bad.extend((0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] = bytes[at].wrapping_add(1);
        bytes
    }));
    for bytes in bad {
        fs::write(bench.path(), &bytes).unwrap();
        let router = router_with(1_000);
        let Restore::SetAside { to, .. } = bench.restore(&router) else { panic!("{bytes:?} was taken") };
        assert_eq!(router.len(), 0);
        let name = to.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("pins.damaged-18000000"), "{name}");
        assert_eq!(bench.files(), [name]);
        assert_eq!(fs::read(&to).unwrap(), bytes);
        fs::remove_file(to).unwrap();
    }
    assert!(matches!(bench.restore(&router_with(10)), Restore::Fresh));
}

#[test]
fn says_what_is_wrong() {
    let bench = Bench::new();
    let reason = |bytes: &[u8]| {
        fs::write(bench.path(), bytes).unwrap();
        match bench.restore(&router_with(10)) {
            Restore::SetAside { error, .. } => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(reason(&encode(1, &[])).contains("rooms.key_file"));
    let mut newer = small();
    newer[8] = 9;
    assert!(reason(&newer).contains("version 9"));
    assert!(reason(b"").contains("cut off"));
    assert!(reason(b"not a snapshot at all").contains("not a snapshot"));
    let mut flipped = small();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(reason(&flipped).contains("checksum"));
    // Two at the same millisecond do not replace each other.
    let damaged = bench.files().into_iter().filter(|name| name.starts_with("pins.damaged-")).count();
    assert_eq!(damaged, 5);
}

#[test]
fn a_directory_in_its_place_is_left_alone() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    let Restore::SetAside { error: LoadError::NotAFile, to } = bench.restore(&router_with(10)) else { panic!() };
    assert_eq!(to, bench.path());
    assert!(bench.path().is_dir());
}

#[test]
fn a_file_too_large_is_not_read() {
    let bench = Bench::new();
    // Sparse, so it costs no disk.
    fs::File::create(bench.path()).unwrap().set_len(format::max_len(1_000) + 1).unwrap();
    let Restore::SetAside { error, .. } = bench.restore(&router_with(10)) else { panic!() };
    assert!(matches!(error, LoadError::TooLarge(_)), "{error}");
}

#[tokio::test]
async fn pins_survive_a_restart() {
    let bench = Bench::new();
    let before = Arc::new(router_with(1_000));
    let keys: Vec<_> = (0..200).map(RoomKey).collect();
    for &key in &keys {
        before.decide(key, NOW, &[]).unwrap();
    }
    let written = bench.writer(&before).write_now().await.unwrap();
    assert_eq!(written.pins, 200);
    assert_eq!(written.bytes, fs::metadata(bench.path()).unwrap().len());
    assert_eq!(bench.files(), ["pins"]);
    assert_eq!(fs::metadata(bench.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let after = router_with(1_000);
    assert!(matches!(bench.restore(&after), Restore::Restored { restored: 200, expired: 0, refused: 0 }));
    for key in keys {
        let [old, new] = [&before, &after].map(|router| router.lookup(key, NOW).unwrap().pin);
        assert_eq!(old, new);
        assert!(matches!(after.route(key, NOW), Route::Pinned(_)));
    }
    assert_eq!(bench.metrics.snapshot.restored_pins.get(), 200);
    assert_eq!(bench.metrics.snapshot.writes.get(Success::Ok).get(), 1);
    assert!(bench.metrics.snapshot.last_success.get() >= 1.8e9);
}

#[tokio::test(start_paused = true)]
async fn a_room_with_open_tunnels_is_seen_at_the_time_of_writing() {
    let bench = Bench::new();
    let before = Arc::new(router_with(1_000));
    let shard = before.decide(RoomKey(1), NOW, &[]).unwrap().shard;
    before.tunnel_opened(RoomKey(1), shard, NOW);
    before.decide(RoomKey(2), NOW, &[]).unwrap();
    // Silent for an hour but for the tunnel.
    tokio::time::advance(Duration::from_secs(3600)).await;
    bench.writer(&before).write_now().await.unwrap();
    let after = router_with(1_000);
    let outcome = bench.restore(&after);
    assert!(matches!(outcome, Restore::Restored { restored: 1, .. }), "{outcome:?}");
    assert!(matches!(after.route(RoomKey(1), bench.clock.now()), Route::Pinned(s) if s == shard));
}

#[test]
fn a_kill_between_writing_and_renaming_leaves_the_old_one() {
    let bench = Bench::new();
    let write = |key: u128| {
        let mut bytes = encode(KeyHasher::default().fingerprint(), &[(RoomKey(key), pin("a", NOW))]);
        bytes.truncate(bytes.len() - 32);
        Staged::write(&bench.path(), [bytes])
    };
    let (old, bytes) = write(1).unwrap();
    old.commit().unwrap();
    assert_eq!(fs::metadata(bench.path()).unwrap().len(), bytes);
    // Killed: staged, never committed, not even dropped.
    let (new, _) = write(2).unwrap();
    std::mem::forget(new);
    assert_eq!(bench.files(), ["pins", "pins.tmp"]);
    let router = router_with(10);
    assert!(matches!(bench.restore(&router), Restore::Restored { restored: 1, .. }));
    assert!(router.lookup(RoomKey(1), NOW).is_some());
    // The leftover is in nobody's way, even when it is longer than what comes next.
    fs::write(bench.dir.path().join("pins.tmp"), vec![b'x'; 100_000]).unwrap();
    write(3).unwrap().0.commit().unwrap();
    assert_eq!(bench.files(), ["pins"]);
    let router = router_with(10);
    assert!(matches!(bench.restore(&router), Restore::Restored { restored: 1, .. }));
    assert!(router.lookup(RoomKey(3), NOW).is_some());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_counted_not_fatal() {
    let bench = Bench::new();
    let router = Arc::new(router_with(10));
    router.decide(RoomKey(1), NOW, &[]).unwrap();
    let writer = bench.writer(&router);
    writer.write_now().await.unwrap();
    let old = fs::read(bench.path()).unwrap();
    // Root may write into a read-only directory, so the obstacle is one that stops root too.
    fs::create_dir(bench.dir.path().join("pins.tmp")).unwrap();
    assert!(writer.write_now().await.is_err());
    assert_eq!(bench.metrics.snapshot.writes.get(Success::Error).get(), 1);
    assert_eq!(fs::read(bench.path()).unwrap(), old);
    fs::remove_dir(bench.dir.path().join("pins.tmp")).unwrap();
    writer.write_now().await.unwrap();
    assert_eq!(bench.metrics.snapshot.writes.get(Success::Ok).get(), 2);
    let nowhere =
        SnapshotWriter::new(bench.dir.path().join("missing/pins"), 1, router, bench.clock, Arc::clone(&bench.metrics));
    assert!(nowhere.write_now().await.is_err());
    assert_eq!(bench.metrics.snapshot.writes.get(Success::Error).get(), 2);
}

#[tokio::test]
async fn two_hundred_thousand_pins() {
    let bench = Bench::new();
    let before = Arc::new(router_with(200_000));
    // The table spreads by the key itself, so the keys are spread over all bits.
    let key = |n: u128| RoomKey(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    for n in 0..200_000 {
        before.decide(key(n), NOW, &[]).unwrap();
    }
    let written = bench.writer(&before).write_now().await.unwrap();
    assert_eq!(written.pins, 200_000);
    assert!(written.bytes < 200_000 * 41 + 1_000, "{written:?}");
    let after = router_with(200_000);
    assert!(matches!(bench.restore(&after), Restore::Restored { restored: 200_000, expired: 0, refused: 0 }));
    for n in (0..200_000).step_by(997) {
        assert_eq!(before.lookup(key(n), NOW).unwrap().pin, after.lookup(key(n), NOW).unwrap().pin);
    }
    // A lowered bound takes what fits and says how many did not.
    let smaller = router_with(1_000);
    assert!(matches!(bench.restore(&smaller), Restore::Restored { restored: 1_000, refused: 199_000, .. }));
}

#[tokio::test(start_paused = true)]
async fn writes_at_every_interval() {
    let bench = Bench::new();
    let writer = bench.writer(&Arc::new(router_with(10)));
    let task = tokio::spawn(Arc::clone(&writer).run(Duration::from_secs(30)));
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(bench.metrics.snapshot.writes.get(Success::Ok).get(), 0);
    for n in 1..4 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        // The write itself is on another thread, in real time.
        while bench.metrics.snapshot.writes.get(Success::Ok).get() < n {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.metrics.snapshot.writes.get(Success::Ok).get(), n);
    }
    task.abort();
}
