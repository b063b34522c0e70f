//! One GET on a connection of its own; only the status counts.

use std::net::SocketAddr;

use router_core::shard::ShardName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ProbeError, tcp};
use crate::config::HttpProbe;

/// Longest head taken, interim answers included.
const MAX_HEAD: usize = 16 * 1_024;
/// Most header fields of an answer.
const MAX_HEADERS: usize = 128;

/// Sends the request and judges the status. The caller limits the time.
pub(super) async fn probe(address: SocketAddr, probe: &HttpProbe, shard: &ShardName) -> Result<(), ProbeError> {
    let mut stream = tcp::connect(address).await?;
    let host = probe.host.as_deref().unwrap_or(shard.as_str());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: roompin-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        probe.path
    );
    stream.write_all(request.as_bytes()).await.map_err(ProbeError::Io)?;
    let mut head = Head::default();
    let mut chunk = [0; 2_048];
    loop {
        let read = stream.read(&mut chunk).await.map_err(ProbeError::Io)?;
        if read == 0 {
            return Err(ProbeError::Closed);
        }
        if let Some(status) = head.take(&chunk[..read])? {
            let expected = probe.expect.iter().any(|&(from, to)| (from..=to).contains(&status));
            return if expected { Ok(()) } else { Err(ProbeError::Status(status)) };
        }
    }
}

/// An answer's head as it arrives.
#[derive(Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// The bytes before this have no blank line's end among them.
    searched: usize,
}

impl Head {
    /// Takes more bytes in. The status of the final answer, once its head is complete.
    pub(super) fn take(&mut self, mut more: &[u8]) -> Result<Option<u16>, ProbeError> {
        // A parser would skip blank lines before the answer, too, but over and over.
        while let (true, [b'\r' | b'\n', rest @ ..]) = (self.bytes.is_empty(), more) {
            more = rest;
        }
        let room = MAX_HEAD - self.bytes.len();
        self.bytes.extend_from_slice(&more[..more.len().min(room)]);
        // Parses only when a blank line has come, so that single bytes do not cost a parse each.
        while let Some(end) = self.blank_line() {
            let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut answer = httparse::Response::new(&mut fields);
            match answer.parse(&self.bytes[..end]).map_err(ProbeError::NotHttp)? {
                httparse::Status::Complete(length) => match answer.code {
                    // Interim answers (100, 103) announce another one; 101 is final.
                    Some(code) if (100..200).contains(&code) && code != 101 => {
                        self.bytes.drain(..length);
                        self.searched = 0;
                    }
                    Some(code) => return Ok(Some(code)),
                    None => return Err(ProbeError::NotHttp(httparse::Error::Status)),
                },
                httparse::Status::Partial => self.searched = end,
            }
        }
        if self.bytes.len() == MAX_HEAD { Err(ProbeError::TooLong(MAX_HEAD)) } else { Ok(None) }
    }

    /// The index after the first blank line that ends behind `searched`.
    fn blank_line(&mut self) -> Option<usize> {
        for end in self.searched + 1..=self.bytes.len() {
            let before = &self.bytes[..end];
            if before.ends_with(b"\n\r\n") || before.ends_with(b"\n\n") {
                return Some(end);
            }
        }
        self.searched = self.bytes.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_at_once(bytes: &[u8]) -> Result<Option<u16>, ProbeError> {
        Head::default().take(bytes)
    }

    #[test]
    fn the_status_is_read_however_the_bytes_arrive() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nServer: nginx\r\n\r\nbody";
        assert_eq!(all_at_once(answer).unwrap(), Some(503));
        let mut head = Head::default();
        let statuses: Vec<_> = answer.iter().filter_map(|byte| head.take(&[*byte]).unwrap()).collect();
        assert_eq!(statuses.first(), Some(&503));
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
        assert_eq!(all_at_once(answer).unwrap(), Some(204));
        assert_eq!(all_at_once(b"HTTP/1.1 101 Switching\r\n\r\n").unwrap(), Some(101));
    }

    #[test]
    fn leading_blank_lines_are_not_a_head() {
        assert_eq!(all_at_once(b"\r\n\n\r\nHTTP/1.0 200 OK\n\n").unwrap(), Some(200));
    }

    #[test]
    fn garbage_is_refused_and_an_unfinished_head_waits() {
        assert!(matches!(all_at_once(b"SSH-2.0-OpenSSH\r\n\r\n"), Err(ProbeError::NotHttp(_))));
        assert!(matches!(all_at_once(b"HTTP/1.1 200 OK\r\nServer: x\r\n"), Ok(None)));
    }

    #[test]
    fn a_head_without_end_is_cut() {
        let mut head = Head::default();
        assert!(head.take(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
        let result = (0..).find_map(|_| head.take(b"X-Filler: aaaaaaaaaaaaaaaa\r\n").err());
        assert!(matches!(result, Some(ProbeError::TooLong(MAX_HEAD))));
        assert!(head.bytes.capacity() <= 2 * MAX_HEAD);
        assert!(matches!(all_at_once(&vec![b'\n'; 1 << 20]), Ok(None)));
    }
}
