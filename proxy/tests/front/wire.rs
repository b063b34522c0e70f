//! HTTP as bytes: a client and a shard that say exactly what a test wants, and hear exactly what was said.
#![allow(dead_code, reason = "two test targets share this, and each uses its own part")]

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// For every single step; generous, because tests share two cores with a compiler.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) tcp: TcpStream,
    read: Vec<u8>,
}

/// A message's head and body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head as it came, blank line included.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// All values of a field, in order.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    /// A field that is there at most once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.fields(name);
        assert!(all.len() <= 1, "{name} is there {} times in {}", all.len(), self.head);
        all.first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Who answered, by the stub's own word.
    pub(crate) fn stub(&self) -> &str {
        self.field("x-stub-shard").unwrap_or_else(|| panic!("not from a stub: {}", self.head))
    }
}

/// Values of a field in a head.
pub(crate) fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = timeout(LIMIT, TcpStream::connect(address)).await.expect("connect in time").expect("connect");
        tcp.set_nodelay(true).expect("nodelay");
        Self::new(tcp)
    }

    /// From one of some loopback addresses, so that thousands of connections do not use one address's ports up.
    pub(crate) async fn connect_from(turn: usize, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let last = u8::try_from(2 + turn % 16).expect("small");
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        Ok(Self::new(socket.connect(address).await?))
    }

    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(LIMIT, self.tcp.write_all(bytes.as_ref())).await.expect("send in time").expect("send");
    }

    /// Reads once; 0 at the end or on a reset.
    async fn fill(&mut self) -> usize {
        let read = timeout(LIMIT, self.tcp.read_buf(&mut self.read)).await;
        read.unwrap_or_else(|_| panic!("nothing more came; so far {:?}", String::from_utf8_lossy(&self.read)))
            .unwrap_or(0)
    }

    /// The next head, or `None` when the other end has closed without one.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill().await == 0 {
                assert!(self.read.is_empty(), "broke off in {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        }
    }

    /// Exactly so many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.fill().await > 0, "broke off after {} of {count} bytes", self.read.len());
        }
        self.read.drain(..count).collect()
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).collect();
                return String::from_utf8(line).expect("a line is text").trim_end().to_owned();
            }
            assert!(self.fill().await > 0, "broke off in a line");
        }
    }

    /// A body as its head frames it; `None`: until the end.
    pub(crate) async fn body(&mut self, head: &str) -> Vec<u8> {
        if fields(head, "transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
            let mut body = Vec::new();
            loop {
                let size = self.line().await;
                let size = usize::from_str_radix(size.split(';').next().unwrap_or(""), 16).expect("a chunk's size");
                if size == 0 {
                    while !self.line().await.is_empty() {}
                    return body;
                }
                body.extend(self.exactly(size).await);
                assert_eq!(self.line().await, "", "a chunk's end");
            }
        }
        match fields(head, "content-length").first() {
            Some(length) => self.exactly(length.parse().expect("a length")).await,
            None => self.rest().await,
        }
    }

    /// The next answer with its body, interim ones passed over; `None` when the connection ended before it.
    pub(crate) async fn try_answer(&mut self, bodyless: bool) -> Option<Answer> {
        loop {
            let head = self.head().await?;
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
            let status = status.unwrap_or_else(|| panic!("not an answer: {head:?}"));
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let none = bodyless || matches!(status, 101 | 204 | 304);
            let body = if none { Vec::new() } else { self.body(&head).await };
            return Some(Answer { status, head, body });
        }
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer(false).await.expect("an answer, not an end")
    }

    /// Sends a request and takes its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Asserts that nothing more comes, and that the other end has closed.
    pub(crate) async fn ended(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    /// What was read but not taken, and the socket.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.tcp, self.read)
    }
}

/// A plain GET of `target`.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: meet.example\r\n\r\n")
}

/// A WebSocket upgrade for a room, with more fields (each with its CR LF).
pub(crate) fn upgrade(room: &str, more: &str) -> String {
    format!(
        "GET /xmpp-websocket?room={room} HTTP/1.1\r\nHost: meet.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// What a [`RawShard`] says to an upgrade, without checking anything.
pub(crate) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A shard that does with each connection what a test says, from its first head on.
#[derive(Debug)]
pub(crate) struct RawShard {
    pub(crate) addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl RawShard {
    /// `serve` gets each connection with the first head that came on it.
    pub(crate) async fn start<F>(serve: impl Fn(Wire, String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a shard");
        let addr = listener.local_addr().expect("its address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(AtomicUsize::new(0));
        let (all, counter, serve) = (Arc::clone(&heads), Arc::clone(&open), Arc::new(serve));
        let task = tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { continue };
                let (all, open, serve) = (Arc::clone(&all), Arc::clone(&counter), Arc::clone(&serve));
                tokio::spawn(async move {
                    let mut wire = Wire::new(tcp);
                    // A probe says nothing.
                    let Some(head) = wire.head().await else { return };
                    all.lock().expect("no panic inside").push(head.clone());
                    open.fetch_add(1, Ordering::SeqCst);
                    serve(wire, head).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, heads, open, task }
    }

    /// First heads of all connections so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic inside").clone()
    }

    /// Connections being served.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for RawShard {
    fn drop(&mut self) {
        self.task.abort();
    }
}
