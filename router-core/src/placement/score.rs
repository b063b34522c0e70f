//! The score of a room and a shard; the lowest wins.

use crate::room::{RoomKey, low_u64};

/// An exponentially distributed number with the shard's weight as its rate: of several, each is the least with a
/// probability proportional to its weight.
pub(super) fn score(key: RoomKey, seed: u64, weight: u32) -> f64 {
    let (high, low) = (low_u64(key.0 >> 64), low_u64(key.0));
    let hash = mix(mix(low ^ seed).wrapping_add(high));
    minus_ln(hash) / f64::from(weight)
}

/// Steele, Lea and Flood's SplitMix64 step: every bit of the argument reaches every bit of the result.
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// `-ln(u)` where `u` is the hash as a fraction in (0, 1), with 53 bits.
///
/// `u = m · 2^-e` with `m` in [1, 2), and `ln m = 2 artanh((m-1)/(m+1))` by its series.
fn minus_ln(hash: u64) -> f64 {
    /// One more than the largest `hash >> 12`.
    const BITS: u32 = 52;
    // Odd numbers over 2^53: neither 0 nor 1.
    let odd = ((hash >> (64 - BITS)) << 1) | 1;
    let exponent = odd.ilog2();
    let bits = (odd << (BITS - exponent.min(BITS))) & ((1 << BITS) - 1) | (1023 << BITS);
    let m = f64::from_bits(bits);
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    // |t| ≤ 1/3: the 18th term is below 2^-60.
    let series = (0..18u32).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    f64::from(BITS + 1 - exponent) * std::f64::consts::LN_2 - 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for hash in [0, 1, 1 << 12, 1 << 40, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            #[expect(clippy::cast_precision_loss, reason = "the test's own reading, exact for 53 bits")]
            let u = (((hash >> 12) << 1) | 1) as f64 / 2f64.powi(53);
            let (ours, theirs) = (minus_ln(hash), -u.ln());
            assert!((ours - theirs).abs() <= 1e-14 * theirs.max(1.0), "{hash:x}: {ours} {theirs}");
            assert!(ours > 0.0);
        }
    }
}
