use std::mem::size_of;

use super::*;
use crate::pin::{DeciderId, Pin};

fn slot(now: u64) -> Slot {
    Slot::made(ShardId(7), 1, DeciderId(9), Timestamp(now))
}

/// Invariant 5: memory is bounded by configuration. A leaf has at most four places to spare, or an eighth.
#[test]
fn memory_follows_the_number_of_pins() {
    assert_eq!(size_of::<Slot>(), 32);
    assert_eq!(size_of::<(RoomKey, Slot)>(), 48);
    let table = Table::new();
    let mut key = 1_u128;
    let mut keys = Vec::new();
    for _ in 0..100_000 {
        // Any full-period generator spreads well enough over the leaves.
        key = key.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d_4c95_7f2d);
        keys.push(RoomKey(key));
        table.place(RoomKey(key)).put(slot(100), usize::MAX).unwrap();
    }
    let places = |table: &Table| (0..=u8::MAX).map(|group| table.group(group).places()).sum::<usize>();
    assert!(places(&table) < 100_000 * 4, "{} places", places(&table));
    assert!(keys.iter().all(|key| table.read(*key, |_| ()).is_some()));
    let mut listed = Vec::new();
    table.for_each(|key, _| listed.push(key));
    keys.sort_unstable();
    assert!(listed == keys, "every key once, in order");

    let swept = table.sweep(Timestamp(10_000), 1000, Ended::Expendable);
    assert_eq!((swept.removed, table.len(), places(&table)), (100_000, 0, 0), "what is not needed is given back");
    assert!((0..=u8::MAX).all(|group| table.group(group).digest() == 0));
}

#[test]
fn a_slot_keeps_all_of_a_pin() {
    let pin = Pin {
        shard: crate::shard::ShardName::new("a").unwrap(),
        epoch: u32::MAX,
        ended: true,
        created: Timestamp((1 << 48) - 2),
        decider: DeciderId(u64::MAX),
        last_seen: Timestamp((1 << 48) - 1),
    };
    let slot = Slot::known(&pin, ShardId(u16::MAX));
    assert_eq!(slot.shard(), ShardId(u16::MAX));
    assert_eq!(slot.pin(&pin.shard), pin);
}

#[test]
fn touching_never_goes_back() {
    let slot = slot(100);
    assert!(slot.is_its_makers_alone());
    slot.touch(Timestamp(50));
    assert_eq!(slot.last_seen(), Timestamp(100));
    assert!(!slot.is_its_makers_alone());
    slot.touch(Timestamp(200));
    assert_eq!(slot.last_seen(), Timestamp(200));
}

#[test]
fn concurrent_touches_keep_the_latest_time_and_the_flags() {
    let slot = slot(0);
    std::thread::scope(|scope| {
        for start in 1..=4 {
            let slot = &slot;
            scope.spawn(move || (0..1000).for_each(|i| slot.touch(Timestamp(start + i * 4))));
        }
    });
    assert_eq!(slot.last_seen(), Timestamp(4 + 999 * 4));
    assert!(!slot.is_its_makers_alone() && !slot.is_ended());
}

#[test]
fn reservations_stop_at_the_bound() {
    let table = Table::new();
    let won: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..100).filter(|_| table.reserve(150)).count())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    assert_eq!((won, table.len()), (150, 150));
    table.release();
    assert!(table.reserve(150));
}

#[test]
fn a_sweep_says_when_the_next_one_pays() {
    let table = Table::new();
    for (key, seen) in [(1, 100), (2, 400), (3, 300)] {
        table.place(RoomKey(key)).put(slot(seen), 10).unwrap();
    }
    let swept = table.sweep(Timestamp(1100), 1000, Ended::Expendable);
    assert_eq!((swept.removed, swept.next), (1, Timestamp(1300)));
    assert_eq!((table.len(), table.rooms_on(ShardId(7))), (2, 2));
}
