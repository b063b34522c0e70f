//! One conference and its people.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    super::{Arrival, Choice, ConferencePlan, Method, http},
    splits::Splits,
};
use crate::result::Transport;

/// A conference.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    /// Tells it from others that had its slot.
    pub(super) serial: u64,
    pub(super) people: Vec<Person>,
    pub(super) splits: Splits,
    /// Connections that are not ready yet; nobody joins before they are.
    pub(super) gathering: usize,
    /// When it ends, once it has begun.
    pub(super) ends: Option<Instant>,
    draw: StdRng,
}

/// A participant.
#[derive(Debug)]
pub(super) struct Person {
    /// The replica they come through.
    pub(super) target: usize,
    pub(super) conn: Option<usize>,
    pub(super) doing: Doing,
    /// When they were to join.
    pub(super) intended: Instant,
    /// When they last asked.
    pub(super) asked: Instant,
    /// When they ask next, from inside.
    pub(super) next_poll: Option<Instant>,
    pub(super) sid: Option<String>,
    rid: u64,
}

/// What a participant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing yet, or nothing until a time comes.
    Waiting,
    /// Asks as soon as there is a connection, or has asked. `join`: to come in, and not from inside.
    Asking { join: bool },
    /// In the conference.
    In,
    /// Through with it.
    Gone,
}

impl Room {
    /// A room with everything drawn from the plan's seed and its own number, whatever else goes on.
    pub(super) fn new(plan: &ConferencePlan, index: usize, serial: u64, now: Instant) -> Self {
        let mut draw = StdRng::seed_from_u64(plan.seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let first = match plan.choice {
            Choice::Shuffled => draw.random_range(0..plan.targets.len()),
            Choice::RoundRobin | Choice::Random => index,
        };
        let person = |number| Person {
            target: match plan.choice {
                Choice::RoundRobin | Choice::Shuffled => (first + number) % plan.targets.len(),
                Choice::Random => draw.random_range(0..plan.targets.len()),
            },
            conn: None,
            doing: Doing::Waiting,
            intended: now,
            asked: now,
            next_poll: None,
            sid: None,
            rid: 1,
        };
        Self {
            name: format!("{}-{:x}-{index}", plan.prefix, plan.seed),
            serial,
            people: (0..plan.participants).map(person).collect(),
            splits: Splits::new(plan.participants, plan.transport == Transport::WebSocket, now),
            gathering: 0,
            ends: None,
            draw,
        }
    }

    /// How long after its beginning each participant joins.
    pub(super) fn arrivals(&mut self, plan: &ConferencePlan) -> Vec<Duration> {
        let people = u32::try_from(self.people.len()).unwrap_or(u32::MAX);
        // Nothing is drawn where there is nothing to choose, so that it changes no other draw.
        let start = if plan.stagger.is_zero() { Duration::ZERO } else { self.between(Duration::ZERO, plan.stagger) };
        match plan.arrival {
            Arrival::Gap(gap) => (0..people).map(|number| start + gap * number).collect(),
            Arrival::Window(window) => (0..people).map(|_| start + window.mul_f64(self.draw.random())).collect(),
        }
    }

    /// A time between the two.
    pub(super) fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        shortest + (longest.saturating_sub(shortest)).mul_f64(self.draw.random())
    }

    /// Whether everybody has come in or given up.
    pub(super) fn settled(&self) -> bool {
        self.people.iter().all(|person| matches!(person.doing, Doing::In | Doing::Gone))
    }

    /// Another replica for somebody who comes back.
    pub(super) fn choose_again(&mut self, who: usize, plan: &ConferencePlan) {
        let targets = plan.targets.len();
        self.people[who].target = match plan.choice {
            Choice::RoundRobin | Choice::Shuffled => (self.people[who].target + 1) % targets,
            Choice::Random => self.draw.random_range(0..targets),
        };
    }

    /// The request by which somebody comes in, or asks from inside.
    pub(super) fn request(&mut self, who: usize, plan: &ConferencePlan, host: &str) -> Vec<u8> {
        let (name, person) = (&self.name, &mut self.people[who]);
        let path = format!("/http-bind?room={name}");
        match (plan.transport, plan.method) {
            (Transport::WebSocket, _) => http::handshake(host, name),
            (Transport::Plain, Method::Get) => http::get(host, &path),
            (Transport::Plain, Method::Post) | (Transport::Bosh, _) => {
                person.rid += 1;
                let sid = person.sid.as_ref().map(|sid| format!(" sid='{sid}'")).unwrap_or_default();
                let rid = person.rid;
                let body = format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}'{sid}/>");
                http::post(host, &path, &body)
            }
        }
    }
}
