//! One person in a conference: joins, watches who else is there, and comes back when the connection breaks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::bail;
use tokio::{
    sync::{Barrier, mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use super::{
    address::{Spelling, backend_safe, service_url},
    session::{Session, Transport},
    xml::{Element, escape},
};
use crate::support::CONFERENCE;

/// Who joins what, and how.
#[derive(Clone)]
pub(crate) struct Plan {
    /// Base URL of the proxy.
    pub(crate) base: String,
    /// The room as a person types it.
    pub(crate) room: String,
    /// Unique in the room.
    pub(crate) nick: String,
    /// WebSocket or BOSH.
    pub(crate) transport: Transport,
    /// How the room stands in the URL; `None` leaves it out, as a broken pin would.
    pub(crate) spelling: Option<Spelling>,
    /// Awaited by the first connection between TCP connect and request.
    pub(crate) start: Option<Arc<Barrier>>,
}

/// What a participant knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The shard of the present session.
    pub(crate) shard: Option<String>,
    /// `X-Jitsi-Shard` values of the present session.
    pub(crate) shard_headers: Vec<String>,
    /// Whether the MUC has confirmed the join (status 110).
    pub(crate) joined: bool,
    /// Nicks in the room, the own one included.
    pub(crate) occupants: BTreeSet<String>,
    /// Group messages of all sessions, in order.
    pub(crate) messages: Vec<String>,
    /// How often a login succeeded; 1 means the first connection still lives or nobody reconnected.
    pub(crate) sessions: usize,
    /// The last failure, for the report of a failing test.
    pub(crate) failure: Option<String>,
}

/// A participant at work; leaves (without saying so) when dropped.
pub(crate) struct Participant {
    /// Nick in the room.
    pub(crate) nick: String,
    /// What carries its XMPP.
    pub(crate) transport: Transport,
    seen: watch::Receiver<Seen>,
    say: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

impl Participant {
    /// Starts joining.
    pub(crate) fn join(plan: Plan) -> Self {
        let (publish, seen) = watch::channel(Seen::default());
        let (say, said) = mpsc::unbounded_channel();
        let (nick, transport) = (plan.nick.clone(), plan.transport);
        Self { nick, transport, seen, say, task: tokio::spawn(live(plan, publish, said)) }
    }

    /// What it knows now.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Sends a message to the room.
    pub(crate) fn say(&self, text: &str) {
        self.say.send(text.to_owned()).expect("a participant lives until it is dropped");
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(mut plan: Plan, publish: watch::Sender<Seen>, mut said: mpsc::UnboundedReceiver<String>) {
    for attempt in 0_u64.. {
        let error = match attend(&mut plan, &publish, &mut said).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        publish.send_modify(|seen| {
            seen.failure = Some(format!("{error:#}"));
            seen.shard = None;
            seen.joined = false;
            seen.occupants.clear();
        });
        // Sooner than lib-jitsi-meet's 1.5 s, and all at about the same time: harder for the proxy, quicker for us.
        sleep(Duration::from_millis(50 + 50 * attempt.min(9))).await;
    }
}

/// One session from connect to its end.
async fn attend(
    plan: &mut Plan,
    publish: &watch::Sender<Seen>,
    said: &mut mpsc::UnboundedReceiver<String>,
) -> anyhow::Result<std::convert::Infallible> {
    let start = plan.start.take();
    let start = async {
        if let Some(barrier) = start {
            barrier.wait().await;
        }
    };
    let room = plan.spelling.map(|spelling| (plan.room.as_str(), spelling));
    let url = service_url(&plan.base, plan.transport.endpoint(), room);
    let mut session = Session::open(plan.transport, &url, start).await?;
    publish.send_modify(|seen| {
        seen.sessions += 1;
        seen.shard = Some(session.shard.clone());
        seen.shard_headers = session.shard_headers();
    });
    let jid = format!("{}@{CONFERENCE}", backend_safe(&plan.room));
    let to = escape(&format!("{jid}/{}", plan.nick));
    session
        .send(&format!(
            "<presence xmlns='jabber:client' to='{to}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await?;
    loop {
        tokio::select! {
            Some(text) = said.recv() => {
                let (to, text) = (escape(&jid), escape(&text));
                session
                    .send(&format!("<message xmlns='jabber:client' type='groupchat' to='{to}'><body>{text}</body></message>"))
                    .await?;
            }
            element = session.receive() => {
                let element = element?;
                if element.name == "presence" && element.attribute("type") == Some("error") {
                    bail!("the room refused us: {element:?}");
                }
                let headers = session.shard_headers();
                publish.send_modify(|seen| {
                    seen.shard_headers = headers;
                    note(seen, &jid, &element);
                });
            }
        }
    }
}

/// Folds one stanza from the room into what the participant knows.
fn note(seen: &mut Seen, jid: &str, element: &Element) {
    let from = element.attribute("from").unwrap_or_default();
    let Some(nick) = from.strip_prefix(jid).and_then(|rest| rest.strip_prefix('/')) else {
        return;
    };
    match element.name.as_str() {
        "presence" if element.attribute("type") == Some("unavailable") => {
            seen.occupants.remove(nick);
        }
        "presence" => {
            seen.occupants.insert(nick.to_owned());
            let own = element
                .children
                .iter()
                .flat_map(|child| &child.children)
                .any(|status| status.name == "status" && status.attribute("code") == Some("110"));
            seen.joined |= own;
        }
        "message" => seen.messages.extend(element.child("body").map(|body| body.text.clone())),
        _ => {}
    }
}
