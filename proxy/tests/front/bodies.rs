//! Bodies and the answers without one; targets in all their forms.

use crate::{
    stage::{Stage, until},
    wire::{RawShard, get},
};

/// Something that shows a lost, doubled or moved byte.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 256).expect("a byte")).collect()
}

/// Echoes each request's body, chunked or with a length as the request had it, on a kept-alive connection.
async fn echo() -> RawShard {
    RawShard::start(|mut wire, mut head| async move {
        loop {
            let body = if head.starts_with("POST") { wire.body(&head).await } else { Vec::new() };
            if head.to_ascii_lowercase().contains("transfer-encoding") {
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                for part in body.chunks(70_001) {
                    wire.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await;
                }
                wire.send("0\r\n\r\n").await;
            } else {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
                wire.send(body).await;
            }
            match wire.head().await {
                Some(next) => head = next,
                None => return,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_mebibyte_goes_both_ways_with_a_length_and_in_chunks() {
    let shard = echo().await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let body = pattern(1 << 20);
    let mut wire = stage.connect().await;
    for round in 0..2 {
        wire.send(format!("POST /b?room=a HTTP/1.1\r\nHost: m\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        wire.send(&body).await;
        assert!(wire.answer().await.body == body, "round {round}, by length");

        wire.send("POST /b?room=a HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for part in body.chunks(33_333) {
            wire.send([format!("{:X};x=y\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await;
        }
        wire.send("0\r\nTrailer: dropped-or-not\r\n\r\n").await;
        assert!(wire.answer().await.body == body, "round {round}, chunked");
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body() {
    let shard = RawShard::start(|mut wire, head| async move {
        if head.to_ascii_lowercase().contains("expect:") {
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        let body = wire.body(&head).await;
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())).await;
        wire.send(body).await;
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut wire = stage.connect().await;
    wire.send("POST /b?room=a HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let interim = wire.head().await.expect("an interim answer");
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    wire.send("hello").await;
    assert_eq!(wire.answer().await.text(), "hello");
}

/// After an answer without a body the connection goes on.
#[tokio::test]
async fn answers_without_a_body_keep_the_connection() {
    let shard = RawShard::start(|mut wire, mut head| async move {
        loop {
            let answer = match head.split(' ').nth(1).unwrap_or_default() {
                "/204" => "204 No Content\r\n\r\n",
                "/304" => "304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n",
                "/head" => "200 OK\r\nContent-Length: 1000\r\n\r\n",
                _ => "200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            wire.send(format!("HTTP/1.1 {answer}")).await;
            match wire.head().await {
                Some(next) => head = next,
                None => return,
            }
        }
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    let mut wire = stage.connect().await;
    for _ in 0..3 {
        for (request, status) in [
            (get("/204"), 204),
            (get("/304"), 304),
            (get("/head").replace("GET", "HEAD"), 200),
            (get("/").replace("GET", "OPTIONS"), 200),
        ] {
            wire.send(&request).await;
            let bodyless = status != 200 || request.starts_with("HEAD");
            assert_eq!(wire.try_answer(bodyless).await.expect("an answer").status, status, "{request}");
        }
        assert_eq!(wire.ask(get("/")).await.text(), "ok");
    }
}

/// The room is found in every form of target, and the shard gets the target as it was.
#[tokio::test]
async fn targets_in_every_form() {
    let (stage, stub) = Stage::with_stub("").await;
    let mut wire = stage.connect().await;
    // Raw UTF-8, as some clients send it: the same room as its encoded form.
    for target in ["/http-bind?room=caf\u{e9}", "/http-bind?room=caf%C3%A9", "/caf\u{e9}/http-bind?x=\u{fc}&room=b"] {
        assert_eq!(wire.ask(get(target)).await.status, 200, "{target}");
    }
    let url = format!("{}/v1/rooms/caf%C3%A9", stage.proxy.admin());
    assert_eq!(crate::support::http_status(&url).await, Some(200));

    // Absolute-form (RFC 9112 §3.2.2).
    let absolute = "GET http://meet.example/http-bind?room=absolute HTTP/1.1\r\nHost: meet.example\r\n\r\n";
    assert_eq!(wire.ask(absolute).await.status, 200);
    assert_eq!(stub.rooms_seen().get("absolute"), Some(&1));
    let url = format!("{}/v1/rooms/absolute", stage.proxy.admin());
    assert_eq!(crate::support::http_status(&url).await, Some(200));

    // `*` has no room and goes to any shard; the stub's answer to it is its own affair.
    let hits = stub.hits();
    let answer = wire.ask("OPTIONS * HTTP/1.1\r\nHost: meet.example\r\n\r\n").await;
    assert_eq!(answer.stub(), "s1");
    until("it to arrive", async || stub.hits() == hits + 1).await;
}

/// A shard's answer without a length ends with its connection; the client sees the whole of it.
#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_whole() {
    let body = pattern(300_000);
    let sent = body.clone();
    let shard = RawShard::start(move |mut wire, _| {
        let body = sent.clone();
        async move {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").await;
            wire.send(body).await;
        }
    })
    .await;
    let stage = Stage::new(&[("s1", shard.addr)], "").await;
    assert!(stage.connect().await.ask(get("/")).await.body == body);
    let old = "GET / HTTP/1.0\r\n\r\n";
    let mut wire = stage.connect().await;
    let answer = wire.ask(old).await;
    assert!(answer.body == body && answer.fields("transfer-encoding").is_empty(), "{}", answer.head);
}
