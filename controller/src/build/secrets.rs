//! Secrets: generated once, never rotated. What is there stays; what is missing is added.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use rand::{Rng, RngExt};

use super::{
    Object,
    labels::{Component, jitsi_meta, shard_meta},
};
use crate::validate::{JitsiModel, ShardModel};

/// Key of the mesh key in its Secret.
pub const MESH_KEY_KEY: &str = "mesh.key";
/// Key of the admin token in its Secret.
pub const ADMIN_TOKEN_KEY: &str = "token";

/// Passwords of the accounts of one shard.
const ACCOUNTS: [&str; 5] = [
    "JIBRI_RECORDER_PASSWORD",
    "JIBRI_XMPP_PASSWORD",
    "JICOFO_AUTH_PASSWORD",
    "JIGASI_XMPP_PASSWORD",
    "JVB_AUTH_PASSWORD",
];

/// Passwords of one shard.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

/// Mesh key and admin token of one Jitsi.
#[derive(Clone, PartialEq, Eq)]
pub struct JitsiSecrets {
    mesh_key: String,
    admin_token: String,
}

// Neither may end in a log.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl std::fmt::Debug for JitsiSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JitsiSecrets")
    }
}

impl Secrets {
    /// New passwords for a new shard.
    pub fn generate(rng: &mut impl Rng) -> Self {
        Self::keep_or_generate(None, rng)
    }

    /// Those that are there, and new ones for accounts that have none.
    pub fn keep_or_generate(there: Option<&Secret>, rng: &mut impl Rng) -> Self {
        Self(ACCOUNTS.iter().map(|key| ((*key).to_owned(), keep(there, key, || password(rng)))).collect())
    }
}

impl JitsiSecrets {
    /// A new key and a new token for a new Jitsi.
    pub fn generate(rng: &mut impl Rng) -> Self {
        Self::keep_or_generate(None, None, rng)
    }

    /// Those that are there, from the Secrets `NAME-proxy-mesh-key` and `NAME-proxy-admin`, and new ones for those that are not.
    pub fn keep_or_generate(mesh_key: Option<&Secret>, admin: Option<&Secret>, rng: &mut impl Rng) -> Self {
        Self {
            mesh_key: keep(mesh_key, MESH_KEY_KEY, || hex(rng)),
            admin_token: keep(admin, ADMIN_TOKEN_KEY, || password(rng)),
        }
    }

    /// The token that proxies want from those who give them orders.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }
}

/// An empty value counts as missing: prosody does not start with one.
fn keep(there: Option<&Secret>, key: &str, new: impl FnOnce() -> String) -> String {
    there
        .and_then(|secret| secret.data.as_ref()?.get(key))
        .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
        .filter(|value| !value.is_empty())
        .unwrap_or_else(new)
}

/// 32 letters and digits: 190 bits, and nothing that a shell or a configuration file would mistake.
fn password(rng: &mut impl Rng) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..32).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}

/// 32 bytes as 64 hex digits.
fn hex(rng: &mut impl Rng) -> String {
    (0..32).map(|_| format!("{:02x}", rng.random::<u8>())).collect()
}

fn data<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<BTreeMap<String, ByteString>> {
    Some(pairs.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec()))).collect())
}

pub(super) fn shard(model: &ShardModel, secrets: &Secrets) -> Object {
    Secret {
        metadata: shard_meta(model, model.secret.clone(), "secrets"),
        data: data(secrets.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
        type_: Some("Opaque".to_owned()),
        ..Default::default()
    }
    .into()
}

pub(super) fn mesh_key_name(model: &JitsiModel) -> String {
    format!("{}-proxy-mesh-key", model.name)
}

pub(super) fn admin_name(model: &JitsiModel) -> String {
    format!("{}-proxy-admin", model.name)
}

pub(super) fn jitsi(model: &JitsiModel, secrets: &JitsiSecrets) -> Vec<Object> {
    [
        (mesh_key_name(model), MESH_KEY_KEY, secrets.mesh_key.as_str()),
        (admin_name(model), ADMIN_TOKEN_KEY, secrets.admin_token.as_str()),
    ]
    .into_iter()
    .map(|(name, key, value)| {
        Secret {
            metadata: jitsi_meta(model, name, Component::Proxy.as_str()),
            data: data([(key, value)]),
            type_: Some("Opaque".to_owned()),
            ..Default::default()
        }
        .into()
    })
    .collect()
}
