//! One participant, from the page to the goodbye.

use std::{net::SocketAddr, time::Duration};

use rand::{RngExt, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    client::{BoshSession, Browser, ClientError, Tunnel},
    observer::{Kind, Seat},
};

/// A participant says something every so many milliseconds.
const PAUSE: std::ops::Range<u64> = 150..700;
/// Bytes of a message: stanzas of XMPP are mostly this small.
const MESSAGE: std::ops::Range<usize> = 1..400;
/// Every so many messages, a client in a tunnel also asks whether its room moved.
const KEEP_ALIVE_EVERY: u32 = 5;

/// Comes, stays for `stay` or until `stop`, and goes; tells `seat` every shard it sees.
///
/// # Errors
/// The first step that failed; the participant is gone then.
pub(super) async fn attend(
    seat: &Seat,
    kind: Kind,
    replica: SocketAddr,
    room: &str,
    stay: Duration,
    mut rng: StdRng,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), ClientError> {
    let browser = Browser::new(replica, room)?;
    let before = seat.shard_of_room();
    seat.saw_page(before.as_deref(), &browser.page().await?);
    seat.saw(&browser.config().await?);

    let end = Instant::now().checked_add(stay);
    let leaves = |stop: &watch::Receiver<bool>| *stop.borrow() || end.is_some_and(|end| Instant::now() >= end);
    match kind {
        Kind::Tunnel => {
            seat.saw(&browser.conference().await?);
            let (mut tunnel, shard) = Tunnel::open(replica, room).await?;
            seat.saw(&shard);
            let mut said = 0_u32;
            while !leaves(stop) {
                pause(&mut rng, stop).await;
                tunnel.echo(&"x".repeat(rng.random_range(MESSAGE))).await?;
                said = said.wrapping_add(1);
                if said.is_multiple_of(KEEP_ALIVE_EVERY) {
                    seat.saw(&browser.keep_alive().await?);
                }
            }
            tunnel.close().await
        }
        Kind::Bosh => {
            let rid = rng.random_range(1..1 << 31);
            let (mut session, shard) = BoshSession::open(browser, rid).await?;
            seat.saw(&shard);
            while !leaves(stop) {
                pause(&mut rng, stop).await;
                seat.saw(&session.poll().await?);
            }
            seat.saw(&session.close().await?);
            Ok(())
        }
        Kind::Plain => {
            while !leaves(stop) {
                pause(&mut rng, stop).await;
                let asks = rng.random_bool(0.5);
                let shard = if asks { browser.conference().await? } else { browser.keep_alive().await? };
                seat.saw(&shard);
            }
            Ok(())
        }
    }
}

async fn pause(rng: &mut StdRng, stop: &mut watch::Receiver<bool>) {
    // The end of the pause and the end of the run are both fine.
    let _ = timeout(Duration::from_millis(rng.random_range(PAUSE)), stop.wait_for(|stop| *stop)).await;
}
