use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use router_core::shard::ShardId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;
use crate::tunnel::registry::Tunnels;

/// A relay between two sockets whose other ends are the test's.
struct Between {
    client: TcpStream,
    shard: TcpStream,
    tunnels: Arc<Tunnels>,
    relay: JoinHandle<(End, Moved)>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

async fn between(ahead: &[u8], early: &[u8], buffer_max: usize) -> Between {
    let ((client, client_far), (shard, shard_far)) = (pair().await, pair().await);
    let tunnels = Arc::new(Tunnels::default());
    tunnels.set_buffer_max(buffer_max);
    let mut relay = Relay::new(client_far, shard_far, ahead, early, tunnels.register(None, ShardId(0)));
    let relay = tokio::spawn(async move {
        let end = (&mut relay).await;
        (end, relay.moved())
    });
    Between { client, shard, tunnels, relay }
}

fn noise(rng: &mut StdRng, size: usize) -> Vec<u8> {
    (0..size).map(|_| rng.random()).collect()
}

/// Writes in pieces of any size, with pauses that let the relay come round.
fn write_all(mut rng: StdRng, mut to: tokio::net::tcp::OwnedWriteHalf, bytes: Vec<u8>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let most = if rng.random_bool(0.5) { 20 } else { 150_000 };
            let (piece, later) = rest.split_at(rng.random_range(1..=most).min(rest.len()));
            to.write_all(piece).await.unwrap();
            rest = later;
            if rng.random_bool(0.1) {
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..3))).await;
            }
        }
        to.shutdown().await.unwrap();
    })
}

/// Reads in pieces of any size, now and then slowly.
fn read_all(mut rng: StdRng, mut from: tokio::net::tcp::OwnedReadHalf) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        loop {
            let mut piece = vec![0; rng.random_range(1..200_000)];
            match from.read(&mut piece).await.unwrap() {
                0 => return all,
                read => all.extend_from_slice(&piece[..read]),
            }
            if rng.random_bool(0.1) {
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..5))).await;
            }
        }
    })
}

#[tokio::test]
async fn bytes_in_are_bytes_out_in_both_directions() {
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (up, down) = {
            let mut stream = || {
                let size = rng.random_range(0..3_000_000);
                noise(&mut rng, size)
            };
            (stream(), stream())
        };
        let ahead = rng.random_range(0..=up.len().min(16_000));
        let early = rng.random_range(0..=down.len().min(16_000));
        let buffer_max = [1, 4096, BUFFER, 1 << 20][rng.random_range(0..4)];
        // One byte at a time is slow; it need not be long to be right.
        let (up, down) = if buffer_max == 1 { (up[..ahead].to_vec(), down[..early].to_vec()) } else { (up, down) };
        let all = between(&up[..ahead], &down[..early], buffer_max).await;
        let ((client_in, client_out), (shard_in, shard_out)) = (all.client.into_split(), all.shard.into_split());
        let mut fork = || StdRng::seed_from_u64(rng.random());
        let writing =
            [write_all(fork(), client_out, up[ahead..].to_vec()), write_all(fork(), shard_out, down[early..].to_vec())];
        let (to_shard, to_client) = (read_all(fork(), shard_in), read_all(fork(), client_in));
        assert!(to_shard.await.unwrap() == up, "seed {seed}: up");
        assert!(to_client.await.unwrap() == down, "seed {seed}: down");
        for written in writing {
            written.await.unwrap();
        }
        let (end, moved) = all.relay.await.unwrap();
        assert!(matches!(end, End::Client | End::Shard), "seed {seed}: {end:?}");
        assert_eq!((moved.up, moved.down), (up.len() as u64, down.len() as u64), "seed {seed}");
    }
}

/// A frame header of 126 bytes' payload and a part of it.
fn started_frame() -> Vec<u8> {
    [&[0x82, 126, 0, 200][..], &[0x82; 150]].concat()
}

#[tokio::test]
async fn an_order_waits_for_the_end_of_the_frame_and_nothing_more() {
    let mut all = between(&[], &[], BUFFER).await;
    all.shard.write_all(&started_frame()).await.unwrap();
    let mut seen = vec![0; 154];
    all.client.read_exact(&mut seen).await.unwrap();
    all.tunnels.drain(Duration::ZERO).await;
    // The rest, and the beginning of another frame in the same segment.
    all.shard.write_all(&[&[0x82; 50][..], &[0x81, 5, b'h']].concat()).await.unwrap();
    let mut rest = Vec::new();
    all.client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [&[0x82; 50][..], &close_frame(1012)].concat());
    // The shard is let go at once, the client may answer.
    assert_eq!(all.shard.read(&mut [0; 16]).await.unwrap_or(0), 0);
    all.client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    drop(all.client);
    assert_eq!(all.relay.await.unwrap().0, End::Ordered(Order::Drain));
}

#[tokio::test]
async fn an_order_for_an_idle_tunnel_is_carried_out_at_once() {
    let mut all = between(&[], &[0x81, 2, b'h', b'i'], BUFFER).await;
    let mut greeting = [0; 4];
    all.client.read_exact(&mut greeting).await.unwrap();
    all.tunnels.tick(Duration::from_secs(10), Duration::from_secs(1));
    let mut rest = Vec::new();
    all.client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, close_frame(1001));
    drop(all.client);
    assert_eq!(all.relay.await.unwrap().0, End::Ordered(Order::Idle));
}

/// Neither a client that never goes nor a shard that never ends its frame keeps an ordered tunnel for long.
#[tokio::test]
async fn a_farewell_has_an_end() {
    let mut stuck = between(&[], &[], BUFFER).await;
    stuck.shard.write_all(&started_frame()).await.unwrap();
    let mut seen = vec![0; 154];
    stuck.client.read_exact(&mut seen).await.unwrap();
    let silent = between(&[], &[], BUFFER).await;
    tokio::task::yield_now().await;
    for all in [stuck, silent] {
        all.tunnels.drain(Duration::ZERO).await;
        let ended = tokio::time::timeout(FAREWELL * 5, all.relay).await.expect("within its limit");
        assert_eq!(ended.unwrap().0, End::Ordered(Order::Drain));
        assert_eq!(all.tunnels.open(), 0);
        drop((all.client, all.shard));
    }
}

/// A client that does not read and an order: what is kept for it does not keep the tunnel.
#[tokio::test]
async fn a_farewell_to_a_client_that_does_not_read_has_an_end() {
    let all = between(&[], &[], BUFFER).await;
    let (shard_in, mut shard_out) = all.shard.into_split();
    let pouring = tokio::spawn(async move { while shard_out.write_all(&[0; 65_536]).await.is_ok() {} });
    tokio::time::sleep(Duration::from_millis(200)).await;
    all.tunnels.drain(Duration::ZERO).await;
    let ended = tokio::time::timeout(FAREWELL * 5, all.relay).await.expect("within its limit");
    assert_eq!(ended.unwrap().0, End::Ordered(Order::Drain));
    pouring.await.unwrap();
    drop((shard_in, all.client));
}

#[tokio::test]
async fn a_broken_socket_ends_the_tunnel() {
    let all = between(&[], &[], BUFFER).await;
    all.client.set_zero_linger().unwrap();
    drop(all.client);
    assert_eq!(all.relay.await.unwrap().0, End::Failed);
    assert_eq!(all.tunnels.open(), 0);
}
