//! Whether the people of one room are together, from what the shards say.
//!
//! A *split* is two people of a room on different shards at the same time; a *move* is all of them going on to another.
//! With requests nobody holds a connection that shows where somebody is, so the two are told apart by what follows: after
//! somebody was sent to another shard, whoever asks later and is still sent to the old one makes it a split.

use std::time::Instant;

use super::super::http::ShardId;

/// One room's record.
#[derive(Debug)]
pub(super) struct Splits {
    /// Being there is an open tunnel, and not just an answer some time ago.
    tunnels: bool,
    shard: Option<ShardId>,
    /// Moves so far; who has not been seen since the last one has an older number.
    epoch: u32,
    since: Instant,
    split: bool,
    seats: Vec<Seat>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    seen: Option<(ShardId, u32)>,
    present: bool,
}

impl Splits {
    pub(super) fn new(people: usize, tunnels: bool, now: Instant) -> Self {
        Self { tunnels, shard: None, epoch: 0, since: now, split: false, seats: vec![Seat::default(); people] }
    }

    /// Somebody who asked at `asked` was answered by `shard`.
    pub(super) fn saw(&mut self, who: usize, shard: ShardId, asked: Instant, now: Instant) {
        let before = self.seats[who].seen;
        match self.shard {
            None => self.shard = Some(shard),
            Some(current) if current == shard => {}
            Some(_) if self.tunnels || before.is_none() => {
                if self.anybody_elsewhere(who, shard) {
                    self.split = true;
                } else {
                    self.move_to(shard, now);
                }
            }
            Some(_) => match before {
                Some((_, epoch)) if epoch == self.epoch => self.move_to(shard, now),
                // Asked before the others moved and answered after: where it goes now is seen next time.
                Some((home, _)) if home == shard && asked <= self.since => return,
                _ => self.split = true,
            },
        }
        self.seats[who] = Seat { seen: Some((shard, self.epoch)), present: true };
    }

    /// Somebody is not there any more.
    pub(super) fn left(&mut self, who: usize) {
        self.seats[who].present = false;
    }

    /// Whether the room was ever split.
    pub(super) fn split(&self) -> bool {
        self.split
    }

    /// How often it moved.
    pub(super) fn moves(&self) -> u32 {
        self.epoch
    }

    /// How many people have been there.
    pub(super) fn people(&self) -> usize {
        self.seats.iter().filter(|seat| seat.seen.is_some()).count()
    }

    fn anybody_elsewhere(&self, who: usize, shard: ShardId) -> bool {
        let elsewhere = |seat: &Seat| seat.present && seat.seen.is_some_and(|(seen, _)| seen != shard);
        self.seats.iter().enumerate().any(|(other, seat)| other != who && elsewhere(seat))
    }

    fn move_to(&mut self, shard: ShardId, now: Instant) {
        self.shard = Some(shard);
        self.epoch += 1;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Plays answers `(who, shard, asked ms, answered ms)`; whether it was split, and its moves.
    fn play(tunnels: bool, steps: &[(usize, ShardId, u64, u64)]) -> (bool, u32) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut splits = Splits::new(3, tunnels, start);
        for (who, shard, asked, answered) in steps {
            splits.saw(*who, *shard, at(*asked), at(*answered));
        }
        (splits.split(), splits.moves())
    }

    #[test]
    fn people_who_join_different_shards_are_split() {
        for tunnels in [false, true] {
            assert_eq!(play(tunnels, &[(0, 1, 0, 1), (1, 1, 0, 1), (2, 1, 500, 501)]), (false, 0));
            assert_eq!(play(tunnels, &[(0, 1, 0, 1), (1, 2, 0, 1)]), (true, 0));
            assert_eq!(play(tunnels, &[(0, 1, 0, 1), (1, 1, 0, 1), (2, 2, 500, 501)]), (true, 0));
        }
    }

    #[test]
    fn a_room_that_goes_on_as_a_whole_moves() {
        let steps = [(0, 1, 0, 1), (1, 1, 0, 1), (0, 2, 10, 11), (1, 2, 20, 21), (0, 2, 30, 31)];
        assert_eq!(play(false, &steps), (false, 1));
        let back = [&steps[..], &[(1, 1, 40, 41), (0, 1, 50, 51)]].concat();
        assert_eq!(play(false, &back), (false, 2));
    }

    #[test]
    fn who_stays_behind_splits_the_room() {
        let moved = [(0, 1, 0, 1), (1, 1, 0, 1), (0, 2, 10, 11)];
        assert_eq!(play(false, &moved), (false, 1));
        let in_flight = [&moved[..], &[(1, 1, 9, 12)]].concat();
        assert_eq!(play(false, &in_flight), (false, 1), "asked before the move");
        let behind = [&in_flight[..], &[(1, 1, 13, 14)]].concat();
        assert_eq!(play(false, &behind), (true, 1), "asked after it");
        let third = [&moved[..], &[(1, 3, 9, 12)]].concat();
        assert_eq!(play(false, &third), (true, 1), "on a third shard");
    }

    #[test]
    fn tunnels_split_only_while_both_are_open() {
        let start = Instant::now();
        let mut splits = Splits::new(2, true, start);
        splits.saw(0, 1, start, start);
        splits.saw(1, 1, start, start);
        splits.left(0);
        splits.left(1);
        splits.saw(0, 2, start, start);
        assert_eq!((splits.split(), splits.moves()), (false, 1));
        splits.saw(1, 2, start, start);
        splits.left(1);
        splits.saw(1, 1, start, start);
        assert_eq!((splits.split(), splits.moves(), splits.people()), (true, 1, 2));
    }
}
