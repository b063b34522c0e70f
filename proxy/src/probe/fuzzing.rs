//! What shards answer to a probe.

use super::http::Head;

/// An HTTP probe's answer: however it is cut, its status is the same.
pub(crate) fn http(data: &[u8]) {
    let whole = Head::default().take(data);
    let step = 1 + usize::from(data.first().copied().unwrap_or_default()) % 9;
    let mut head = Head::default();
    let pieces = data.chunks(step).find_map(|piece| head.take(piece).transpose());
    if let (Ok(Some(whole)), Some(Ok(pieces))) = (whole, pieces) {
        assert_eq!(whole, pieces, "in pieces of {step}");
    }
}
