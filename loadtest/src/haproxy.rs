//! HAProxy's configurations, as data: see `loadtest/haproxy/`; and its socket for questions and orders.

use std::{fmt::Write as _, io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// As published for Kubernetes.
pub const KUBERNETES: &str = include_str!("../haproxy/kubernetes.cfg.in");
/// With a consistent hash.
pub const CONSISTENT_HASH: &str = include_str!("../haproxy/consistent-hash.cfg.in");

/// Connections at once. A tunnel takes two descriptors, and 20,000 is a usual limit.
const MAX_CONNECTIONS: &str = "8000";
/// Answers with success once it serves.
pub const READY_PATH: &str = "/haproxy-ready";
/// The backend of [`KUBERNETES`], in which the shards are.
pub const BACKEND: &str = "jitsi-meet";
/// For one order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of its answer.
const ANSWER_MAX: u64 = 64 << 10;

/// What a template leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Blanks<'a> {
    /// Where it serves.
    pub listen: SocketAddr,
    /// Where it takes orders.
    pub socket: &'a Path,
    /// All replicas, itself included: name and address.
    pub peers: &'a [(String, SocketAddr)],
    /// Shards: name, address, and what else the line of a server says.
    pub shards: &'a [(String, SocketAddr, String)],
    /// Entries of the stick table.
    pub table: usize,
}

/// Fills in a template.
#[must_use]
pub fn render(template: &str, blanks: &Blanks<'_>) -> String {
    let (mut peers, mut servers) = (String::new(), String::new());
    for (name, address) in blanks.peers {
        // Writing into a String cannot fail.
        let _ = writeln!(peers, "    peer {name} {address}");
    }
    for (name, address, rest) in blanks.shards {
        let _ = writeln!(servers, "    server {name} {address} check {rest}");
    }
    template
        .replace("@MAXCONN@", MAX_CONNECTIONS)
        .replace("@LISTEN@", &blanks.listen.to_string())
        .replace("@SOCKET@", &blanks.socket.display().to_string())
        .replace("@TABLE@", &blanks.table.to_string())
        .replace("@PEERS@", peers.trim_end())
        .replace("@SERVERS@", servers.trim_end())
}

/// Gives a process an order through its socket, or asks it something; its answer.
///
/// # Errors
/// When it does not answer in time.
pub async fn order(socket: &Path, order: &str) -> io::Result<String> {
    let talk = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{order}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(ORDER_TIMEOUT, talk).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Whether all remote peers in an answer to `show peers` are connected, and there are `expected` of them.
#[must_use]
pub fn peers_connected(answer: &str, expected: usize) -> bool {
    let remote = || answer.lines().filter(|line| line.contains("(remote,"));
    remote().count() == expected && remote().all(|line| line.contains("last_status=ESTA"))
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn haproxy_accepts_both_configurations() {
        let folder = tempfile::tempdir().unwrap();
        let peers = [("replica-1".to_owned(), address(7001)), ("replica-2".to_owned(), address(7002))];
        let shard = |number: u16| (format!("shard-{number}"), address(7002 + number), "inter 500ms".to_owned());
        let shards = [shard(1), shard(2)];
        let socket = folder.path().join("s");
        let blanks = Blanks { listen: address(7000), socket: &socket, peers: &peers, shards: &shards, table: 1_000 };
        for template in [KUBERNETES, CONSISTENT_HASH] {
            let text = render(template, &blanks);
            let open = text.lines().find(|line| !line.starts_with('#') && line.contains('@'));
            assert_eq!(open, None, "nothing is left open");
            assert_eq!(text.lines().filter(|line| line.starts_with("    server shard-")).count(), 2);
            let path = folder.path().join("haproxy.cfg");
            fs::write(&path, &text).unwrap();
            let haproxy = if Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" };
            let check = Command::new(haproxy).args(["-c", "-L", "replica-1", "-f"]).arg(&path).output().unwrap();
            let words = String::from_utf8_lossy(&check.stderr).into_owned();
            assert!(check.status.success() && !words.contains("WARNING"), "{words}");
        }
    }

    #[test]
    fn peers_are_connected_when_all_say_so() {
        let line = |place: &str, status: &str| {
            format!("  0x5: id=r({place},active) addr=127.0.0.1:1 last_status={status} x\n")
        };
        let local = line("local", "NONE");
        assert!(peers_connected(&local, 0));
        assert!(!peers_connected(&local, 1));
        assert!(peers_connected(&(local.clone() + &line("remote", "ESTA")), 1));
        assert!(!peers_connected(&(local + &line("remote", "ESTA") + &line("remote", "CONN")), 2));
    }
}
