use std::net::SocketAddr;

use super::*;
use crate::{result::Transport, stub::StubShard};

const SHORT: Duration = Duration::from_millis(300);

async fn stub(name: &str) -> StubShard {
    StubShard::start(name, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

fn tunnel_plan(target: SocketAddr) -> TunnelPlan {
    TunnelPlan { tunnels: 20, warm_up: SHORT / 10, duration: SHORT, ..TunnelPlan::new(target) }
}

fn request_plan(target: SocketAddr) -> RequestPlan {
    RequestPlan { connections: 10, rooms: 50, warm_up: SHORT / 10, duration: SHORT, ..RequestPlan::new(target) }
}

fn conference_plan(targets: &[&StubShard]) -> ConferencePlan {
    let targets = targets.iter().map(|stub| stub.addr).collect();
    ConferencePlan { rooms: 50, deadline: Duration::from_secs(20), ..ConferencePlan::new(targets) }
}

#[tokio::test]
async fn tunnels_carry_messages_in_a_closed_loop() {
    let stub = stub("a").await;
    for (message_bytes, in_flight) in [(1, 20), (200, 3), (65_536, 2)] {
        let mode = Mode::ClosedLoop { in_flight };
        let plan = TunnelPlan { mode, message_bytes, ..tunnel_plan(stub.addr) };
        let run = tunnels(&plan).await.unwrap();
        assert_eq!((run.tunnels, run.errors), (20, 0), "{run:?}");
        assert!(run.round_trips > 0 && run.latency.count == run.round_trips, "{run:?}");
        assert!(run.connects_per_second > 0.0 && run.generator_cpu > 0.0 && run.generator_cpu <= 1.1, "{run:?}");
    }
    let plan = TunnelPlan {
        mode: Mode::ClosedLoop { in_flight: 5 },
        duration: Duration::from_secs(30),
        max_round_trips: 100,
        ..tunnel_plan(stub.addr)
    };
    let run = tunnels(&plan).await.unwrap();
    assert!((100..200).contains(&run.round_trips) && run.seconds < 30.0, "the count ends it: {run:?}");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let stub = stub("a").await;
    let mode = Mode::Rate { per_second: 400.0 };
    let run = tunnels(&TunnelPlan { mode, ..tunnel_plan(stub.addr) }).await.unwrap();
    assert!(run.round_trips <= 133 && run.latency.count >= 110, "0.33 s of 400 per second: {run:?}");
    let run = requests(&RequestPlan { mode, ..request_plan(stub.addr) }).await.unwrap();
    assert!(run.requests <= 133 && run.latency.count >= 110, "0.33 s of 400 per second: {run:?}");
}

#[tokio::test]
async fn a_slow_target_shows_in_the_latency_and_not_in_the_rate_offered() {
    let stub = stub("a").await;
    stub.set_delay(Duration::from_millis(50));
    let plan = RequestPlan {
        connections: 2,
        rooms: 2,
        mode: Mode::Rate { per_second: 200.0 },
        warm_up: Duration::ZERO,
        ..request_plan(stub.addr)
    };
    let run = requests(&plan).await.unwrap();
    // Two connections at 50 ms carry 40 per second; the other 160 wait, and say so.
    assert!(run.requests <= 14, "{run:?}");
    assert!((58..=61).contains(&run.latency.count), "all that were due count: {run:?}");
    assert!(run.latency.p50_us > 75_000, "the queue shows: {run:?}");
}

#[tokio::test]
async fn requests_notice_a_room_that_wanders() {
    let stub = stub("a").await;
    let run = requests(&request_plan(stub.addr)).await;
    assert!(matches!(run, Err(LoadError::Plan(_))), "64 in flight over 10 connections: {run:?}");
    let mode = Mode::ClosedLoop { in_flight: 10 };
    let run = requests(&RequestPlan { mode, ..request_plan(stub.addr) }).await.unwrap();
    assert_eq!((run.errors, run.wrong_shard), (0, 0), "{run:?}");
    assert!(run.requests > 0 && stub.rooms_seen().len() == 50, "{run:?}");

    let wandering = wandering_target().await;
    let run = requests(&RequestPlan { mode, ..request_plan(wandering) }).await.unwrap();
    assert!(run.wrong_shard > 0 && run.errors == 0, "{run:?}");
}

#[tokio::test]
async fn failures_are_counted_and_nothing_hangs() {
    let stub = stub("a").await;
    stub.set_failure(Some(hyper::StatusCode::SERVICE_UNAVAILABLE));
    let mode = Mode::ClosedLoop { in_flight: 10 };
    let failed = requests(&RequestPlan { mode, rooms: 500, ..request_plan(stub.addr) }).await.unwrap_err();
    assert!(failed.to_string().contains("503"), "{failed}");
    let plan = TunnelPlan { mode, ..tunnel_plan(stub.addr) };
    assert!(tunnels(&plan).await.unwrap_err().to_string().contains("503"));
    let addr = stub.addr;
    let run = conferences(&conference_plan(&[&stub])).await.unwrap();
    assert_eq!((run.rooms, run.errors), (0, 100), "{run:?}");
    stub.stop().await;
    let gone = tunnels(&plan).await.unwrap_err();
    assert!(matches!(&gone, LoadError::Target { target, .. } if *target == addr.to_string()), "{gone}");
}

#[tokio::test]
async fn tunnels_that_break_are_counted() {
    let stub = stub("a").await;
    let mode = Mode::Rate { per_second: 500.0 };
    let plan =
        TunnelPlan { mode, warm_up: Duration::ZERO, duration: Duration::from_secs(20), ..tunnel_plan(stub.addr) };
    let (run, ()) = tokio::join!(tunnels(&plan), async {
        while stub.tunnels() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        stub.stop().await;
    });
    let run = run.unwrap();
    assert_eq!(run.errors, 20, "{run:?}");
    assert!(run.seconds < 20.0, "with no tunnel left it ends: {run:?}");
}

#[tokio::test]
async fn idle_tunnels_cost_this_process_something() {
    let stub = stub("a").await;
    let plan = IdlePlan { tunnels: 200, warm: 10, settle: SHORT / 10, ..IdlePlan::new(stub.addr, std::process::id()) };
    let run = idle(&plan).await.unwrap();
    assert_eq!(run.tunnels, 200);
    assert!(run.rss_before_kib > 1_000 && run.rss_after_kib > 1_000 && run.accept_seconds > 0.0, "{run:?}");
    let nobody = idle(&IdlePlan { pid: u32::MAX, ..plan }).await;
    assert!(matches!(nobody, Err(LoadError::Process { .. })), "{nobody:?}");
}

#[tokio::test]
async fn people_on_one_shard_are_together() {
    let stub = stub("a").await;
    for transport in [Transport::Plain, Transport::Bosh, Transport::WebSocket] {
        for arrival in [Arrival::Window(Duration::ZERO), Arrival::Gap(Duration::from_millis(2))] {
            let plan = ConferencePlan { transport, arrival, participants: 3, ..conference_plan(&[&stub]) };
            let run = conferences(&plan).await.unwrap();
            assert_eq!((run.rooms, run.splits, run.errors, run.disconnects), (50, 0, 0, 0), "{run:?}");
            assert_eq!(run.joins.count, 150, "{run:?}");
        }
    }
}

#[tokio::test]
async fn people_on_two_shards_are_split() {
    let (a, b) = (stub("a").await, stub("b").await);
    for transport in [Transport::Plain, Transport::Bosh, Transport::WebSocket] {
        let run = conferences(&ConferencePlan { transport, ..conference_plan(&[&a, &b]) }).await.unwrap();
        assert_eq!((run.rooms, run.splits, run.errors), (50, 50, 0), "one after the other: {run:?}");
        let choice = Choice::Random;
        let run = conferences(&ConferencePlan { transport, choice, ..conference_plan(&[&a, &b]) }).await.unwrap();
        assert!((10..40).contains(&run.splits), "about half of them, by chance: {run:?}");
        let again = conferences(&ConferencePlan { transport, choice, ..conference_plan(&[&a, &b]) }).await.unwrap();
        assert_eq!(run.splits, again.splits, "and the same with the same seed");
    }
}

#[tokio::test]
async fn a_target_that_sends_people_anywhere_is_caught() {
    let targets = vec![wandering_target().await];
    for method in [Method::Get, Method::Post] {
        let run = conferences(&ConferencePlan { rooms: 100, method, ..ConferencePlan::new(targets.clone()) }).await;
        let run = run.unwrap();
        assert_eq!((run.rooms, run.errors), (100, 0), "{run:?}");
        assert!((20..80).contains(&run.splits), "{run:?}");
        assert!((run.split_share - run.splits as f64 / 100.0).abs() < 1e-9, "{run:?}");
    }
}

#[tokio::test]
async fn people_stay_and_come_back() {
    let stub = stub("a").await;
    for transport in [Transport::Plain, Transport::Bosh, Transport::WebSocket] {
        let plan = ConferencePlan {
            transport,
            rooms: 6,
            stay: Duration::from_millis(400),
            poll: Duration::from_millis(20),
            rejoins: 2,
            ..conference_plan(&[&stub])
        };
        let before = stub.hits();
        let run = conferences(&plan).await.unwrap();
        assert_eq!((run.rooms, run.splits, run.errors, run.disconnects), (6, 0, 0, 0), "{run:?}");
        assert!(run.joins.count > 12 && run.joins.count <= 36, "they came back: {run:?}");
        if transport != Transport::WebSocket {
            assert!(stub.hits() - before > 12 * 5, "they asked from inside");
        }
    }
}

#[tokio::test]
async fn who_is_cut_off_comes_back_and_the_room_moves_as_one() {
    let (a, b) = (stub("a").await, stub("b").await);
    let addr = a.addr;
    let plan = ConferencePlan {
        transport: Transport::WebSocket,
        rooms: 5,
        stay: Duration::from_secs(3),
        poll: Duration::from_millis(50),
        ..conference_plan(&[&a])
    };
    let (run, renamed) = tokio::join!(conferences(&plan), async {
        while a.tunnels() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        a.stop().await;
        StubShard::start("c", addr).await.unwrap()
    });
    let run = run.unwrap();
    assert_eq!((run.rooms, run.splits, run.disconnects, run.moved_rooms), (5, 0, 10, 5), "{run:?}");
    drop((renamed, b));
}

#[tokio::test]
async fn few_sockets_are_enough_and_never_exceeded() {
    let stub = stub("a").await;
    for transport in [Transport::Plain, Transport::WebSocket] {
        let plan =
            ConferencePlan { transport, max_sockets: 3, at_once: 10, participants: 2, ..conference_plan(&[&stub]) };
        let watch = Arc::new(Watch::default());
        let most = async {
            loop {
                // The stub notices a little later than we that a tunnel is gone.
                assert!(watch.opened() <= 3 && stub.tunnels() <= 6);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let run = tokio::select! {
            run = conferences_with(&plan, &watch) => run.unwrap(),
            () = most => unreachable!(),
        };
        assert_eq!((run.rooms, run.splits, run.errors), (50, 0, 0), "{run:?}");
    }
}

#[tokio::test]
async fn a_run_ends_when_told_to_and_when_time_is_up() {
    let stub = stub("a").await;
    let plan = ConferencePlan { stay: Duration::from_secs(60), deadline: SHORT * 3, ..conference_plan(&[&stub]) };
    let run = conferences(&plan).await.unwrap();
    assert_eq!((run.rooms, run.errors), (16, 0), "those at once: {run:?}");

    let watch = Arc::new(Watch::default());
    let plan = TunnelPlan {
        mode: Mode::ClosedLoop { in_flight: 1 },
        duration: Duration::from_secs(60),
        ..tunnel_plan(stub.addr)
    };
    let stop = async {
        while watch.done() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        watch.stop();
    };
    let (run, ()) = tokio::join!(tunnels_with(&plan, &watch), stop);
    assert!(run.unwrap().seconds < 60.0);
}

#[tokio::test]
async fn plans_without_sense_are_refused() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 9));
    let none = [
        tunnels(&TunnelPlan { tunnels: 0, ..TunnelPlan::new(addr) }).await.err(),
        tunnels(&TunnelPlan { tunnels: 1_000_000, ..TunnelPlan::new(addr) }).await.err(),
        tunnels(&TunnelPlan { message_bytes: 0, ..TunnelPlan::new(addr) }).await.err(),
        tunnels(&TunnelPlan { mode: Mode::Rate { per_second: f64::NAN }, ..TunnelPlan::new(addr) }).await.err(),
        requests(&RequestPlan { path: "/a b".to_owned(), ..RequestPlan::new(addr) }).await.err(),
        conferences(&ConferencePlan::new(Vec::new())).await.err(),
        conferences(&ConferencePlan { participants: 5, max_sockets: 4, ..ConferencePlan::new(vec![addr]) }).await.err(),
        conferences(&ConferencePlan { prefix: "a b".to_owned(), ..ConferencePlan::new(vec![addr]) }).await.err(),
    ];
    for (number, error) in none.into_iter().enumerate() {
        assert!(matches!(error, Some(LoadError::Plan(_))), "plan {number}: {error:?}");
    }
}

/// A proxy broken on purpose: every request is answered by one of two shards, in an order without sense.
async fn wandering_target() -> SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4_096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let shard = if rand::random() { "a" } else { "b" };
                    let answer = format!("HTTP/1.1 200 OK\r\nX-Stub-Shard: {shard}\r\nContent-Length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    addr
}
