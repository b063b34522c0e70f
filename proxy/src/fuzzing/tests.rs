use router_core::{
    pin::{DeciderId, Pin},
    room::RoomKey,
    shard::ShardName,
    time::Timestamp,
};

use super::ALL;
use crate::{mesh, snapshot};

#[path = "../../../fuzz/driver.rs"]
mod driver;

const UPGRADE: &str = "GET /xmpp-websocket?room=a%2Fb HTTP/1.1\r\nHost: meet\r\nX-Forwarded-For: 10.1.1.1\r\n\
    Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k==\r\n\r\n";

/// What a corpus is begun with.
fn begin(name: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match name {
        "head" | "upgrade" => texts(&[
            UPGRADE,
            "\r\n\r\nPOST /http-bind?room=x#y HTTP/1.1\r\nHost: meet\r\nContent-Length: 12\r\n\r\nhello, world",
            "POST http://meet/a/http-bind?room=x HTTP/1.1\r\nhost: meet\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "OPTIONS * HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\n",
        ]),
        "chunks" => texts(&[
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
            "A;x=\"y\"\r\n0123456789\r\n0;last\r\nX-A: b\r\nX-C: d\r\n\r\n",
            "2\r\n\r\n\r\n00\r\n\r\n",
        ]),
        "ws_frames" => {
            let long = [&[0x82, 126, 1, 44][..], &[0xff; 300]].concat();
            let longer = [&[0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 200, 1, 2, 3, 4][..], &[7; 200]].concat();
            let short = vec![0x81, 0x82, 1, 2, 3, 4, b'h', b'i', 0x89, 0, 0x88, 2, 3, 0xf4];
            vec![[&short[..], &long, &short].concat(), short, long, longer]
        }
        "upgrade_answer" | "probe_answer" => texts(&[
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\u{2}\0",
            "HTTP/1.1 403 Nope\r\nx-jitsi-shard: theirs\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno",
            "\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\n\n",
            "HTTP/1.0 200\r\n\r\n",
        ]),
        "snapshot" => {
            let header = snapshot::Header { fingerprint: 7, written_at: Timestamp(1_000_000) };
            let pin = |shard: &str, ended| Pin {
                shard: ShardName::new(shard).unwrap(),
                epoch: 3,
                ended,
                created: Timestamp(900_000),
                decider: DeciderId(11),
                last_seen: Timestamp(999_000),
            };
            let pins = [(RoomKey(1), pin("shard-1", false)), (RoomKey(u128::MAX), pin("b", true))];
            [&pins[..], &pins[..1], &[]].map(|pins| snapshot::fuzzing::write(header, pins).unwrap()).into()
        }
        other => mesh::fuzzing::seeds(other),
    }
}

#[test]
fn no_decoder_is_harmed() {
    driver::drive_all(ALL, begin);
}
