//! Short fingerprints of what was built.

use serde::Serialize;

use super::{env, jicofo, prosody};
use crate::validate::ShardModel;

/// A fingerprint of anything that can be JSON: 16 hex digits.
pub fn checksum(value: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    blake3::hash(&bytes).to_hex()[..16].to_owned()
}

/// What may not change under a conference: the pods of prosody and jicofo, with the environment that they share.
///
/// The shard's own name is left out, so that two shards made of the same have the same revision.
pub fn signalling_revision(model: &ShardModel) -> String {
    let mut neutral = model.clone();
    let name = "shard";
    if model.secret_is_ours {
        neutral.secret = format!("{name}-secrets");
    }
    neutral.name = name.to_owned();
    neutral.jitsi = None;
    // Whether a bridge is here or there is not the concern of those who are in a conference.
    let templates = [prosody::stateful_set(&neutral), jicofo::deployment(&neutral)]
        .iter()
        .map(|object| serde_json::to_value(object.pod_template()).unwrap_or_default())
        .collect::<Vec<_>>();
    checksum(&(templates, env::shared(&neutral)))
}
