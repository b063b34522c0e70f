use super::*;

fn parsed(text: &str) -> Result<Head, HeadError> {
    parse(text.as_bytes())
}

fn get(fields: &str) -> Result<Head, HeadError> {
    parsed(&format!("GET /a?room=b HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
}

#[test]
fn finds_path_and_query() {
    for (target, path, query) in [
        ("/ten/http-bind?room=x&token=y", "/ten/http-bind", Some("room=x&token=y")),
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("http://meet.example/room?x=1", "/room", Some("x=1")),
        ("https://meet.example", "", None),
        ("*", "*", None),
        ("/r%C3%B6om?room=r\u{f6}om", "/r%C3%B6om", Some("room=r\u{f6}om")),
        ("/a?b?c#d", "/a", Some("b?c")),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = parsed(&text).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(str::from_utf8(head.path(text.as_bytes())), Ok(path), "{target}");
        assert_eq!(head.query(text.as_bytes()), query.map(str::as_bytes), "{target}");
    }
}

#[test]
fn refuses_what_two_parsers_could_read_differently() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        assert_eq!(get(fields), Err(HeadError::Framing), "{fields:?}");
    }
    for fields in ["Content-Length : 3\r\n", " folded: 1\r\n", "X: a\r\n b\r\n", "X\r\n", "\u{e9}: 1\r\n"] {
        assert_eq!(get(fields), Err(HeadError::Syntax), "{fields:?}");
    }
    assert_eq!(get("Host: y\r\n"), Err(HeadError::Host));
    assert_eq!(parsed("GET / HTTP/1.1\r\n\r\n"), Err(HeadError::Host));
    assert_eq!(parsed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(HeadError::Framing));
    assert_eq!(parsed("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(HeadError::Connect));
    assert_eq!(parsed("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Err(HeadError::Version));
    assert_eq!(parsed("GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n"), Err(HeadError::Target));
}

#[test]
fn refuses_too_many_fields() {
    assert!(get(&"X: 1\r\n".repeat(MAX_FIELDS - 1)).is_ok());
    assert_eq!(get(&"X: 1\r\n".repeat(MAX_FIELDS)), Err(HeadError::TooManyFields));
}

#[test]
fn knows_framing() {
    assert_eq!(get("").map(|head| head.framing), Ok(Framing::Length(0)));
    assert_eq!(get("content-LENGTH: 12\r\n").map(|head| head.framing), Ok(Framing::Length(12)));
    assert_eq!(get("Transfer-Encoding: Chunked\r\n").map(|head| head.framing), Ok(Framing::Chunked));
}

#[test]
fn knows_a_websocket_upgrade() {
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    assert_eq!(get(upgrade).map(|head| head.websocket), Ok(true));
    assert_eq!(get("Upgrade: websocket\r\n").map(|head| head.websocket), Ok(false));
    assert_eq!(get("Connection: upgrade\r\nUpgrade: h2c\r\n").map(|head| head.websocket), Ok(false));
    assert_eq!(get(&format!("{upgrade}Content-Length: 0\r\n")).map(|head| head.websocket), Ok(true));
    assert_eq!(get(&format!("{upgrade}Content-Length: 1\r\n")), Err(HeadError::UpgradeWithBody));
    assert_eq!(get(&format!("{upgrade}Transfer-Encoding: chunked\r\n")), Err(HeadError::UpgradeWithBody));
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
    assert_eq!(parsed(&post), Err(HeadError::UpgradeWithBody));
}

#[test]
fn finds_the_end_however_the_bytes_arrive() {
    let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nbody\nbody";
    for seam in 0..text.len() {
        let first = find_end(&text[..seam], 0).expect("a well-formed head");
        let end = first.or_else(|| find_end(text, seam).expect("a well-formed head"));
        assert_eq!(end, Some(27), "seam at {seam}");
    }
}

#[test]
fn refuses_bare_line_ends_at_once() {
    for text in ["GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nA: b\rc", "GET /\0", "\n", "GET / HTTP/1.1\r\r\n"] {
        for seam in 0..=text.len() {
            let caught = find_end(&text.as_bytes()[..seam], 0).and_then(|_| find_end(text.as_bytes(), seam));
            assert_eq!(caught, Err(HeadError::LineEnding), "{text:?} cut at {seam}");
        }
    }
}

#[test]
fn drops_empty_lines_before_a_request() {
    assert_eq!(leading_empty_lines(b"\r\n\r\nGET /"), 4);
    assert_eq!(leading_empty_lines(b"\r\n\r"), 2);
    assert_eq!(leading_empty_lines(b"GET /"), 0);
    assert_eq!(leading_empty_lines(&b"\r\n".repeat(9)), 2 * MAX_LEADING_EMPTY_LINES);
}

proptest::proptest! {
    /// Any bytes give an answer, and what is accepted lies within the bytes.
    #[test]
    fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let _ = find_end(&bytes, 0);
        if let Ok(head) = parse(&bytes) {
            proptest::prop_assert!(head.path.end <= bytes.len());
        }
    }
}
