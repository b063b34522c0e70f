//! Clients that cost: slow, silent, endless, senseless. They go within their limit, and nobody else notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::{io::AsyncWriteExt, sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    stage::{Stage, raise_file_limit, until},
    wire::{Wire, get},
};

/// Growth of resident memory that is not a leak: allocator pages and thread buffers.
const RSS_SLACK: u64 = 16 << 20;

/// Somebody who uses the proxy as it is meant, all the while.
struct Bystander {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Bystander {
    fn start(stage: &Stage) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count, addr) = (Arc::clone(&stop), Arc::clone(&answered), stage.addr);
        let task = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                // Twice on one connection, then on a new one.
                let mut wire = Wire::connect(addr).await;
                for _ in 0..2 {
                    let answer = wire.ask(get("/http-bind?room=well")).await;
                    assert_eq!((answer.status, answer.stub()), (200, "s1"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        Self { stop, answered, task }
    }

    /// Ends it; panics if a single request failed. Gives how many were answered.
    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every request of the bystander is answered");
        self.answered.load(Ordering::Relaxed)
    }
}

/// What a scan of the internet, a broken client or an attacker sends.
fn garbage(turn: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(turn);
    match turn % 6 {
        0 => {
            let mut bytes = vec![0; rng.random_range(1..2000)];
            rng.fill_bytes(&mut bytes);
            bytes
        }
        1 => {
            // A TLS ClientHello: record header, handshake header, random.
            let mut bytes = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
            bytes.resize(517, 0);
            rng.fill_bytes(&mut bytes[11..]);
            bytes
        }
        2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".to_vec(),
        3 => get("/http-bind?room=half").into_bytes()[..rng.random_range(1..40)].to_vec(),
        4 => [b"GET /".to_vec(), vec![b'a'; rng.random_range(1000..30_000)]].concat(),
        _ => b"\r\n".repeat(rng.random_range(1..20)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_garbage_connections_leave_no_trace() {
    const CONNECTIONS: u64 = 10_000;
    raise_file_limit(4_000);
    let (stage, stub) = Stage::with_stub("front: { head_timeout: 500ms, keepalive: 1s }\n").await;
    let gate = Arc::new(Semaphore::new(480));
    let send_all = async |turns: std::ops::Range<u64>| {
        let mut sending = JoinSet::new();
        for turn in turns {
            let permit = Arc::clone(&gate).acquire_owned().await.expect("never closed");
            let addr = stage.addr;
            sending.spawn(async move {
                let mut wire = Wire::connect_from(usize::try_from(turn).expect("small"), addr).await.expect("connect");
                // A refusal may come, and the connection end, before all is written.
                let _ = wire.tcp.write_all(&garbage(turn)).await;
                let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
                // Whatever was said, it was no shard's answer.
                assert!(
                    answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
                    "{answer}"
                );
                drop(permit);
            });
            while sending.try_join_next().is_some_and(|sent| sent.map(|()| true).expect("closed within its limit")) {}
        }
        while let Some(sent) = sending.join_next().await {
            sent.expect("closed within its limit");
        }
    };
    // What is paid once is paid before the measurement.
    send_all(0..800).await;
    stage.connect().await.ask(get("/http-bind?room=well")).await;
    let calm = async || stage.metric("roompin_connections_open").await <= 0.0;
    until("a calm start", calm).await;
    let (rss, descriptors, hits) = (stage.rss(), stage.descriptors(), stub.hits());

    let bystander = Bystander::start(&stage);
    send_all(800..CONNECTIONS).await;
    let answered = bystander.finish().await;

    assert!(answered > 20, "only {answered} requests of the bystander came round");
    assert_eq!(stub.hits() - hits, answered, "garbage reached the shard");
    until("connections to be gone", calm).await;
    // The bystander's pooled connection to the shard may stay, and the admin's.
    until("descriptors to be back", async || stage.descriptors() <= descriptors + 4).await;
    let grown = stage.rss().saturating_sub(rss);
    eprintln!("{answered} good answers meanwhile; resident memory grew by {} KiB", grown / 1024);
    assert!(grown <= RSS_SLACK, "resident memory grew by {grown} bytes");
    assert!(stage.metric("roompin_front_refusals_total{reason=\"head_timeout\"}").await > 1000.0);
    assert!(stage.metric("roompin_front_refusals_total{reason=\"head_too_large\"}").await > 500.0);
}

/// One deadline for the whole head: a byte now and then does not buy time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_get_408_and_silence_gets_nothing() {
    let (stage, stub) = Stage::with_stub("front: { head_timeout: 500ms, keepalive: 1s }\n").await;
    let bystander = Bystander::start(&stage);
    let mut slow = JoinSet::new();
    for turn in 0..200 {
        let addr = stage.addr;
        slow.spawn(async move {
            let mut wire = Wire::connect(addr).await;
            if turn % 2 == 0 {
                // Says nothing: a browser's spare connection. It is closed without a word.
                return wire.ended().await;
            }
            // On a kept-alive connection the same holds for the next head.
            if turn % 4 == 1 {
                assert_eq!(wire.ask(get("/http-bind?room=slow")).await.status, 200);
            }
            let (tcp, _) = wire.into_parts();
            let (read, mut write) = tcp.into_split();
            let dripping = tokio::spawn(async move {
                for byte in get(&format!("/{}", "x".repeat(4000))).into_bytes() {
                    if write.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(25)).await;
                }
                write
            });
            let mut read = tokio::io::BufReader::new(read);
            let mut answer = String::new();
            let _ = tokio::io::AsyncReadExt::read_to_string(&mut read, &mut answer).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
            dripping.abort();
        });
    }
    while let Some(done) = slow.join_next().await {
        done.expect("each ends within its limit");
    }
    let answered = bystander.finish().await;
    assert_eq!(stub.hits(), answered + 50, "a half head reached the shard");
    assert_eq!(stage.metric("roompin_front_refusals_total{reason=\"head_timeout\"}").await, 100.0);
}

#[tokio::test]
async fn a_head_over_the_limit_is_431_and_one_at_the_limit_passes() {
    let (stage, stub) = Stage::with_stub("front: { head_max_bytes: 8KiB }\n").await;
    let sized = |size: usize| {
        let empty = "GET /http-bind?room=a HTTP/1.1\r\nHost: m\r\nX-Pad: \r\n\r\n".len();
        format!("GET /http-bind?room=a HTTP/1.1\r\nHost: m\r\nX-Pad: {}\r\n\r\n", "p".repeat(size - empty))
    };
    assert_eq!(stage.connect().await.ask(sized(8192)).await.status, 200);
    assert_eq!(stub.hits(), 1);
    let fields = format!("GET / HTTP/1.1\r\nHost: m\r\n{}\r\n", "A: b\r\n".repeat(101));
    // Endless: no blank line ever, in the request line or in the fields.
    let endless = [format!("GET /{}", "a".repeat(100_000)), format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(20_000))];
    for request in [sized(8193), sized(60_000), fields].into_iter().chain(endless) {
        let mut wire = stage.connect().await;
        let _ = wire.tcp.write_all(request.as_bytes()).await;
        let answer = wire.try_answer(false).await;
        // More than the farewell reads may break the answer off, but never lets the request through.
        assert!(answer.is_none_or(|answer| answer.status == 431));
        wire.ended().await;
    }
    assert_eq!(stub.hits(), 1);
    let too_large = stage.metric("roompin_front_refusals_total{reason=\"head_too_large\"}").await;
    let bad = stage.metric("roompin_front_refusals_total{reason=\"bad_request\"}").await;
    assert_eq!((too_large, bad), (4.0, 1.0));
}
