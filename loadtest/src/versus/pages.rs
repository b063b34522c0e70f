//! People who load pages meanwhile: requests without a room, as every proxy sees them all day.
//!
//! They move a round robin on. Without them, two replicas that start together and get the same rooms count in step, and
//! all rooms are split or none, which says nothing about two replicas with a history.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Longest pause of a visitor; the mean is half of it.
const LONGEST_PAUSE: Duration = Duration::from_millis(8);
/// After a connection was cut.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest head of an answer.
const MAX_HEAD: usize = 16 << 10;

/// One visitor per replica, until dropped.
pub async fn browse(replicas: &[SocketAddr], seed: u64) {
    let visitors = replicas.iter().enumerate().map(|(number, &replica)| async move {
        let mut draw = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        loop {
            if let Err(error) = visit(replica, &mut draw).await {
                tracing::debug!(%replica, %error, "a visitor was cut off");
            }
            sleep(AGAIN).await;
        }
    });
    join_all(visitors).await;
}

/// Loads pages over one connection.
async fn visit(replica: SocketAddr, draw: &mut StdRng) -> io::Result<()> {
    let mut stream = TcpStream::connect(replica).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::new();
    loop {
        // A HEAD has no body to read.
        stream.write_all(b"HEAD /page HTTP/1.1\r\nHost: roompin\r\n\r\n").await?;
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() > MAX_HEAD || stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        sleep(LONGEST_PAUSE.mul_f64(draw.random())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::StubShard;

    #[tokio::test]
    async fn visitors_keep_coming() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let shard = StubShard::start("a", any).await.unwrap();
        let enough = async {
            while shard.hits() < 20 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let replicas = [shard.addr, shard.addr];
        tokio::select! {
            () = browse(&replicas, 1) => panic!("visitors never leave"),
            done = tokio::time::timeout(Duration::from_secs(10), enough) => done.unwrap(),
        }
        assert!(shard.rooms_seen().is_empty(), "pages name no room");
    }
}
