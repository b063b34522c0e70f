//! One Kubernetes object of any of the kinds that we make.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, PodTemplateSpec, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{DynamicObject, GroupVersionKind, Resource};
use serde::Serialize;
use serde_json::Value;

macro_rules! kinds {
    ($($kind:ident),+ $(,)?) => {
        /// One Kubernetes object of any of the kinds that we make.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "a handful exist at a time")]
        pub enum Object {
            $(#[doc = concat!("A ", stringify!($kind), ".")] $kind($kind),)+
            /// One whose kind we know only by name.
            Dynamic(DynamicObject),
        }

        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(object)
            }
        })+

        impl Object {
            /// Its kind.
            pub fn gvk(&self) -> GroupVersionKind {
                match self {
                    $(Self::$kind(_) => GroupVersionKind::gvk(
                        &$kind::group(&()), &$kind::version(&()), &$kind::kind(&()),
                    ),)+
                    Self::Dynamic(object) => object
                        .types
                        .as_ref()
                        .and_then(|types| GroupVersionKind::try_from(types).ok())
                        .unwrap_or_else(|| GroupVersionKind::gvk("", "", "")),
                }
            }

            /// Its metadata.
            pub fn meta(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)+
                    Self::Dynamic(object) => &object.metadata,
                }
            }

            /// The whole document, with `apiVersion` and `kind`, as it is applied.
            pub fn document(&self) -> Value {
                match self {
                    $(Self::$kind(object) => plain(object),)+
                    Self::Dynamic(object) => plain(object),
                }
            }
        }
    };
}

kinds!(
    ConfigMap,
    DaemonSet,
    Deployment,
    Ingress,
    NetworkPolicy,
    PodDisruptionBudget,
    Role,
    RoleBinding,
    Secret,
    Service,
    ServiceAccount,
    StatefulSet,
);

impl From<DynamicObject> for Object {
    fn from(object: DynamicObject) -> Self {
        Self::Dynamic(object)
    }
}

impl Object {
    /// Its name.
    pub fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }

    /// Its kind's name: `Deployment`.
    pub fn kind(&self) -> String {
        self.gvk().kind
    }

    /// The template of its pods, where it makes some.
    pub fn pod_template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::DaemonSet(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::Deployment(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::StatefulSet(object) => object.spec.as_ref().map(|spec| &spec.template),
            _ => None,
        }
    }
}

/// Types of k8s-openapi always become JSON; Null would be noticed by the first apply.
fn plain(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
