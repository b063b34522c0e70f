//! Proof of the key, and secrecy: Noise with snow.
//!
//! The pattern is `NNpsk0`: two messages, fresh ephemeral keys on both sides, and the pre-shared key mixed in before
//! the first byte. Why this one:
//! - Replicas have no identity beyond "has the key", so patterns with static keys (`KK`, `XX`) would only add keys to
//!   hand out and to check against nothing.
//! - Ephemeral keys give forward secrecy: who steals the key later cannot read what was recorded.
//! - With `psk0` the first message carries a proof of the key. A stranger is turned away after one hash and before any
//!   Diffie-Hellman, without a byte in answer; with `psk2` whoever sends 32 bytes would get both.
//! - That first message can be recorded and played back. Within one process it is known again ([`Recent`]); to another
//!   process it is worth one answer of fixed size, sealed to a private key that the player does not have, and no link,
//!   because a link needs a third message under the new keys.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use snow::{Builder, HandshakeState, StatelessTransportState, params::NoiseParams};

use super::key::MeshKey;

/// Opens every connection: a name, and the version of everything in this module. Part of the proof.
///
/// A release that changes the handshake accepts both versions, and dials with the older one until the next release.
pub(super) const PREFACE: [u8; 5] = *b"RPIN\x01";
/// Bytes of [`PREFACE`] that are the name.
pub(super) const NAME: usize = 4;
/// The first message: an ephemeral key, and a tag over nothing.
pub(super) const FIRST: usize = EPHEMERAL + TAG;
/// What Noise adds to the payload of the second message.
pub(super) const SECOND: usize = EPHEMERAL + TAG;
/// What sealing adds to a message.
pub(super) const TAG: usize = 16;
/// Longest sealed message, by Noise.
#[cfg(test)]
pub(super) const LONGEST: usize = 65_535;

const EPHEMERAL: usize = 32;
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// First messages remembered: only those that prove the key, so strangers cannot push any out.
const REMEMBERED: usize = 4096;

/// The keys that are accepted.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Tried first, on both sides.
    pub current: MeshKey,
    /// Accepted too, while keys are changed.
    pub previous: Option<MeshKey>,
}

/// Keys of one connection, each direction with its own.
pub(super) struct Session {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    /// The same number on both sides and different for every connection; never 0.
    pub(super) tag: u64,
}

pub(super) struct Sealer {
    state: Arc<StatelessTransportState>,
    nonce: u64,
}

pub(super) struct Opener {
    state: Arc<StatelessTransportState>,
    nonce: u64,
}

/// A handshake that waits for the second message.
pub(super) struct Initiated(HandshakeState);

fn builder(key: &MeshKey) -> Result<Builder<'_>, snow::Error> {
    let params: NoiseParams = PATTERN.parse()?;
    Builder::new(params).psk(0, key.bytes())?.prologue(&PREFACE)
}

/// Starts a handshake: the state, and the first message.
pub(super) fn initiate(key: &MeshKey) -> Result<(Initiated, [u8; FIRST]), snow::Error> {
    let mut state = builder(key)?.build_initiator()?;
    let mut first = [0; FIRST];
    state.write_message(&[], &mut first)?;
    Ok((Initiated(state), first))
}

impl Initiated {
    /// Ends it: what the other side says, and the session.
    pub(super) fn finish(mut self, second: &[u8]) -> Result<(Vec<u8>, Session), snow::Error> {
        let mut payload = vec![0; second.len()];
        let length = self.0.read_message(second, &mut payload)?;
        payload.truncate(length);
        Ok((payload, Session::new(self.0)?))
    }
}

/// Checks a first message against the keys. `None` from somebody who has neither.
pub(super) fn check(keys: &Keys, first: &[u8; FIRST]) -> Option<Checked> {
    [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten().find_map(|key| {
        let mut state = builder(key).ok()?.build_responder().ok()?;
        state.read_message(first, &mut [0; FIRST]).ok()?;
        Some(Checked(state))
    })
}

/// A handshake whose first message proves the key, unless it is played back.
pub(super) struct Checked(HandshakeState);

impl Checked {
    /// The second message with a payload, and the session: to be trusted once a message is opened with it.
    pub(super) fn answer(mut self, payload: &[u8]) -> Result<(Vec<u8>, Session), snow::Error> {
        let mut second = vec![0; payload.len() + SECOND];
        let length = self.0.write_message(payload, &mut second)?;
        second.truncate(length);
        Ok((second, Session::new(self.0)?))
    }
}

impl Session {
    fn new(state: HandshakeState) -> Result<Self, snow::Error> {
        let tag = state.get_handshake_hash().iter().take(8).fold(0, |tag, byte| tag << 8 | u64::from(*byte)).max(1);
        let state = Arc::new(state.into_stateless_transport_mode()?);
        Ok(Self { sealer: Sealer { state: Arc::clone(&state), nonce: 0 }, opener: Opener { state, nonce: 0 }, tag })
    }
}

impl Sealer {
    /// Makes `out` a message for the wire: its length in two bytes, then `plain` sealed.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), snow::Error> {
        out.resize(2 + plain.len() + TAG, 0);
        let length = self.state.write_message(self.nonce, plain, &mut out[2..])?;
        self.nonce += 1;
        let length = u16::try_from(length).map_err(|_| snow::Error::Input)?;
        out[..2].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

impl Opener {
    /// Opens the next message, given without its length.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, snow::Error> {
        let mut plain = vec![0; sealed.len().checked_sub(TAG).ok_or(snow::Error::Decrypt)?];
        let length = self.state.read_message(self.nonce, sealed, &mut plain)?;
        self.nonce += 1;
        plain.truncate(length);
        Ok(plain)
    }
}

/// First messages seen lately, to know one again that is played back.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    set: HashSet<[u8; FIRST]>,
    order: VecDeque<[u8; FIRST]>,
}

impl Recent {
    /// Remembers a first message that proves the key; `false` when it was here before.
    pub(super) fn is_new(&self, first: &[u8; FIRST]) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.set.insert(*first) {
            return false;
        }
        seen.order.push_back(*first);
        if seen.order.len() > REMEMBERED
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.set.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> MeshKey {
        MeshKey::parse(&(0..32).map(|i: u8| i.wrapping_mul(7) ^ n ^ 0x80).collect::<Vec<_>>()).unwrap()
    }

    fn keys(current: u8, previous: Option<u8>) -> Keys {
        Keys { current: key(current), previous: previous.map(key) }
    }

    fn pair() -> (Session, Session) {
        let (initiated, first) = initiate(&key(1)).unwrap();
        let (second, there) = check(&keys(1, None), &first).unwrap().answer(b"hello").unwrap();
        let (payload, here) = initiated.finish(&second).unwrap();
        assert_eq!(payload, b"hello");
        (here, there)
    }

    #[test]
    fn two_with_one_key_understand_each_other() {
        let (mut here, mut there) = pair();
        assert_eq!(here.tag, there.tag);
        let mut wire = Vec::new();
        for n in [0_usize, 1, 100, LONGEST - TAG] {
            here.sealer.seal(&vec![9; n], &mut wire).unwrap();
            assert_eq!(there.opener.open(&wire[2..]).unwrap(), vec![9; n]);
            there.sealer.seal(&vec![8; n], &mut wire).unwrap();
            assert_eq!(here.opener.open(&wire[2..]).unwrap(), vec![8; n]);
        }
        assert!(here.sealer.seal(&vec![0; LONGEST - TAG + 1], &mut wire).is_err());
    }

    #[test]
    fn a_message_fits_its_own_place_only() {
        let (mut here, mut there) = pair();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        here.sealer.seal(b"one", &mut first).unwrap();
        here.sealer.seal(b"two", &mut second).unwrap();
        assert!(there.opener.open(&second[2..]).is_err(), "out of order");
        assert!(here.opener.open(&first[2..]).is_err(), "reflected");
        let mut changed = first.clone();
        changed[4] ^= 1;
        assert!(there.opener.open(&changed[2..]).is_err(), "changed");
        assert!(there.opener.open(&first[2..9]).is_err(), "cut");
        assert_eq!(there.opener.open(&first[2..]).unwrap(), b"one");
        assert!(there.opener.open(&first[2..]).is_err(), "again");
    }

    #[test]
    fn either_of_two_keys_is_accepted_and_no_other() {
        let first = |n| initiate(&key(n)).unwrap().1;
        assert!(check(&keys(2, Some(1)), &first(1)).is_some());
        assert!(check(&keys(2, Some(1)), &first(2)).is_some());
        assert!(check(&keys(2, Some(1)), &first(3)).is_none());
        assert!(check(&keys(2, None), &first(1)).is_none());
    }

    #[test]
    fn a_first_message_played_back_is_known_and_yields_no_session() {
        let (initiated, first) = initiate(&key(1)).unwrap();
        let recent = Recent::default();
        assert!(recent.is_new(&first));
        assert!(!recent.is_new(&first));
        let (second, _) = check(&keys(1, None), &first).unwrap().answer(b"").unwrap();
        let (_, mut real) = initiated.finish(&second).unwrap();
        let mut third = Vec::new();
        real.sealer.seal(b"it is me", &mut third).unwrap();
        let (_, mut replayed) = check(&keys(1, None), &first).unwrap().answer(b"").unwrap();
        assert!(replayed.opener.open(&third[2..]).is_err());
    }

    #[test]
    fn memory_of_first_messages_is_bounded() {
        let recent = Recent::default();
        let message = |n: usize| {
            let mut first = [0; FIRST];
            first[..8].copy_from_slice(&n.to_be_bytes());
            first
        };
        assert!((0..REMEMBERED + 10).all(|n| recent.is_new(&message(n))));
        assert_eq!(recent.0.lock().unwrap().set.len(), REMEMBERED);
        assert!(!recent.is_new(&message(REMEMBERED)) && recent.is_new(&message(0)));
    }
}
