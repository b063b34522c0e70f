//! Requests that two parsers could read in two ways (RFC 9112 §11.2). Refused, and nothing behind them reaches a shard.

use crate::{
    stage::Stage,
    wire::{RawShard, fields, get, upgrade},
};

/// What an attacker hides behind another request.
const HIDDEN: &str = "GET /http-bind?room=smuggled HTTP/1.1\r\nHost: meet.example\r\n\r\n";

fn post(fields: &str) -> Vec<u8> {
    format!("POST /http-bind?room=open HTTP/1.1\r\nHost: meet.example\r\n{fields}\r\n").into_bytes()
}

/// Heads with the status that refuses them.
fn ambiguous() -> Vec<(Vec<u8>, u16)> {
    let mut cases: Vec<(Vec<u8>, u16)> = [
        // Two lengths, two codings, or both.
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \r\n",
        // Lines and names.
        "X-A: b\r\n folded: c\r\n",
        "X-A: b\r\n\tTransfer-Encoding: chunked\r\n",
        "X-A: b\rTransfer-Encoding: chunked\r\n",
        "X-A: b\nTransfer-Encoding: chunked\r\n",
        "X-A: b\r\r\n",
        "X-A: b\0c\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Content-Length: 5\r\n",
        "Content-Length\r\n",
        ": nameless\r\n",
        "Transfer\u{a0}Encoding: chunked\r\n",
        // Hosts.
        "Host: other.example\r\n",
        // Upgrades that are none of ours.
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ]
    .into_iter()
    .map(|fields| (post(fields), 400))
    .collect();
    let heads: [(&str, u16); 16] = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("\x01\x02\x03\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("CONNECT 10.0.0.1:25 HTTP/1.1\r\nHost: 10.0.0.1:25\r\n\r\n", 405),
        (
            "GET /xmpp-websocket?room=a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Content-Length: 4\r\n\r\n",
            400,
        ),
    ];
    cases.extend(heads.map(|(head, status)| (head.as_bytes().to_vec(), status)));
    cases
}

#[tokio::test]
async fn an_ambiguous_head_is_refused_and_hides_nothing() {
    let (stage, stub) = Stage::with_stub("").await;
    for (head, status) in ambiguous() {
        let shown = String::from_utf8_lossy(&head).into_owned();
        let mut wire = stage.connect().await;
        // With a body as each of the readings would have it, and the hidden request behind.
        wire.send([&head[..], b"0\r\n\r\n", HIDDEN.as_bytes()].concat()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{shown:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
        wire.ended().await;
        assert_eq!(stub.hits(), 0, "reached the shard: {shown:?}");
    }
    assert!(stage.metric("roompin_front_refusals_total{reason=\"bad_request\"}").await > 40.0);
    assert_eq!(stage.metric("roompin_front_refusals_total{reason=\"upgrade_with_body\"}").await, 4.0);

    // The stage is sound: an honest request arrives.
    assert_eq!(stage.connect().await.ask(get("/http-bind?room=open")).await.status, 200);
    assert_eq!(stub.hits(), 1);
}

/// Chunked bodies in which two parsers could see two ends.
const BROKEN_CHUNKS: [&str; 16] = [
    "zz\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5_0\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    ";ext\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5;a\nhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r\n0\n\n",
];

#[tokio::test]
async fn a_broken_chunk_ends_the_connection_and_hides_nothing() {
    let (stage, stub) = Stage::with_stub("").await;
    for chunks in BROKEN_CHUNKS {
        let mut wire = stage.connect().await;
        wire.send([&post("Transfer-Encoding: chunked\r\n"), chunks.as_bytes(), HIDDEN.as_bytes()].concat()).await;
        if let Some(answer) = wire.try_answer(false).await {
            assert_eq!(answer.status, 400, "{chunks:?}");
        }
        wire.ended().await;
        assert!(!stub.rooms_seen().contains_key("smuggled"), "smuggled behind {chunks:?}");
    }
}

/// What a shard gets has one reading, whatever the client's spelling was.
#[tokio::test]
async fn a_shard_sees_one_framing_and_no_foreign_upgrade() {
    let shard = RawShard::start(|mut wire, head| async move {
        let body = if head.starts_with("POST") { wire.body(&head).await } else { Vec::new() };
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())).await;
        wire.send(body).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;

    let chunked =
        [&post("Transfer-Encoding: Chunked\r\n")[..], b"5;ext=1\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n"].concat();
    assert_eq!(stage.connect().await.ask(chunked).await.text(), "hello");
    // h2c, and an Upgrade that Connection does not name, are answered as the ordinary requests that they are.
    for more in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\n",
        "Connection: keep-alive\r\nUpgrade: websocket\r\n",
    ] {
        let request = format!("GET /xmpp-websocket?room=open HTTP/1.1\r\nHost: meet.example\r\n{more}\r\n");
        assert_eq!(stage.connect().await.ask(request).await.status, 200);
    }
    for head in shard.heads() {
        let lengths = fields(&head, "content-length").len();
        let codings = fields(&head, "transfer-encoding");
        assert!(lengths + codings.len() <= 1, "{head}");
        assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked")), "{head}");
        assert_eq!(fields(&head, "host"), ["meet.example"], "{head}");
        assert!(fields(&head, "upgrade").is_empty() && fields(&head, "http2-settings").is_empty(), "{head}");
    }
}

/// Fields that the client names in `Connection` are its own business with us, but it cannot name ours away.
#[tokio::test]
async fn connection_cannot_remove_what_the_proxy_says() {
    let shard = RawShard::start(|mut wire, head| async move {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}", head.len());
        wire.send(text).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let nominate = "Connection: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, Host\r\nX-Real-IP: 6.6.6.6\r\n";
    let request = format!("GET /http-bind?room=a HTTP/1.1\r\nHost: meet.example\r\n{nominate}\r\n");
    let answer = stage.connect().await.ask(request).await;
    if answer.status == 200 {
        for field in ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "host"] {
            assert_eq!(fields(&answer.text(), field).len(), 1, "{field} in {}", answer.text());
        }
    } else {
        assert_eq!(answer.status, 400);
    }
    let upgrade = upgrade("a", nominate);
    let answer = stage.connect().await.ask(upgrade).await;
    for field in ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "host"] {
        assert_eq!(fields(&answer.text(), field).len(), 1, "{field} in {}", answer.text());
    }
}

/// A room name at the limit passes, one byte more is 414, on both ways through the door.
#[tokio::test]
async fn a_long_room_name_is_414() {
    let (stage, stub) = Stage::with_stub("").await;
    let (fits, long) = ("r".repeat(2048), "r".repeat(2049));
    assert_eq!(stage.connect().await.ask(get(&format!("/http-bind?room={fits}"))).await.status, 200);
    assert_eq!(stage.connect().await.ask(upgrade(&fits, "")).await.status, 101);
    let hits = stub.hits();
    for request in [get(&format!("/http-bind?room={long}")), get(&format!("/{long}")), upgrade(&long, "")] {
        let mut wire = stage.connect().await;
        assert_eq!(wire.ask(request).await.status, 414);
        wire.ended().await;
    }
    assert_eq!(stub.hits(), hits);
    assert_eq!(stage.metric("roompin_front_refusals_total{reason=\"name_too_long\"}").await, 3.0);
}
