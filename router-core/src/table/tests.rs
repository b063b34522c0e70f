use super::*;
use crate::pin::{DeciderId, Pin};

fn slot(now: u64) -> Slot {
    Slot::made(ShardId(7), 1, DeciderId(9), Timestamp(now))
}

/// Invariant 5: memory is bounded by configuration. The budget for a million pins is 120 MB, of which the table takes half.
#[test]
fn a_million_pins_fit() {
    assert_eq!(size_of::<Slot>(), 32);
    assert_eq!(size_of::<(RoomKey, Slot)>(), 48);
    let table = Table::new();
    let half = crate::placement::mix;
    for n in 0..1_000_000_u64 {
        let key = RoomKey(u128::from(half(n)) << 64 | u128::from(half(half(n))));
        table.place(key).put(slot(0), 1_000_000).unwrap();
    }
    assert_eq!(table.len(), 1_000_000);
    let bytes: usize = (0..=u8::MAX).map(|group| table.group(group).bytes()).sum();
    assert!(bytes < 60_000_000, "{bytes} bytes");
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
