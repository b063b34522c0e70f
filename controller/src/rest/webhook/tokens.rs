//! Signed tokens, and who used them before.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::Refusal;
use crate::{jwt::Token, validate::TokenRules};

/// A token that counts for longer could be used for longer than anybody remembers who used it.
const LONGEST: SignedDuration = SignedDuration::from_hours(25);
/// Tokens that are remembered, some 100 bytes each.
const MOST: usize = 8192;

/// Which pod used which token first. jibri sends the same token until it is nearly over, so a token may be used again, but only
/// by the pod that used it first.
#[derive(Default)]
pub(super) struct Replays(Mutex<HashMap<[u8; 32], (String, Timestamp)>>);

impl Replays {
    /// Believes a token, or not.
    pub(super) fn check(&self, text: &str, rules: &TokenRules, uid: &str, now: Timestamp) -> Result<(), Refusal> {
        let token = Token::parse(text).map_err(Refusal::Token)?;
        let claims = token.verify(&rules.keys, &rules.rules, now).map_err(Refusal::Token)?;
        #[allow(clippy::cast_possible_truncation, reason = "what does not fit saturates, and counts for too long")]
        let expires = Timestamp::from_second(claims.exp.unwrap_or_default() as i64).unwrap_or(Timestamp::MAX);
        if expires.duration_since(now) > LONGEST {
            return Err(Refusal::Lasting);
        }
        let key = *blake3::hash(text.trim().as_bytes()).as_bytes();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((first, _)) = all.get(&key) {
            return if first == uid { Ok(()) } else { Err(Refusal::Replay) };
        }
        if all.len() >= MOST {
            // A minute more than the leeway that an expired one is given.
            all.retain(|_, (_, expires)| now.duration_since(*expires) < SignedDuration::from_mins(1));
        }
        if all.len() >= MOST {
            return Err(Refusal::Crowded);
        }
        all.insert(key, (uid.to_owned(), expires));
        Ok(())
    }
}
