//! The service URLs that clients build, in the spellings found in the field.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use unicode_normalization::UnicodeNormalization as _;

/// What JavaScript's `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// How a client writes the room into the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// lib-jitsi-meet today: the backend-safe name through `URLSearchParams`, hence encoded twice.
    Twice,
    /// Jigasi, JaaS and clients that concatenate the backend-safe name: encoded once.
    Once,
    /// The name as typed. An HTTP library may still encode it (reqwest does, as browsers do); our WebSocket client
    /// puts its bytes into the request line.
    Raw,
}

/// The room part of a room's JID: jitsi-meet's `getBackendSafeRoomName` for a name that is not encoded yet.
pub(crate) fn backend_safe(room: &str) -> String {
    let name: String = room.nfkc().collect::<String>().to_lowercase();
    utf8_percent_encode(&name, COMPONENT).to_string().to_lowercase()
}

/// `base` + `endpoint` with the room in the query, or without it when `room` is `None`.
pub(crate) fn service_url(base: &str, endpoint: &str, room: Option<(&str, Spelling)>) -> String {
    let service = format!("{base}{endpoint}");
    match room {
        None => service,
        Some((room, Spelling::Twice)) => {
            let mut url = Url::parse(&service).expect("a base URL and a path");
            url.query_pairs_mut().append_pair("room", &backend_safe(room));
            url.into()
        }
        Some((room, Spelling::Once)) => format!("{service}?room={}", backend_safe(room)),
        Some((room, Spelling::Raw)) => format!("{service}?room={room}"),
    }
}

#[test]
fn urls_are_those_of_real_clients() {
    let url = |spelling| service_url("http://h:1", "/http-bind", Some(("Caffè ò", spelling)));
    assert_eq!(url(Spelling::Twice), "http://h:1/http-bind?room=caff%25c3%25a8%2520%25c3%25b2");
    assert_eq!(url(Spelling::Once), "http://h:1/http-bind?room=caff%c3%a8%20%c3%b2");
    assert_eq!(service_url("http://h:1", "/x", Some(("ò", Spelling::Raw))), "http://h:1/x?room=ò");
    assert_eq!(service_url("http://h:1", "/x", None), "http://h:1/x");
}
