//! From a fresh connection to two replicas that know each other.
//!
//! ```text
//! dialler                                acceptor
//!   "RPIN" 1, first message        →                      fixed size; nothing is answered without the key
//!                                  ←     second message: hello
//!   sealed: hello                  →                      proves that the first message was not played back
//!                                  ←     sealed: verdict
//! ```
//! Every message but the first has its length before it, in two bytes.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    counters::Outcome,
    hello::{Hello, MAX_HELLO, MAX_VERDICT, Verdict},
    key::MeshKey,
    noise::{self, FIRST, Keys, NAME, PREFACE, Recent, SECOND, Session, TAG},
};

/// A connection whose other end has proved the key.
pub(super) struct Met {
    pub(super) session: Session,
    pub(super) hello: Hello,
}

/// Most that is read of somebody who has not proved the key: far below the 4 KiB that we allow ourselves.
const _: () = assert!(PREFACE.len() + FIRST + 2 + MAX_HELLO + SECOND < 4096, "a stranger is read too far");

/// The accepting side, up to the other's hello.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    keys: &Keys,
    recent: &Recent,
    me: &Hello,
) -> Result<Met, Outcome> {
    let mut preface = [0; PREFACE.len()];
    // The name first: somebody who speaks another language may say less than we would wait for.
    stream.read_exact(&mut preface[..NAME]).await.map_err(|_| Outcome::Closed)?;
    if preface[..NAME] != PREFACE[..NAME] {
        return Err(Outcome::NotMesh);
    }
    stream.read_exact(&mut preface[NAME..]).await.map_err(|_| Outcome::Closed)?;
    if preface != PREFACE {
        return Err(Outcome::Version);
    }
    let mut first = [0; FIRST];
    stream.read_exact(&mut first).await.map_err(|_| Outcome::Closed)?;
    let checked = noise::check(keys, &first).ok_or(Outcome::WrongKey)?;
    if !recent.is_new(&first) {
        return Err(Outcome::Replayed);
    }
    let (second, mut session) = checked.answer(&me.encode()).map_err(|_| Outcome::WrongKey)?;
    write(stream, &second).await?;
    let third = read(stream, MAX_HELLO + TAG).await?;
    let hello = session.opener.open(&third).map_err(|_| Outcome::WrongKey)?;
    let hello = Hello::decode(&hello).ok_or(Outcome::Malformed)?;
    Ok(Met { session, hello })
}

/// The dialling side, up to the other's hello.
pub(super) async fn dial<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, key: &MeshKey) -> Result<Met, Outcome> {
    let (initiated, first) = noise::initiate(key).map_err(|_| Outcome::WrongKey)?;
    let mut opening = PREFACE.to_vec();
    opening.extend_from_slice(&first);
    stream.write_all(&opening).await.map_err(|_| Outcome::Closed)?;
    let second = read(stream, MAX_HELLO + SECOND).await?;
    let (hello, session) = initiated.finish(&second).map_err(|_| Outcome::WrongKey)?;
    let hello = Hello::decode(&hello).ok_or(Outcome::Malformed)?;
    Ok(Met { session, hello })
}

/// The dialling side, from its own hello on.
pub(super) async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    session: &mut Session,
    me: &Hello,
) -> Result<Verdict, Outcome> {
    let mut third = Vec::new();
    session.sealer.seal(&me.encode(), &mut third).map_err(|_| Outcome::Malformed)?;
    stream.write_all(&third).await.map_err(|_| Outcome::Closed)?;
    let verdict = read(stream, MAX_VERDICT + TAG).await?;
    let verdict = session.opener.open(&verdict).map_err(|_| Outcome::WrongKey)?;
    Verdict::decode(&verdict).ok_or(Outcome::Malformed)
}

/// The verdict, ready for the wire.
pub(super) fn sealed_verdict(session: &mut Session, verdict: Verdict) -> Vec<u8> {
    let mut out = Vec::new();
    // A verdict is never too long to be sealed; an empty one would be taken for a closed connection.
    let _ = session.sealer.seal(&verdict.encode(), &mut out);
    out
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, longest: usize) -> Result<Vec<u8>, Outcome> {
    let length = usize::from(stream.read_u16().await.map_err(|_| Outcome::Closed)?);
    if length > longest {
        return Err(Outcome::Malformed);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.map_err(|_| Outcome::Closed)?;
    Ok(message)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> Result<(), Outcome> {
    let length = u16::try_from(message.len()).map_err(|_| Outcome::Malformed)?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await.map_err(|_| Outcome::Closed)
}
