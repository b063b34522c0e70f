//! What passes through a tunnel, and what shards answer to an upgrade.

use http::HeaderValue;

use super::{
    frames::FrameFollower,
    handshake::{MAX_FIELDS, SHARD_HEADER, parse_answer, request},
};
use crate::front::{forwarded::Origin, fuzzing::read_head, head::HeadError};

/// WebSocket frames: however they are cut, their ends are where the grammar says they are.
pub(crate) fn frames(data: &[u8]) {
    let step = 1 + usize::from(data.first().copied().unwrap_or_default()) % 9;
    let mut follower = FrameFollower::default();
    let mut at = 0;
    let mut end = 0;
    for piece in data.chunks(step) {
        let reach = at + piece.len();
        // The first end among these bytes, by the grammar.
        let mut first = (at..=reach).contains(&end).then_some(end);
        while end < reach {
            let Some(next) = end_of_frame(data, end) else { return };
            end = next;
            first = first.or((end <= reach).then_some(end));
        }
        let mut closing = follower;
        let (expected, found) = (first.map(|end| end - at), closing.pass_to_boundary(piece));
        assert_eq!(found, expected, "from {at}");
        follower.pass(piece);
        at += piece.len();
        assert_eq!(follower.at_boundary(), end == at, "at {at}");
    }
}

/// Where the frame that begins at `start` ends (RFC 6455 §5.2), if its header is there.
fn end_of_frame(data: &[u8], start: usize) -> Option<usize> {
    let second = *data.get(start + 1)?;
    let (length, header) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*data.get(start + 2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*data.get(start + 2..)?.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    Some(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(start + header + mask))
}

/// A client's upgrade as it goes on to the shard: the same target and body, and our own word on where it comes from.
pub(crate) fn upgrade(data: &[u8]) {
    let Ok(Some((start, head))) = read_head(data, data.len().max(1)) else { return };
    let bytes = &data[start..start + head.len];
    let trusted = ["127.0.0.0/8".parse().expect("a network")];
    for origin in
        [Origin::new(([203, 0, 113, 9], 1).into(), &trusted), Origin::new(([127, 0, 0, 1], 1).into(), &trusted)]
    {
        let Some(sent) = request(bytes, &origin) else { panic!("a checked head can be sent on") };
        let again = match read_head(&sent, sent.len()) {
            Ok(Some((_, again))) => again,
            // The shard may have another opinion of how many are too many.
            Err(HeadError::TooManyFields) => continue,
            other => panic!("{other:?}: what is sent is a whole head that passes the checks"),
        };
        assert_eq!(again.len, sent.len(), "one head and nothing else");
        assert_eq!(again.path(&sent), head.path(bytes));
        assert_eq!((again.query(&sent), again.framing), (head.query(bytes), head.framing));
        assert_eq!(again.websocket, head.websocket);
    }
}

/// A shard's answer: what goes to the client is one head that names the shard.
pub(crate) fn answer(data: &[u8]) {
    let name = HeaderValue::from_static("shard-1");
    let Ok(Some((answer, used))) = parse_answer(data, &name) else { return };
    assert!(used <= data.len());
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS + 2];
    let mut again = httparse::Response::new(&mut fields);
    let parsed = again.parse(&answer.head).expect("what is sent is HTTP");
    assert_eq!(parsed, httparse::Status::Complete(answer.head.len()), "one head and nothing else");
    assert_eq!(again.code, Some(answer.status));
    assert!(again.headers.iter().any(|field| field.name.eq_ignore_ascii_case(SHARD_HEADER)));
}
