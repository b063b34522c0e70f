//! Frames: what one sealed message carries. `length (u24, big-endian) | lane (u8) | body`, one after the other.
//!
//! A frame never spans two messages, so a message is the most that is held for a peer that has not finished.

use bytes::{Buf, Bytes};
use router_core::cluster::Lane;

/// Before each body.
pub(super) const HEADER: usize = 4;
/// Longest body of the urgent lane.
pub const MAX_URGENT_BYTES: usize = 60 * 1024;
/// Longest body of the bulk lane: all that an urgent frame ever waits for.
pub const MAX_BULK_BYTES: usize = 32 * 1024;

const URGENT: u8 = 0;
const BULK: u8 = 1;

/// What a peer that keeps the rules never sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// The message ends within a frame.
    #[error("a frame is cut short")]
    Short,
    /// Longer than its lane allows.
    #[error("a frame of {0} bytes is too long")]
    Long(usize),
    /// Neither urgent nor bulk.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
}

/// The longest body that a lane takes.
pub(super) const fn longest(lane: Lane) -> usize {
    match lane {
        Lane::Urgent => MAX_URGENT_BYTES,
        Lane::Bulk => MAX_BULK_BYTES,
    }
}

/// Appends a frame. The body fits its lane, see [`longest`].
pub(super) fn put(out: &mut Vec<u8>, lane: Lane, body: &[u8]) {
    debug_assert!(body.len() <= longest(lane), "checked when it was queued");
    let [_, high, middle, low] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let kind = if lane == Lane::Urgent { URGENT } else { BULK };
    out.extend_from_slice(&[high, middle, low, kind]);
    out.extend_from_slice(body);
}

/// The frames of a message, without copying. Ends after the first error.
pub(super) fn split(mut message: Bytes) -> impl Iterator<Item = Result<(Lane, Bytes), FrameError>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let frame = next(&mut message);
        if frame.is_err() {
            message.clear();
        }
        Some(frame)
    })
}

fn next(message: &mut Bytes) -> Result<(Lane, Bytes), FrameError> {
    if message.len() < HEADER {
        return Err(FrameError::Short);
    }
    let header = message.get_u32();
    let [_, high, middle, low] = (header >> 8).to_be_bytes();
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let lane = match header.to_be_bytes()[3] {
        URGENT => Lane::Urgent,
        BULK => Lane::Bulk,
        kind => return Err(FrameError::Kind(kind)),
    };
    if length > longest(lane) {
        return Err(FrameError::Long(length));
    }
    if length > message.len() {
        return Err(FrameError::Short);
    }
    Ok((lane, message.split_to(length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane() -> impl Strategy<Value = Lane> {
        prop_oneof![Just(Lane::Urgent), Just(Lane::Bulk)]
    }

    proptest! {
        #[test]
        fn what_is_put_comes_out(frames in prop::collection::vec((lane(), prop::collection::vec(any::<u8>(), 0..300)), 0..20)) {
            let mut message = Vec::new();
            for (lane, body) in &frames {
                put(&mut message, *lane, body);
            }
            let out: Result<Vec<_>, _> = split(message.into()).map(|frame| frame.map(|(lane, body)| (lane, body.to_vec()))).collect();
            prop_assert_eq!(out, Ok(frames));
        }

        #[test]
        fn anything_decodes_to_no_more_than_it_is(
            message in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..2000),
                // Mostly small numbers: lengths that fit, lanes that exist.
                prop::collection::vec(prop_oneof![9 => 0_u8..3, 1 => any::<u8>()], 0..2000),
            ],
        ) {
            let (mut taken, mut failed) = (0, false);
            for frame in split(message.clone().into()) {
                prop_assert!(!failed, "goes on after an error");
                match frame {
                    Ok((_, body)) => taken += HEADER + body.len(),
                    Err(_) => failed = true,
                }
            }
            let whole = taken == message.len();
            prop_assert_eq!(whole, !failed);
        }

        #[test]
        fn a_cut_message_gives_its_whole_frames_and_an_error(bodies in prop::collection::vec(0_usize..50, 1..8), cut in 1_usize..4) {
            let mut message = Vec::new();
            bodies.iter().for_each(|n| put(&mut message, Lane::Urgent, &vec![1; *n]));
            message.truncate(message.len() - cut);
            let out: Vec<_> = split(message.into()).collect();
            prop_assert_eq!(out.len(), bodies.len());
            prop_assert_eq!(out.last(), Some(&Err(FrameError::Short)));
        }
    }

    #[test]
    fn longest_frames_pass_and_longer_ones_do_not() {
        for lane in [Lane::Urgent, Lane::Bulk] {
            let mut message = Vec::new();
            put(&mut message, lane, &vec![0; longest(lane)]);
            assert_eq!(split(message.clone().into()).next().unwrap().unwrap().1.len(), longest(lane));
            let long = u32::try_from(longest(lane)).unwrap() + 1;
            message[..3].copy_from_slice(&long.to_be_bytes()[1..]);
            message.push(0);
            assert_eq!(split(message.into()).next(), Some(Err(FrameError::Long(longest(lane) + 1))));
        }
        assert_eq!(split(vec![0, 0, 0, 7].into()).next(), Some(Err(FrameError::Kind(7))));
    }
}
