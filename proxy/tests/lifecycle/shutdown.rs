//! The way out: load balancers first, then everybody else, and never later than promised.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::house::{House, PATIENCE, Tunnel, fixed, stub, until};

/// A connection that has had one answer and stays.
async fn kept_alive(house: &House) -> TcpStream {
    let mut stream = TcpStream::connect(house.front()).await.unwrap();
    stream.write_all(b"GET /libs/x.js HTTP/1.1\r\nHost: meet\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("</html>") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    stream
}

#[tokio::test]
async fn everybody_is_served_then_asked_to_leave_one_by_one() {
    let a = stub("a").await;
    let body = format!("{}shutdown: {{drain_delay: 1500ms, drain_window: 3s}}\n", fixed(&[&a]));
    let mut house = House::start(&body).await;
    let mut tunnels = Vec::new();
    for n in 0..6 {
        let mut tunnel = house.tunnel(&format!("room{n}")).await;
        assert_eq!(tunnel.who().await, "a");
        tunnels.push(tunnel);
    }
    let mut idle = kept_alive(&house).await;

    house.process.signal("TERM");
    let told = Instant::now();
    until("/readyz says no", async || house.ask("GET", "/readyz").await.status == 503).await;
    assert!(house.ask("GET", "/readyz").await.body.contains("draining"));
    assert_eq!(house.visit("room0").await, "a", "load balancers have not noticed yet");
    let mut late = house.tunnel("late").await;
    assert_eq!(late.who().await, "a");
    tunnels.push(late);
    // Starts before the ports close, and takes until after.
    a.set_delay(Duration::from_millis(2500));
    let slow = async {
        let answer = house.get("/http-bind?room=slow").await;
        (answer.status, told.elapsed())
    };
    let ends = async { join_all(tunnels.iter_mut().map(Tunnel::closed)).await };
    let silence = async { (timeout(PATIENCE, idle.read(&mut [0; 16])).await, told.elapsed()) };
    let (slow, ends, (silence, silent_after)) = tokio::join!(slow, ends, silence);

    let delay = Duration::from_millis(1400);
    assert_eq!(slow.0, 200, "a request under way finishes");
    assert!(slow.1 > delay, "or this has tested nothing: {slow:?}");
    assert!(matches!(silence, Ok(Ok(0) | Err(_))), "the idle connection is closed: {silence:?}");
    assert!(silent_after > delay, "{silent_after:?}");
    for (code, at) in &ends {
        assert_eq!(*code, Some(1012));
        assert!(*at - told > delay, "not before load balancers had their time");
    }
    let (first, last) = (ends.iter().map(|end| end.1).min().unwrap(), ends.iter().map(|end| end.1).max().unwrap());
    assert!(last - first > Duration::from_secs(1), "spread over the window, not all at once: {:?}", last - first);
    assert!(TcpStream::connect(house.front()).await.is_err(), "nobody is accepted any more");
    assert!(house.process.wait(Duration::from_secs(15)).await.success());
}

#[tokio::test]
async fn it_is_gone_as_soon_as_everybody_else_is() {
    let a = stub("a").await;
    let body = format!("{}shutdown: {{drain_delay: 0, drain_window: 40s}}\n", fixed(&[&a]));
    let mut house = House::start(&body).await;
    let mut tunnels = Vec::new();
    for n in 0..4 {
        tunnels.push(house.tunnel(&format!("room{n}")).await);
    }
    // A browser that connects ahead of need holds nobody up.
    let mut silent = TcpStream::connect(house.front()).await.unwrap();
    until("it is accepted", async || house.metrics().await.get("roompin_connections_open") >= Some(5.0)).await;
    house.process.signal("TERM");
    let told = Instant::now();
    join_all(tunnels.into_iter().map(Tunnel::leave)).await;
    assert!(matches!(timeout(PATIENCE, silent.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_))));
    assert!(house.process.wait(PATIENCE).await.success());
    assert!(told.elapsed() < Duration::from_secs(8), "{:?} of a window of 40 s", told.elapsed());
}

#[tokio::test]
async fn a_client_that_never_leaves_does_not_hold_it() {
    let a = stub("a").await;
    let body = format!("{}shutdown: {{drain_delay: 0, drain_window: 1s}}\n", fixed(&[&a]));
    let mut house = House::start(&body).await;
    // A tunnel whose client neither reads nor answers, and a request whose shard does not answer.
    let mut stuck = TcpStream::connect(house.front()).await.unwrap();
    let head = "GET /xmpp-websocket?room=x HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stuck.write_all(head.as_bytes()).await.unwrap();
    until("the tunnel is open", async || a.tunnels() == 1).await;
    a.set_delay(Duration::from_secs(60));
    let mut waiting = TcpStream::connect(house.front()).await.unwrap();
    waiting.write_all(b"GET /http-bind?room=y HTTP/1.1\r\nHost: m\r\n\r\n").await.unwrap();
    until("the request is under way", async || a.hits() >= 2).await;
    house.process.signal("TERM");
    let told = Instant::now();
    assert!(house.process.wait(PATIENCE).await.success());
    assert!(told.elapsed() > Duration::from_secs(3), "they had the window and the grace: {:?}", told.elapsed());
    assert!(told.elapsed() < Duration::from_secs(12), "{:?}", told.elapsed());
}

#[tokio::test]
async fn told_twice_it_goes_at_once_and_sigint_is_in_a_hurry() {
    let a = stub("a").await;
    let slow = format!("{}shutdown: {{drain_delay: 10m, drain_window: 10m}}\nsnapshot: {{path: pins}}\n", fixed(&[&a]));
    let mut house = House::start(&slow).await;
    let tunnel = house.tunnel("room").await;
    house.process.signal("TERM");
    until("/readyz says no", async || house.ask("GET", "/readyz").await.status == 503).await;
    sleep(Duration::from_millis(300)).await;
    assert!(house.process.exited().is_none(), "told once, it drains");
    house.process.signal("TERM");
    assert!(house.process.wait(Duration::from_secs(15)).await.success());
    assert!(house.file("pins").exists(), "in a hurry, and still not without its pins");
    drop(tunnel);

    house.process.restart();
    house.ready().await;
    let mut tunnel = house.tunnel("room").await;
    house.process.signal("INT");
    assert_eq!(tunnel.closed().await.0, Some(1012), "a hurry is no reason for rudeness");
    assert!(house.process.wait(Duration::from_secs(15)).await.success());
}
