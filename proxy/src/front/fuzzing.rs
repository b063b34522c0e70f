//! What browsers send: heads and chunked bodies.

use super::{
    chunks::ChunkFollower,
    head::{self, Framing, Head, HeadError},
};

/// What a stream of these bytes begins with, arriving `step` bytes at a time: a checked head and where it begins.
pub(crate) fn read_head(data: &[u8], step: usize) -> Result<Option<(usize, Head)>, HeadError> {
    let (mut start, mut seen, mut here) = (0, 0, 0);
    loop {
        here = data.len().min(here + step);
        if seen == 0 {
            start += head::leading_empty_lines(&data[start..here]);
        }
        let ahead = &data[start..here];
        if let Some(end) = head::find_end(ahead, seen)? {
            return Ok(Some((start, head::parse(&ahead[..end])?)));
        }
        if here == data.len() {
            return Ok(None);
        }
        seen = ahead.len();
    }
}

/// A request's head: it ends at one place only, and nothing in it can be read in two ways.
pub(crate) fn head(data: &[u8]) {
    let Ok(Some((start, head))) = read_head(data, data.len().max(1)) else { return };
    let step = 1 + usize::from(data[0]) % 9;
    if start == 0 {
        assert_eq!(read_head(data, step), Ok(Some((start, head.clone()))), "in pieces of {step}");
    }
    let bytes = &data[start..start + head.len];
    let path = head.path(bytes);
    assert!(path.is_empty() || path == b"*" || path.starts_with(b"/"), "a path");
    assert!(!path.contains(&b'?') && head.query(bytes).is_none_or(|query| !query.contains(&b'#')));
    // Written again from the grammar, and not from the code.
    let text = bytes.strip_suffix(b"\r\n\r\n").expect("the end of a head");
    let lines = || text.split(|&byte| byte == b'\n').skip(1);
    let named = |name: &str| {
        let has_name = |line: &&[u8]| {
            line.split(|&byte| byte == b':').next().is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
        };
        lines().filter(has_name).count()
    };
    let (length, coding) = (named("content-length"), named("transfer-encoding"));
    assert!(length + coding <= 1, "two bodies");
    match head.framing {
        Framing::Chunked => assert_eq!(coding, 1),
        Framing::Length(0) => assert_eq!(coding, 0),
        Framing::Length(_) => assert_eq!(length, 1),
    }
    assert!(named("host") <= 1);
}

/// A chunked body: however it is cut, it ends at the same place, and that is where the grammar says it ends.
pub(crate) fn chunks(data: &[u8]) {
    let whole = ChunkFollower::new().pass(data);
    let step = 1 + usize::from(data.first().copied().unwrap_or_default()) % 9;
    let (mut follower, mut passed, mut pieces) = (ChunkFollower::new(), 0, Ok(None));
    for piece in data.chunks(step) {
        pieces = follower.pass(piece).map(|end| end.map(|end| passed + end));
        passed += piece.len();
        if !matches!(pieces, Ok(None)) {
            break;
        }
    }
    assert_eq!(pieces, whole, "in pieces of {step}");
    if let Ok(Some(end)) = whole {
        assert_eq!(end_of_chunks(data), Some(end));
    }
}

/// Where a chunked body ends, from the grammar (RFC 9112 §7.1).
fn end_of_chunks(data: &[u8]) -> Option<usize> {
    let line = |from: usize| {
        let rest = data.get(from..)?;
        let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
        Some((&rest[..length], from + length + 2))
    };
    let mut at = 0;
    loop {
        let (size, after) = line(at)?;
        let digits = str::from_utf8(size.split(|&byte| byte == b';').next()?).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        at = after;
        if size == 0 {
            break;
        }
        let (end, after) = line(at.checked_add(size)?)?;
        if !end.is_empty() {
            return None;
        }
        at = after;
    }
    loop {
        let (trailer, after) = line(at)?;
        at = after;
        if trailer.is_empty() {
            return Some(at);
        }
    }
}
