//! Names of rooms, and the ways in which clients write them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization;

/// Rooms of the demo. The first is the one of the curl examples.
pub const ROOMS: [&str; 8] = ["Café", "Stand-up", "Großküche", "会議室", "All-Hands", "Señorío", "Команда", "retro_42"];

/// `encodeURIComponent` leaves these as they are.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Spellings of one room that reach a proxy from different clients, percent-encoded. All are the same room: encoded
/// once as typed, as `getBackendSafeRoomName` makes it, that encoded again (what `URLSearchParams` does to it), and
/// decomposed as some keyboards type it.
#[must_use]
pub fn spellings(name: &str) -> [String; 4] {
    let encode = |name: &str| utf8_percent_encode(name, COMPONENT).to_string();
    let safe = encode(&name.nfkc().collect::<String>().to_lowercase()).to_lowercase();
    let twice = encode(&safe).to_lowercase();
    let decomposed = encode(&name.nfd().collect::<String>());
    [encode(name), safe, twice, decomposed]
}
