//! What a shard is told of the client, and a client of the shard.

use crate::{
    stage::{Stage, stub},
    wire::{RawShard, fields, get, upgrade},
};

const CLAIMS: &str = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\n\
     X-Forwarded-Host: meet.public.example\r\nX-Real-IP: 198.51.100.7\r\n";

/// Answers anything with its head.
async fn mirror() -> RawShard {
    RawShard::start(|mut wire, head| async move {
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}", head.len()))
            .await;
    })
    .await
}

/// What the shard saw of an ordinary request and of an upgrade with these fields.
async fn seen(trusted: &str, claims: &str) -> Vec<[Vec<String>; 4]> {
    let shard = mirror().await;
    let stage = Stage::new(&[("s1", shard.addr)], &format!("front: {{ trusted_proxies: {trusted} }}\n")).await;
    let request = format!("GET /http-bind?room=a HTTP/1.1\r\nHost: meet.example\r\n{claims}\r\n");
    let mut all = Vec::new();
    for request in [request, upgrade("a", claims)] {
        let head = stage.connect().await.ask(request).await.text();
        let of = |name| fields(&head, name).into_iter().map(String::from).collect();
        all.push([of("x-forwarded-for"), of("x-forwarded-proto"), of("x-forwarded-host"), of("x-real-ip")]);
    }
    all
}

fn texts(words: [&str; 4]) -> [Vec<String>; 4] {
    words.map(|word| vec![word.to_owned()])
}

#[tokio::test]
async fn a_trusted_caller_is_believed_and_extended() {
    let expected = texts(["198.51.100.7, 10.9.9.9, 127.0.0.1", "https", "meet.public.example", "198.51.100.7"]);
    assert_eq!(seen("[127.0.0.0/8]", CLAIMS).await, [expected.clone(), expected]);
}

#[tokio::test]
async fn a_stranger_is_replaced() {
    let expected = texts(["127.0.0.1", "http", "meet.example", "127.0.0.1"]);
    assert_eq!(seen("[]", CLAIMS).await, [expected.clone(), expected.clone()]);
    assert_eq!(seen("[127.0.0.0/8]", "").await, [expected.clone(), expected]);
}

/// The rest of the head arrives as it was sent, on both ways.
#[tokio::test]
async fn the_request_target_and_fields_are_not_touched() {
    let shard = mirror().await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let target = "/%7Etenant/http-bind?a=%2f&room=Caf%25c3%25a9&b=//..&c";
    let fields_sent = "Cookie: a=b; c=d\r\nX-Mixed-Case: Value  with   blanks\r\nSec-WebSocket-Protocol: xmpp\r\n";
    let request = format!("GET {target} HTTP/1.1\r\nHost: Meet.Example:8443\r\n{fields_sent}\r\n");
    let websocket = request.replace("Cookie", "Connection: upgrade\r\nUpgrade: WebSocket\r\nCookie");
    for request in [request, websocket] {
        let head = stage.connect().await.ask(request).await.text();
        assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
        assert_eq!(fields(&head, "host"), ["Meet.Example:8443"]);
        assert_eq!(fields(&head, "cookie"), ["a=b; c=d"]);
        assert_eq!(fields(&head, "x-mixed-case"), ["Value  with   blanks"]);
        assert_eq!(fields(&head, "sec-websocket-protocol"), ["xmpp"]);
    }
}

#[tokio::test]
async fn the_shard_is_named_only_when_it_does_not_name_itself() {
    let stub = stub("theirs").await;
    let stage = Stage::new(&[("ours", stub.addr)], "").await;
    for (sends, named) in [(true, "theirs"), (false, "ours")] {
        stub.set_jitsi_header(sends);
        let mut wire = stage.connect().await;
        let answer = wire.ask(get("/http-bind?room=a")).await;
        assert_eq!(answer.field("x-jitsi-shard"), Some(named));
        let exposed = answer.field("access-control-expose-headers");
        assert_eq!(exposed, (!sends).then_some("X-Jitsi-Shard"), "{}", answer.head);
        let answer = wire.ask(upgrade("a", "")).await;
        assert_eq!((answer.status, answer.field("x-jitsi-shard")), (101, Some(named)));
    }
}

/// What a shard exposes itself stays exposed.
#[tokio::test]
async fn exposing_the_shard_keeps_what_the_shard_exposes() {
    let shard = RawShard::start(|mut wire, _| async move {
        let fields = "Access-Control-Expose-Headers: X-Own\r\nContent-Length: 0\r\nConnection: close";
        wire.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let answer = stage.connect().await.ask(get("/")).await;
    assert_eq!(answer.fields("access-control-expose-headers"), ["X-Own", "X-Jitsi-Shard"]);
    assert_eq!(answer.field("x-jitsi-shard"), Some("s1"));
}
