//! The observer: an independent record of who sat on which shard, and of every split.
//!
//! Its only sources are the stubs' own words (`X-Stub-Shard`, and the answer to `who`); it knows nothing of the proxy's
//! pins. A *split* is a participant coming to see another shard than somebody who sits in the same room at that time.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::report::Verdict;

/// Errors kept in words, of rooms and of no room each; all are counted.
const RECENT_ERRORS: usize = 5;

/// How a participant is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A WebSocket.
    Tunnel,
    /// XMPP over HTTP requests.
    Bosh,
    /// Requests without an XMPP session.
    Plain,
}

/// The record. Shared by all participants of a run.
#[derive(Debug)]
pub struct Observer {
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    rooms: Vec<Room>,
    next_seat: u64,
    participants: u64,
    recent_errors: VecDeque<String>,
    recent_outside: VecDeque<String>,
    errors_outside: u64,
}

#[derive(Debug, Default)]
struct Room {
    name: String,
    seats: BTreeMap<u64, Sitting>,
    last_shard: Option<String>,
    splits: u64,
    errors: u64,
}

#[derive(Debug)]
struct Sitting {
    kind: Kind,
    replica: String,
    shard: Option<String>,
}

/// One room as a picture of this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// Its name for people.
    pub name: String,
    /// Replicas that participants are connected to.
    pub replicas: BTreeSet<String>,
    /// Shards that participants sit on: more than one is a split happening now.
    pub shards: BTreeSet<String>,
    /// Shard seen last, for a room that everybody has left.
    pub last_shard: Option<String>,
    /// Participants by kind.
    pub sitting: BTreeMap<Kind, usize>,
    /// Splits so far.
    pub splits: u64,
    /// Errors so far.
    pub errors: u64,
}

impl Observer {
    /// An observer of these rooms; participants call them by their index.
    #[must_use]
    pub fn new(rooms: impl IntoIterator<Item = String>) -> Arc<Self> {
        let rooms = rooms.into_iter().map(|name| Room { name, ..Room::default() }).collect();
        Arc::new(Self { record: Mutex::new(Record { rooms, ..Record::default() }) })
    }

    /// Gives a participant a seat, for as long as the seat lives. It counts once it has seen a shard.
    ///
    /// # Panics
    /// When there is no such room.
    #[must_use]
    pub fn seat(self: &Arc<Self>, room: usize, kind: Kind, replica: &str) -> Seat {
        let mut record = self.record();
        record.next_seat += 1;
        let id = record.next_seat;
        record.rooms[room].seats.insert(id, Sitting { kind, replica: replica.to_owned(), shard: None });
        Seat { observer: Arc::clone(self), room, id }
    }

    /// The shard that everybody in a room sits on, if somebody does and all agree.
    #[must_use]
    pub fn shard_of(&self, room: usize) -> Option<String> {
        let record = self.record();
        let mut shards = record.rooms.get(room)?.seats.values().filter_map(|sitting| sitting.shard.as_ref());
        let shard = shards.next()?;
        shards.all(|other| other == shard).then(|| shard.clone())
    }

    /// Counts an error that belongs to no room, such as a proxy that ended.
    pub fn failed(&self, error: &dyn Display) {
        let mut record = self.record();
        record.errors_outside += 1;
        remember(&mut record.recent_outside, error.to_string());
    }

    /// All rooms now, in their order.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomView> {
        self.record().rooms.iter().map(Room::view).collect()
    }

    /// The last few errors in words: first those of no room, which are mostly the cause of the others; oldest first.
    #[must_use]
    pub fn recent_errors(&self) -> Vec<String> {
        let record = self.record();
        record.recent_outside.iter().chain(&record.recent_errors).cloned().collect()
    }

    /// The sum of the run so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let record = self.record();
        Verdict {
            rooms: record.rooms.iter().filter(|room| room.last_shard.is_some()).count() as u64,
            participants: record.participants,
            splits: record.rooms.iter().map(|room| room.splits).sum(),
            errors: record.errors_outside + record.rooms.iter().map(|room| room.errors).sum::<u64>(),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(errors: &mut VecDeque<String>, error: String) {
    if errors.len() == RECENT_ERRORS {
        errors.pop_front();
    }
    errors.push_back(error);
}

impl Room {
    fn view(&self) -> RoomView {
        let mut view = RoomView {
            name: self.name.clone(),
            replicas: BTreeSet::new(),
            shards: BTreeSet::new(),
            last_shard: self.last_shard.clone(),
            sitting: BTreeMap::new(),
            splits: self.splits,
            errors: self.errors,
        };
        // Who has not seen a shard yet is still at the door.
        for (sitting, shard) in self.seats.values().filter_map(|s| Some((s, s.shard.clone()?))) {
            view.replicas.insert(sitting.replica.clone());
            view.shards.insert(shard);
            *view.sitting.entry(sitting.kind).or_default() += 1;
        }
        view
    }
}

/// A participant's seat in a room. Dropping it is leaving.
#[derive(Debug)]
pub struct Seat {
    observer: Arc<Observer>,
    room: usize,
    id: u64,
}

impl Seat {
    /// [`Observer::shard_of`] this seat's room.
    #[must_use]
    pub fn shard_of_room(&self) -> Option<String> {
        self.observer.shard_of(self.room)
    }

    /// The participant saw this shard, for the first time or again.
    pub fn saw(&self, shard: &str) {
        let mut record = self.observer.record();
        let room = &mut record.rooms[self.room];
        let me = room.seats.get_mut(&self.id).expect("invariant: a seat is taken while its guard lives");
        if me.shard.as_deref() == Some(shard) {
            return;
        }
        let first = me.shard.replace(shard.to_owned()).is_none();
        let others = room.seats.iter().filter(|(id, _)| **id != self.id).filter_map(|(_, s)| s.shard.as_deref());
        if others.into_iter().any(|other| other != shard) {
            room.splits += 1;
        }
        room.last_shard = Some(shard.to_owned());
        record.participants += u64::from(first);
    }

    /// The participant loaded the room's page from `shard`. Pages do not pin, so it does not sit there; but when
    /// everybody already sat on one shard (`before`, taken before the request), the page must come from that one.
    pub fn saw_page(&self, before: Option<&str>, shard: &str) {
        if before.is_some_and(|before| before != shard) {
            self.observer.record().rooms[self.room].splits += 1;
        }
    }

    /// Something failed for this participant.
    pub fn failed(&self, error: &dyn Display) {
        let mut record = self.observer.record();
        let room = &mut record.rooms[self.room];
        room.errors += 1;
        let words = format!("{}: {error}", room.name);
        remember(&mut record.recent_errors, words);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.observer.record().rooms[self.room].seats.remove(&self.id);
    }
}
