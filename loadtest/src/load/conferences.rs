//! Conferences that people join, and whether they find each other.
//!
//! Connections are opened and warmed before anybody joins, so that a gap of 0 ms between two people is the time between
//! two writes, and a gap of 5 ms is one.

mod people;
mod pool;
mod room;
mod splits;
mod tally;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use super::{ConferencePlan, LoadError, Watch};
use crate::result::{ConferenceRun, Transport};
use pool::{Event, Pool, User};
use room::{Doing, Room};
use tally::{Tally, span};

/// Who joins within this time has a connection beforehand; a longer wait would only try the proxy's patience.
const GATHER: Duration = Duration::from_secs(1);
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
            tally: Tally::new(),
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
        let (serial, arrivals) = (room.serial, room.arrivals(self.plan));
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
        self.tally.end(&room, self.plan.participants);
    }
}
