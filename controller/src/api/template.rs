//! What a shard is made of: shared word for word by `Jitsi` and `JitsiShard`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, SecretKeySelector};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    BridgeSpec, FocusSpec, GatewayPodsSpec, NetworkPolicySpec, ProsodySpec, RecorderSpec, WebSpec,
    schema::{self, HostName, ObjectName, RegionName},
};

/// What a shard is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardTemplate {
    /// Host name that people open, and XMPP domain: `meet.example.org`.
    pub domain: HostName,

    /// Region of the shard and its bridges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,

    /// Time zone of the containers, such as `Europe/Paris`. UTC without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub timezone: Option<String>,

    /// Where images come from, unless a component names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,

    /// Secrets for private registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<LocalObjectReference>>")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Environment variables of docker-jitsi-meet. Each reaches the components that read it, and overrides what the
    /// controller would have set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub variables: BTreeMap<String, String>,

    /// A TURN server that prosody tells clients about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnSpec>,

    /// Admission by JSON Web Token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtSpec>,

    /// A Secret of yours instead of the generated one. Keys: JICOFO_AUTH_PASSWORD and JVB_AUTH_PASSWORD, and with
    /// recorders JIBRI_XMPP_PASSWORD and JIBRI_RECORDER_PASSWORD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_secret: Option<ObjectName>,

    /// Networks whose `X-Forwarded-For` prosody believes: those of the web pods. Private networks without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,

    /// Bridges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jvb: Option<BridgeSpec>,

    /// Recorders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jibri: Option<RecorderSpec>,

    /// Recorders that dial out by SIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_jibri: Option<RecorderSpec>,

    /// Gateways to telephones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jigasi: Option<GatewayPodsSpec>,

    /// The web server of the shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebSpec>,

    /// The XMPP server of the shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prosody: Option<ProsodySpec>,

    /// The conference focus of the shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jicofo: Option<FocusSpec>,

    /// PodMonitors for Prometheus, where the cluster knows that kind.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub metrics: bool,

    /// NetworkPolicies around the components. On without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
}

/// Where images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry and folder, such as `ghcr.io/jitsi` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,

    /// Tag of all images; at least stable-11146-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,

    /// When nodes pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self in ['Always', 'IfNotPresent', 'Never']").message("write 'Always', 'IfNotPresent' or 'Never'"))]
    pub pull_policy: Option<String>,
}

/// A TURN server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TurnSpec {
    /// Its host name.
    pub host: HostName,

    /// Its port. 5349 with `tls`, 3478 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("write a port from 1 to 65535"))]
    pub port: Option<i32>,

    /// TURN over TLS.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub tls: bool,

    /// The secret that the TURN server shares (`static-auth-secret` of coturn).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<SecretKeySelector>")]
    pub secret: Option<SecretKeySelector>,
}

/// Admission by JSON Web Token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secret) != has(self.asapKeyServer)").message(
    "write either 'secret' (a key that you share with the issuer) or 'asapKeyServer' (the address of its public keys)"
))]
pub struct JwtSpec {
    /// The application's name, in the token's `iss` unless `acceptedIssuers` says otherwise.
    #[schemars(length(min = 1, max = 253))]
    pub app_id: String,

    /// The key that signs tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<SecretKeySelector>")]
    pub secret: Option<SecretKeySelector>,

    /// Where public keys of issuers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')").message("write an address that begins with https://"))]
    #[schemars(length(max = 2048))]
    pub asap_key_server: Option<String>,

    /// Issuers that are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_issuers: Vec<String>,

    /// Audiences that are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_audiences: Vec<String>,

    /// People without a token may come too.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub allow_empty: bool,

    /// People without a token may join what somebody with one has opened.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub guests: bool,

    /// Where people without a token are sent to get one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_url: Option<String>,
}
