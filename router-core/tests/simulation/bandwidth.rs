//! What sharing costs: 20 replicas, 5,000 new rooms a second among them.

use super::{
    plan::{Arrival, Class, Plan},
    world::{MS, Micros, SECOND, World},
};

const REPLICAS: usize = 20;
const ROOMS_A_SECOND: usize = 5_000;
const SPAN: Micros = 3 * SECOND;
/// All are ready by then.
const BEGIN: Micros = 3 * SECOND;
/// Acceptance 8 of the issue.
const MOST: u64 = 1_000_000;

/// Rooms are asked for by two people at two replicas, who stay.
fn plan() -> Plan {
    let mut plan = Plan::empty(8, Class::Calm, REPLICAS);
    plan.rooms = ROOMS_A_SECOND * 3;
    plan.max_pins = 100_000;
    for room in 0..plan.rooms {
        let at = BEGIN + SPAN / plan.rooms as Micros * room as Micros;
        for n in 0..2 {
            let host = Some((room * 7 + n * (1 + room % 19)) % REPLICAS);
            let at = at + n as Micros * (room as Micros % 20) * MS;
            plan.arrivals.push(Arrival { at, room, host, stays: true, until: None });
        }
    }
    plan.end = BEGIN + SPAN;
    plan
}

/// Measures bytes as they are encoded; the connections add 20 or so to each record, which is a few messages.
pub(crate) fn measure() {
    let mut idle = plan();
    (idle.rooms, idle.arrivals) = (0, Vec::new());
    // Only what is sent after the beginning counts, so the beginning is run alone first.
    let before = |end| Plan { end, ..idle.clone() };
    let [boot, quiet] = [BEGIN, BEGIN + SPAN].map(|end| Sent::of(before(end)));
    let busy = Sent::of(plan());
    for (what, all) in [("idle", quiet), ("5,000 new rooms a second", busy)] {
        let seconds = SPAN / SECOND;
        let (messages, bytes) = (all.messages - boot.messages, all.bytes - boot.bytes);
        let each = REPLICAS as u64 * seconds;
        println!("{what}: a replica sends {} messages and {} bytes a second", messages / each, bytes / each);
        println!("  the busiest sends {} bytes a second, and gets {}", all.most_sent / seconds, all.most_got / seconds);
        assert!(all.most_sent / seconds < MOST && all.most_got / seconds < MOST);
    }
}

struct Sent {
    messages: u64,
    bytes: u64,
    most_sent: u64,
    most_got: u64,
}

impl Sent {
    fn of(plan: Plan) -> Self {
        let mut world = World::new(plan, false);
        world.run_on();
        assert_eq!(world.failure, None);
        let sent = || world.replicas.iter().map(|replica| replica.sent);
        Self {
            messages: sent().map(|(messages, _)| messages).sum(),
            bytes: sent().map(|(_, bytes)| bytes).sum(),
            most_sent: sent().map(|(_, bytes)| bytes).max().unwrap_or(0),
            most_got: world.replicas.iter().map(|replica| replica.got).max().unwrap_or(0),
        }
    }
}
