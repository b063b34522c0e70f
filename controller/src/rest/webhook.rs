//! Webhooks of recorders: jibri tells here, on each change and every minute, what it does.
//!
//! The paths are jibri-pod-controller's `/webhook/<pod>/v1/status`, the same with the namespace before the pod, and with the
//! pod's own secret after it. Anybody in the cluster can reach this, so a report is believed only when it comes from the
//! address of the pod that it is about, and with that pod's secret or a signed token. What is refused costs next to nothing,
//! changes nothing, and is counted by its reason.
//!
//! Every replica takes reports. What follows is written on exactly the pod that was meant, and twice is as good as once.

mod body;
mod caller;
mod effect;
mod limits;
mod path;
mod refusal;
mod tokens;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    routing::{get, post},
};
use k8s_openapi::api::core::v1::Pod;

pub(crate) use self::caller::pods;
use self::{
    caller::{Adopted, Whose},
    limits::Limits,
    path::Target,
    refusal::Refusal,
    tokens::Replays,
};
use super::Rest;

/// What all webhooks share.
struct Hooks {
    rest: Arc<Rest>,
    adopted: Option<Adopted>,
    limits: Limits,
    replays: Replays,
}

/// The routes of webhooks.
pub fn router(rest: Arc<Rest>) -> Router {
    let adopted = rest.defaults.adoption.as_ref().map(|adoption| Adopted::watch(&rest, adoption));
    let hooks = Hooks { rest, adopted, limits: Limits::default(), replays: Replays::default() };
    // jibri-pod-controller's own probes ask for `/`.
    let root = get(async || "").options(async || "");
    Router::new().route("/", root).route("/webhook/{*rest}", post(receive)).with_state(Arc::new(hooks))
}

async fn receive(State(hooks): State<Arc<Hooks>>, request: Request) -> (StatusCode, String) {
    match hooks.take(request).await {
        Ok(done) => {
            hooks.rest.metrics.webhook(done);
            (StatusCode::OK, String::new())
        }
        Err(refusal) => {
            hooks.rest.metrics.webhook(refusal.label());
            tracing::debug!(reason = refusal.label(), "a webhook is refused");
            (refusal.status(), format!("{refusal}\n"))
        }
    }
}

impl Hooks {
    /// From what costs least to refuse to what costs most. The answer says what was done.
    async fn take(&self, request: Request) -> Result<&'static str, Refusal> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let peer = peer.ok_or(Refusal::Address)?;
        self.limits.source(peer)?;
        let target = path::parse(request.uri().path()).ok_or(Refusal::Path)?;
        let (pod, whose) = caller::find(self, &target, peer).await?;
        self.authenticate(&target, &pod, whose, &request)?;
        let _place = self.limits.place()?;
        let said = body::read(request.into_body()).await?;
        effect::carry_out(self, &pod, whose, said).await
    }

    /// By the pod's own secret, or a signed token, or (recorders of somebody else, where that is allowed) by address alone.
    fn authenticate(&self, target: &Target<'_>, pod: &Pod, whose: Whose, request: &Request) -> Result<(), Refusal> {
        let defaults = &self.rest.defaults;
        if let Some(secret) = target.secret {
            let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
            let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
            let right = defaults.webhook.as_ref().is_some_and(|webhook| webhook.is_secret(namespace, name, secret));
            return if right { Ok(()) } else { Err(Refusal::Secret) };
        }
        let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|text| text.strip_prefix("Bearer "));
        if let (Some(token), Some(rules)) = (bearer, &defaults.webhook_tokens) {
            return self.replays.check(token, rules, pod.metadata.uid.as_deref().unwrap_or_default(), self.rest.now());
        }
        let trusted = whose == Whose::Adopted && defaults.adoption.as_ref().is_some_and(|one| one.unauthenticated);
        if trusted { Ok(()) } else { Err(Refusal::Unauthenticated) }
    }
}
