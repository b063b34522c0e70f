//! Liveness and readiness, with the reasons in words.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use super::AdminState;

/// Whether new connections should be sent here. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Reasons>>);

#[derive(Debug, Default)]
struct Reasons {
    waiting_for: BTreeSet<String>,
    draining: bool,
}

impl Readiness {
    /// Ready as soon as each of `waiting_for` has been [cleared](Self::clear).
    #[must_use]
    pub fn new(waiting_for: impl IntoIterator<Item = String>) -> Self {
        let waiting_for = waiting_for.into_iter().collect();
        Self(Arc::new(Mutex::new(Reasons { waiting_for, draining: false })))
    }

    /// Not ready until `source` is cleared.
    pub fn set_waiting(&self, source: impl Into<String>) {
        self.with(|reasons| reasons.waiting_for.insert(source.into()));
    }

    /// `source` has arrived.
    pub fn clear(&self, source: &str) {
        self.with(|reasons| reasons.waiting_for.remove(source));
    }

    /// Nothing is waited for any more, whether it arrived or not.
    pub fn clear_all(&self) {
        self.with(|reasons| reasons.waiting_for.clear());
    }

    /// This process is leaving; there is no way back.
    pub fn draining(&self) {
        self.with(|reasons| reasons.draining = true);
    }

    /// # Errors
    /// Why not, in words for an operator.
    pub fn check(&self) -> Result<(), String> {
        self.with(|reasons| {
            if reasons.draining {
                return Err("draining: this proxy is shutting down".into());
            }
            if reasons.waiting_for.is_empty() {
                return Ok(());
            }
            let sources: Vec<_> = reasons.waiting_for.iter().map(String::as_str).collect();
            Err(format!("starting: waiting for {}", sources.join(", ")))
        })
    }

    /// Whether [`Readiness::check`] passes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.check().is_ok()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Reasons) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `GET /healthz`: answering is the proof.
pub(super) async fn healthz() -> &'static str {
    "alive\n"
}

/// `GET /readyz`
pub(super) async fn readyz(State(state): State<AdminState>) -> impl IntoResponse {
    match state.readiness.check() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_everything_it_waits_for() {
        let readiness = Readiness::new(["dns b".into(), "dns a".into()]);
        assert_eq!(readiness.check().unwrap_err(), "starting: waiting for dns a, dns b");
        readiness.clone().clear("dns a");
        assert_eq!(readiness.check().unwrap_err(), "starting: waiting for dns b");
        readiness.clear("dns b");
        readiness.clear("dns b");
        assert!(readiness.is_ready());
        readiness.set_waiting("mesh");
        assert!(!readiness.is_ready());
        readiness.draining();
        readiness.clear("mesh");
        assert!(readiness.check().unwrap_err().starts_with("draining"));
    }
}
