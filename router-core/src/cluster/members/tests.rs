use std::net::Ipv4Addr;

use bytes::BufMut;
use foca::{Codec as _, Header, Message};
use proptest::prelude::*;

use super::*;

fn node(n: u64) -> Node {
    let host = u8::try_from(n).expect("few");
    Node { id: ReplicaId(n), address: ([127, 0, 0, host], 7946).into(), started: Timestamp(5) }
}

fn at(millis: u64) -> Timestamp {
    Timestamp(1_000_000 + millis)
}

fn members(n: u64) -> Members {
    Members::new(node(n), n, at(0))
}

/// Carries datagrams between two until nobody says anything; returns what else came out, the first one's first.
fn talk(a: &mut Members, b: &mut Members, effects: Vec<MemberEffect>, now: Timestamp) -> [Vec<MemberEffect>; 2] {
    let mut rest = [Vec::new(), Vec::new()];
    let mut queue: Vec<_> = effects.into_iter().map(|effect| (0, effect)).collect();
    while !queue.is_empty() {
        let (by, effect) = queue.remove(0);
        let MemberEffect::Send { datagram, .. } = effect else {
            rest[by].push(effect);
            continue;
        };
        let (from, to) = if by == 0 { (a.me.id, &mut *b) } else { (b.me.id, &mut *a) };
        queue.extend(to.gossip(from, &datagram, now).into_iter().map(|effect| (1 - by, effect)));
    }
    rest
}

/// Two that know each other.
fn couple() -> (Members, Members) {
    let (mut a, mut b) = (members(1), members(2));
    assert_eq!(b.link_up(node(1), at(0)).len(), 1);
    let effects = a.link_up(node(2), at(0));
    let [ours, theirs] = talk(&mut a, &mut b, effects, at(0));
    assert_eq!((ours, theirs), (vec![MemberEffect::Up(node(2))], vec![MemberEffect::Up(node(1))]));
    (a, b)
}

fn datagram(from: Identity, to: Identity, message: Message<Identity>, members: &[Member<Identity>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { src: from, src_incarnation: 0, dst: to, message };
    Codec.encode_header(&header, &mut bytes).unwrap();
    if !members.is_empty() {
        bytes.put_u16(u16::try_from(members.len()).unwrap());
    }
    for member in members {
        Codec.encode_member(member, &mut bytes).unwrap();
    }
    bytes
}

fn identities() -> impl Strategy<Value = Identity> {
    (any::<(u64, u64, u16)>(), any::<std::net::IpAddr>(), any::<u16>()).prop_map(|((id, started, life), ip, port)| {
        Identity { node: Node { id: ReplicaId(id), address: (ip, port).into(), started: Timestamp(started) }, life }
    })
}

fn messages() -> impl Strategy<Value = Message<Identity>> {
    prop_oneof![
        any::<u8>().prop_map(Message::Ping),
        any::<u8>().prop_map(Message::Ack),
        (identities(), any::<u8>()).prop_map(|(target, probe_number)| Message::PingReq { target, probe_number }),
        (identities(), any::<u8>()).prop_map(|(origin, probe_number)| Message::IndirectPing { origin, probe_number }),
        (identities(), any::<u8>()).prop_map(|(target, probe_number)| Message::IndirectAck { target, probe_number }),
        (identities(), any::<u8>()).prop_map(|(origin, probe_number)| Message::ForwardedAck { origin, probe_number }),
        Just(Message::Announce),
        Just(Message::Feed),
        Just(Message::Gossip),
        Just(Message::TurnUndead),
    ]
}

proptest! {
    #[test]
    fn headers_come_back(src in identities(), dst in identities(), src_incarnation: u16, message in messages()) {
        let header = Header { src, src_incarnation, dst, message };
        let mut bytes = Vec::new();
        Codec.encode_header(&header, &mut bytes).unwrap();
        prop_assert!(bytes.len() <= 4 * 37, "{}", bytes.len());
        let mut rest = &bytes[..];
        prop_assert_eq!(Codec.decode_header(&mut rest).unwrap(), header);
        prop_assert!(rest.is_empty());
        for len in 0..bytes.len() {
            prop_assert!(Codec.decode_header(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn members_come_back(identity in identities(), incarnation: u16, state in 0u8..3) {
        let state = [State::Alive, State::Suspect, State::Down][usize::from(state)];
        let member = Member::new(identity, incarnation, state);
        let mut bytes = Vec::new();
        Codec.encode_member(&member, &mut bytes).unwrap();
        prop_assert_eq!(Codec.decode_member(&bytes[..]).unwrap(), member.clone());
        // No space, nothing written.
        let mut short = Vec::new().limit(bytes.len() - 1);
        prop_assert_eq!(Codec.encode_member(&member, &mut short), Err(identity::Malformed));
        prop_assert!(short.into_inner().is_empty());
    }

    #[test]
    fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..1_500)) {
        let (mut a, _) = couple();
        a.gossip(ReplicaId(2), &bytes, at(10));
        prop_assert!(a.is_live(ReplicaId(2)));
    }

    /// Well-formed nonsense, also about oneself.
    #[test]
    fn anything_a_member_says_is_borne(
        said in prop::collection::vec((messages(), prop::collection::vec((identities(), any::<u16>(), 0u8..3, 0u8..4), 0..20)), 1..20)
    ) {
        let (mut a, b) = couple();
        for (n, (message, about)) in said.into_iter().enumerate() {
            let now = at(10 + n as u64 * 50);
            let about: Vec<_> = about.into_iter().map(|(other, incarnation, state, who)| {
                let id = [*a.foca.identity(), *b.foca.identity(), other, other][usize::from(who)];
                Member::new(id, incarnation, [State::Alive, State::Suspect, State::Down][usize::from(state)])
            }).collect();
            let bytes = datagram(*b.foca.identity(), *a.foca.identity(), message, &about);
            a.gossip(ReplicaId(2), &bytes, now);
            a.tick(now);
            prop_assert!(a.foca.iter_membership_state().len() <= MAX_KNOWN);
            prop_assert!(!a.live.contains_key(&ReplicaId(1)));
        }
    }
}

#[test]
fn a_sender_speaks_for_itself_alone() {
    let (mut a, b) = couple();
    let about_me = Member::down(*a.foca.identity());
    let (ours, theirs) = (*a.foca.identity(), *b.foca.identity());
    let honest = datagram(theirs, ours, Message::Gossip, &[about_me]);
    // Over a connection to somebody else, and over none.
    a.link_up(node(3), at(0));
    assert_eq!(a.gossip(ReplicaId(3), &honest, at(1)), []);
    assert_eq!(a.gossip(ReplicaId(4), &honest, at(1)), []);
    assert_eq!(a.foca.identity().life, 0);
    assert_ne!(a.gossip(ReplicaId(2), &honest, at(1)), []);
    assert_eq!(a.foca.identity().life, 1);
}

#[test]
fn rumours_of_strangers_are_bounded() {
    let (mut a, b) = couple();
    let (ours, theirs) = (*a.foca.identity(), *b.foca.identity());
    for n in 0..100u16 {
        let stranger = |k: u16| {
            let address = (Ipv4Addr::from_bits(0x0a00_0000 + u32::from(n) * 20 + u32::from(k)), 1).into();
            Member::alive(Identity::first(Node {
                id: ReplicaId(u64::from(n) * 20 + 100 + u64::from(k)),
                address,
                started: at(0),
            }))
        };
        let about: Vec<_> = (0..20).map(stranger).collect();
        a.gossip(ReplicaId(2), &datagram(theirs, ours, Message::Gossip, &about), at(1));
    }
    let known = a.foca.iter_membership_state().len();
    assert!((200..=MAX_KNOWN).contains(&known), "{known}");
    // Dials are bounded by who is known, and by time.
    assert!(a.dialled.len() <= MAX_KNOWN);
}

#[test]
fn a_goodbye_is_for_good() {
    let (mut a, mut b) = couple();
    b.leave(at(50));
    assert_eq!(b.tick(at(60)), []);
    assert_eq!(b.link_up(node(3), at(60)), []);
    assert_eq!(
        a.status(ReplicaId(2), ReplicaState::Draining),
        [MemberEffect::State(ReplicaId(2), ReplicaState::Draining)]
    );

    let effects = a.goodbye(ReplicaId(2), at(60));
    assert!(effects.contains(&MemberEffect::Down(node(2))), "{effects:?}");
    assert!(!a.is_live(ReplicaId(2)) && !a.is_linked(ReplicaId(2)));
    assert_eq!(a.link_up(node(2), at(70)), []);
    // Nor in a later life, of which another tells.
    a.link_up(node(3), at(80));
    let later = Identity { node: node(2), life: 9 };
    let rumour = datagram(Identity::first(node(3)), *a.foca.identity(), Message::Gossip, &[Member::alive(later)]);
    assert_eq!(a.gossip(ReplicaId(3), &rumour, at(90)), [MemberEffect::Up(node(3))]);
    assert_eq!(a.live().count(), 2);
}

/// A goodbye may come before the first datagram.
#[test]
fn a_goodbye_of_somebody_unknown_counts() {
    let mut a = members(1);
    a.link_up(node(2), at(0));
    assert_eq!(a.goodbye(ReplicaId(2), at(1)), []);
    assert_eq!(a.goodbye(ReplicaId(3), at(1)), []);
    a.link_up(node(3), at(1));
    let rumour = datagram(
        Identity::first(node(3)),
        Identity::first(node(1)),
        Message::Gossip,
        &[Member::alive(Identity::first(node(2)))],
    );
    assert_eq!(a.gossip(ReplicaId(3), &rumour, at(2)).iter().filter(|e| matches!(e, MemberEffect::Up(_))).count(), 1);
    assert!(!a.is_live(ReplicaId(2)));
}

#[test]
fn states_are_what_replicas_say_of_themselves() {
    let (mut a, _) = couple();
    assert_eq!(a.linked().collect::<Vec<_>>(), [(ReplicaId(2), ReplicaState::Joining)]);
    assert_eq!(a.ready().count(), 0);
    a.set_state(ReplicaState::Ready);
    assert_eq!(a.ready().collect::<Vec<_>>(), [ReplicaId(1)]);
    let ready = ReplicaState::Ready;
    assert_eq!(a.status(ReplicaId(2), ready), [MemberEffect::State(ReplicaId(2), ready)]);
    assert_eq!(a.status(ReplicaId(2), ready), []);
    assert_eq!(a.status(ReplicaId(3), ready), [], "no connection");
    assert_eq!(a.ready().collect::<Vec<_>>(), [ReplicaId(1), ReplicaId(2)]);
    assert!(a.is_ready(ReplicaId(1)) && a.is_ready(ReplicaId(2)) && !a.is_ready(ReplicaId(3)));
    // Its connection is gone but it is live: its state is remembered. Then it is down, and forgotten.
    a.link_down(ReplicaId(2), at(10));
    assert!(a.is_ready(ReplicaId(2)));
    for millis in (20..1_000).step_by(50) {
        a.tick(at(millis));
    }
    assert!(!a.is_live(ReplicaId(2)));
    assert!(!a.states.contains_key(&ReplicaId(2)));
}

/// The suspect has little time to object, so the others hear of it at once.
#[test]
fn a_suspicion_is_told_at_once() {
    let (mut a, _) = couple();
    a.link_up(node(3), at(0));
    let hello = datagram(Identity::first(node(3)), *a.foca.identity(), Message::Gossip, &[]);
    assert_eq!(a.gossip(ReplicaId(3), &hello, at(0)), [MemberEffect::Up(node(3))]);
    let effects = a.link_down(ReplicaId(2), at(10));
    let told = |effect: &MemberEffect| matches!(effect, MemberEffect::Send { to, .. } if *to == ReplicaId(3));
    assert!(effects.iter().any(told), "{effects:?}");
    assert!(effects.contains(&MemberEffect::Dial(node(2).address)), "{effects:?}");
}

/// Two processes that are told the same address: the older one gives way, again and again, but seldom.
#[test]
fn a_disputed_address_makes_no_storm() {
    let mut a = members(1);
    let (same, other) = (node(1).address, node(3));
    a.link_up(other, at(0));
    let rival = Identity::first(Node { id: ReplicaId(9), address: same, started: Timestamp(6) });
    let mut sent = 0;
    for millis in (0..10_000).step_by(10) {
        let undead = datagram(Identity::first(other), *a.foca.identity(), Message::TurnUndead, &[Member::alive(rival)]);
        sent += a.gossip(other.id, &undead, at(millis)).len() + a.tick(at(millis)).len();
    }
    assert!((5..=12).contains(&a.foca.identity().life), "{}", a.foca.identity().life);
    assert!(sent < 600, "{sent}");
}

#[test]
fn an_address_means_the_same_everywhere() {
    let scoped = std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, 7946, 3, 4);
    let mut a = members(1);
    a.link_up(Node { address: scoped.into(), ..node(2) }, at(0));
    let theirs = Node { address: (std::net::Ipv6Addr::LOCALHOST, 7946).into(), ..node(2) };
    let hello = datagram(Identity::first(theirs), Identity::first(node(1)), Message::Gossip, &[]);
    assert_eq!(a.gossip(ReplicaId(2), &hello, at(0)), [MemberEffect::Up(theirs)]);
}

#[test]
fn one_may_not_be_linked_to_oneself_or_to_too_many() {
    let mut a = members(1);
    assert_eq!(a.link_up(node(1), at(0)), []);
    for n in 2..100 {
        a.link_up(node(n), at(0));
    }
    assert_eq!(a.linked().count(), MAX_LINKS);
}
