use std::collections::HashSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::*;

fn classified(target: &str) -> Target {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (target, None),
    };
    classify(path.as_bytes(), query, "room").unwrap()
}

fn room(tenant: &str, room: &str) -> Target {
    Target::Room(RoomName { tenant: tenant.into(), room: room.into() })
}

fn page(tenant: &str, room: &str) -> Target {
    Target::Page(RoomName { tenant: tenant.into(), room: room.into() })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[test]
fn one_room_in_every_encoding() {
    for value in
        ["ò", "Ò", "o\u{300}", "%c3%b2", "%C3%B2", "%c3%92", "%25c3%25b2", "%25C3%2592", "o%CC%80", "%2525c3%2525b2"]
    {
        assert_eq!(classified(&format!("/http-bind?room={value}")), room("", "ò"), "{value}");
    }
}

#[test]
fn the_issues_own_example() {
    let (once, twice) = ("/http-bind?room=Caf%C3%A9", "/http-bind?room=caf%25c3%25a9");
    assert_eq!(classified(once), room("", "café"));
    assert_eq!(classified(once), classified(twice));
}

#[test]
fn a_plus_is_a_space_in_the_first_round_of_a_query_only() {
    assert_eq!(classified("/http-bind?room=a+b"), room("", "a b"));
    assert_eq!(classified("/http-bind?room=a%20b"), room("", "a b"));
    assert_eq!(classified("/http-bind?room=a%2520b"), room("", "a b"));
    assert_eq!(classified("/http-bind?room=a%2Bb"), room("", "a+b"));
    assert_eq!(classified("/a+b/http-bind?room=x"), room("a+b", "x"));
}

#[test]
fn a_round_that_is_not_utf8_is_not_taken() {
    assert_eq!(classified("/http-bind?room=caf%E9"), room("", "caf%e9"));
    assert_eq!(classified("/http-bind?room=caf%25E9"), room("", "caf%e9"));
    assert_eq!(classified("/http-bind?room=100%25"), room("", "100%"));
    assert_eq!(classified("/http-bind?room=%zz%4"), room("", "%zz%4"));
    let raw = classify(b"/http-bind", Some(b"room=Caf\xe9"), "room").unwrap();
    assert_eq!(raw, room("", "caf%e9"));
}

#[test]
fn decoding_ends_after_three_rounds() {
    assert_eq!(classified("/http-bind?room=%25252541"), room("", "%41"));
    assert_eq!(classified("/http-bind?room=%252541"), room("", "a"));
}

#[test]
fn compatibility_forms_are_one_room() {
    for value in ["ＡＢＣ", "ａｂｃ", "ⓐⓑⓒ", "ABC"] {
        assert_eq!(classified(&format!("/http-bind?room={value}")), room("", "abc"), "{value}");
    }
    assert_eq!(classified("/http-bind?room=％41"), room("", "a"));
    assert_eq!(classified("/http-bind?room=ﬁ"), room("", "fi"));
    // Lower case can make a letter that composes.
    assert_eq!(classified("/http-bind?room=J\u{30c}"), room("", "\u{1f0}"));
}

#[test]
fn the_first_occurrence_counts() {
    assert_eq!(classified("/http-bind?token=x&room=a&room=b"), room("", "a"));
    assert_eq!(classified("/http-bind?roomy=x&xroom=y&room=a"), room("", "a"));
    assert_eq!(classified("/http-bind?r%6Fom=a"), room("", "a"));
    assert_eq!(classified("/http-bind?room=a=b"), room("", "a=b"));
    assert_eq!(classify(b"/http-bind", Some(b"room=a&r=b"), "r"), Ok(room("", "b")));
}

#[test]
fn an_empty_room_is_no_room() {
    for target in ["/http-bind?room=", "/http-bind?room", "/http-bind?room=&room=b", "/http-bind?"] {
        assert_eq!(classified(target), Target::Roomless, "{target}");
    }
    assert_eq!(classified("/lobby?room="), page("", "lobby"));
}

#[test]
fn the_tenant_is_the_path_before_the_endpoint() {
    assert_eq!(classified("/Ten/http-bind?room=x"), room("ten", "x"));
    assert_eq!(classified("//a//b/xmpp-websocket?room=x"), room("a/b", "x"));
    assert_eq!(classified("/t%C3%96/config.js?room=x"), room("tö", "x"));
    assert_eq!(classified("/conference-request/v1?room=x"), room("", "x"));
    assert_eq!(classified("/ten/conference-request/v1?room=x"), room("ten", "x"));
    assert_eq!(classified("/ten/_api/room-info?room=x"), room("ten", "x"));
    assert_eq!(classified("/colibri-ws/jvb-1/ab/cd?room=x"), room("", "x"));
    assert_eq!(classified("/?room=x"), room("", "x"));
    assert_eq!(classified("/http-bind/?room=x"), room("", "x"));
}

#[test]
fn pages() {
    assert_eq!(classified("/Lobby"), page("", "lobby"));
    assert_eq!(classified("/Ten/R%C3%B6om?lang=de"), page("ten", "röom"));
    assert_eq!(classified("/a/b/c"), page("a/b", "c"));
    // jitsi-meet strips these before it names the room.
    assert_eq!(classified("/O'Hara+(Team)"), page("", "oharateam"));
    for target in [
        "",
        "/",
        "/ten/",
        "/index.html",
        "/libs/app.bundle.min.js",
        "/libs/app",
        "/ten/static/x",
        "/static",
        "/http-bind",
        "/ten/xmpp-websocket",
        "/_unlock",
        "/about/health",
        "/v1/_cdn/x",
        "/favicon.ico",
        "/etherpad/p/x",
        "/socket.io/",
        "/colibri-ws/a/b",
        "/conference-request/v1",
        "/_api/room-info",
        "/!",
    ] {
        assert_eq!(classified(target), Target::Roomless, "{target}");
    }
}

#[test]
fn a_page_and_its_requests_have_one_key() {
    let key = |target: &str| match classified(target) {
        Target::Room(name) | Target::Page(name) => KeyHasher::default().key(&name),
        Target::Roomless => panic!("{target}"),
    };
    assert_eq!(key("/Ten/Röom"), key("/ten/http-bind?room=r%C3%B6om"));
    assert_eq!(key("/Ten/Röom"), key("/TEN/xmpp-websocket?room=r%25c3%25b6om"));
    assert_ne!(key("/ten/room"), key("/room"));
    assert_ne!(key("/a/http-bind?room=x"), key("/b/http-bind?room=x"));
    assert_ne!(key("/http-bind?room=ax"), key("/a/http-bind?room=x"));
}

#[test]
fn names_are_bounded() {
    let query = |len: usize| format!("room={}", "x".repeat(len)).into_bytes();
    let long = "y".repeat(MAX_RAW_NAME + 1);
    assert!(classify(b"/http-bind", Some(&query(MAX_RAW_NAME)), "room").is_ok());
    assert_eq!(classify(b"/http-bind", Some(&query(2049)), "room"), Err(NameTooLong(2049)));
    let tenant = format!("/{long}/http-bind");
    assert!(classify(tenant.as_bytes(), Some(b"room=x"), "room").is_err());
    assert_eq!(classify(format!("/{long}").as_bytes(), None, "room"), Err(NameTooLong(2049)));
    // Not a room's name, so not too long for one.
    assert_eq!(classify(format!("/libs/{long}").as_bytes(), None, "room"), Ok(Target::Roomless));
}

#[test]
fn keys_are_printed_and_read() {
    let key = RoomKey(0x0123_4567_89ab_cdef);
    assert_eq!(key.to_string(), "00000000000000000123456789abcdef");
    assert_eq!(key.to_string().parse(), Ok(key));
    for wrong in ["", "1", "+0000000000000000123456789abcdef", &"g".repeat(32), &"0".repeat(33)] {
        assert_eq!(wrong.parse::<RoomKey>(), Err(RoomKeyError));
    }
}

#[test]
fn secrets_differ_in_keys_and_fingerprints() {
    let (a, b, name) = (KeyHasher::new(b"a"), KeyHasher::new(b"b"), RoomName::new("", "x"));
    assert_ne!(a.key(&name), b.key(&name));
    assert_ne!(a.fingerprint(), b.fingerprint());
    assert_eq!(a.key(&name), KeyHasher::new(b"a").key(&name));
    assert!(!format!("{a:?}").contains('['));
}

/// Snapshots hold keys: the published one must never change.
#[test]
fn the_published_key_stays() {
    let key = KeyHasher::default().key(&RoomName::new("Ten", "Röom"));
    assert_eq!(key.to_string(), "dbafd4323e25505a0f4c882b9d0c9269");
}

#[test]
fn hashing_from_the_stack_and_streaming_agree() {
    let hasher = KeyHasher::default();
    for len in [1, ON_STACK - 2, ON_STACK - 1, ON_STACK, ON_STACK + 1, 5000] {
        let name = RoomName::new("t", &"x".repeat(len));
        let text = format!("t\0{}", "x".repeat(len));
        let whole = blake3::keyed_hash(&hasher.key, text.as_bytes());
        assert_eq!(hasher.key(&name).to_string(), whole.to_hex()[..32]);
    }
}

#[test]
fn names_are_displayed_with_their_tenant() {
    assert_eq!(RoomName::new("", "X").to_string(), "x");
    assert_eq!(RoomName::new("/A/b/", "X").to_string(), "a/b/x");
    let keys: HashSet<_> = [("a", "b/c"), ("a/b", "c")]
        .map(|(tenant, room)| KeyHasher::default().key(&RoomName::new(tenant, room)))
        .into();
    assert_eq!(keys.len(), 2, "displayed alike, but two rooms");
}

/// Text without the characters that mean something in a query or in an encoding.
fn text() -> impl Strategy<Value = String> {
    "[^%&+#％＆]{1,24}"
}

fn key_of(value: &[u8]) -> Option<RoomKey> {
    let query = [b"room=", value].concat();
    match classify(b"/xmpp-websocket", Some(&query), "room").unwrap() {
        Target::Room(name) => Some(KeyHasher::default().key(&name)),
        Target::Page(_) | Target::Roomless => None,
    }
}

/// Two rounds of folding reach the fixed point for every character, alone and under every mark that composes.
#[test]
fn folding_comes_to_rest() {
    let marks = ['\u{300}', '\u{301}', '\u{307}', '\u{30c}', '\u{308}', '\u{331}', '\u{345}', 'σ'];
    let fold = |text: &str| text.nfkc().collect::<String>().to_lowercase();
    for c in (char::MIN..=char::MAX).filter(|c| !c.is_ascii() && c.is_alphabetic() && !('一'..='\u{3ffff}').contains(c))
    {
        for mark in marks {
            let folded = fold(&fold(&format!("{c}{mark}")));
            assert_eq!(fold(&folded), folded, "{c:?} {mark:?}");
        }
    }
}

proptest! {
    #[test]
    fn raw_single_and_double_encoding_are_one_room(text in text()) {
        let once = encoded(&text);
        let twice = encoded(&once);
        let raw = key_of(text.as_bytes());
        prop_assert!(raw.is_some());
        prop_assert_eq!(raw, key_of(once.as_bytes()));
        prop_assert_eq!(raw, key_of(twice.as_bytes()));
        prop_assert_eq!(raw, key_of(once.to_ascii_lowercase().as_bytes()));
        prop_assert_eq!(raw, key_of(twice.to_ascii_lowercase().as_bytes()));
    }

    #[test]
    fn composition_and_width_do_not_matter(text in text()) {
        let key = key_of(text.as_bytes());
        prop_assert_eq!(key, key_of(encoded(&text.nfc().to_string()).as_bytes()));
        prop_assert_eq!(key, key_of(encoded(&text.nfd().to_string()).as_bytes()));
        prop_assert_eq!(key, key_of(encoded(&text.nfkd().to_string()).as_bytes()));
    }

    #[test]
    fn case_does_not_matter(text in "[a-zß-öø-ÿа-яα-ρ一-十 _-]{1,24}") {
        // `ß` has no single capital.
        let upper: String = text.chars().map(|c| if c == 'ß' { c } else { c.to_uppercase().next().unwrap() }).collect();
        prop_assert_eq!(key_of(encoded(&text).as_bytes()), key_of(encoded(&upper).as_bytes()));
    }

    #[test]
    fn a_normalised_name_is_its_own_name(tenant in "([^%/]{1,6}/){0,2}[^%/]{0,6}", room in text()) {
        let name = RoomName::new(&tenant, &room);
        prop_assert_eq!(&RoomName::new(name.tenant(), name.room()), &name);
    }

    #[test]
    fn different_tenants_are_different_rooms(a in "[a-z]{0,4}", b in "[a-z]{0,4}", room in "[a-z]{1,4}") {
        let hasher = KeyHasher::default();
        let same = hasher.key(&RoomName::new(&a, &room)) == hasher.key(&RoomName::new(&b, &room));
        prop_assert_eq!(same, a == b);
    }

    #[test]
    fn any_bytes_are_answered_in_bounds(path: Vec<u8>, value: Vec<u8>) {
        let query = [b"room=".as_slice(), &value].concat();
        if let Ok(Target::Room(name) | Target::Page(name)) = classify(&path, Some(&query), "room") {
            // NFKC's worst expansion is 18 characters for one (U+FDFA), and an invalid byte becomes three.
            prop_assert!(name.room().len() <= value.len().max(path.len()) * 18);
            prop_assert!(!name.room().is_empty());
        }
    }

    #[test]
    fn page_and_request_agree(tenant in "[^%/+&#?.:;=@!$'()*,><\"\\[\\]％．]{1,8}", room in "[^%/+&#?.:;=@!$'()*,><\"\\[\\]％．]{1,8}") {
        let path = format!("/{}/{}", encoded(&tenant), encoded(&room));
        let request = format!("/{}/http-bind?room={}", encoded(&tenant), encoded(&encoded(&room)));
        if let Target::Page(page) = classified(&path) {
            prop_assert_eq!(Target::Room(page), classified(&request));
        }
    }
}
