//! What is said when the answer is no, in the forms that the autoscaler's users know.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::apply;

/// One thing that is wrong with a request, as the autoscaler's validator words it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Problem {
    /// Always `field`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What is wrong with it.
    pub msg: String,
    /// Which field: `scalingOptions.minDesired`.
    pub path: String,
    /// `body`, `params` or `query`.
    pub location: &'static str,
}

impl Problem {
    /// One about a field of the body.
    pub fn body(path: impl Into<String>, msg: impl Into<String>, value: Option<&Value>) -> Self {
        // What was sent comes back, unless it is long.
        let value = value.filter(|value| value.to_string().len() <= 256).cloned();
        Self { kind: "field", value, msg: msg.into(), path: path.into(), location: "body" }
    }

    /// One about the name in the path.
    pub fn name(msg: impl Into<String>) -> Self {
        Self { kind: "field", value: None, msg: msg.into(), path: "name".to_owned(), location: "params" }
    }
}

/// A request that is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// What was sent is wrong.
    #[error("the request is wrong")]
    Invalid(Vec<Problem>),
    /// What was sent is wrong, in a word of its own.
    #[error("{0}")]
    Wrong(String),
    /// It is switched off.
    #[error("{0}")]
    Disabled(String),
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// The caller is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// Somebody else owns the field.
    #[error("{0}")]
    Owned(String),
    /// There is no such thing here, and there will not be.
    #[error("{0}")]
    NotHere(&'static str),
    /// Kubernetes does not answer as it should.
    #[error("{0}")]
    Unavailable(String),
    /// Kubernetes refuses.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// One problem.
    #[must_use]
    pub fn invalid(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::Disabled(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Owned(_) => StatusCode::CONFLICT,
            Self::NotHere(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        match self {
            // Plain text as there, with what is missing behind it.
            Self::NotFound(what) => (status, format!("Not Found: {what}")).into_response(),
            Self::Unauthorized(_) => {
                (status, [(header::WWW_AUTHENTICATE, "Bearer")], "invalid token...").into_response()
            }
            Self::Invalid(errors) => (status, Json(json!({ "errors": errors }))).into_response(),
            Self::Wrong(why) => (status, Json(json!({ "errors": [why] }))).into_response(),
            Self::Failed(why) => {
                tracing::warn!(why, "a request by REST failed");
                (status, Json(json!({ "save": false, "error": why }))).into_response()
            }
            Self::Unavailable(why) => {
                let after = [(header::RETRY_AFTER, "5")];
                (status, after, Json(json!({ "save": false, "error": why }))).into_response()
            }
            Self::Disabled(why) | Self::Forbidden(why) | Self::Owned(why) => {
                (status, Json(json!({ "save": false, "error": why }))).into_response()
            }
            Self::NotHere(why) => (status, Json(json!({ "save": false, "error": why }))).into_response(),
        }
    }
}

impl From<apply::Error> for Refusal {
    fn from(error: apply::Error) -> Self {
        let apply::Error::Api { source, .. } = &error else { return Self::Unavailable(error.to_string()) };
        match &**source {
            kube::Error::Api(status) if status.is_not_found() => Self::NotFound(status.message.clone()),
            kube::Error::Api(status) if owners(status).is_some() => {
                Self::Owned(format!("{}. Change it there, or leave that field to {}.", status.message, {
                    owners(status).unwrap_or_default()
                }))
            }
            kube::Error::Api(status) if status.is_conflict() => {
                Self::Unavailable("somebody else changed it at the same time; try again".to_owned())
            }
            kube::Error::Api(status) if status.is_invalid() || status.code == 400 => {
                Self::invalid(Problem::body("", status.message.clone(), None))
            }
            kube::Error::Api(status) if status.code == 429 || status.code >= 500 => {
                Self::Unavailable(status.message.clone())
            }
            kube::Error::Api(status) => Self::Failed(status.message.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The field managers that a server-side apply ran into.
#[must_use]
pub fn owners(status: &kube::core::Status) -> Option<String> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let mut names: Vec<_> = causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| cause.message.split('"').nth(1).unwrap_or("somebody else").to_owned())
        .collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| names.join(", "))
}
