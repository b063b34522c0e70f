//! HAProxy's agent check, spoken by a stub, and what `/v1/shards` makes of it.

use loadtest::stub::{StubOptions, StubShard};

use crate::house::{House, rooms, stub};

#[tokio::test]
async fn what_an_agent_says_holds_until_it_says_otherwise() {
    let any = "127.0.0.1:0".parse().unwrap();
    let options = StubOptions { agent: Some(any), ..StubOptions::default() };
    let (a, b) = (StubShard::start_with("a", any, options).await.unwrap(), stub("b").await);
    let house = House::start(&format!(
        "shards: {{static: [{{name: a, address: \"{}\", agent_port: {}, weight: 50}}, {{name: b, address: \"{}\"}}]}}\n\
         probes: {{tcp: {{}}, agent: {{interval: 100ms, timeout: 100ms, rise: 1, fall: 1}}}}\n",
        a.addr,
        a.agent_addr().unwrap().port(),
        b.addr
    ))
    .await;
    let shard = house.until_shard("a", "its agent has spoken", |shard| !shard["agent"].is_null()).await;
    assert_eq!((&shard["agent"]["weight"], &shard["agent"]["admin"]), (&"100%".into(), &"ready".into()), "{shard}");
    let seats = house.visit_all(&rooms("room", 30)).await;
    let (here, there): (Vec<_>, Vec<_>) = seats.keys().partition(|room| seats[*room] == "a");
    assert!(!here.is_empty() && !there.is_empty());

    a.set_agent("drain");
    let shard = house.until_shard("a", "drains", |shard| shard["state"] == "draining").await;
    assert_eq!((&shard["why"], &shard["health"]), (&"its agent says drain".into(), &"ready".into()), "{shard}");
    assert_eq!(house.visit(here[0]).await, "a", "its rooms stay");
    for seat in house.visit_all(&rooms("new", 15)).await.values() {
        assert_eq!(seat, "b", "new ones go elsewhere");
    }

    a.set_agent("ready");
    house.until_shard("a", "is ready again", |shard| shard["state"] == "ready").await;

    a.set_agent("maint");
    let shard = house.until_shard("a", "is in maintenance", |shard| shard["state"] == "down").await;
    assert_eq!(shard["why"], "its agent says maint", "{shard}");
    assert_eq!(house.visit(here[0]).await, "b", "its rooms move");
    // HAProxy: `up` does not end a maintenance, `ready` does.
    a.set_agent("up");
    a.set_agent("ready up");
    house.until_shard("a", "is ready again", |shard| shard["state"] == "ready").await;

    a.set_agent("down # out of files");
    let shard = house.until_shard("a", "is down", |shard| shard["state"] == "down").await;
    assert_eq!(shard["why"], "its agent says down: out of files", "{shard}");
    assert_eq!(shard["agent"]["down"], "out of files", "{shard}");
    a.set_agent("up");
    house.until_shard("a", "is up again", |shard| shard["state"] == "ready").await;

    a.set_agent("50%");
    let shard = house.until_shard("a", "weighs half", |shard| shard["weight"] == 2500).await;
    assert_eq!((&shard["state"], &shard["agent"]["weight"]), (&"ready".into(), &"50%".into()), "{shard}");
    a.set_agent("0%");
    let shard = house.until_shard("a", "weighs nothing", |shard| shard["weight"] == 0).await;
    assert_eq!((&shard["state"], &shard["why"]), (&"draining".into(), &"its weight is 0".into()), "{shard}");
    a.set_agent("100% what?");
    house
        .until_metrics("an answer that is none is counted", |m| {
            m.get(r#"roompin_probe_results_total{probe="agent",result="failed",shard="a"}"#) >= Some(1.0)
        })
        .await;
    assert_eq!(house.shard("a").await["weight"], 0, "half an answer changes nothing");
}
