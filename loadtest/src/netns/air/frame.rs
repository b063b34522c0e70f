//! Ethernet frames, as far as a switch has to know them.

use std::fmt;

/// Before a packet.
const HEADER: usize = 14;

/// An address on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl Mac {
    /// For more than one.
    pub(super) fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The address of a station: one that no hardware has.
pub(super) fn station(n: usize) -> Mac {
    let [high, low] = u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
    Mac([2, 0, 0, 1, high, low])
}

/// Whom a frame is for, and whose it is.
pub(super) fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let to = frame.first_chunk::<6>()?;
    let from = frame.get(6..)?.first_chunk::<6>()?;
    Some((Mac(*to), Mac(*from)))
}

/// Fills in the checksum of TCP over IPv4. The kernel leaves that to the hardware, and there is none between the
/// namespaces and us.
pub(super) fn complete(frame: &mut [u8]) {
    if frame.get(12..HEADER) != Some(&[8, 0]) || frame.len() < HEADER + 20 {
        return;
    }
    let packet = &mut frame[HEADER..];
    let header = usize::from(packet[0] & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff;
    if packet[9] != 6 || fragment != 0 || header < 20 || length < header + 20 || packet.len() < length {
        return;
    }
    let pseudo = words(&packet[12..20]) + 6 + u32::try_from(length - header).unwrap_or(0);
    let segment = &mut packet[header..length];
    segment[16..18].fill(0);
    let sum = !folded(pseudo + words(segment));
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// The sum of big-endian words; a frame is too short for it to overflow.
fn words(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    pairs.map(u32::from).sum()
}

/// Carries added until there are none.
fn folded(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    u16::try_from((once & 0xffff) + (once >> 16)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up() {
        let mut frame = vec![0; 14];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame.extend([0x45, 0, 0, 43, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]);
        frame.extend([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0xaa, 0xbb, 0, 0]);
        frame.extend(b"abc");
        frame.extend([0xff; 3]);
        complete(&mut frame);
        // A receiver sums everything, the checksum too, and must get all ones.
        assert_eq!(folded(words(&frame[26..34]) + 6 + 23 + words(&frame[34..57])), 0xffff);
        assert_ne!(frame[50..52], [0xaa, 0xbb]);
        assert_eq!(frame[57..], [0xff; 3], "padding is none of it");
        for length in 0..57 {
            let mut short = frame[..length].to_vec();
            complete(&mut short);
            assert_eq!(short, frame[..length], "half a packet is left alone");
        }
    }

    #[test]
    fn stations_are_told_apart() {
        assert_eq!(station(3).to_string(), "02:00:00:01:00:03");
        assert!(!station(3).is_group() && Mac([0xff; 6]).is_group());
        let frame = [[0xff; 6], station(1).0].concat();
        assert_eq!(addresses(&frame), Some((Mac([0xff; 6]), station(1))));
        assert_eq!(addresses(&frame[..11]), None);
    }
}
