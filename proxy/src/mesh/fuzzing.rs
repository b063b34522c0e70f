//! What is read from other replicas, and from strangers who pretend to be one.

use router_core::{
    cluster::{Node, ReplicaId},
    time::Timestamp,
};

use super::{
    frame,
    handshake::accept,
    hello::{Hello, MAX_HELLO, MAX_VERDICT, Verdict},
    key::MeshKey,
    noise::{Keys, Recent},
};

/// An opened message: its frames are put together to the same bytes again, and none is longer than its lane allows.
pub(crate) fn frames(data: &[u8]) {
    let mut again = Vec::new();
    for part in frame::split(data.to_vec().into()) {
        let Ok((lane, body)) = part else {
            assert!(data.starts_with(&again), "what came before a broken frame is whole");
            return;
        };
        assert!(body.len() <= frame::longest(lane));
        frame::put(&mut again, lane, &body);
    }
    assert_eq!(again, data);
}

/// Hellos and verdicts, which only holders of the key can send.
pub(crate) fn hello(data: &[u8]) {
    if data.len() <= MAX_HELLO
        && let Some(hello) = Hello::decode(data)
    {
        let again = hello.encode();
        assert!(data.starts_with(&again), "{hello:?}");
        assert_eq!(hello.agree(&me()).err(), me().agree(&hello).err(), "both sides come to the same result");
    }
    if data.len() <= MAX_VERDICT
        && let Some(verdict) = Verdict::decode(data)
    {
        assert_eq!(Verdict::decode(&verdict.encode()), Some(verdict));
    }
}

fn me() -> Hello {
    let address = ([127, 0, 0, 1], 7946).into();
    let node = Node { id: ReplicaId(1), address, started: Timestamp(5) };
    Hello { versions: 1..=2, node, room_key: 7, lost: 0 }
}

fn key(number: u8) -> MeshKey {
    MeshKey::parse(&std::array::from_fn::<u8, 32, _>(|place| u8::try_from(place).unwrap_or_default() ^ number))
        .expect("many different bytes")
}

/// A stranger's side of a handshake: without the key, nobody gets in and nobody gets an answer.
pub(crate) fn handshake(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let keys = Keys { current: key(1), previous: Some(key(2)) };
    let mut stream = Stranger { says: data, heard: 0 };
    let met = runtime.block_on(accept(&mut stream, &keys, &Recent::default(), &me()));
    assert!(met.is_err(), "a stranger was let in");
    assert_eq!(stream.heard, 0, "a stranger was answered");
}

/// Says what it has, and counts what it hears.
struct Stranger<'a> {
    says: &'a [u8],
    heard: usize,
}

impl tokio::io::AsyncRead for Stranger<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        to: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let (now, later) = self.says.split_at(self.says.len().min(to.remaining()));
        to.put_slice(now);
        self.says = later;
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Stranger<'_> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.heard += bytes.len();
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// Inputs from which others are made.
#[cfg(test)]
pub(crate) fn seeds(name: &str) -> Vec<Vec<u8>> {
    use router_core::cluster::Lane;

    use super::{counters::Outcome, noise};
    match name {
        "mesh_frames" => {
            let mut message = Vec::new();
            frame::put(&mut message, Lane::Urgent, b"now");
            let one = message.clone();
            frame::put(&mut message, Lane::Bulk, &[7; 300]);
            frame::put(&mut message, Lane::Urgent, b"");
            vec![one, message]
        }
        "mesh_hello" => {
            let mut six = me();
            six.node.address = "[2001:db8::7]:1".parse().expect("an address");
            let verdicts = [Verdict::Welcome, Verdict::Duplicate(77), Verdict::No(Outcome::Full)];
            [me().encode(), six.encode()].into_iter().chain(verdicts.map(Verdict::encode)).collect()
        }
        "mesh_handshake" => {
            let (_, first) = noise::initiate(&key(3)).expect("a key of the right length");
            let foreign = [noise::PREFACE.as_slice(), &first].concat();
            vec![foreign.clone(), [foreign.as_slice(), &[0, 20], &[7; 20]].concat(), b"GET / HTTP/1.1\r\n\r\n".to_vec()]
        }
        _ => panic!("no seeds of {name}"),
    }
}
