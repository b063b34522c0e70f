use serde_json::json;

use super::*;

#[tokio::test]
async fn a_room_is_found_by_any_of_its_spellings() {
    let admin = start(None).await;
    let key = admin.pin("ten", "caf\u{e9}", "a").to_string();
    for spelling in ["ten/caf%C3%A9", "Ten/Caf%c3%a9", "TEN/CAF%25C3%2589", "ten/cafe%CC%81", &key, &key.to_uppercase()]
    {
        let (status, room) = admin.get(&format!("/v1/rooms/{spelling}")).await;
        assert_eq!((status, &room["key"], &room["shard"]), (200, &json!(key), &json!("a")), "{spelling}");
    }
    for other in ["caf%C3%A9", "x/ten/caf%C3%A9", "ten%2Fcaf%C3%A9", "ten/cafe"] {
        assert_error(&admin.get(&format!("/v1/rooms/{other}")).await, 404, "not pinned");
    }
}

#[tokio::test]
async fn a_room_named_like_a_key_is_a_room() {
    let admin = start(None).await;
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let key = admin.pin("", md5, "b").to_string();
    assert_eq!(admin.get(&format!("/v1/rooms/{md5}")).await.1["key"], json!(key));
}

#[tokio::test]
async fn a_room_tells_its_age_and_what_holds_it() {
    let admin = start(None).await;
    let key = admin.pin("", "room", "a");
    let (_, room) = admin.get("/v1/rooms/room").await;
    assert_eq!((&room["name"], &room["tunnels"]), (&json!(null), &json!(0)));
    // A minute of slack for a busy machine.
    let seconds = |field: &str| room[field].as_u64().unwrap();
    assert!(seconds("age_s") < 60 && seconds("idle_s") < 60, "{room}");
    assert!((540..=600).contains(&seconds("expires_in_s")), "{room}");
    admin.router.tunnel_opened(key, admin.shard("a"), admin.clock.now());
    admin.tunnels.open(key, admin.shard("a"), "room");
    let (_, room) = admin.get("/v1/rooms/room").await;
    assert_eq!((&room["name"], &room["tunnels"], &room["expires_in_s"]), (&json!("room"), &json!(1), &json!(null)));
    assert_eq!(admin.router.len(), 1, "looking makes no pin");
    assert_error(&admin.get("/v1/rooms/other").await, 404, "not pinned");
    assert_eq!(admin.router.len(), 1, "looking makes no pin");
}

#[tokio::test]
async fn pages_cover_every_room_once() {
    let admin = start(None).await;
    let mut keys: Vec<_> =
        (0..250).map(|n| admin.pin("", &format!("room{n}"), ["a", "b"][n % 2]).to_string()).collect();
    keys.sort();
    let mut seen = Vec::new();
    let mut path = "/v1/rooms?limit=100".to_owned();
    for expected in [100, 100, 50] {
        let (status, page) = admin.get(&path).await;
        assert_eq!(status, 200);
        let rooms: Vec<_> =
            page["rooms"].as_array().unwrap().iter().map(|room| room["key"].as_str().unwrap().to_owned()).collect();
        assert_eq!(rooms.len(), expected);
        path = format!("/v1/rooms?limit=100&after={}", page["next"].as_str().unwrap_or_default());
        assert_eq!(page["next"].is_null(), expected == 50);
        seen.extend(rooms);
    }
    assert_eq!(seen, keys);
    let (_, page) = admin.get("/v1/rooms?shard=b&limit=1000").await;
    assert_eq!(page["rooms"].as_array().unwrap().len(), 125);
    assert!(page["rooms"].as_array().unwrap().iter().all(|room| room["shard"] == "b"));
    assert_eq!(admin.get("/v1/rooms?limit=250").await.1["next"], json!(null));
    assert_eq!(admin.get("/v1/rooms").await.1["rooms"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn a_bad_query_is_explained() {
    let admin = start(None).await;
    for limit in ["0", "1001"] {
        assert_error(&admin.get(&format!("/v1/rooms?limit={limit}")).await, 400, "1 to 1000");
    }
    assert_error(&admin.get("/v1/rooms?limit=many").await, 400, "limit");
    assert_error(&admin.get("/v1/rooms?after=7").await, 400, "32 hexadecimal");
    assert_error(&admin.get("/v1/rooms?shard=z").await, 400, "known are a, b, c");
    assert_error(&admin.get("/v1/rooms?colour=red").await, 400, "colour");
    assert_error(&admin.get("/v1/rooms/ten/").await, 400, "missing");
    assert_eq!(admin.get(&format!("/v1/rooms/{}", "x".repeat(5_000))).await.0, 414);
}

#[tokio::test]
async fn put_makes_keeps_and_moves() {
    let admin = start(None).await;
    let (status, made) = admin.put("/v1/rooms/ten/room", "{\"shard\":\"a\"}").await;
    assert_eq!((status, &made["outcome"], &made["room"]["shard"]), (200, &json!("made"), &json!("a")), "{made}");
    let key = KeyHasher::default().key(&RoomName::new("ten", "room"));
    assert_eq!(made["room"]["key"], json!(key.to_string()));
    let epoch = made["room"]["epoch"].as_u64().unwrap();
    for _ in 0..2 {
        admin.tunnels.open(key, admin.shard("a"), "ten/room");
    }
    let (_, same) = admin.put("/v1/rooms/ten/room", "{\"shard\":\"a\"}").await;
    assert_eq!(
        (&same["outcome"], &same["tunnels_closing"], &same["from"]),
        (&json!("unchanged"), &json!(0), &json!(null))
    );
    assert_eq!(same["room"]["epoch"], json!(epoch));
    let (_, moved) = admin.put(&format!("/v1/rooms/{key}"), "{\"shard\":\"c\"}").await;
    assert_eq!(
        (&moved["outcome"], &moved["from"], &moved["tunnels_closing"]),
        (&json!("moved"), &json!("a"), &json!(2))
    );
    assert_eq!((&moved["room"]["shard"], &moved["room"]["epoch"]), (&json!("c"), &json!(epoch + 1)));
    let text = admin.get("/metrics").await.1;
    for line in [
        "roompin_pins_made_total{shard=\"a\"} 1",
        "roompin_pins_moved_total{to=\"c\"} 1",
        "roompin_pins{shard=\"c\"} 1",
    ] {
        assert!(text.as_str().unwrap().contains(line), "{line}");
    }
}

#[tokio::test]
async fn put_refuses_shards_that_take_no_room() {
    let admin = start(None).await;
    assert_error(&admin.put("/v1/rooms/x", "{\"shard\":\"z\"}").await, 422, "known are a, b, c");
    admin.pin("", "there", "a");
    for order in ["drain", "down"] {
        admin.post(&format!("/v1/shards/a/{order}")).await;
        assert_error(&admin.put("/v1/rooms/x", "{\"shard\":\"a\"}").await, 409, "takes no new room");
    }
    assert_eq!(admin.router.len(), 1);
    admin.post("/v1/shards/a/drain").await;
    assert_eq!(admin.put("/v1/rooms/there", "{\"shard\":\"a\"}").await.1["outcome"], json!("unchanged"));
}

#[tokio::test]
async fn delete_forgets_the_pin_and_closes_its_tunnels() {
    let admin = start(None).await;
    let key = admin.pin("", "room", "a");
    admin.tunnels.open(key, admin.shard("a"), "room");
    let (status, gone) = admin.delete("/v1/rooms/room").await;
    assert_eq!((status, &gone["shard"], &gone["tunnels_closing"]), (200, &json!("a"), &json!(1)));
    assert_eq!(admin.tunnels.open_on(admin.shard("a")), 0);
    assert_error(&admin.delete("/v1/rooms/room").await, 404, "not pinned");
    assert_error(&admin.get("/v1/rooms/room").await, 404, "not pinned");
}

#[tokio::test]
async fn a_full_table_is_said_to_be_full() {
    let admin = start(None).await;
    admin.router.set_limits(Duration::from_secs(600), 1);
    assert_eq!(admin.put("/v1/rooms/x", "{\"shard\":\"a\"}").await.0, 200);
    let full = admin.put("/v1/rooms/y", "{\"shard\":\"a\"}").await;
    assert_error(&full, 503, "rooms.max_pins");
}
