//! The key that all replicas share.

use std::fmt;

/// Bytes of a key, and the least that a file must hold.
const KEY_BYTES: usize = 32;
/// Random bytes hardly ever have fewer different values among 32 of them (less than once in 10^20 keys).
const MIN_DIFFERENT: usize = 10;
/// Separates this use of the bytes from any other.
const CONTEXT: &str = "roompin 2026 mesh pre-shared key";

/// 32 secret bytes. Whoever has them is a replica.
#[derive(Clone, PartialEq, Eq)]
pub struct MeshKey([u8; KEY_BYTES]);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither raw bytes nor hex nor base64.
    #[error(
        "must hold a random key: 32 raw bytes, or 64 hex digits, or base64 of 32 bytes or more (openssl rand -base64 32)"
    )]
    Form,
    /// Fewer than 32 bytes.
    #[error("holds a key of {0} bytes; 32 are needed (openssl rand -base64 32)")]
    Short(usize),
    /// The same few bytes again and again.
    #[error("holds a key that is not random (openssl rand -base64 32 makes one)")]
    Poor,
}

impl MeshKey {
    /// A key from what a file holds: exactly 32 raw bytes, or text of 64 hex digits, or base64 (either alphabet, with
    /// or without padding) of 32 bytes or more. White space around text is ignored.
    ///
    /// # Errors
    /// When it is none of these, or not random enough for a key.
    pub fn parse(content: &[u8]) -> Result<Self, KeyError> {
        let text = content.trim_ascii();
        let is_text = text.iter().all(u8::is_ascii_graphic);
        let bytes = if content.len() == KEY_BYTES && !is_text {
            content.to_vec()
        } else if is_text && text.iter().all(u8::is_ascii_hexdigit) && text.len().is_multiple_of(2) {
            text.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
        } else if is_text {
            base64(text).ok_or(KeyError::Form)?
        } else {
            return Err(KeyError::Form);
        };
        if bytes.len() < KEY_BYTES {
            return Err(KeyError::Short(bytes.len()));
        }
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        if seen.iter().filter(|seen| **seen).count() < MIN_DIFFERENT {
            return Err(KeyError::Poor);
        }
        Ok(Self(blake3::derive_key(CONTEXT, &bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKey(..)")
    }
}

/// The value of a hex digit.
fn digit(c: u8) -> u8 {
    match c {
        b'0'..=b'9' => c - b'0',
        b'a'..=b'f' => c - b'a' + 10,
        _ => c.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// Both alphabets of RFC 4648; bits that are left over at the end must be 0.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|c| **c == b'=').count();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for c in &text[..text.len() - padding] {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held).to_le_bytes()[0]);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0 && held < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    const BASE64: &str = "ABEiM0RVZneImaq7zN3u/w8eLTxLWml4h5altMPS4fA=";

    fn raw() -> Vec<u8> {
        (0..32).map(|n| u8::from_str_radix(&HEX[2 * n..2 * n + 2], 16).unwrap()).collect()
    }

    #[test]
    fn one_key_has_many_spellings() {
        let key = MeshKey::parse(&raw()).unwrap();
        for text in [
            HEX.to_owned(),
            HEX.to_uppercase() + "\n",
            format!("  {BASE64}\r\n"),
            BASE64.trim_end_matches('=').into(),
            BASE64.replace('/', "_"),
        ] {
            assert_eq!(MeshKey::parse(text.as_bytes()).unwrap(), key, "{text}");
        }
        let mut other = raw();
        other[31] ^= 1;
        assert_ne!(MeshKey::parse(&other).unwrap(), key);
    }

    #[test]
    fn a_key_that_ends_in_white_space_is_not_cut() {
        let mut bytes = raw();
        bytes[31] = b'\n';
        assert!(MeshKey::parse(&bytes).is_ok());
    }

    #[test]
    fn a_longer_key_counts_whole() {
        let long = "ABEiM0RVZneImaq7zN3u/w8eLTxLWml4h5altMPS4fAB";
        assert_ne!(MeshKey::parse(long.as_bytes()).unwrap(), MeshKey::parse(BASE64.as_bytes()).unwrap());
    }

    #[test]
    fn what_could_be_guessed_is_refused() {
        let error = |content: &[u8]| MeshKey::parse(content).unwrap_err();
        assert_eq!(error(b"0123456789abcdef0123456789abcdef\n"), KeyError::Short(16));
        assert_eq!(error(b"correct-horse-battery-staple-32c"), KeyError::Short(24));
        assert_eq!(error(b"a passphrase of several words"), KeyError::Form);
        assert_eq!(error("0".repeat(64).as_bytes()), KeyError::Poor);
        assert_eq!(error(&[7; 32]), KeyError::Poor);
        assert_eq!(error(&raw()[..31]), KeyError::Form);
        assert_eq!(error(&[raw(), vec![1]].concat()), KeyError::Form);
        assert_eq!(error(BASE64.replace("A=", "B=").as_bytes()), KeyError::Form, "bits that say nothing");
        assert_eq!(error(b"\n"), KeyError::Short(0));
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", MeshKey::parse(HEX.as_bytes()).unwrap()), "MeshKey(..)");
    }
}
