//! Access lines: machines can read them, and nobody learns a room's name from them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::house::{House, fixed, stub, until};

/// Makes every kind of request, each with `Sekrit` in the room's name and `t0ken` in the query.
async fn traffic(house: &House) {
    for path in [
        "/http-bind?room=Sekrit1&token=t0ken",
        "/acme/http-bind?room=Sekrit%C3%A9&token=t0ken",
        "/Sekrit1?jwt=t0ken",
        "/acme/Sekrit2",
        "/Sekrit1?room=Sekrit1",
        "/config.js?room=Sekrit1",
        "/libs/app.js",
        "/about/health",
        "/_health",
    ] {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
    let mut tunnel = house.tunnel("Sekrit1").await;
    tunnel.who().await;
    tunnel.leave().await;
    house.until_logged(&["roompin_access", "tunnel", "end"]).await;
}

fn assert_discreet(log: &str) {
    let lower = log.to_lowercase();
    assert!(!lower.contains("sekrit") && !lower.contains("t0ken"), "{log}");
}

#[tokio::test]
async fn text_lines_can_be_taken_apart() {
    let a = stub("a").await;
    let house = House::start(&fixed(&[&a])).await;
    traffic(&house).await;
    let log = house.process.log();
    assert_discreet(&log);
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" roompin_access: ")).collect();
    let key = house.json("/v1/rooms/Sekrit1").await["key"].as_str().unwrap().to_owned();
    let fields = |line: &str| -> BTreeMap<String, String> {
        let words = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        words.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
    };
    let requests: Vec<_> =
        lines.iter().filter(|line| line.contains("roompin_access: request ")).map(|l| fields(l)).collect();
    assert_eq!(requests.len(), 7, "health checks are left out: {lines:#?}");
    let seen: Vec<_> = requests.iter().map(|line| (line["path"].as_str(), line["pin"].as_str())).collect();
    let expected = [
        ("/http-bind", "made"),
        ("/acme/http-bind", "made"),
        ("/*", "page"),
        ("/acme/*", "page"),
        ("/*", "found"),
        ("/config.js", "found"),
        ("/libs/app.js", "none"),
    ];
    assert_eq!(seen, expected);
    for request in &requests {
        assert_eq!((request["status"].as_str(), request["shard"].as_str()), ("200", "a"), "{request:?}");
        assert!(request["total_ms"].parse::<f64>().is_ok() && request["bytes"].parse::<u64>().is_ok(), "{request:?}");
    }
    assert_eq!(requests[0]["room"], key);
    assert_eq!(requests[5]["room"], key);
    assert_eq!(requests[6]["room"], "-");
    let tunnels: Vec<_> =
        lines.iter().filter(|line| line.contains("roompin_access: tunnel ")).map(|l| fields(l)).collect();
    assert_eq!(tunnels.len(), 1, "{lines:#?}");
    assert_eq!(
        (tunnels[0]["room"].as_str(), tunnels[0]["end"].as_str()),
        (key.as_str(), "shard"),
        "a WebSocket's server closes first"
    );
}

#[tokio::test]
async fn json_lines_are_json_and_all_requests_are_there_when_asked_for() {
    let a = stub("a").await;
    let house = House::start(&format!("{}log: {{format: json, access: all}}\n", fixed(&[&a]))).await;
    traffic(&house).await;
    let log = house.process.log();
    assert_discreet(&log);
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    let access: Vec<_> = lines.iter().filter(|line| line["target"] == "roompin_access").collect();
    let paths: Vec<_> = access.iter().filter_map(|line| line["path"].as_str()).collect();
    assert_eq!(paths.iter().filter(|path| matches!(**path, "/about/health" | "/_health")).count(), 2, "{paths:?}");
    let key = house.json("/v1/rooms/Sekrit1").await["key"].clone();
    let first = access.iter().find(|line| line["path"] == "/http-bind").unwrap();
    assert_eq!(
        (&first["room"], &first["status"], &first["message"]),
        (&key, &200.into(), &"request".into()),
        "{first}"
    );
    for field in ["connect_ms", "response_ms", "total_ms", "attempts", "bytes"] {
        assert!(first[field].is_number(), "{field}: {first}");
    }
    let tunnel = access.iter().find(|line| line["message"] == "tunnel").unwrap();
    assert_eq!((&tunnel["room"], &tunnel["to_shard_bytes"].is_u64()), (&key, &true), "{tunnel}");

    // Off, and text again, by a reload.
    assert!(house.reload(&format!("{}log: {{format: text, access: off}}\n", fixed(&[&a]))).await);
    let so_far = house.process.log().matches("roompin_access").count();
    house.visit("Sekrit1").await;
    assert!(house.reload(&format!("{}log: {{format: text, access: requests}}\n", fixed(&[&a]))).await);
    house.visit("Sekrit1").await;
    until("a line in text", async || house.process.log().contains(" roompin_access: request ")).await;
    assert_eq!(house.process.log().matches("roompin_access").count(), so_far + 1);
}
