use super::*;

/// Feeds the bytes in two pieces, cut everywhere, and all at once.
fn read_all(text: &str) -> Result<(Option<Answer>, Vec<u8>), &'static str> {
    let read = |cut: usize| {
        let (mut reader, mut shards) = (Reader::new(true), Shards::default());
        let mut answer = reader.feed(&text.as_bytes()[..cut], &mut shards)?;
        if cut < text.len() {
            assert_eq!(answer, None, "cut at {cut}");
            answer = reader.feed(&text.as_bytes()[cut..], &mut shards)?;
        }
        let answer = answer.or_else(|| reader.end());
        assert_eq!(shards.len(), 1);
        Ok((answer, reader.body().to_vec()))
    };
    let whole = read(text.len());
    for cut in 1..text.len() {
        assert_eq!(read(cut), whole, "cut at {cut}");
    }
    whole
}

const OK: Answer = Answer { status: 200, shard: Some(0), accepts: false, keep_alive: true };

#[test]
fn answers_end_where_they_end() {
    let length = "HTTP/1.1 200 OK\r\nx-stub-shard: a\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(read_all(length), Ok((Some(OK), b"hello".to_vec())));
    let chunked =
        "HTTP/1.1 200 OK\r\nX-Stub-Shard: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n";
    assert_eq!(read_all(chunked), Ok((Some(OK), b"hello".to_vec())));
    let none = "HTTP/1.1 204 No Content\r\nx-stub-shard: a\r\n\r\n";
    assert_eq!(read_all(none), Ok((Some(Answer { status: 204, ..OK }), Vec::new())));
    let until_end = "HTTP/1.1 200 OK\r\nx-stub-shard: a\r\n\r\nhello";
    assert_eq!(read_all(until_end), Ok((Some(Answer { keep_alive: false, ..OK }), b"hello".to_vec())));
    let close = "HTTP/1.1 503 No\r\nconnection: close\r\nx-stub-shard: a\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(read_all(close), Ok((Some(Answer { status: 503, keep_alive: false, ..OK }), Vec::new())));
    let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{length}");
    assert_eq!(read_all(&interim), Ok((Some(OK), b"hello".to_vec())));
}

#[test]
fn a_tunnel_needs_the_right_answer_to_the_key() {
    let text = |accept| {
        format!("HTTP/1.1 101 S\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\nx-stub-shard: a\r\n\r\n")
    };
    let (answer, _) = read_all(&text(ACCEPT)).unwrap();
    assert_eq!(answer.unwrap().shard_if_tunnel(), Some(0));
    assert_eq!(answer.unwrap().shard_if_ok(), None);
    let (answer, _) = read_all(&text(KEY)).unwrap();
    assert_eq!(answer.unwrap().shard_if_tunnel(), None);
}

#[test]
fn nonsense_and_too_much_are_refused() {
    let mut shards = Shards::default();
    for wrong in [
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
    ] {
        assert!(Reader::new(false).feed(wrong.as_bytes(), &mut shards).is_err(), "{wrong}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(MAX_HEAD));
    assert!(Reader::new(false).feed(endless.as_bytes(), &mut shards).is_err());
}
