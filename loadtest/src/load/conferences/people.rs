//! What one participant goes through: coming in, asking, being cut off, coming back.

use std::time::{Duration, Instant};

use super::{
    super::http::Answer,
    Alarm, Run,
    pool::{User, Was},
    room::Doing,
};
use crate::{result::Transport, stub::attribute};

/// When somebody who was cut off tries again: drawn from this.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

impl Run<'_> {
    /// Somebody comes in, or comes back; they were to at `intended`.
    pub(super) fn join(&mut self, user: User, intended: Instant) {
        if let Some(room) = self.room(user) {
            room.people[user.2].intended = intended;
            self.ask(user, true);
        }
    }

    /// Asks as soon as there is a connection that is ready.
    pub(super) fn ask(&mut self, user: User, join: bool) {
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

    /// Sends what somebody wants to ask, once their connection is ready.
    pub(super) fn send_if_ready(&mut self, user: User) {
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

    /// Gives connections to those who wait for one, as long as there are any.
    pub(super) fn serve_waiting(&mut self) {
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

    /// A request was answered.
    pub(super) fn answered(&mut self, user: User, id: usize, answer: Answer, body: &[u8], at: Instant) {
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

    /// Somebody inside asks again in a while.
    pub(super) fn poll_later(&mut self, user: User) {
        let poll = self.plan.poll;
        if let Some(room) = self.room(user) {
            let at = Instant::now() + room.between(poll / 2, poll + poll / 2);
            room.people[user.2].next_poll = Some(at);
            self.alarm(at, user, Alarm::Poll);
        }
    }

    /// A connection is gone.
    pub(super) fn cut(&mut self, user: User, id: usize, was: Was, why: String) {
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

    /// Somebody is not in any more.
    pub(super) fn leave(&mut self, user: User) {
        let Some(room) = self.room(user) else { return };
        room.splits.left(user.2);
        let person = &mut room.people[user.2];
        (person.sid, person.doing) = (None, Doing::Waiting);
        if let Some(id) = person.conn.take() {
            self.pool.give_back(id, user);
        }
    }
}
