//! The rules of one link per pair, with every order of events of two simultaneous dials.

use router_core::time::Timestamp;

use super::*;

fn node(id: u64) -> Node {
    Node { id: ReplicaId(id), address: SocketAddr::from(([10, 0, 0, 1], 7946)), started: Timestamp(0) }
}

fn hello(id: u64, lost: u64) -> Hello {
    Hello { versions: 1..=1, node: node(id), room_key: 0, lost }
}

fn table() -> Arc<Table> {
    Arc::new(Table::new(Arc::default(), LaneBounds::default()))
}

fn tag(table: &Table, id: u64) -> Option<u64> {
    table.lock().links.get(&ReplicaId(id)).map(|link| link.tag)
}

/// One replica of the pair 1 and 2, and its dial to the other.
struct Replica {
    id: u64,
    table: Arc<Table>,
    claim: Option<DialClaim>,
}

impl Replica {
    fn new(id: u64) -> Self {
        Self { id, table: table(), claim: None }
    }

    fn other(&self) -> u64 {
        3 - self.id
    }
}

/// How far a dial has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Met,
    Introduced,
    Waiting,
    Welcomed,
    Over,
}

/// One step of the dial by replica `from`. `false` when it cannot go on now.
fn step(pair: &mut [Replica; 2], from: usize, stage: &mut [Stage; 2]) -> bool {
    let tag = 100 + from as u64;
    let to = 1 - from;
    match stage[from] {
        Stage::Met => {
            let other = pair[from].other();
            pair[from].claim = pair[from].table.claim(ReplicaId(other)).ok();
            stage[from] = if pair[from].claim.is_some() { Stage::Introduced } else { Stage::Over };
        }
        Stage::Introduced | Stage::Waiting => {
            let (me, other) = (ReplicaId(pair[to].id), hello(pair[from].id, 0));
            match pair[to].table.admit(me, &other, 1, tag) {
                Admission::Link(_) => stage[from] = Stage::Welcomed,
                Admission::Wait => {
                    let again = stage[from] == Stage::Waiting;
                    stage[from] = Stage::Waiting;
                    return !again;
                }
                Admission::Duplicate(_) => {
                    assert!(tag_of(pair, to).is_some(), "turned away before there is a link");
                    pair[from].claim = None;
                    stage[from] = Stage::Over;
                }
                Admission::No(why) => panic!("{why:?}"),
            }
        }
        Stage::Welcomed => {
            let other = pair[from].other();
            let claim = pair[from].claim.take().expect("claimed");
            claim.succeed(node(other), 1, tag).expect("a place");
            stage[from] = Stage::Over;
        }
        Stage::Over => return false,
    }
    true
}

fn tag_of(pair: &[Replica; 2], n: usize) -> Option<u64> {
    tag(&pair[n].table, pair[n].other())
}

#[test]
fn two_simultaneous_dials_leave_one_link_in_every_order() {
    // Whose turn it is: all sequences of ten turns, more than both dials need.
    for order in 0_u32..1 << 10 {
        let mut pair = [Replica::new(1), Replica::new(2)];
        let mut stage = [Stage::Met; 2];
        for turn in 0..10 {
            step(&mut pair, usize::from(order & 1 << turn != 0), &mut stage);
        }
        while step(&mut pair, 0, &mut stage) || step(&mut pair, 1, &mut stage) {}
        assert_eq!(stage, [Stage::Over; 2], "{order:b}");
        let tags = (tag_of(&pair, 0), tag_of(&pair, 1));
        assert!(tags.0.is_some() && tags.0 == tags.1, "{order:b}: {tags:?}");
        assert!(pair.iter().all(|replica| replica.table.lock().claims.is_empty()));
    }
}

#[test]
fn of_two_that_have_claimed_the_smaller_numbers_dial_wins() {
    let mut pair = [Replica::new(1), Replica::new(2)];
    let mut stage = [Stage::Met; 2];
    step(&mut pair, 0, &mut stage);
    step(&mut pair, 1, &mut stage);
    step(&mut pair, 1, &mut stage);
    assert_eq!(stage[1], Stage::Waiting);
    while step(&mut pair, 0, &mut stage) || step(&mut pair, 1, &mut stage) {}
    assert_eq!((tag_of(&pair, 0), tag_of(&pair, 1)), (Some(100), Some(100)));
}

#[test]
fn when_the_smaller_numbers_dial_fails_the_other_becomes_the_link() {
    let table = table();
    let claim = table.claim(ReplicaId(2)).unwrap();
    assert!(matches!(table.admit(ReplicaId(1), &hello(2, 0), 1, 7), Admission::Wait));
    let mut changes = table.changes();
    changes.borrow_and_update();
    drop(claim);
    assert!(changes.has_changed().unwrap(), "those who wait are woken");
    assert!(matches!(table.admit(ReplicaId(1), &hello(2, 0), 1, 7), Admission::Link(_)));
}

#[test]
fn a_link_that_the_other_side_has_lost_makes_way_and_no_other_link_does() {
    let table = table();
    let Admission::Link(first) = table.admit(ReplicaId(1), &hello(2, 0), 1, 7) else { panic!("no link") };
    assert!(matches!(table.admit(ReplicaId(1), &hello(2, 0), 1, 8), Admission::Duplicate(7)));
    assert!(matches!(table.admit(ReplicaId(1), &hello(2, 6), 1, 8), Admission::Duplicate(7)));
    let Admission::Link(mut second) = table.admit(ReplicaId(1), &hello(2, 7), 1, 8) else { panic!("no link") };
    assert_eq!(first.lanes.push(router_core::cluster::Lane::Urgent, bytes::Bytes::new()), super::super::Sent::NoLink);
    // Events of the first link end before those of the second begin.
    let before = second.before.as_mut().expect("what it replaces");
    assert!(before.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
    drop(first.ended);
    assert!(before.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    table.remove(ReplicaId(2), 7);
    assert_eq!(tag(&table, 2), Some(8), "the end of the old one does not end the new one");
    table.remove(ReplicaId(2), 8);
    assert!(table.is_empty());
}

#[test]
fn links_are_bounded_and_none_begins_while_leaving() {
    let table = table();
    let max = MAX_LINKS as u64;
    for id in 2..2 + max {
        assert!(matches!(table.admit(ReplicaId(1), &hello(id, 0), 1, id), Admission::Link(_)));
    }
    assert_eq!(table.counters.links(), max);
    assert!(matches!(table.admit(ReplicaId(1), &hello(999, 0), 1, 1), Admission::No(Outcome::Full)));
    assert_eq!(table.claim(ReplicaId(999)).unwrap().succeed(node(999), 1, 1).unwrap_err(), Outcome::Full);
    assert!(table.lock().claims.is_empty());
    let claim = table.claim(ReplicaId(999)).unwrap();
    table.leave();
    assert!(matches!(table.admit(ReplicaId(1), &hello(2, 2), 1, 1), Admission::No(Outcome::Leaving)));
    assert_eq!(claim.succeed(node(999), 1, 1).unwrap_err(), Outcome::Leaving);
    assert_eq!(table.claim(ReplicaId(2)).unwrap_err(), Outcome::Leaving);
}
