//! Why a report is not believed.

use axum::http::StatusCode;

use crate::jwt;

/// Why a report is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Too many from this address.
    #[error("too many reports")]
    Rate,
    /// Too many at a time, or too many that have to be looked up.
    #[error("too busy, report again")]
    Crowded,
    /// No path of ours.
    #[error("no such path; reports go to /webhook/<pod>/v1/status")]
    Path,
    /// Another namespace than the one that is looked after.
    #[error("this namespace is not looked after")]
    Namespace,
    /// No such pod.
    #[error("there is no such pod")]
    NoPod,
    /// A pod, but no recorder.
    #[error("this pod is not a recorder")]
    NotRecorder,
    /// Not from the pod's own address.
    #[error("this is not the pod's address")]
    Address,
    /// Another's secret.
    #[error("this is not the pod's secret")]
    Secret,
    /// Neither secret nor token.
    #[error("a report needs the pod's secret in its path, or a signed token")]
    Unauthenticated,
    /// A token that is not good.
    #[error("the token is refused: {0}")]
    Token(jwt::Error),
    /// A token that counts for too long.
    #[error("the token counts for more than a day")]
    Lasting,
    /// A token that another pod used before.
    #[error("the token is another pod's")]
    Replay,
    /// Too long a body.
    #[error("the report is too long")]
    TooLong,
    /// Too slow a body.
    #[error("the report comes too slowly")]
    TooSlow,
    /// Not what jibri sends.
    #[error("the report cannot be read")]
    Malformed,
    /// The API did not take what follows.
    #[error("it cannot be noted now, report again")]
    Unwritten,
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded | Self::Unwritten => StatusCode::SERVICE_UNAVAILABLE,
            Self::Path | Self::NoPod => StatusCode::NOT_FOUND,
            Self::Namespace | Self::NotRecorder | Self::Address | Self::Secret => StatusCode::FORBIDDEN,
            Self::Unauthenticated | Self::Token(_) | Self::Lasting | Self::Replay => StatusCode::UNAUTHORIZED,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }

    /// A word for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Crowded => "crowded",
            Self::Path => "path",
            Self::Namespace => "namespace",
            Self::NoPod => "no_pod",
            Self::NotRecorder => "not_recorder",
            Self::Address => "address",
            Self::Secret => "secret",
            Self::Unauthenticated => "unauthenticated",
            Self::Token(jwt::Error::Expired) => "token_expired",
            Self::Token(jwt::Error::Signature) => "token_signature",
            Self::Token(_) => "token",
            Self::Lasting => "token_lasting",
            Self::Replay => "token_replayed",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::Malformed => "malformed",
            Self::Unwritten => "unwritten",
        }
    }
}
