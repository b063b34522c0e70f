//! The one spelling of a name.
//!
//! The same room reaches us raw, percent-encoded and doubly encoded: jitsi-meet's `getBackendSafeRoomName`
//! encodes, and `URL.searchParams.append` encodes again; jigasi, JaaS and older clients concatenate. Composed and
//! decomposed letters, full-width letters and capitals mean the same room, since jitsi-meet applies NFKC
//! (Unicode TR15) and lower case before it speaks to the shard.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Rounds of percent-decoding at most: twice is what clients do, once more is for a proxy in between.
const DECODE_ROUNDS: usize = 3;

/// Rounds of NFKC and lower case at most. Two reach the fixed point in today's Unicode, a third one notices.
const FOLD_ROUNDS: usize = 4;

/// What a `+` is: a space in a query (WHATWG URL, `application/x-www-form-urlencoded`), itself in a path (RFC 3986 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    Space,
    Literal,
}

/// The normalised form of one name as it stands in a request.
pub(super) fn name(raw: &[u8], plus: Plus) -> String {
    // Most names: nothing to undo, one allocation.
    let plain = |&b: &u8| b.is_ascii() && b != b'%' && b != b'+';
    if raw.iter().all(plain)
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return text.to_ascii_lowercase();
    }
    let decoded = decode(raw, plus);
    let folded = fold(decoded.clone().into_owned());
    // Full-width `％41` becomes `%41`, which a client encodes like any other text: undo that too.
    if percents(&folded) == percents(&decoded) {
        folded
    } else {
        fold(decode(folded.as_bytes(), Plus::Literal).into_owned())
    }
}

fn percents(text: &str) -> usize {
    text.bytes().filter(|&b| b == b'%').count()
}

/// The normalised form of a path's leading segments, joined by `/`.
pub(super) fn tenant<'a>(segments: impl Iterator<Item = &'a [u8]>) -> String {
    let mut tenant = String::new();
    for segment in segments {
        // An encoded slash is one too, and empty parts count as little as empty segments do.
        for part in name(segment, Plus::Literal).split('/').filter(|part| !part.is_empty()) {
            if !tenant.is_empty() {
                tenant.push('/');
            }
            tenant.push_str(part);
        }
    }
    tenant
}

/// Percent-decodes to a fixed point. A round whose result is not UTF-8 is not taken: such a `%E9` is text.
fn decode(raw: &[u8], plus: Plus) -> Cow<'_, str> {
    let mut text = text(raw);
    for round in 0..DECODE_ROUNDS {
        let spaced = if round == 0 && plus == Plus::Space && text.contains('+') {
            Cow::Owned(text.replace('+', " "))
        } else {
            Cow::Borrowed(text.as_ref())
        };
        match percent_decode(spaced.as_bytes()).decode_utf8() {
            Ok(decoded) if decoded != text => text = Cow::Owned(decoded.into_owned()),
            _ => break,
        }
    }
    text
}

/// A raw byte that is not UTF-8 stands for its percent-encoded form, as it would in an IRI (RFC 3987 §3.1).
fn text(raw: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(raw) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(raw.len() * 2);
    for chunk in raw.utf8_chunks() {
        text.push_str(chunk.valid());
        for &byte in chunk.invalid() {
            text.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    Cow::Owned(text)
}

/// NFKC and lower case until nothing changes: `J̌` has no composed capital, but its lower case composes to `ǰ`.
fn fold(mut text: String) -> String {
    for _ in 0..FOLD_ROUNDS {
        if text.is_ascii() {
            text.make_ascii_lowercase();
            break;
        }
        let folded = nfkc(&text).to_lowercase();
        if folded == text {
            break;
        }
        text = folded;
    }
    text
}

fn nfkc(text: &str) -> Cow<'_, str> {
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfkc().collect()),
    }
}
