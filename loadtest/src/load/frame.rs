//! WebSocket frames as the generators need them: one message made once, and its echo recognised byte by byte.
//!
//! RFC 6455 §5.2: two bytes, a longer length if need be, four bytes of mask from a client, the payload.

/// FIN and the opcode of a text frame.
const TEXT: u8 = 0x81;
/// FIN and the opcode of a Close frame.
pub(super) const CLOSE: u8 = 0x88;
/// FIN and the opcode of a Ping.
pub(super) const PING: u8 = 0x89;
/// FIN and the opcode of a Pong.
pub(super) const PONG: u8 = 0x8a;
/// The bit of the second byte that says that a mask follows.
const MASKED: u8 = 0x80;

/// A client's frame: masked, complete.
pub(super) fn client(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), MASKED);
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A message and the echo it should find.
#[derive(Clone, Debug)]
pub(super) struct PingPong {
    /// What to send.
    pub(super) out: Vec<u8>,
    /// What comes back: the same, unmasked.
    pub(super) back: Vec<u8>,
}

impl PingPong {
    /// A text message of so many bytes, filled and masked after the seed.
    pub(super) fn new(bytes: usize, seed: u64) -> Self {
        let letter = |i: usize| b"roompin loadtest "[(i + usize::from(seed.to_le_bytes()[0])) % 17];
        let payload: Vec<u8> = (0..bytes).map(letter).collect();
        let mask = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let mut back = header(TEXT, bytes, 0);
        back.extend_from_slice(&payload);
        Self { out: client(TEXT, &payload, [mask[0], mask[1], mask[2], mask[3]]), back }
    }
}

fn header(first: u8, length: usize, masked: u8) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => header.push(masked | short),
        (_, Ok(long)) => {
            header.push(masked | 126);
            header.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            header.push(masked | 127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

/// A server's frame at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'b> {
    /// FIN, reserved bits and opcode.
    pub(super) first: u8,
    /// Its payload.
    pub(super) payload: &'b [u8],
    /// Bytes it takes in the buffer.
    pub(super) length: usize,
}

/// The frame at the start of the buffer; `None` if it is not complete yet.
///
/// # Errors
/// When it is masked, which no server's is, or longer than `limit`.
pub(super) fn parse(buffer: &[u8], limit: usize) -> Result<Option<Frame<'_>>, &'static str> {
    let [first, second, rest @ ..] = buffer else { return Ok(None) };
    if second & MASKED != 0 {
        return Err("a masked frame from a server");
    }
    let (length, extended) = match (second, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(*short), 0),
    };
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= limit) else {
        return Err("a frame longer than any message sent");
    };
    let payload = rest.get(extended..extended + length);
    Ok(payload.map(|payload| Frame { first: *first, payload, length: 2 + extended + length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_rfc_6455() {
        // The examples of §5.7: "Hello" as an unmasked and as a masked text message.
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(client(TEXT, b"Hello", mask), [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0xff];
        assert_eq!(parse(&hello, 5), Ok(Some(Frame { first: TEXT, payload: b"Hello", length: 7 })));
        assert!(parse(&hello, 4).is_err());
        assert!(parse(&client(TEXT, b"Hello", mask), 5).is_err(), "masked");
    }

    #[test]
    fn lengths_of_all_three_kinds_come_back() {
        for bytes in [1, 125, 126, 65_535, 65_536] {
            let message = PingPong::new(bytes, 7);
            let frame = parse(&message.back, bytes).unwrap().unwrap();
            assert_eq!((frame.first, frame.payload.len(), frame.length), (TEXT, bytes, message.back.len()));
            assert_eq!(message.out.len(), message.back.len() + 4);
            for cut in [1, 2, message.back.len() - 1] {
                assert_eq!(parse(&message.back[..cut], bytes), Ok(None), "{bytes} bytes cut at {cut}");
            }
            let mask = &message.out[message.out.len() - bytes - 4..][..4];
            let unmasked: Vec<_> =
                message.out[message.out.len() - bytes..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(unmasked, frame.payload);
            assert!(mask.iter().any(|byte| *byte != 0), "the mask does mask");
        }
    }
}
