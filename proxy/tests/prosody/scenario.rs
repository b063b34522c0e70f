//! What must hold behind any proxy that pins, given only its base URL.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Barrier;

use super::{
    address::{Spelling, service_url},
    conference::{Conference, fresh_room},
    session::Transport,
    verdict::Verdict,
};
use crate::support::Prosody;

/// Rooms opened at most to get some on each shard. A placement that puts 24 rooms on one of two shards is broken.
const ROOMS_LIMIT: usize = 24;

/// Two shards with different names.
pub(crate) async fn two_shards() -> [Prosody; 2] {
    tokio::join!(Prosody::start("shard-1"), Prosody::start("shard-2")).into()
}

/// Six over WebSocket and three over BOSH meet; the shards themselves and the proxy's header agree on where.
pub(crate) async fn nine_meet(base: &str, shards: &[Prosody]) {
    let conference = Conference::gather(base, "nine", 6, 3).await;
    let shard = conference.together().await;
    conference.assert_undisturbed();
    assert_eq!(conference.census(shards).await, BTreeMap::from([(shard.clone(), 9)]));
    conference.talk("hello").await;

    let named = [shard.clone()];
    for member in &conference.members {
        assert_eq!(member.seen().shard_headers, named, "X-Jitsi-Shard for {} ({:?})", member.nick, member.transport);
    }
    // lib-jitsi-meet's keepalive: a plain GET of the service URL, whose header it compares with its shard.
    let url = service_url(base, "/xmpp-websocket", Some((&conference.room, Spelling::Twice)));
    let client = reqwest::Client::builder().no_proxy().build().expect("build a client");
    let answer = client.get(url).send().await.expect("keepalive");
    assert_eq!(
        answer.headers().get("x-jitsi-shard").map(reqwest::header::HeaderValue::as_bytes),
        Some(shard.as_bytes())
    );
}

/// Conferences of two WebSockets and one BOSH session each, at least two on either shard: shard → conferences.
pub(crate) async fn rooms_on_both(base: &str) -> BTreeMap<String, Vec<Conference>> {
    let mut rooms = BTreeMap::<String, Vec<Conference>>::new();
    for _ in 0..ROOMS_LIMIT {
        let conference = Conference::gather(base, "side", 2, 1).await;
        rooms.entry(conference.together().await).or_default().push(conference);
        if rooms.len() == 2 && rooms.values().all(|rooms| rooms.len() >= 2) {
            return rooms;
        }
    }
    let counts: BTreeMap<_, _> = rooms.iter().map(|(shard, rooms)| (shard, rooms.len())).collect();
    panic!("{ROOMS_LIMIT} rooms did not come to lie on both shards: {counts:?}");
}

/// Rooms live side by side on both shards: each is whole, and none hears another.
pub(crate) async fn rooms_side_by_side(base: &str, shards: &[Prosody]) {
    let rooms = rooms_on_both(base).await;
    for (shard, conference) in rooms.iter().flat_map(|(shard, rooms)| rooms.iter().map(move |room| (shard, room))) {
        conference.talk(&format!("only in {}", conference.room)).await;
        // Still so after all others came.
        assert_eq!(conference.together().await, *shard);
        conference.assert_undisturbed();
        assert_eq!(conference.census(shards).await, BTreeMap::from([(shard.clone(), 3)]));
        for member in &conference.members {
            let messages = member.seen().messages;
            assert!(messages.iter().all(|text| text.ends_with(&conference.room)), "foreign talk: {messages:?}");
        }
    }
}

/// Clients that spell a non-ASCII room in three ways are in one MUC.
pub(crate) async fn spellings_meet(base: &str, shards: &[Prosody]) {
    // Latin with a diacritic, CJK (whose double encoding takes 15 bytes a character), and a decomposed accent that
    // only NFKC unites with the rest.
    for name in ["caffè-ò", "会議室で会いましょう", "re\u{301}union"] {
        let mut conference = Conference::new(base, &fresh_room(name));
        for spelling in [Spelling::Twice, Spelling::Once, Spelling::Raw] {
            conference.join_and_wait(Transport::WebSocket, Some(spelling)).await;
            conference.join_and_wait(Transport::Bosh, Some(spelling)).await;
        }
        let shard = conference.together().await;
        conference.assert_undisturbed();
        assert_eq!(conference.census(shards).await, BTreeMap::from([(shard, 6)]));
    }
}

/// Opens `rooms` fresh rooms; in each, two clients send their first request at the same instant. All rooms at once.
pub(crate) async fn pairs_at_one_instant(base: &str, rooms: usize) -> Vec<Conference> {
    let mut pairs = Vec::with_capacity(rooms);
    for index in 0..rooms {
        let mut pair = Conference::new(base, &fresh_room("instant"));
        let start = Arc::new(Barrier::new(2));
        // A third of the rooms mixes the transports.
        let second = if index % 3 == 0 { Transport::Bosh } else { Transport::WebSocket };
        pair.join(Transport::WebSocket, Some(Spelling::Twice), Some(&start));
        pair.join(second, Some(Spelling::Twice), Some(&start));
        pairs.push(pair);
    }
    for pair in &pairs {
        pair.settle().await;
    }
    pairs
}

/// One shard dies by SIGKILL: its rooms meet again on the other one, whose own rooms notice nothing.
pub(crate) async fn survives_a_shard(base: &str, shards: &mut [Prosody]) {
    let rooms = rooms_on_both(base).await;
    let (dying, living) = shards.split_first_mut().expect("two shards");
    let living = &living[0];
    let bystanders = &rooms[living.name()];
    for room in bystanders {
        room.talk("before").await;
    }

    dying.process.kill();

    // At once, while the proxy finds out, and again when the others have moved in.
    for room in bystanders {
        room.talk("meanwhile").await;
    }
    for room in &rooms[dying.name()] {
        // Nobody may be judged by what it knew before the kill.
        super::conference::wait_until(std::time::Duration::from_secs(10), || {
            room.members.iter().all(|member| member.seen().failure.is_some())
        })
        .await;
        assert_eq!(room.together().await, living.name(), "{:?} after its shard died", room.room);
        assert!(room.members.iter().all(|member| member.seen().sessions >= 2), "everyone came back");
        room.talk("after").await;
        assert_eq!(room.census(std::slice::from_ref(living)).await[living.name()], room.members.len());
    }
    for room in bystanders {
        room.talk("afterwards").await;
        assert_eq!(room.together().await, living.name());
        room.assert_undisturbed();
    }
}

/// Fresh rooms of two well-behaved clients, each then joined by one without `room=` in its URL, until one is not
/// together. However the proxy chooses for a request without a room (at random, in turn, always the same shard), it
/// misses the room's shard about every second time, so 24 rooms in a row stay whole with a chance of 2⁻²⁴.
pub(crate) async fn room_with_broken_pins(base: &str) -> Verdict {
    for _ in 0..ROOMS_LIMIT {
        let mut conference = Conference::gather(base, "blind", 2, 0).await;
        let shard = conference.together().await;
        conference.join_and_wait(Transport::WebSocket, None).await;
        let verdict = conference.settle().await;
        if verdict != (Verdict::Together { shard }) {
            return verdict;
        }
    }
    panic!("{ROOMS_LIMIT} clients without a room all found it");
}
