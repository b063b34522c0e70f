//! What stands in a file that calls itself a snapshot.

use std::io;

use router_core::{pin::Pin, room::RoomKey};

use super::{Decoder, Encoder, FormatError, Header, Sealing};

/// A file as it is, and the same with a checksum that fits. What is read whole is written and read again the same.
pub(crate) fn file(data: &[u8]) {
    let _ = read(data);
    let Some((content, _)) = data.split_last_chunk::<32>() else { return };
    let sealed = [content, blake3::hash(content).as_bytes()].concat();
    if let Ok((header, pins)) = read(&sealed) {
        let again = write(header, &pins).expect("what could be read can be written");
        assert_eq!(read(&again).expect("and read again"), (header, pins));
    }
}

fn read(data: &[u8]) -> Result<(Header, Vec<(RoomKey, Pin)>), FormatError> {
    let mut decoder = Decoder::new(data)?;
    let pins = decoder.by_ref().collect::<Result<_, _>>()?;
    Ok((decoder.header(), pins))
}

pub(crate) fn write(header: Header, pins: &[(RoomKey, Pin)]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(Sealing::new(Vec::new()), header)?;
    for (key, pin) in pins {
        encoder.push(*key, pin)?;
    }
    Ok(encoder.finish()?.0.seal()?.0)
}
