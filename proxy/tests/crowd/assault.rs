//! Everything that a stranger can do to a mesh port, at once.

use std::{net::SocketAddr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::house::PATIENCE;

/// Connections that say nothing, or too little, at one time.
pub(crate) const HALF_OPEN: usize = 1_000;
/// Of each other kind, one after the other.
pub(crate) const TIMES: usize = 60;
/// Most that a stranger is told: the one answer to a first message that was recorded from a replica.
const ANSWER: usize = 200;

/// Says something and reads until it is hung up on: how much was answered.
async fn say(to: SocketAddr, bytes: &[u8]) -> usize {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // It may hang up in the middle.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("a stranger is hung up on");
    answer.len()
}

/// Garbage of every kind: none of it gets a byte.
async fn garbage(to: SocketAddr, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    for turn in 0..TIMES {
        let bytes = match turn % 4 {
            0 => b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n".to_vec(),
            1 => vec![0; 100_000],
            2 => (0..chance.random_range(5..5_000)).map(|_| chance.random()).collect(),
            // As another release would begin.
            _ => b"RPIN\xfe................".to_vec(),
        };
        assert_eq!(say(to, &bytes).await, 0, "garbage is answered");
    }
}

/// The right form, and the wrong key.
async fn wrong_keys(to: SocketAddr, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    for _ in 0..TIMES {
        let mut bytes = b"RPIN\x01".to_vec();
        bytes.extend((0..48).map(|_| chance.random::<u8>()));
        assert_eq!(say(to, &bytes).await, 0, "a wrong key is answered");
    }
}

/// What a real replica once said.
async fn replays(to: SocketAddr, recorded: Vec<u8>) {
    for _ in 0..TIMES {
        let answer = say(to, &recorded).await;
        assert!(answer <= ANSWER, "{answer} bytes");
    }
}

/// Connections that are there and nothing else, until the other side ends the last of them.
async fn half_open(to: SocketAddr) {
    let mut idle = Vec::new();
    for turn in 0..HALF_OPEN {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // Some say nothing, some begin well; of these, some were shut out before they could.
        let begin = [&b""[..], b"RP", b"RPIN\x01\x07\x07"][turn % 3];
        let _ = stream.write_all(begin).await;
        idle.push(stream);
    }
    for mut stream in idle {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("they are ended in time");
        assert_eq!(rest, b"");
    }
}

/// All of it to every replica; `recorded` was said to the first. Returns how many connections that were.
pub(crate) async fn assault(peers: &[SocketAddr], recorded: &[u8]) -> usize {
    let mut strangers = JoinSet::new();
    for (n, peer) in peers.iter().copied().enumerate() {
        strangers.spawn(garbage(peer, n as u64));
        strangers.spawn(wrong_keys(peer, n as u64));
        strangers.spawn(replays(peer, recorded.to_vec()));
    }
    // So that they are there while the others come.
    for wave in 0..2 {
        for peer in peers {
            strangers.spawn(half_open(*peer));
            if wave == 0 {
                break;
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    strangers.join_all().await;
    peers.len() * 3 * TIMES + (1 + peers.len()) * HALF_OPEN
}
