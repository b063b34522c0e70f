//! One participant, who behaves as lib-jitsi-meet does when connections break, at five times its speed, so that a
//! minute shows what five would.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite;

use super::{Doors, Room};
use crate::{
    chaos::observer::{Observer, Sitting},
    client::{BoshSession, Browser, ClientError, Tunnel},
};

/// It says something every so many milliseconds.
const PAUSE: std::ops::Range<u64> = 250..600;
/// Messages between two keep-alive requests in a tunnel, by which a client finds out that its room moved.
const KEEP_ALIVE_EVERY: u32 = 6;
/// Before the first, second and third attempt to reconnect, in milliseconds: a fifth of 1.5–3 s, 3–9 s and 4.5–27 s.
const RECONNECT: [std::ops::Range<u64>; 3] = [300..600, 600..1_800, 900..5_400];
/// A reload of the page, in milliseconds.
const RELOAD: std::ops::Range<u64> = 300..1_000;

/// A participant.
pub(super) struct Member {
    room: Arc<Room>,
    doors: Arc<Doors>,
    observer: Observer,
    stop: watch::Receiver<bool>,
    pub(super) rng: StdRng,
}

/// How the talk ended.
enum End {
    /// Time is over.
    Left,
    /// The session is lost.
    Lost,
    /// The room is on another shard: the page is loaded again.
    Reload,
}

enum Line {
    Tunnel(Box<Tunnel>),
    Bosh(BoshSession),
}

/// A loaded page: a browser with its connection to one replica.
struct Page {
    replica: usize,
    browser: Browser,
}

struct Session {
    line: Line,
    sitting: Sitting,
}

impl Member {
    pub(super) fn new(
        room: &Arc<Room>,
        doors: &Arc<Doors>,
        observer: &Observer,
        stop: &watch::Receiver<bool>,
        rng: &mut StdRng,
    ) -> Self {
        let rng = StdRng::seed_from_u64(rng.random());
        let (room, doors, observer) = (Arc::clone(room), Arc::clone(doors), observer.clone());
        Self { room, doors, observer, stop: stop.clone(), rng }
    }

    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Comes, and stays for `stay` or until the end, however often it has to reconnect.
    pub(super) async fn attend(&mut self, stay: Option<Duration>) {
        let end = stay.map(|stay| Instant::now() + stay);
        let bosh = self.rng.random_range(0..4) == 0;
        let spelling = self.rng.random_range(0..self.room.spellings.len());
        let spelling = self.room.spellings[spelling].clone();
        while !self.leaves(end) {
            let Ok((mut page, mut session)) = self.join(&spelling, bosh).await else {
                self.pause(RELOAD).await;
                continue;
            };
            loop {
                match self.talk(&mut page, &spelling, &mut session, end).await {
                    End::Left => return session.leave().await,
                    End::Reload => {
                        session.leave().await;
                        break;
                    }
                    End::Lost => {}
                }
                let shard = session.sitting.shard().to_owned();
                drop(session);
                match self.reconnect(&spelling, bosh, end).await {
                    // On the same shard, the session is taken up where it was.
                    Some(again) if again.sitting.shard() == shard => session = again,
                    // On another one nobody knows it: the page is loaded again.
                    Some(again) => {
                        again.leave().await;
                        break;
                    }
                    None => break,
                }
            }
            self.pause(RELOAD).await;
        }
    }

    /// Loads the configuration, asks for the conference, and connects.
    async fn join(&mut self, spelling: &str, bosh: bool) -> Result<(Page, Session), ClientError> {
        let page = self.page(spelling)?;
        self.ask(page.replica, page.browser.config()).await?;
        self.ask(page.replica, page.browser.conference()).await?;
        let session = self.connect(spelling, bosh).await?;
        Ok((page, session))
    }

    fn page(&mut self, spelling: &str) -> Result<Page, ClientError> {
        let (replica, address) = self.door();
        Ok(Page { replica, browser: Browser::new(address, spelling)? })
    }

    /// A request, which the observer hears of; the shard that answered.
    async fn ask(
        &self,
        replica: usize,
        step: impl Future<Output = Result<String, ClientError>>,
    ) -> Result<String, ClientError> {
        let sent = self.observer.now();
        let result = step.await;
        match &result {
            Ok(shard) => self.observer.answered(&self.room.name, shard, replica, sent),
            Err(error) => self.observer.refused(&self.room.name, status(error), replica, sent),
        }
        result
    }

    async fn connect(&mut self, spelling: &str, bosh: bool) -> Result<Session, ClientError> {
        let (replica, address) = self.door();
        let rid = self.rng.random_range(1..1 << 31);
        let sent = self.observer.now();
        let line = async {
            if bosh {
                let (session, shard) = BoshSession::open(Browser::new(address, spelling)?, rid).await?;
                Ok((Line::Bosh(session), shard))
            } else {
                let (tunnel, shard) = Tunnel::open(address, spelling).await?;
                Ok((Line::Tunnel(Box::new(tunnel)), shard))
            }
        };
        match line.await {
            Ok((line, shard)) => {
                Ok(Session { line, sitting: self.observer.sit(&self.room.name, &shard, replica, sent) })
            }
            Err(error) => {
                self.observer.refused(&self.room.name, status(&error), replica, sent);
                Err(error)
            }
        }
    }

    /// Up to three attempts, each to whichever replica takes it.
    async fn reconnect(&mut self, spelling: &str, bosh: bool, end: Option<Instant>) -> Option<Session> {
        for wait in RECONNECT {
            self.pause(wait).await;
            if self.leaves(end) {
                return None;
            }
            if let Ok(session) = self.connect(spelling, bosh).await {
                return Some(session);
            }
        }
        None
    }

    async fn talk(&mut self, page: &mut Page, spelling: &str, session: &mut Session, end: Option<Instant>) -> End {
        let mut said = 0_u32;
        loop {
            self.pause(PAUSE).await;
            if self.leaves(end) {
                return End::Left;
            }
            let sent = self.observer.now();
            let answered = match &mut session.line {
                Line::Tunnel(tunnel) => tunnel.echo("<r xmlns='urn:xmpp:sm:3'/>").await,
                Line::Bosh(bosh) => bosh.poll().await.map(drop),
            };
            if let Err(error) = answered {
                tracing::debug!(room = self.room.name, %error, "session lost");
                return End::Lost;
            }
            session.sitting.confirmed(sent);
            said = said.wrapping_add(1);
            if matches!(session.line, Line::Tunnel(_)) && said.is_multiple_of(KEEP_ALIVE_EVERY) {
                match self.ask(page.replica, page.browser.keep_alive()).await {
                    Ok(shard) if shard != session.sitting.shard() => return End::Reload,
                    Ok(_) => {}
                    // Clients ignore it; the next request takes another connection.
                    Err(_) => {
                        if let Ok(other) = self.page(spelling) {
                            *page = other;
                        }
                    }
                }
            }
        }
    }

    fn door(&mut self) -> (usize, SocketAddr) {
        self.doors.pick(self.room.number, &mut self.rng)
    }

    fn leaves(&self, end: Option<Instant>) -> bool {
        self.stopped() || end.is_some_and(|end| Instant::now() >= end)
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.rng.random_range(milliseconds));
        // The end of the pause and the end of the run are both fine.
        let _ = timeout(pause, self.stop.wait_for(|stop| *stop)).await;
    }
}

impl Session {
    /// Says goodbye; a shard or proxy that does not listen any more changes nothing.
    async fn leave(self) {
        let Self { line, sitting } = self;
        let _ = match line {
            Line::Tunnel(tunnel) => tunnel.close().await,
            Line::Bosh(bosh) => bosh.close().await.map(drop),
        };
        sitting.leave();
    }
}

/// The status of the response that an error is about.
fn status(error: &ClientError) -> Option<u16> {
    match error {
        ClientError::Status { status, .. } => Some(status.as_u16()),
        ClientError::Tunnel { source, .. } => match source.as_ref() {
            tungstenite::Error::Http(response) => Some(response.status().as_u16()),
            _ => None,
        },
        _ => None,
    }
}
