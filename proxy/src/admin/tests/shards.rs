use serde_json::json;

use super::*;

#[tokio::test]
async fn lists_what_every_source_says() {
    let admin = start(None).await;
    let key = admin.pin("", "room", "b");
    admin.tunnels.open(key, admin.shard("b"), "room");
    let (status, body) = admin.get("/v1/shards").await;
    assert_eq!(status, 200);
    let names: Vec<_> = body["shards"].as_array().unwrap().iter().map(|shard| &shard["name"]).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let shard = by(&body["shards"], "name")["b"];
    for (field, expected) in [
        ("state", json!("ready")),
        ("discovery", json!("ready")),
        ("operator", json!(null)),
        ("health", json!("ready")),
        ("agent", json!(null)),
        ("weight", json!(10_000)),
        ("addresses", json!(["127.0.0.1:8081"])),
        ("source", json!("static")),
        ("present", json!(true)),
        ("rooms", json!(1)),
        ("tunnels", json!(1)),
    ] {
        assert_eq!(shard[field], expected, "{field}");
    }
    assert!(shard["why"].is_string());
}

#[tokio::test]
async fn an_order_holds_until_it_is_taken_back() {
    let admin = start(None).await;
    for (order, state, operator) in
        [("drain", "draining", json!("draining")), ("down", "down", json!("down")), ("ready", "ready", json!(null))]
    {
        let (status, shard) = admin.post(&format!("/v1/shards/a/{order}")).await;
        assert_eq!((status, &shard["state"], &shard["operator"]), (200, &json!(state), &operator));
        assert_eq!(admin.get("/v1/shards").await.1["shards"][0], shard);
        let event = admin.events.lock().unwrap().pop();
        assert!(
            matches!(&event, Some(ShardEvent::Changed { shard, to, .. }) if shard.as_str() == "a" && to.as_str() == state),
            "{event:?}"
        );
    }
    // Said twice, changed once.
    admin.post("/v1/shards/a/drain").await;
    assert_eq!(admin.post("/v1/shards/a/drain").await.0, 200);
    assert_eq!(admin.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn ready_does_not_overrule_the_other_sources() {
    let admin = start(None).await;
    let shard = ShardName::new("a").unwrap();
    for _ in 0..5 {
        let input =
            ShardInput::Probed { shard: shard.clone(), probe: ProbeKind::Http, result: Err("status 500".into()) };
        admin.router.handle(input, admin.clock.now());
    }
    let (status, shard) = admin.post("/v1/shards/a/ready").await;
    assert_eq!((status, &shard["state"], &shard["health"]), (200, &json!("down"), &json!("down")));
    assert!(shard["why"].as_str().unwrap().contains("500"), "{shard}");
}

#[tokio::test]
async fn an_unknown_shard_or_order_is_answered_with_those_there_are() {
    let admin = start(None).await;
    let answer = admin.post("/v1/shards/d/drain").await;
    assert_error(&answer, 404, "known are a, b, c");
    assert_error(&admin.post("/v1/shards/a/maint").await, 404, "drain, down, or ready");
    assert!(admin.events.lock().unwrap().is_empty());
}
