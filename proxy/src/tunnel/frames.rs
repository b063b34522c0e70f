//! Follows WebSocket frames (RFC 6455 §5.2) just far enough to know where one ends.
//!
//! A Close frame of ours may only go out between two frames of the shard's. The follower looks at headers, skips
//! payloads, and keeps a few bytes of state; it neither checks nor changes what passes.

/// Where in the stream of frames we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameFollower {
    /// The header read so far; 2 + 8 + 4 bytes at most, and the last 4 (the mask) need not be kept.
    header: [u8; 10],
    header_len: u8,
    /// Payload bytes (and mask) still to pass.
    payload: u64,
}

impl FrameFollower {
    /// Whether the bytes so far end exactly where a frame ends.
    pub(crate) fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload == 0
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

    /// Consumes at least one byte, and never across the end of a frame.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= skipped as u64;
            return skipped;
        }
        self.header[usize::from(self.header_len)] = bytes[0];
        self.header_len += 1;
        if let Some(payload) = self.payload_length() {
            let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
            // A length with its highest bit set is forbidden; saturating keeps us from wrapping on one.
            self.payload = payload.saturating_add(mask);
            self.header_len = 0;
        }
        1
    }

    /// The payload's length, once enough of the header is here.
    fn payload_length(&self) -> Option<u64> {
        let header = &self.header;
        match (self.header_len, header[1] & 0x7f) {
            (0 | 1, _) => None,
            (4, 126) => Some(u64::from(u16::from_be_bytes([header[2], header[3]]))),
            (10, 127) => {
                let [_, _, length @ ..] = *header;
                Some(u64::from_be_bytes(length))
            }
            (_, 126 | 127) => None,
            (_, short) => Some(u64::from(short)),
        }
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
