//! Follows a chunked body (RFC 9112 §7.1) just far enough to know where it ends, and strictly.
//!
//! Pingora decodes the body; but it must not see a byte of the next request, which may have come in the same segment, and
//! it takes some malformed sizes for an end. What this follower does not accept ends the connection.

use thiserror::Error;

/// Most bytes of one size line with its extensions, and of all trailers. Nobody uses either; nginx has 4 KiB in all.
const MAX_OVERHEAD: u16 = 4096;

/// Hexadecimal digits of the largest size: more than 2^60 is no body.
const MAX_DIGITS: u8 = 15;

/// A chunked body that could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a chunk is malformed")]
pub(crate) struct BrokenChunk;

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkFollower {
    at: At,
    /// Size of the chunk under way, less what has passed.
    left: u64,
    /// Bytes since the line (or the trailers) began.
    overhead: u16,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A digit of the size, after so many; or the end of the size.
    Size(u8),
    /// In an extension.
    Extension,
    /// The LF after a size line.
    SizeLf,
    /// Data, or the CR after it when none is left.
    Data,
    /// The LF after the data.
    DataLf,
    /// The first byte of a trailer line, or the CR of the last, empty one.
    Trailer,
    /// Inside a trailer line.
    TrailerRest,
    /// The LF after a trailer.
    TrailerLf,
    /// The LF after everything.
    LastLf,
}

impl ChunkFollower {
    /// At the start of a body.
    pub(crate) fn new() -> Self {
        Self { at: At::Size(0), left: 0, overhead: 0 }
    }

    /// Takes note of `bytes`: tells how many of them belong to the body if it ends among them, else `None`.
    ///
    /// # Errors
    /// When they are not what the grammar has. Then the follower is of no further use.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Result<Option<usize>, BrokenChunk> {
        let mut at = 0;
        while at < bytes.len() {
            if self.at == At::Data && self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= skipped as u64;
                at += skipped;
                continue;
            }
            let last = self.at == At::LastLf;
            self.step(bytes[at])?;
            at += 1;
            if last {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn step(&mut self, byte: u8) -> Result<(), BrokenChunk> {
        self.overhead = self.overhead.checked_add(1).filter(|&all| all <= MAX_OVERHEAD).ok_or(BrokenChunk)?;
        self.at = match (self.at, byte) {
            (At::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                At::Size(digits + 1)
            }
            (At::Size(1..), b';') => At::Extension,
            (At::Size(1..) | At::Extension, b'\r') => At::SizeLf,
            (At::Extension, byte) if is_text(byte) => At::Extension,
            (At::SizeLf, b'\n') => {
                self.overhead = 0;
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::Data, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.overhead = 0;
                At::Size(0)
            }
            (At::Trailer, b'\r') => At::LastLf,
            (At::TrailerRest, b'\r') => At::TrailerLf,
            // Not a blank: that would fold the line (obs-fold).
            (At::Trailer, byte) if byte.is_ascii_graphic() => At::TrailerRest,
            (At::TrailerRest, byte) if is_text(byte) => At::TrailerRest,
            (At::TrailerLf, b'\n') => At::Trailer,
            (At::LastLf, b'\n') => At::LastLf,
            _ => return Err(BrokenChunk),
        };
        Ok(())
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end_of(bytes: &[u8]) -> Result<Option<usize>, BrokenChunk> {
        ChunkFollower::new().pass(bytes)
    }

    #[test]
    fn knows_the_end_and_leaves_what_follows() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A;x=\"y\"\r\n0123456789\r\n0;last\r\nX-A: b\r\nX-C: d\r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
        ] {
            let all = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(end_of(all.as_bytes()), Ok(Some(body.len())), "{body:?}");
            for cut in 0..body.len() {
                let mut follower = ChunkFollower::new();
                assert_eq!(follower.pass(&all.as_bytes()[..cut]), Ok(None), "{body:?} up to {cut}");
                assert_eq!(follower.pass(&all.as_bytes()[cut..]), Ok(Some(body.len() - cut)), "{body:?} from {cut}");
            }
        }
    }

    #[test]
    fn refuses_what_can_be_read_in_two_ways() {
        for body in [
            "\r\n",
            ";x\r\n",
            " 5\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "5 \r\n",
            "5_0\r\n",
            "g\r\n",
            "5\n",
            "5\r5",
            "5;x\n",
            "5;x\0\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r\r",
            "0\r\n\n",
            "0\r\n folded\r\n",
            "0\r\nX: a\nY",
            "0\r\nX: a\rY",
            "1234567890123456\r\n",
        ] {
            assert_eq!(end_of(body.as_bytes()), Err(BrokenChunk), "{body:?}");
        }
    }

    #[test]
    fn overhead_is_bounded() {
        assert_eq!(end_of(format!("5;{}", "x".repeat(5000)).as_bytes()), Err(BrokenChunk));
        assert_eq!(end_of(format!("0\r\n{}", "X: y\r\n".repeat(1000)).as_bytes()), Err(BrokenChunk));
    }

    proptest! {
        #[test]
        fn any_chunks_in_any_pieces(
            chunks in prop::collection::vec(1usize..3000, 0..8),
            cuts in prop::collection::vec(1usize..700, 1..20),
        ) {
            let mut body = Vec::new();
            for size in chunks {
                body.extend(format!("{size:x}\r\n").into_bytes());
                // Data that looks like sizes and ends.
                body.extend(b"0\r\n\r\n".iter().cycle().take(size));
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let end = body.len();
            body.extend(b"more");
            let mut follower = ChunkFollower::new();
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                let next = (at + cut).min(body.len());
                match follower.pass(&body[at..next]) {
                    Ok(Some(used)) => { prop_assert_eq!(at + used, end); break; }
                    other => prop_assert_eq!(other, Ok(None)),
                }
                prop_assert!(next < end);
                at = next;
            }
        }

        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = end_of(&bytes);
        }
    }
}
