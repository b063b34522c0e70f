//! Names, labels and owners of everything we make.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::{
    api::{GROUP, GroupKind, JITSI_LABEL, SHARD_LABEL, VERSION},
    validate::{JitsiModel, Owner, ShardModel},
};

/// Parts of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// The XMPP server.
    Prosody,
    /// The conference focus.
    Jicofo,
    /// The web server.
    Web,
    /// Bridges.
    Jvb,
    /// Recorders.
    Jibri,
    /// Recorders that dial out by SIP.
    SipJibri,
    /// Gateways to telephones.
    Jigasi,
    /// Proxies.
    Proxy,
}

impl Component {
    /// Its word in names and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prosody => "prosody",
            Self::Jicofo => "jicofo",
            Self::Web => "web",
            Self::Jvb => "jvb",
            Self::Jibri => "jibri",
            Self::SipJibri => "sip-jibri",
            Self::Jigasi => "jigasi",
            Self::Proxy => "proxy",
        }
    }
}

impl From<GroupKind> for Component {
    fn from(kind: GroupKind) -> Self {
        match kind {
            GroupKind::Jvb => Self::Jvb,
            GroupKind::Jibri => Self::Jibri,
            GroupKind::SipJibri => Self::SipJibri,
            GroupKind::Jigasi => Self::Jigasi,
        }
    }
}

/// `meet-0-prosody`.
pub fn name(of: &str, component: Component) -> String {
    format!("{of}-{}", component.as_str())
}

type Labels = BTreeMap<String, String>;

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn common(instance: &str, component: &str) -> Labels {
    labels([
        ("app.kubernetes.io/name", "jitsi"),
        ("app.kubernetes.io/instance", instance),
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/managed-by", "roompin-controller"),
        ("app.kubernetes.io/part-of", "jitsi"),
    ])
}

/// Labels of an object of a shard.
pub(super) fn of_shard(model: &ShardModel, component: &str) -> Labels {
    let mut all = common(&model.name, component);
    all.insert(SHARD_LABEL.to_owned(), model.name.clone());
    if let Some(jitsi) = &model.jitsi {
        all.insert(JITSI_LABEL.to_owned(), jitsi.clone());
    }
    all
}

/// Labels of an object around the shards.
pub(super) fn of_jitsi(model: &JitsiModel, component: &str) -> Labels {
    let mut all = common(&model.name, component);
    all.insert(JITSI_LABEL.to_owned(), model.name.clone());
    all
}

/// What selects the pods of a shard's component. Few labels, because a selector can never be changed.
pub(super) fn shard_pods(model: &ShardModel, component: Component) -> Labels {
    labels([(SHARD_LABEL, &model.name), ("app.kubernetes.io/component", component.as_str())])
}

/// What selects the proxies of a Jitsi.
pub(super) fn proxy_pods(model: &JitsiModel) -> Labels {
    labels([(JITSI_LABEL, &model.name), ("app.kubernetes.io/component", Component::Proxy.as_str())])
}

/// The selector of all pods of a Jitsi, for the status of the scale subresource.
pub fn jitsi_selector(jitsi: &str) -> String {
    format!("{JITSI_LABEL}={jitsi},app.kubernetes.io/part-of=jitsi")
}

/// The selector of everything that the controller makes.
pub fn controller_selector() -> String {
    "app.kubernetes.io/managed-by=roompin-controller".to_owned()
}

pub(super) fn selector(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

pub(super) fn shard_meta(model: &ShardModel, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(model.namespace.clone()),
        labels: Some(of_shard(model, component)),
        owner_references: Some(vec![owner(&model.owner)]),
        ..Default::default()
    }
}

pub(super) fn jitsi_meta(model: &JitsiModel, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(model.namespace.clone()),
        labels: Some(of_jitsi(model, component)),
        owner_references: Some(vec![owner(&model.owner)]),
        ..Default::default()
    }
}

fn owner(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
