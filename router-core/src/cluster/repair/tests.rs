use proptest::prelude::*;

use super::{testing::*, *};

const A: ReplicaId = ReplicaId(1);
const B: ReplicaId = ReplicaId(2);

fn at(millis: u64) -> Timestamp {
    Timestamp(1_000_000 + millis)
}

/// Two replicas and the messages between them, which arrive at once.
struct Pair {
    repairs: [Repair; 2],
    tables: [Plain; 2],
    messages: Vec<Message>,
    different: u32,
}

impl Pair {
    fn new(tables: [Plain; 2]) -> Self {
        let repairs = [Repair::new(A, 1, at(0)), Repair::new(B, 2, at(0))];
        Self { repairs, tables, messages: Vec::new(), different: 0 }
    }

    fn link(&mut self) {
        self.repairs[0].link_up(B);
        self.repairs[1].link_up(A);
    }

    fn tick(&mut self, now: Timestamp) {
        for (n, other) in [(0, B), (1, A)] {
            let effects = self.repairs[n].tick([other].into_iter(), &self.tables[n], now);
            self.carry_out(n, effects, now);
        }
    }

    fn carry_out(&mut self, by: usize, effects: Vec<RepairEffect>, now: Timestamp) {
        let mut queue: Vec<_> = effects.into_iter().map(|effect| (by, effect)).collect();
        while !queue.is_empty() {
            let (by, effect) = queue.remove(0);
            let RepairEffect::Send { message, .. } = effect else {
                self.different += 1;
                continue;
            };
            self.messages.push(message.clone());
            let (to, from) = (1 - by, [A, B][by]);
            let Repaired { effects, pins } = self.repairs[to].received(from, message, &self.tables[to], now);
            self.tables[to].merge(pins);
            queue.extend(effects.into_iter().map(|effect| (to, effect)));
        }
    }

    fn digests(&self) -> usize {
        self.messages.iter().filter(|message| matches!(message, Message::Digest(_))).count()
    }
}

fn some_pins() -> impl Strategy<Value = Vec<(RoomKey, Pin)>> {
    let one = (0u64..60, 0u32..3, any::<bool>(), 0u64..4, 0u64..4, 0usize..2);
    prop::collection::vec(one, 0..60).prop_map(|pins| {
        let make = |(n, epoch, ended, created, seen, at)| {
            let base = pin(&shard(["a", "b"][at]), epoch, created);
            // Few leaves, so that they have several pins.
            (RoomKey(u128::from(n % 6) << 112 | u128::from(n)), Pin { ended, last_seen: Timestamp(seen), ..base })
        };
        pins.into_iter().map(make).collect()
    })
}

/// The last use aside, which repair leaves alone.
fn settled(table: &Plain) -> Vec<(RoomKey, Pin)> {
    table.pins.iter().map(|(key, pin)| (*key, Pin { last_seen: Timestamp(0), ..pin.clone() })).collect()
}

proptest! {
    /// Whatever two tables hold, one exchange makes them the merge of both.
    #[test]
    fn two_tables_become_their_merge(left in some_pins(), right in some_pins()) {
        let mut both = Plain::new(left.clone());
        both.merge(right.clone());
        let mut pair = Pair::new([Plain::new(left), Plain::new(right)]);
        pair.link();
        pair.tick(at(0));
        prop_assert_eq!(settled(&pair.tables[0]), settled(&both));
        prop_assert_eq!(settled(&pair.tables[1]), settled(&both));
        prop_assert_eq!(pair.digests(), 1);
    }

    /// Messages that fit nothing.
    #[test]
    fn nonsense_is_borne(
        said in prop::collection::vec((0u8..4, any::<u8>(), any::<u8>(), prop::collection::vec(any::<u64>(), 0..300), any::<bool>()), 1..40)
    ) {
        let mut pair = Pair::new([Plain::new([(key(1), pin(&shard("a"), 1, 5))]), Plain::new([])]);
        pair.link();
        let table = pair.tables[0].clone();
        let started = pair.repairs[0].tick([B].into_iter(), &table, at(0));
        prop_assert_eq!(started.len(), 1);
        for (n, (kind, group, leaf, leaves, answer)) in said.into_iter().enumerate() {
            let message = match kind {
                0 => Message::Digest(leaves),
                1 => Message::Leaves { group, leaves },
                2 => Message::Leaves { group, leaves: leaves.into_iter().cycle().chain(std::iter::repeat(9)).take(256).collect() },
                _ => Message::LeafPins { group, leaf, pins: Vec::new(), answer },
            };
            let out = pair.repairs[0].received(B, message, &table, at(n as u64));
            prop_assert!(out.effects.len() <= 2 * GROUPS, "{}", out.effects.len());
        }
        // It ends, and a proper one follows.
        pair.repairs[0].overflowed(B);
        prop_assert!(pair.repairs[0].tick([B].into_iter(), &table, at(100)).is_empty());
        let next = pair.repairs[0].tick([B].into_iter(), &table, at(2_100));
        prop_assert_eq!(next.len(), 1);
    }
}

#[test]
fn equal_tables_cost_one_message() {
    let pins: Vec<_> = (0..1_000).map(|n| (key(n), pin(&shard("a"), 1, 5))).collect();
    // Last uses differ, as they always do.
    let used = pins.iter().cloned().map(|(key, pin)| (key, Pin { last_seen: Timestamp(900), ..pin }));
    let mut pair = Pair::new([Plain::new(used), Plain::new(pins.clone())]);
    pair.link();
    pair.tick(at(0));
    assert!(matches!(&pair.messages[..], [Message::Digest(groups)] if groups.len() == 256), "{:?}", pair.messages);
    assert_eq!(pair.different, 0);
}

/// All groups differ: they are named by 32, asked for until there are no more.
#[test]
fn an_exchange_goes_on_until_nothing_differs() {
    let a = (0..5_000).map(|n| (key(n), pin(&shard("a"), 1, 5)));
    let b = (4_000..9_000).map(|n| (key(n), pin(&shard("b"), 1, 4)));
    let mut pair = Pair::new([Plain::new(a), Plain::new(b)]);
    pair.link();
    pair.tick(at(0));
    assert_eq!(pair.tables[0], pair.tables[1]);
    assert_eq!(pair.tables[0].pins.len(), 9_000);
    assert_eq!(pair.tables[0].pins[&key(4_500)].shard, shard("b"));
    // Eight rounds, and one more that finds nothing.
    assert_eq!(pair.digests(), 9);
    // The ninth digest was made before the last answer was merged.
    assert!(pair.different <= 9);
}

/// A leaf may be larger than a message; names are what makes pins large.
#[test]
fn no_message_is_too_large() {
    let long = shard(&"n".repeat(253));
    let crowd = |from: u64| (from..from + 1_000).map(|n| (RoomKey(u128::from(n)), pin(&long, 1, 5)));
    let mut pair = Pair::new([Plain::new(crowd(0)), Plain::new(crowd(500))]);
    pair.link();
    pair.tick(at(0));
    assert_eq!(pair.tables[0], pair.tables[1]);
    assert_eq!(pair.tables[0].pins.len(), 1_500);
    let mut asked = 0;
    for message in &pair.messages {
        if let Message::LeafPins { pins, answer, .. } = message {
            let bytes: usize = pins.iter().map(|(_, pin)| estimate(pin)).sum();
            assert!(bytes <= 31 * 1024, "{bytes}");
            asked += usize::from(*answer);
        }
    }
    assert_eq!(asked, 1);
}

/// What is sent without an answer is bounded, and who does not answer is given up.
#[test]
fn the_window_is_kept() {
    let table = Plain::new((0..20_000).map(|n| (key(n), pin(&shard("a"), 1, 5))));
    let mut repair = Repair::new(A, 1, at(0));
    repair.link_up(B);
    assert_eq!(repair.tick([B].into_iter(), &table, at(0)).len(), 1);
    let mut sent = Vec::new();
    for group in 0..=255 {
        let out = repair.received(B, Message::Leaves { group, leaves: vec![0; 256] }, &table, at(1));
        sent.extend(out.effects);
    }
    assert_eq!(sent.len(), 16);
    // One answer, two more leaves; up to so many.
    let mut answers = Vec::new();
    while sent.len() < 2_000 {
        let RepairEffect::Send { message: Message::LeafPins { group, leaf, .. }, .. } = sent[answers.len()] else {
            panic!("{:?}", sent[answers.len()])
        };
        let answer = Message::LeafPins { group, leaf, pins: Vec::new(), answer: false };
        let more = repair.received(B, answer.clone(), &table, at(2)).effects;
        assert!((1..=2).contains(&more.len()));
        sent.extend(more);
        answers.push(answer);
    }
    let open = sent.len() - answers.len();
    assert!((200..=256).contains(&open), "{open}");
    // The same answer once more, none.
    assert_eq!(repair.received(B, answers[0].clone(), &table, at(2)).effects.len(), 0);
    // After a large answer, fewer: the rest is awaited.
    let RepairEffect::Send { message: Message::LeafPins { group, leaf, .. }, .. } = sent[answers.len()] else {
        panic!("{:?}", sent[answers.len()])
    };
    let pins: Vec<_> = (0..20).map(|n| (key(n), pin(&shard("a"), 1, 5))).collect();
    let large = Message::LeafPins { group, leaf, pins: pins.clone(), answer: false };
    let out = repair.received(B, large, &table, at(3));
    assert_eq!((out.effects, out.pins), (vec![], pins));
    // And then nothing: it is tried again from the start.
    assert_eq!(repair.tick([B].into_iter(), &table, at(1_900)), []);
    let again = repair.tick([B].into_iter(), &table, at(2_100));
    assert!(matches!(again[..], [RepairEffect::Send { message: Message::Digest(_), .. }]), "{again:?}");
}

#[test]
fn one_of_two_asks_when_they_meet() {
    let mut pair = Pair::new([Plain::new([]), Plain::new([])]);
    pair.link();
    pair.tick(at(0));
    assert_eq!(pair.digests(), 1);
    // The other one does when it has lost something, one exchange at a time.
    pair.repairs[1].overflowed(A);
    pair.repairs[1].overflowed(A);
    pair.tick(at(10));
    assert_eq!(pair.digests(), 2);
    pair.repairs[1].overflowed(A);
    pair.tick(at(500));
    assert_eq!(pair.digests(), 2, "an exchange is under way");
    pair.tick(at(1_010));
    assert_eq!(pair.digests(), 3);
}

#[test]
fn a_joiner_is_asked_when_it_has_joined() {
    let table = Plain::new([]);
    let mut repair = Repair::new(A, 1, at(0));
    repair.link_up(B);
    assert_eq!(repair.tick([].into_iter(), &table, at(0)), []);
    assert_eq!(repair.tick([B].into_iter(), &table, at(50)).len(), 1);
    repair.link_down(B);
    assert!(repair.exchanges.is_empty());
    repair.link_up(B);
    repair.link_down(B);
    assert_eq!(repair.tick([B].into_iter(), &table, at(100)), []);
}

#[test]
fn somebody_is_asked_every_five_seconds_or_so() {
    let table = Plain::new([]);
    let mut repair = Repair::new(A, 1, at(0));
    let mut asked = BTreeMap::new();
    let mut times = Vec::new();
    for millis in (0..1_000_000).step_by(50) {
        for effect in repair.tick((2..6).map(ReplicaId), &table, at(millis)) {
            let RepairEffect::Send { to, .. } = effect else { panic!("{effect:?}") };
            *asked.entry(to).or_insert(0) += 1;
            times.push(millis);
        }
    }
    assert!((190..=210).contains(&times.len()), "{}", times.len());
    assert!(times.windows(2).all(|pair| (4_000..=6_100).contains(&(pair[1] - pair[0]))));
    assert_eq!(asked.len(), 4);
    assert!(asked.values().all(|count| *count > 25), "{asked:?}");
}
