//! Which bridges go, which come back, and how many new ones are made.

use std::{cmp::Reverse, time::Duration};

use jiff::Timestamp;

use super::{Counts, Pod, Rules, Stand, State, make, reason, stand, stand::since};
use crate::plan::{Note, span};

/// No node fits for so long: one is not expected to come by itself any more.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is to become of one bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It goes on as it is: one that drains goes on draining.
    Stay,
    /// It goes at once: nobody can be on it.
    Delete,
    /// It begins to drain, for this reason.
    Drain(&'static str),
    /// It takes work again.
    Undrain,
}

/// What is to become of all of them.
#[derive(Debug)]
pub(super) struct Choice {
    /// By place in the list of bridges.
    pub(super) orders: Vec<Order>,
    /// So many new ones are made.
    pub(super) create: i32,
    /// Some are wanted that cannot be made yet: pods that failed at once stay, so that the next try waits.
    pub(super) wait: bool,
    /// How many take work when those that are to go have gone. Those that are taken back do not count yet.
    pub(super) ready: i32,
    /// No other takes work yet, and one is coming: an empty one is kept until then.
    pub(super) hold: bool,
    /// In words.
    pub(super) waiting: Vec<String>,
    /// What holds until it is over.
    pub(super) lasting: Vec<Note>,
}

struct Chooser<'a> {
    rules: &'a Rules,
    stands: &'a [Stand<'a>],
    now: Timestamp,
    desired: i32,
    room: i32,
    /// Taken back at this look. They take work when they have heard of it: the next look shows who did.
    back: i32,
    choice: Choice,
}

/// Chooses.
pub(super) fn choose(rules: &Rules, stands: &[Stand<'_>], counts: Counts, now: Timestamp) -> Choice {
    let choice = Choice {
        orders: vec![Order::Stay; stands.len()],
        create: 0,
        wait: false,
        ready: counts.active,
        hold: false,
        waiting: Vec::new(),
        lasting: Vec::new(),
    };
    let max = rules.max.max(0);
    let (desired, room) = (rules.desired.clamp(0, max), (max - counts.living()).max(0));
    let mut chooser = Chooser { rules, stands, now, desired, room, back: 0, choice };
    chooser.asked();
    if rules.launch {
        chooser.useless();
    }
    let target = desired + if rules.launch { chooser.surge() } else { 0 };
    let need = target - chooser.counted();
    if need > 0 {
        chooser.grow(need, target);
    } else if need < 0 && rules.launch {
        chooser.shrink(-need);
    }
    if rules.launch {
        chooser.replace();
    }
    if desired > 0 && chooser.choice.ready == 0 {
        chooser.last_one();
    }
    chooser.choice
}

impl<'a> Chooser<'a> {
    /// Bridges about which nothing has been decided yet.
    fn open(&self) -> impl Iterator<Item = (usize, &'a Stand<'a>)> + '_ {
        let orders = &self.choice.orders;
        self.stands.iter().enumerate().filter(move |(place, _)| orders[*place] == Order::Stay)
    }

    fn counted(&self) -> i32 {
        total(self.open().filter(|(_, stand)| stand.counted()))
            + total(self.choice.orders.iter().filter(|order| **order == Order::Undrain))
    }

    fn order(&mut self, place: usize, order: Order) {
        match (order, self.stands[place].state) {
            (Order::Undrain, _) => self.back += 1,
            (Order::Drain(_) | Order::Delete, State::Active) => self.choice.ready -= 1,
            _ => {}
        }
        self.choice.orders[place] = order;
    }

    /// Somebody wants it gone. Whatever the numbers say: it still takes work as long as no other does.
    fn asked(&mut self) {
        for (place, stand) in self.open().collect::<Vec<_>>() {
            if stand.bridge.asked && matches!(stand.state, State::Starting | State::Active | State::Stuck) {
                self.order(place, self.away(stand, reason::ASKED));
            }
        }
    }

    /// Those that never came up, and those that come up as nobody wants them any more.
    fn useless(&mut self) {
        for (place, stand) in self.open().collect::<Vec<_>>() {
            match stand.state {
                State::Stuck => self.order(place, self.away(stand, reason::UNREADY)),
                State::Starting if !stand.fits() && !stand.served() => {
                    self.order(place, self.away(stand, unfit(stand)));
                }
                _ => {}
            }
        }
    }

    /// How this one goes.
    fn away(&self, stand: &Stand<'_>, why: &'static str) -> Order {
        if stand::vacant(stand, self.now) { Order::Delete } else { Order::Drain(why) }
    }

    /// How many more than asked for there may be, so that those that have to go are replaced before they go: one for each on
    /// a cordoned node (that node waits for us), and one at a time for those of another template.
    fn surge(&self) -> i32 {
        let (cordoned, outdated): (Vec<_>, Vec<_>) = self
            .open()
            .filter(|(_, stand)| stand.counted() && !stand.fits())
            .partition(|(_, stand)| stand.bridge.cordoned);
        total(cordoned.iter()) + i32::from(!outdated.is_empty())
    }

    /// Take back, then make.
    fn grow(&mut self, need: i32, target: i32) {
        let mut need = need;
        let mut back: Vec<_> = self
            .open()
            .filter(|(_, stand)| {
                stand.state == State::Draining && stand.bridge.pod == Pod::Ready && !stand.bridge.asked
            })
            .collect();
        // The busiest would be the last to end anyway.
        back.sort_by_key(|(_, stand)| (Reverse(stand.people().unwrap_or(0)), stand.bridge.created));
        for (place, _) in back.iter().filter(|(_, stand)| stand.fits()) {
            if need > 0 {
                self.order(*place, Order::Undrain);
                need -= 1;
            }
        }
        // What is missing beside replacements. No new one may be made: better an old one than none.
        let mut short = need - (target - self.desired);
        for (place, stand) in back.iter().filter(|(_, stand)| !stand.fits() && !stand.bridge.cordoned) {
            if short > 0 && self.room == 0 && stand.bridge.memory.reason.as_deref() != Some(reason::IN_PLACE) {
                self.order(*place, Order::Undrain);
                (need, short) = (need - 1, short - 1);
            }
        }
        if need <= 0 {
            return;
        }
        if !self.rules.launch {
            self.choice.waiting.push(format!("{need} more asked for, but launching is switched off"));
            return;
        }
        self.choice.wait = true;
        let held = total(self.stands.iter().filter(|stand| make::held(stand, self.now)));
        self.choice.create = (need.min(self.room) - held).max(0);
        if need > self.room && short > 0 {
            let out = total(self.stands.iter().filter(|stand| stand.living() && !stand.counted()));
            self.choice.waiting.push(format!(
                "{short} more asked for, but there are {} of at most {}, {out} of them on their way out",
                self.rules.max - self.room,
                self.rules.max
            ));
        }
        if let Some(left) = make::next_try(self.stands, self.now) {
            self.choice.waiting.push(format!("pods ended at once; the next is tried in {}", span(left)));
        }
    }

    /// Too many: those that nobody can be on first, then the order in which victims go.
    fn shrink(&mut self, excess: i32) {
        let mut excess = excess;
        let mut victims: Vec<_> = self
            .open()
            .filter(|(_, stand)| stand.counted())
            .filter(|(_, stand)| stand.bridge.memory.protected_until.is_none_or(|until| until <= self.now))
            .collect();
        victims.sort_by_key(|(_, stand)| {
            (
                !matches!(stand.bridge.pod, Pod::Unschedulable(_)),
                !stand.nobody(),
                stand.bridge.current,
                !stand.bridge.cordoned,
                people(stand),
                Reverse(stand.bridge.created),
            )
        });
        for (place, stand) in victims {
            if excess == 0 {
                return;
            }
            // The last one that takes work stays while anybody may be on it.
            let last = stand.state == State::Active && self.choice.ready <= 1;
            if last && (self.desired > 0 || stand.people() != Some(0)) {
                continue;
            }
            self.order(place, self.away(stand, reason::SCALE_DOWN));
            excess -= 1;
        }
        if excess > 0 {
            self.choice.waiting.push(format!(
                "{excess} too many: they are protected, or the only ones that take work, with people on them"
            ));
        }
    }

    /// Those that take work where, or as, they should not: one goes for each that is ready beyond what is asked for.
    fn replace(&mut self) {
        let mut unfit_ones: Vec<_> =
            self.open().filter(|(_, stand)| stand.state == State::Active && !stand.fits()).collect();
        if unfit_ones.is_empty() {
            return;
        }
        unfit_ones.sort_by_key(|(_, stand)| {
            let protected = stand.bridge.memory.protected_until.is_some_and(|until| until > self.now);
            (!stand.bridge.cordoned, protected, people(stand), Reverse(stand.bridge.created))
        });
        let blocked = self.blocked();
        let mut in_place = self.stands.iter().any(|stand| {
            matches!(stand.state, State::Draining | State::Stopping)
                && stand.bridge.memory.reason.as_deref() == Some(reason::IN_PLACE)
        });
        let (mut left, mut cordoned_left) = (0, 0);
        for (place, stand) in unfit_ones {
            let spare = self.choice.ready > self.desired.max(1);
            let empty = stand.people() == Some(0);
            let why = if stand.bridge.cordoned {
                // Its node is to be emptied, and new conferences must not come here for ever. The last one that takes work stays:
                // once it is empty, an eviction may take it.
                (spare || (blocked && self.choice.ready > 1)).then_some(reason::CORDONED)
            } else if spare {
                Some(reason::OUTDATED)
            } else {
                // Nothing newer can come up beside it: one at a time, and only where nobody is.
                (blocked && empty && !in_place).then_some(reason::IN_PLACE)
            };
            if let Some(why) = why {
                in_place |= why == reason::IN_PLACE;
                self.order(place, Order::Drain(why));
            } else {
                left += 1;
                cordoned_left += i32::from(stand.bridge.cordoned);
            }
        }
        if blocked && left > 0 {
            self.block(left, cordoned_left);
        }
    }

    /// None takes work. One that drains and is in use is taken back. One that may be empty is, if no other is coming; else it
    /// waits for that one.
    fn last_one(&mut self) {
        let coming = self.back > 0 || self.coming() > 0 || self.choice.create > 0;
        let in_use = self
            .open()
            .filter(|(_, stand)| {
                stand.state == State::Draining && stand.bridge.pod == Pod::Ready && !stand.bridge.asked
            })
            .filter(|(_, stand)| stand.people().map_or(!coming, |people| people > 0))
            .max_by_key(|(_, stand)| (stand.people(), stand.fits(), Reverse(stand.bridge.created)));
        match in_use {
            Some((place, _)) if self.back == 0 => self.order(place, Order::Undrain),
            _ => self.choice.hold = coming,
        }
    }

    fn block(&mut self, left: i32, cordoned: i32) {
        let cause = if self.room == 0 {
            format!("the most allowed ({}) are there", self.rules.max)
        } else {
            "no node fits".to_owned()
        };
        if cordoned > 0 {
            self.choice.lasting.push(Note::warning(
                "NodeDrainBlocked",
                format!("{cordoned} on a cordoned node cannot be replaced, since {cause}: the last one that takes work stays"),
            ));
        }
        if left > cordoned {
            self.choice.lasting.push(Note::warning(
                "RolloutBlocked",
                format!(
                    "{} of the template before cannot be replaced, since {cause}: they go one at a time, when empty",
                    left - cordoned
                ),
            ));
        }
    }

    /// Replacements that will take work in a while, as far as anybody can tell.
    fn coming(&self) -> i32 {
        total(self.open().filter(|(_, stand)| {
            stand.state == State::Starting
                && stand.fits()
                && !matches!(stand.bridge.pod, Pod::Unschedulable(then) if since(then, self.now) >= PATIENCE)
        }))
    }

    /// Nothing new can come up: there is no room, or no node.
    fn blocked(&self) -> bool {
        let unschedulable = self.open().any(|(_, stand)| matches!(stand.bridge.pod, Pod::Unschedulable(_)));
        let failing = self.stands.iter().any(|stand| make::held(stand, self.now));
        // Pods that are deleted at this look make room for the next.
        let room_comes = self.choice.orders.contains(&Order::Delete);
        self.choice.create == 0 && self.coming() == 0 && !failing && !room_comes && (self.room == 0 || unschedulable)
    }
}

fn unfit(stand: &Stand<'_>) -> &'static str {
    if stand.bridge.cordoned { reason::CORDONED } else { reason::OUTDATED }
}

/// Unknown is more than any number.
fn people(stand: &Stand<'_>) -> u64 {
    if stand.state == State::Starting && !stand.served() { 0 } else { stand.people().unwrap_or(u64::MAX) }
}

fn total<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}
