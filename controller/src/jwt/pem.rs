//! Public keys out of PEM: `PUBLIC KEY` (SubjectPublicKeyInfo) and `RSA PUBLIC KEY` (PKCS#1).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Error;

/// rsaEncryption, 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
/// More keys than that in one file are not looked at.
const KEYS: usize = 16;

/// An RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// All keys of a PEM file; between two keys of a change both count.
    ///
    /// # Errors
    /// When there is none, or one is not an RSA key.
    pub fn all_of(text: &str) -> Result<Vec<Self>, Error> {
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some((_, block)) = rest.split_once("-----BEGIN ") {
            let (label, block) = block.split_once("-----").ok_or(Error::Key)?;
            let (body, after) = block.split_once("-----END ").ok_or(Error::Key)?;
            rest = after;
            let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let der = STANDARD.decode(body).map_err(|_| Error::Key)?;
            let key = match label {
                "PUBLIC KEY" => of_info(&der).ok_or(Error::Key)?.to_vec(),
                "RSA PUBLIC KEY" => der,
                _ => return Err(Error::Key),
            };
            if keys.len() == KEYS {
                return Err(Error::Key);
            }
            keys.push(Self(key));
        }
        if keys.is_empty() { Err(Error::Key) } else { Ok(keys) }
    }

    /// The key as PKCS#1.
    pub(super) fn der(&self) -> &[u8] {
        &self.0
    }
}

/// The PKCS#1 key inside of SubjectPublicKeyInfo, if it is one of RSA.
fn of_info(der: &[u8]) -> Option<&[u8]> {
    let (info, _) = value(der, SEQUENCE)?;
    let (algorithm, rest) = value(info, SEQUENCE)?;
    let (object, _) = value(algorithm, OBJECT)?;
    let (bits, _) = value(rest, BIT_STRING)?;
    // The first byte says how many bits of the last one do not count.
    (object == RSA && bits.first() == Some(&0)).then(|| &bits[1..])
}

/// The value of the first element, if it has this tag, and what follows.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let count = usize::from(short & 0x7f);
        if count == 0 || count > 3 || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    (first == tag && rest.len() >= length).then(|| rest.split_at(length))
}
