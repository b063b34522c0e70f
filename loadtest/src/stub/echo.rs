//! A tunnel's echo, as bytes: frames go back as they come, unmasked, while they come.
//!
//! No message is ever gathered, so an idle tunnel holds next to nothing and an echo costs one read and one write. Only
//! what must be answered otherwise is: the first `who`, Pings and Close (RFC 6455 §5).

use super::WHO;

/// Longest frame echoed.
const MAX_FRAME: u64 = 1 << 20;
/// Two bytes, a length of eight, a mask of four.
const MAX_HEADER: usize = 14;
/// Longest payload of a control frame.
const MAX_CONTROL: u64 = 125;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The state of one tunnel.
#[derive(Debug)]
pub(super) struct Echo {
    /// The start of a header, or of a first frame that may be `who`.
    held: Vec<u8>,
    /// No message has begun yet.
    fresh: bool,
    frame: Option<Inside>,
}

/// Inside a frame's payload.
#[derive(Clone, Copy, Debug)]
struct Inside {
    left: u64,
    mask: [u8; 4],
    silent: bool,
    last: bool,
}

/// What to do after writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on.
    Read,
    /// Hang up: a Close frame is answered, or what came cannot be.
    HangUp,
}

impl Echo {
    pub(super) fn new() -> Self {
        Self { held: Vec::new(), fresh: true, frame: None }
    }

    /// Takes bytes from the client and appends what goes back. `name` answers `who`.
    pub(super) fn take(&mut self, input: &[u8], name: &str, out: &mut Vec<u8>) -> Next {
        if self.held.is_empty() {
            return self.walk(input, name, out);
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(input);
        self.walk(&held, name, out)
    }

    fn walk(&mut self, mut input: &[u8], name: &str, out: &mut Vec<u8>) -> Next {
        loop {
            if let Some(inside) = &mut self.frame {
                input = inside.echo(input, out);
                if inside.left > 0 {
                    return Next::Read;
                }
                if inside.last {
                    return Next::HangUp;
                }
                self.frame = None;
            }
            if input.is_empty() {
                return Next::Read;
            }
            let header = match Header::parse(input) {
                Ok(Some(header)) => header,
                Ok(None) => {
                    self.held.extend_from_slice(input);
                    return Next::Read;
                }
                Err(code) => {
                    out.extend_from_slice(&[FIN | CLOSE, 2]);
                    out.extend_from_slice(&code.to_be_bytes());
                    return Next::HangUp;
                }
            };
            let control = header.opcode & 0x8 != 0;
            if !control && std::mem::take(&mut self.fresh) && header.could_be_who() {
                let Some(asked) = input.get(header.length..header.length + WHO.len()) else {
                    self.fresh = true;
                    self.held.extend_from_slice(input);
                    return Next::Read;
                };
                if asked.iter().zip(header.mask).map(|(byte, mask)| byte ^ mask).eq(WHO.bytes()) {
                    put_header(FIN | TEXT, name.len() as u64, out);
                    out.extend_from_slice(name.as_bytes());
                    input = &input[header.length + WHO.len()..];
                    continue;
                }
            }
            input = &input[header.length..];
            let silent = header.opcode == PONG;
            if !silent {
                let opcode = if header.opcode == PING { PONG } else { header.opcode };
                put_header(header.fin | opcode, header.payload, out);
            }
            let last = header.opcode == CLOSE;
            self.frame = Some(Inside { left: header.payload, mask: header.mask, silent, last });
        }
    }
}

impl Inside {
    /// Passes on what of the payload is here; the input after it.
    fn echo<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> &'i [u8] {
        let here = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        let (payload, rest) = input.split_at(here);
        if !self.silent {
            out.extend(payload.iter().zip(self.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        self.left -= here as u64;
        self.mask.rotate_left(here % 4);
        rest
    }
}

/// A client's frame header.
#[derive(Clone, Copy, Debug)]
struct Header {
    fin: u8,
    opcode: u8,
    payload: u64,
    mask: [u8; 4],
    /// Bytes it takes.
    length: usize,
}

impl Header {
    /// The header at the start of some bytes; `None` if it is not complete.
    ///
    /// # Errors
    /// The code of the Close frame to send.
    fn parse(input: &[u8]) -> Result<Option<Self>, u16> {
        let [first, second, rest @ ..] = input else { return Ok(None) };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, rest)) = rest.split_at_checked(extended) else { return Ok(None) };
        let payload = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let [a, b, c, d, ..] = rest else { return Ok(None) };
        let (fin, opcode) = (first & FIN, first & 0xf);
        let control = opcode & 0x8 != 0;
        let sound = first & 0x70 == 0 && second & 0x80 != 0 && matches!(opcode, 0..=2 | CLOSE..=PONG);
        if !sound || control && (fin == 0 || payload > MAX_CONTROL) {
            return Err(1002);
        }
        if payload > MAX_FRAME {
            return Err(1009);
        }
        let length = 2 + extended + 4;
        debug_assert!(length <= MAX_HEADER);
        Ok(Some(Self { fin, opcode, payload, mask: [*a, *b, *c, *d], length }))
    }

    fn could_be_who(&self) -> bool {
        self.fin != 0 && self.opcode == TEXT && self.payload == WHO.len() as u64
    }
}

fn put_header(first: u8, length: u64, out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.push(short),
        (_, Ok(long)) => {
            out.push(126);
            out.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masked as a client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [9, 200, 0, 77];
        let mut frame = Vec::new();
        put_header(first, payload.len() as u64, &mut frame);
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        put_header(first, payload.len() as u64, &mut frame);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn the_same_comes_back_however_it_is_cut() {
        let long = vec![7; 70_000];
        let sent = [
            frame(0x81, b"who"),
            frame(0x81, b"who"),
            frame(0x89, b"ping"),
            frame(0x8a, b"unasked"),
            frame(0x01, b"in two "),
            frame(0x80, b"frames"),
            frame(0x82, &long),
            frame(0x82, b""),
            frame(0x88, &[3, 232]),
            b"whatever follows".to_vec(),
        ];
        let expected = [
            plain(0x81, b"shard-1"),
            plain(0x81, b"who"),
            plain(0x8a, b"ping"),
            plain(0x01, b"in two "),
            plain(0x80, b"frames"),
            plain(0x82, &long),
            plain(0x82, b""),
            plain(0x88, &[3, 232]),
        ];
        let (sent, expected) = (sent.concat(), expected.concat());
        for piece in [1, 2, 3, 5, 7, 1_000, 65_536, sent.len()] {
            let (mut echo, mut out) = (Echo::new(), Vec::new());
            let hung_up = sent.chunks(piece).find(|bytes| echo.take(bytes, "shard-1", &mut out) == Next::HangUp);
            assert!(hung_up.is_some(), "in pieces of {piece}");
            assert!(out == expected, "in pieces of {piece}");
            assert!(echo.held.len() <= MAX_HEADER);
        }
    }

    #[test]
    fn only_the_first_message_asks_who() {
        let (mut echo, mut out) = (Echo::new(), Vec::new());
        echo.take(&frame(0x81, b"hello"), "a", &mut out);
        echo.take(&frame(0x81, b"who"), "a", &mut out);
        assert_eq!(out, [plain(0x81, b"hello"), plain(0x81, b"who")].concat());
    }

    #[test]
    fn what_breaks_the_protocol_is_closed_with_its_code() {
        let unmasked = plain(0x81, b"a longer text");
        let huge = [0x82, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4];
        for (sent, code) in [
            (frame(0xc1, b"x"), 1002_u16),
            (frame(0x83, b"x"), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x89, &[0; 126]), 1002),
            (unmasked, 1002),
            (huge.to_vec(), 1009),
        ] {
            let (mut echo, mut out) = (Echo::new(), Vec::new());
            assert_eq!(echo.take(&sent, "a", &mut out), Next::HangUp, "{sent:02x?}");
            assert_eq!(out, plain(0x88, &code.to_be_bytes()), "{sent:02x?}");
        }
    }
}
