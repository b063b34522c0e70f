//! A conference of several participants behind one proxy.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Barrier,
    time::{Instant, sleep},
};

use super::{
    address::{Spelling, backend_safe},
    participant::{Participant, Plan},
    session::{Session, Transport},
    verdict::{Verdict, judge},
};
use crate::support::Prosody;

/// Bound on a conference coming together. Waiting ends as soon as it has.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);

/// Set in the environment, it takes `room=` from every second participant's URL in all tests, which then must fail:
/// how one checks by hand that they can.
pub(crate) const BLIND: &str = "ROOMPIN_E2E_BLIND";

/// A room name nobody has used, starting with `prefix`.
pub(crate) fn fresh_room(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Participants of one room.
pub(crate) struct Conference {
    /// The room as typed.
    pub(crate) room: String,
    /// In the order of joining.
    pub(crate) members: Vec<Participant>,
    base: String,
}

impl Conference {
    /// An empty room behind the proxy at `base`.
    pub(crate) fn new(base: &str, room: &str) -> Self {
        Self { room: room.to_owned(), members: Vec::new(), base: base.to_owned() }
    }

    /// A fresh room with `websockets` + `boshes` participants joining one after the other.
    pub(crate) async fn gather(base: &str, prefix: &str, websockets: usize, boshes: usize) -> Self {
        let mut conference = Self::new(base, &fresh_room(prefix));
        for index in 0..websockets + boshes {
            // BOSH in the middle, so that both kinds meet the room first and last.
            let bosh = (1..=boshes).contains(&index);
            let transport = if bosh { Transport::Bosh } else { Transport::WebSocket };
            conference.join_and_wait(transport, Some(Spelling::Twice)).await;
        }
        conference
    }

    /// Starts one more participant; `None` leaves `room=` out of its URL.
    pub(crate) fn join(&mut self, transport: Transport, spelling: Option<Spelling>, start: Option<&Arc<Barrier>>) {
        let index = self.members.len();
        let blind = std::env::var_os(BLIND).is_some() && index % 2 == 1;
        self.members.push(Participant::join(Plan {
            base: self.base.clone(),
            room: self.room.clone(),
            nick: format!("p{index}"),
            transport,
            spelling: spelling.filter(|_| !blind),
            start: start.cloned(),
        }));
    }

    /// Starts one more participant and waits until the MUC has it (or 15 s; the verdict will tell).
    pub(crate) async fn join_and_wait(&mut self, transport: Transport, spelling: Option<Spelling>) {
        self.join(transport, spelling, None);
        let member = self.members.last().expect("just joined");
        wait_until(SETTLE_LIMIT, || member.seen().joined).await;
    }

    /// The verdict as of now.
    pub(crate) fn verdict(&self) -> Verdict {
        let seen: Vec<_> = self.members.iter().map(|member| (member.nick.clone(), member.seen())).collect();
        judge(&seen)
    }

    /// The verdict once it is together or split; after 15 s the one it has.
    pub(crate) async fn settle(&self) -> Verdict {
        wait_until(SETTLE_LIMIT, || !matches!(self.verdict(), Verdict::Incomplete { .. })).await;
        self.verdict()
    }

    /// The shard where all are together; panics with the verdict if they are not.
    pub(crate) async fn together(&self) -> String {
        match self.settle().await {
            Verdict::Together { shard } => shard,
            other => panic!("room {:?}: {other:?}", self.room),
        }
    }

    /// Panics if anybody has had to connect twice, or has lost a connection.
    pub(crate) fn assert_undisturbed(&self) {
        for member in &self.members {
            let seen = member.seen();
            assert!(seen.sessions == 1 && seen.failure.is_none(), "{} in {:?}: {seen:?}", member.nick, self.room);
        }
    }

    /// Everyone says something, and everyone hears it within 15 s.
    pub(crate) async fn talk(&self, topic: &str) {
        let lines: Vec<_> = self.members.iter().map(|member| format!("{} says {topic}", member.nick)).collect();
        for (member, line) in self.members.iter().zip(&lines) {
            member.say(line);
        }
        for member in &self.members {
            let heard = || lines.iter().all(|line| member.seen().messages.contains(line));
            wait_until(SETTLE_LIMIT, heard).await;
            assert!(heard(), "{} in {:?} missed one of {lines:?}: {:?}", member.nick, self.room, member.seen());
        }
    }

    /// Asks each shard directly how many occupants it counts in this room: shard → count, without zeroes.
    pub(crate) async fn census(&self, shards: &[Prosody]) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for shard in shards {
            let url = format!("{}/xmpp-websocket", shard.base());
            let mut session = Session::open(Transport::WebSocket, &url, async {}).await.expect("ask a shard directly");
            assert_eq!(session.shard, shard.name(), "a shard says its own name");
            let count = session.occupants(&backend_safe(&self.room)).await.expect("count occupants");
            if count > 0 {
                counts.insert(shard.name().to_owned(), count);
            }
        }
        counts
    }
}

/// Polls until `done` or the limit; the caller asserts.
pub(crate) async fn wait_until(limit: Duration, done: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}
