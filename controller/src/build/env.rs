//! Environment variables of the official images.
//!
//! One ConfigMap per shard holds what all components share, with everything that prosody or jicofo read of the user's
//! `variables`. What only web servers, bridges or recorders read goes to those alone, so that changing it does not
//! replace the shard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapEnvSource, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector,
};

use super::{
    Component, Object,
    labels::{name, shard_meta},
};
use crate::{api::GroupKind, validate::ShardModel};

pub(crate) type Variables = BTreeMap<String, String>;

/// Begins of names that nobody but the web server reads.
const WEB: &[&str] = &[
    "AMPLITUDE_",
    "ANALYTICS_",
    "AUDIO_QUALITY_",
    "AUTO_CAPTION_",
    "BOSH_RELATIVE",
    "BRANDING_",
    "BWE_",
    "CHROME_EXTENSION_",
    "CODEC_ORDER_",
    "CONFCODE_",
    "CORS_",
    "CSP_",
    "DEFAULT_LANGUAGE",
    "DESKTOP_SHARING_",
    "DIALIN_",
    "DIALOUT_",
    "DISABLE_AUDIO_LEVELS",
    "DISABLE_DEEP_LINKING",
    "DISABLE_GRANT_MODERATOR",
    "DISABLE_HTTPS",
    "DISABLE_KICKOUT",
    "DISABLE_LOCAL_RECORDING",
    "DISABLE_PRIVATE_CHAT",
    "DISABLE_PROFILE",
    "DISABLE_REACTIONS",
    "DISABLE_REMOTE_VIDEO_MENU",
    "DISABLE_START_FOR_ALL",
    "DROPBOX_",
    "DYNAMIC_BRANDING_",
    "E2EPING_",
    "ENABLE_ADAPTIVE_MODE",
    "ENABLE_ADVANCED_AUDIO_",
    "ENABLE_AUDIO_PROCESSING",
    "ENABLE_AUTOMATIC_GAIN_",
    "ENABLE_CALENDAR",
    "ENABLE_CLOSE_PAGE",
    "ENABLE_E2EPING",
    "ENABLE_HSTS",
    "ENABLE_HTTP_REDIRECT",
    "ENABLE_ICE_RESTART",
    "ENABLE_LETSENCRYPT",
    "ENABLE_LIVESTREAMING",
    "ENABLE_LOCAL_RECORDING_",
    "ENABLE_NOISY_MIC_",
    "ENABLE_NO_AUDIO_",
    "ENABLE_OPUS_RED",
    "ENABLE_P2P",
    "ENABLE_PREJOIN_PAGE",
    "ENABLE_REMB",
    "ENABLE_REQUIRE_DISPLAY_NAME",
    "ENABLE_SERVICE_RECORDING",
    "ENABLE_SIMULCAST",
    "ENABLE_STATS_ID",
    "ENABLE_STEREO",
    "ENABLE_TALK_WHILE_MUTED",
    "ENABLE_TCC",
    "ENABLE_THIRD_PARTY_",
    "ENABLE_VLA",
    "ENABLE_WELCOME_PAGE",
    "ETHERPAD_",
    "GOOGLE_",
    "HIDE_",
    "INVITE_",
    "JVB_PREFER_SCTP",
    "LETSENCRYPT_",
    "MATOMO_",
    "MICROSOFT_",
    "NGINX_",
    "P2P_",
    "PEOPLE_",
    "PREFERRED_LANGUAGE",
    "RESOLUTION",
    "RTCSTATS_",
    "RTC_VISUALIZER_",
    "START_",
    "TOKEN_AUTH_URL",
    "TOOLBAR_",
    "TRANSLATION_LANGUAGES",
    "USE_APP_LANGUAGE",
    "VIDEOQUALITY_",
    "WHITEBOARD_",
];
/// Begins of names that nobody but bridges read.
const JVB: &[&str] = &[
    "COLIBRI_",
    "DISABLE_AWS_HARVESTER",
    "DOCKER_HOST_ADDRESS",
    "JVB_ADVERTISE_",
    "JVB_CC_",
    "JVB_DISABLE_STUN",
    "JVB_INSTANCE_ID",
    "JVB_LOG_FILE",
    "JVB_MUC_NICKNAME",
    "JVB_OCTO_",
    "JVB_PORT",
    "JVB_REQUIRE_VALID_ADDRESS",
    "JVB_STUN_SERVERS",
    "JVB_USE_USRSCTP",
    "SHUTDOWN_REST_ENABLED",
    "VIDEOBRIDGE_",
];
/// Begins of names that nobody but recorders read.
const JIBRI: &[&str] = &[
    "CHROMIUM_",
    "DISPLAY",
    "FFMPEG_",
    "IGNORE_CERTIFICATE_ERRORS",
    "JIBRI_ENABLE_",
    "JIBRI_FFMPEG_",
    "JIBRI_FINALIZE_",
    "JIBRI_INSTANCE_ID",
    "JIBRI_LOGS_",
    "JIBRI_RECORDING_",
    "JIBRI_SINGLE_USE_MODE",
    "JIBRI_STATSD_",
    "JIBRI_STRIP_DOMAIN_JID",
    "JIBRI_USAGE_TIMEOUT",
    "JIBRI_WEBHOOK_",
    "JIBRI_XORG_",
];

/// Begins of names that nobody but gateways read.
const JIGASI: &[&str] = &["GC_", "JIGASI_"];

fn only(component: Component) -> &'static [&'static str] {
    match component {
        Component::Web => WEB,
        Component::Jvb => JVB,
        Component::Jibri | Component::SipJibri => JIBRI,
        Component::Jigasi => JIGASI,
        Component::Prosody | Component::Jicofo | Component::Proxy => &[],
    }
}

fn read_by(component: Component, variable: &str) -> bool {
    only(component).iter().any(|begin| variable.starts_with(begin))
}

/// The user's variables that only this component reads.
fn own(model: &ShardModel, component: Component) -> impl Iterator<Item = (&String, &String)> {
    model.variables.iter().filter(move |(name, _)| read_by(component, name))
}

/// What all components of a shard share.
pub fn shared(model: &ShardModel) -> Variables {
    let domain = model.variables.get("XMPP_DOMAIN").unwrap_or(&model.domain);
    let on = |yes: bool| if yes { "1" } else { "0" }.to_owned();
    let mut all: Variables = [
        ("XMPP_DOMAIN", domain.clone()),
        ("XMPP_AUTH_DOMAIN", format!("auth.{domain}")),
        ("XMPP_MUC_DOMAIN", format!("muc.{domain}")),
        ("XMPP_INTERNAL_MUC_DOMAIN", format!("internal-muc.{domain}")),
        ("XMPP_GUEST_DOMAIN", format!("guest.{domain}")),
        ("XMPP_HIDDEN_DOMAIN", format!("hidden.{domain}")),
        ("XMPP_SERVER", name(&model.name, Component::Prosody)),
        ("PUBLIC_URL", format!("https://{}", model.domain)),
        ("TZ", model.timezone.clone()),
        ("ENABLE_AUTH", on(false)),
        ("ENABLE_GUESTS", on(false)),
        ("ENABLE_XMPP_WEBSOCKET", on(true)),
        ("ENABLE_RECORDING", on(model.recorders.is_some() || model.sip_recorders.is_some())),
        ("ENABLE_OCTO", on(true)),
        ("JVB_BREWERY_MUC", "jvbbrewery".to_owned()),
        ("DEPLOYMENTINFO_SHARD", model.name.clone()),
        ("DEPLOYMENTINFO_REGION", model.region.clone()),
        ("S6_YES_I_WANT_A_WORLD_WRITABLE_RUN_BECAUSE_KUBERNETES", on(true)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    if model.recorders.is_some() {
        all.insert("JIBRI_BREWERY_MUC".to_owned(), "jibribrewery".to_owned());
        all.insert("JIBRI_PENDING_TIMEOUT".to_owned(), "90".to_owned());
    }
    if model.sip_recorders.is_some() {
        all.insert("JIBRI_SIP_BREWERY_MUC".to_owned(), super::recorders::SIP_BREWERY.to_owned());
    }
    if model.gateways.is_some() {
        all.insert("JIGASI_BREWERY_MUC".to_owned(), "jigasibrewery".to_owned());
    }
    let elsewhere = |name: &str| [Component::Web, Component::Jvb, Component::Jibri].iter().any(|c| read_by(*c, name));
    all.extend(model.jwt.iter().filter(|(name, _)| !elsewhere(name)).map(|(k, v)| (k.clone(), v.clone())));
    all.extend(model.variables.iter().filter(|(name, _)| !elsewhere(name)).map(|(k, v)| (k.clone(), v.clone())));
    all
}

pub(super) fn config_map(model: &ShardModel) -> Object {
    let metadata = shard_meta(model, env_name(model), "env");
    ConfigMap { metadata, data: Some(shared(model)), ..Default::default() }.into()
}

/// Name of the ConfigMap with the shared environment.
pub fn env_name(model: &ShardModel) -> String {
    format!("{}-env", model.name)
}

/// The shared environment, as a source for a container.
pub(super) fn from_shared(model: &ShardModel) -> EnvFromSource {
    EnvFromSource {
        config_map_ref: Some(ConfigMapEnvSource { name: env_name(model), optional: None }),
        ..Default::default()
    }
}

/// A component's own variables: ours, under the user's `variables` for it.
pub(super) fn component(model: &ShardModel, component: Component, ours: &[(&str, &str)]) -> Vec<EnvVar> {
    let mut all: Variables = ours.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.extend(model.jwt.iter().filter(|(name, _)| read_by(component, name)).map(|(k, v)| (k.clone(), v.clone())));
    all.extend(own(model, component).map(|(key, value)| (key.clone(), value.clone())));
    // What the user says for everybody counts more than what we say for this component.
    for (key, value) in &model.variables {
        if let Some(there) = all.get_mut(key) {
            there.clone_from(value);
        }
    }
    let mut env: Vec<_> =
        all.into_iter().map(|(name, value)| EnvVar { name, value: Some(value), value_from: None }).collect();
    if model.variables.contains_key("AUTOSCALER_URL") {
        sidecar(model, component, &mut env);
    }
    env
}

/// The images bring jitsi-autoscaler's sidecar. The REST API knows an instance by the name of its pod.
fn sidecar(model: &ShardModel, component: Component, env: &mut Vec<EnvVar>) {
    if !GroupKind::ALL.iter().any(|kind| kind.as_str() == component.as_str()) {
        return;
    }
    let group = format!("{}-{}", model.name, component.as_str());
    otherwise(env, field("AUTOSCALER_SIDECAR_INSTANCE_ID", "metadata.name"));
    for (name, value) in [("AUTOSCALER_SIDECAR_GROUP_NAME", &group), ("AUTOSCALER_SIDECAR_REGION", &model.region)] {
        if model.variables.contains_key(name) {
            continue;
        }
        otherwise(env, EnvVar { name: name.to_owned(), value: Some(value.clone()), value_from: None });
    }
}

/// A variable from a Secret.
pub(super) fn secret(variable: &str, secret: &str, key: &str) -> EnvVar {
    from_secret(variable, SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None })
}

/// A variable from a Secret that the user chose.
pub(super) fn from_secret(variable: &str, selector: SecretKeySelector) -> EnvVar {
    let source = EnvVarSource { secret_key_ref: Some(selector), ..Default::default() };
    EnvVar { name: variable.to_owned(), value: None, value_from: Some(source) }
}

/// A variable from a field of the pod.
pub(super) fn field(variable: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    let source = EnvVarSource { field_ref: Some(field_ref), ..Default::default() };
    EnvVar { name: variable.to_owned(), value: None, value_from: Some(source) }
}

/// Adds ours where nobody has said anything else.
pub(super) fn otherwise(env: &mut Vec<EnvVar>, ours: EnvVar) {
    if !env.iter().any(|there| there.name == ours.name) {
        env.push(ours);
    }
}
