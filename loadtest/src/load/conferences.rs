//! Conferences that people join, and whether they find each other.
//!
//! Connections are opened and warmed before anybody joins, so that a gap of 0 ms between two people is the time between
//! two writes, and a gap of 5 ms is one.

mod pool;
mod room;
mod splits;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use super::{Arrival, ConferencePlan, LoadError, Watch, clock::Times, http::Answer};
use crate::{
    result::{ConferenceRun, Transport},
    stub::attribute,
};
use pool::{Event, Pool, User, Was};
use room::{Doing, Room};

/// Who joins within this time has a connection beforehand; a longer wait would only try the proxy's patience.
const GATHER: Duration = Duration::from_secs(1);
/// When somebody who was cut off tries again: drawn from this.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// Errors after which a run that brought nobody in ends.
const HOPELESS: u64 = 100;

/// Runs a plan that has been checked.
pub(super) fn run(plan: &ConferencePlan, watch: &Watch) -> Result<ConferenceRun, LoadError> {
    let mut run = Run::new(plan)?;
    let deadline = Instant::now() + plan.deadline;
    let mut events = Vec::new();
    while run.next_room < plan.rooms || run.rooms.iter().any(Option::is_some) {
        let now = Instant::now();
        if now >= deadline || watch.stopped() {
            break;
        }
        run.start_rooms(now);
        run.fire(now);
        run.serve_waiting();
        events.append(&mut run.events);
        if events.is_empty() {
            let next = run.timers.peek().map_or(deadline, |Reverse((at, ..))| *at);
            run.pool.turn(next.min(deadline), &mut events)?;
        }
        for event in events.drain(..) {
            run.handle(event);
        }
        watch.set(run.tally.ended, run.tally.errors, run.tally.splits);
        watch.set_opened(run.pool.open() as u64);
        if run.tally.joins.count() == 0 && run.tally.errors > HOPELESS {
            let target = plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(LoadError::Target { target, why: run.tally.last_error });
        }
    }
    for slot in 0..run.rooms.len() {
        run.end_room(slot);
    }
    Ok(run.tally.report(plan))
}

/// What a timer is for; ordered only because the heap wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Join,
    Poll,
    Rejoin,
    End,
}

type Timer = (Instant, u64, User, Alarm);

struct Run<'p> {
    plan: &'p ConferencePlan,
    pool: Pool,
    rooms: Vec<Option<Room>>,
    next_room: usize,
    timers: BinaryHeap<Reverse<Timer>>,
    /// People who need a connection when there is one.
    waiting: VecDeque<User>,
    /// What sending brought about, to be handled in turn.
    events: Vec<Event>,
    serial: u64,
    tally: Tally,
}

#[derive(Debug)]
struct Tally {
    /// Rooms that are over, and those of them in which people could meet.
    ended: u64,
    held: u64,
    splits: u64,
    moved: u64,
    disconnects: u64,
    errors: u64,
    last_error: String,
    joins: Times,
}

impl<'p> Run<'p> {
    fn new(plan: &'p ConferencePlan) -> Result<Self, LoadError> {
        let (warm, keep_body) = (plan.transport != Transport::WebSocket, plan.transport == Transport::Bosh);
        Ok(Self {
            plan,
            pool: Pool::new(plan.targets.clone(), plan.max_sockets, warm, keep_body)?,
            rooms: (0..plan.at_once.min(plan.rooms)).map(|_| None).collect(),
            next_room: 0,
            timers: BinaryHeap::new(),
            waiting: VecDeque::new(),
            events: Vec::new(),
            serial: 0,
            tally: Tally {
                ended: 0,
                held: 0,
                splits: 0,
                moved: 0,
                disconnects: 0,
                errors: 0,
                last_error: String::new(),
                joins: Times::new(),
            },
        })
    }

    /// The room of a user, if it is still the same.
    fn room(&mut self, (slot, serial, _): User) -> Option<&mut Room> {
        self.rooms[slot].as_mut().filter(|room| room.serial == serial)
    }

    fn alarm(&mut self, at: Instant, user: User, alarm: Alarm) {
        self.serial += 1;
        self.timers.push(Reverse((at, self.serial, user, alarm)));
    }

    fn start_rooms(&mut self, now: Instant) {
        for slot in 0..self.rooms.len() {
            let next = self.next_room < self.plan.rooms && self.rooms[slot].is_none();
            if !next || !self.waiting.is_empty() || self.pool.available() < self.plan.participants {
                continue;
            }
            self.serial += 1;
            let room = Room::new(self.plan, self.next_room, self.serial, now);
            self.next_room += 1;
            let (serial, targets) = (room.serial, room.people.iter().map(|person| person.target).collect::<Vec<_>>());
            self.rooms[slot] = Some(room);
            if span(self.plan) <= GATHER {
                for (who, target) in targets.into_iter().enumerate() {
                    self.gather((slot, serial, who), target);
                }
            }
            self.begin_if_gathered(slot);
        }
    }

    fn gather(&mut self, user: User, target: usize) {
        let conn = match self.pool.take(target, user) {
            Ok(conn) => conn,
            Err(error) => {
                self.tally.failed(error.to_string());
                None
            }
        };
        let ready = conn.is_none_or(|id| self.pool.is_ready(id));
        let Some(room) = self.room(user) else { return };
        room.people[user.2].conn = conn;
        room.gathering += usize::from(!ready);
    }

    fn begin_if_gathered(&mut self, slot: usize) {
        let Some(room) = self.rooms[slot].as_mut().filter(|room| room.gathering == 0 && room.ends.is_none()) else {
            return;
        };
        let now = Instant::now();
        let (serial, arrivals) = (room.serial, room.arrivals(self.plan.arrival));
        let ends = now + arrivals.iter().max().copied().unwrap_or_default() + self.plan.stay;
        room.ends = Some(ends);
        let mut rejoins = Vec::new();
        for (who, arrival) in arrivals.iter().enumerate() {
            for _ in 0..if self.plan.stay.is_zero() { 0 } else { self.plan.rejoins } {
                rejoins.push((who, now + room.between(*arrival, ends - now)));
            }
        }
        for (who, at) in rejoins {
            self.alarm(at, (slot, serial, who), Alarm::Rejoin);
        }
        if !self.plan.stay.is_zero() {
            self.alarm(ends, (slot, serial, 0), Alarm::End);
        }
        for (who, arrival) in arrivals.into_iter().enumerate() {
            let user = (slot, serial, who);
            if arrival.is_zero() {
                self.join(user, now);
            } else {
                self.alarm(now + arrival, user, Alarm::Join);
            }
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(Reverse((at, _, user, alarm))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let Some(room) = self.room(user) else { continue };
            let person = &room.people[user.2];
            let (doing, conn) = (person.doing, person.conn);
            if alarm == Alarm::Poll && person.next_poll != Some(at) {
                // They left and came back meanwhile, with polls of their own.
                continue;
            }
            match (alarm, doing) {
                (Alarm::End, _) => self.end_room(user.0),
                (Alarm::Join, Doing::Waiting) => self.join(user, at),
                (Alarm::Poll, Doing::In) if self.plan.transport == Transport::WebSocket => {
                    if let Some(id) = conn {
                        self.pool.ping(id, &mut self.events);
                    }
                    self.poll_later(user);
                }
                (Alarm::Poll, Doing::In) => self.ask(user, false),
                (Alarm::Rejoin, Doing::In) => {
                    self.leave(user);
                    if let Some(room) = self.rooms[user.0].as_mut() {
                        room.choose_again(user.2, self.plan);
                    }
                    self.join(user, at);
                }
                _ => {}
            }
        }
    }

    fn join(&mut self, user: User, intended: Instant) {
        if let Some(room) = self.room(user) {
            room.people[user.2].intended = intended;
            self.ask(user, true);
        }
    }

    /// Asks as soon as there is a connection that is ready.
    fn ask(&mut self, user: User, join: bool) {
        let Some(room) = self.room(user) else { return };
        let person = &mut room.people[user.2];
        person.doing = Doing::Asking { join };
        let target = person.target;
        if person.conn.is_none() {
            match self.pool.take(target, user) {
                Ok(Some(id)) => {
                    if let Some(room) = self.room(user) {
                        room.people[user.2].conn = Some(id);
                    }
                }
                Ok(None) => return self.waiting.push_back(user),
                Err(error) => return self.failed(user, error.to_string()),
            }
        }
        self.send_if_ready(user);
    }

    fn send_if_ready(&mut self, user: User) {
        let Some(room) = self.rooms[user.0].as_mut().filter(|room| room.serial == user.1) else { return };
        let person = &mut room.people[user.2];
        let (Doing::Asking { .. }, Some(id)) = (person.doing, person.conn) else { return };
        if self.pool.is_ready(id) {
            let host = self.pool.target(person.target).to_string();
            let request = room.request(user.2, self.plan, &host);
            room.people[user.2].asked = Instant::now();
            self.pool.ask(id, &request, &mut self.events);
        }
    }

    fn serve_waiting(&mut self) {
        while self.pool.available() > 0
            && let Some(user) = self.waiting.pop_front()
        {
            if let Some(room) = self.room(user)
                && let Doing::Asking { join } = room.people[user.2].doing
            {
                self.ask(user, join);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Ready { user } => {
                let Some(room) = self.room(user) else { return };
                if room.ends.is_none() {
                    room.gathering -= 1;
                    self.begin_if_gathered(user.0);
                } else {
                    self.send_if_ready(user);
                }
            }
            Event::Answer { user, id, answer, body, at } => self.answered(user, id, answer, &body, at),
            Event::Cut { user, id, was, why } => self.cut(user, id, was, why),
        }
    }

    fn answered(&mut self, user: User, id: usize, answer: Answer, body: &[u8], at: Instant) {
        let (tunnel, bosh) = match self.plan.transport {
            Transport::WebSocket => (true, false),
            Transport::Bosh => (false, true),
            Transport::Plain => (false, false),
        };
        let shard = if tunnel { answer.shard_if_tunnel() } else { answer.shard_if_ok() };
        if !(tunnel && shard.is_some()) {
            self.pool.give_back(id, user);
        }
        let Some(room) = self.rooms[user.0].as_mut().filter(|room| room.serial == user.1) else { return };
        let person = &mut room.people[user.2];
        if !(tunnel && shard.is_some()) {
            person.conn = None;
        }
        let Some(shard) = shard else {
            let why = format!("{}: no success of a stub shard, status {}", room.name, answer.status);
            return self.failed(user, why);
        };
        let join = person.doing == Doing::Asking { join: true };
        room.splits.saw(user.2, shard, person.asked, at);
        if bosh {
            let body = String::from_utf8_lossy(body);
            if attribute(&body, "type") == Some("terminate") {
                // The shard does not know the session: that of another one, or of one that started anew.
                return self.cut_off(user);
            }
            person.sid = attribute(&body, "sid").map(str::to_owned);
        }
        person.doing = Doing::In;
        if join {
            self.tally.joins.record(at.saturating_duration_since(person.intended));
        }
        if self.plan.stay.is_zero() {
            self.end_if_settled(user.0);
        } else if join || !tunnel {
            self.poll_later(user);
        }
    }

    fn poll_later(&mut self, user: User) {
        let poll = self.plan.poll;
        if let Some(room) = self.room(user) {
            let at = Instant::now() + room.between(poll / 2, poll + poll / 2);
            room.people[user.2].next_poll = Some(at);
            self.alarm(at, user, Alarm::Poll);
        }
    }

    fn cut(&mut self, user: User, id: usize, was: Was, why: String) {
        let Some(room) = self.room(user).filter(|room| room.people[user.2].conn == Some(id)) else { return };
        room.people[user.2].conn = None;
        match was {
            Was::Opening if room.ends.is_none() => {
                room.gathering -= 1;
                self.tally.failed(why);
                self.begin_if_gathered(user.0);
            }
            Was::Tunnel => self.cut_off(user),
            Was::Opening | Was::Asking => self.failed(user, why),
            // Taken again when it is needed.
            Was::Ready => {}
        }
    }

    /// Somebody who was in is out, and tries to come back.
    fn cut_off(&mut self, user: User) {
        self.tally.disconnects += 1;
        self.leave(user);
        self.retry(user, Instant::now());
    }

    /// A request came to nothing.
    fn failed(&mut self, user: User, why: String) {
        self.tally.failed(why);
        if let Some(room) = self.room(user) {
            let intended = room.people[user.2].intended;
            let Doing::Asking { join } = room.people[user.2].doing else { return };
            // Who fails from inside is not known to be out: requests have no connection to lose.
            if join { self.retry(user, intended) } else { self.stay_on(user) }
        }
    }

    fn stay_on(&mut self, user: User) {
        if let Some(room) = self.room(user) {
            room.people[user.2].doing = Doing::In;
            self.poll_later(user);
        }
    }

    fn retry(&mut self, user: User, intended: Instant) {
        let (plan, stays) = (self.plan, !self.plan.stay.is_zero());
        let Some(room) = self.room(user) else { return };
        room.people[user.2].intended = intended;
        room.people[user.2].doing = if stays { Doing::Waiting } else { Doing::Gone };
        if stays {
            room.choose_again(user.2, plan);
            let at =
                Instant::now() + self.rooms[user.0].as_mut().map_or(RETRY.1, |room| room.between(RETRY.0, RETRY.1));
            self.alarm(at, user, Alarm::Join);
        } else {
            self.end_if_settled(user.0);
        }
    }

    fn leave(&mut self, user: User) {
        let Some(room) = self.room(user) else { return };
        room.splits.left(user.2);
        let person = &mut room.people[user.2];
        (person.sid, person.doing) = (None, Doing::Waiting);
        if let Some(id) = person.conn.take() {
            self.pool.give_back(id, user);
        }
    }

    fn end_if_settled(&mut self, slot: usize) {
        if self.rooms[slot].as_ref().is_some_and(Room::settled) {
            self.end_room(slot);
        }
    }

    fn end_room(&mut self, slot: usize) {
        let Some(room) = self.rooms[slot].take() else { return };
        for (who, person) in room.people.iter().enumerate() {
            if let Some(id) = person.conn {
                self.pool.give_back(id, (slot, room.serial, who));
            }
        }
        self.tally.ended += 1;
        self.tally.held += u64::from(room.splits.people() >= self.plan.participants.min(2));
        self.tally.splits += u64::from(room.splits.split());
        self.tally.moved += u64::from(room.splits.moves());
        if room.splits.split() {
            tracing::debug!(room = room.name, index = room.index, "split");
        }
    }
}

impl Tally {
    fn failed(&mut self, why: String) {
        self.errors += 1;
        tracing::debug!(why, "failed");
        self.last_error = why;
    }

    fn report(self, plan: &ConferencePlan) -> ConferenceRun {
        #[allow(clippy::cast_precision_loss, reason = "a count of rooms stays far below 2^52")]
        let split_share = if self.held == 0 { 0.0 } else { self.splits as f64 / self.held as f64 };
        ConferenceRun {
            targets: plan.targets.iter().map(ToString::to_string).collect(),
            rooms: usize::try_from(self.held).unwrap_or(usize::MAX),
            participants_per_room: plan.participants,
            window_ms: u64::try_from(span(plan).as_millis()).unwrap_or(u64::MAX),
            transport: plan.transport,
            splits: self.splits,
            split_share,
            joins: self.joins.latency(),
            disconnects: self.disconnects,
            moved_rooms: self.moved,
            errors: self.errors,
            seed: plan.seed,
        }
    }
}

/// From the first join of a room to the last.
fn span(plan: &ConferencePlan) -> Duration {
    match plan.arrival {
        Arrival::Window(window) => window,
        Arrival::Gap(gap) => gap * u32::try_from(plan.participants.saturating_sub(1)).unwrap_or(u32::MAX),
    }
}
