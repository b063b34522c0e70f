//! Follows WebSocket frames (RFC 6455 §5.2) just far enough to know where one ends.
//!
//! A Close frame of ours may only go out between two frames of the shard's. The follower looks at headers, skips
//! payloads, and keeps a few bytes of state; it neither checks nor changes what passes.

/// Where in the stream of frames we are.
///
/// Every tunnel has one, so it is ten bytes without padding, and no header is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameFollower {
    /// A `u64` without its alignment. In a header: the length as far as it was read. Else: payload bytes (and mask) still
    /// to pass.
    left: [u8; 8],
    part: Part,
    masked: bool,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Payload, or a frame's first byte when none is left.
    #[default]
    Payload,
    /// The second byte of a header: mask bit and short length.
    Length,
    /// One of so many more bytes of a long length.
    Longer(u8),
}

impl FrameFollower {
    /// Whether the bytes so far end exactly where a frame ends.
    pub(crate) fn at_boundary(&self) -> bool {
        self.part == Part::Payload && self.left() == 0
    }

    /// Takes note of `bytes` passing by.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.step(bytes)..];
        }
    }

    /// Takes note of `bytes` up to the first place where a frame ends, and tells that place's offset.
    pub(crate) fn pass_to_boundary(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while !self.at_boundary() {
            if at == bytes.len() {
                return None;
            }
            at += self.step(&bytes[at..]);
        }
        Some(at)
    }

    fn left(&self) -> u64 {
        u64::from_ne_bytes(self.left)
    }

    fn set_left(&mut self, left: u64) {
        self.left = left.to_ne_bytes();
    }

    /// Consumes at least one byte, and never across the end of a frame.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        match self.part {
            Part::Payload if self.left() == 0 => self.part = Part::Length,
            Part::Payload => {
                let skipped = usize::try_from(self.left()).unwrap_or(usize::MAX).min(bytes.len());
                self.set_left(self.left() - skipped as u64);
                return skipped;
            }
            Part::Length => {
                self.masked = byte & 0x80 != 0;
                match byte & 0x7f {
                    126 => self.part = Part::Longer(2),
                    127 => self.part = Part::Longer(8),
                    short => self.begin_payload(short.into()),
                }
            }
            Part::Longer(more) => {
                let length = self.left() << 8 | u64::from(byte);
                if more > 1 {
                    self.set_left(length);
                    self.part = Part::Longer(more - 1);
                } else {
                    self.begin_payload(length);
                }
            }
        }
        1
    }

    fn begin_payload(&mut self, length: u64) {
        let mask = if self.masked { 4 } else { 0 };
        // A length with its highest bit set is forbidden; saturating keeps us from wrapping on one.
        self.set_left(length.saturating_add(mask));
        self.part = Part::Payload;
    }
}

/// A Close frame as a server sends it: unmasked, with a status code and no reason.
pub(crate) fn close_frame(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x88, 2, high, low]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match u16::try_from(length) {
            Ok(short) if short < 126 => bytes.push(mask_bit | u8::try_from(short).unwrap()),
            Ok(medium) => {
                bytes.push(mask_bit | 126);
                bytes.extend(medium.to_be_bytes());
            }
            Err(_) => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([1, 2, 3, 4]);
        }
        // Payload that looks like headers, so that a lost count shows.
        bytes.extend(std::iter::repeat_n(0xff, length));
        bytes
    }

    proptest! {
        /// However the bytes are cut, boundaries are where the frames end and nowhere else.
        #[test]
        fn finds_exactly_the_boundaries(
            frames in prop::collection::vec((prop_oneof![0usize..300, 65_000usize..66_000], any::<bool>()), 1..6),
            cuts in prop::collection::vec(1usize..5000, 1..40),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for (length, masked) in frames {
                bytes.extend(frame(length, masked));
                ends.push(bytes.len());
            }
            let mut follower = FrameFollower::default();
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                prop_assert_eq!(follower.at_boundary(), ends.contains(&at), "at {}", at);
                if at == bytes.len() {
                    break;
                }
                let next = (at + cut).min(bytes.len());
                let mut closing = follower;
                let expected = ends.iter().find(|&&end| end >= at && end <= next).map(|end| end - at);
                prop_assert_eq!(closing.pass_to_boundary(&bytes[at..next]), expected);
                follower.pass(&bytes[at..next]);
                at = next;
            }
        }

        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut follower = FrameFollower::default();
            follower.pass(&bytes);
        }
    }

    #[test]
    fn close_frame_is_what_a_client_expects() {
        assert_eq!(close_frame(1012), [0x88, 0x02, 0x03, 0xf4]);
    }
}
