//! Who may call: a Bearer token signed with RS256, as the autoscaler's callers have it.

mod keys;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

pub use self::keys::{Fetch, KeyError, KeyServer, http as key_server};
use super::{Rest, refusal::Refusal};
use crate::jwt::{Claims, Rules, Token};

/// From where public keys come.
pub enum Keys {
    /// There are none: nobody can be known, so nobody may call.
    None,
    /// A PEM file, such as a mounted Secret; it is read again when it may have changed.
    File(keys::KeyFile),
    /// A server with a file for each key.
    Server(KeyServer),
}

impl Keys {
    /// A PEM file.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        Self::File(keys::KeyFile::new(path))
    }
}

/// Who may call.
pub enum Guard {
    /// Everybody. Only by an explicit word.
    Open,
    /// Those with a token that one of these keys signed and that meets these rules.
    Tokens(Keys, Rules),
}

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The subject of its token.
    pub subject: Option<String>,
    /// Its address.
    pub address: Option<IpAddr>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            subject: parts.extensions.get::<Claims>().and_then(|claims| claims.sub.clone()),
            address: address(parts.extensions.get()),
        })
    }
}

/// The caller's address. What came as IPv4 over a socket for both is IPv4.
#[must_use]
pub fn address(info: Option<&ConnectInfo<SocketAddr>>) -> Option<IpAddr> {
    info.map(|ConnectInfo(address)| address.ip().to_canonical())
}

/// Lets those through who may call; their claims go with the request.
pub(super) async fn require(State(rest): State<Arc<Rest>>, mut request: Request, next: Next) -> Response {
    let Guard::Tokens(keys, rules) = &rest.guard else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    match claims(&rest, keys, rules, given.as_deref()).await {
        Ok(claims) => {
            request.extensions_mut().insert(claims);
            next.run(request).await
        }
        Err((reason, refusal)) => {
            rest.metrics.rest.refused(reason);
            tracing::debug!(reason, %refusal, "a caller is refused");
            refusal.into_response()
        }
    }
}

async fn claims(
    rest: &Rest,
    keys: &Keys,
    rules: &Rules,
    given: Option<&str>,
) -> Result<Claims, (&'static str, Refusal)> {
    let no = |reason: &'static str, why: String| (reason, Refusal::Unauthorized(why));
    let (scheme, token) = given.and_then(|text| text.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(no("missing", "there is no Bearer token".to_owned()));
    }
    let refuse = |error: crate::jwt::Error| no(word(&error), error.to_string());
    let token = Token::parse(token).map_err(refuse)?;
    let kid = token.kid().map_err(refuse)?;
    let now = rest.now();
    let found = match keys {
        Keys::None => return Err(no("no_keys", "no public key is configured".to_owned())),
        Keys::File(file) => file.get(now),
        Keys::Server(server) => server.get(kid, now, &rest.metrics).await,
    };
    let keys = found.map_err(|error| match error {
        KeyError::Unknown => no("unknown_key", "its key is not known".to_owned()),
        // Neither right nor wrong: it may come again.
        KeyError::Unreachable(why) => ("keys_unreachable", Refusal::Unavailable(format!("public keys: {why}"))),
    })?;
    token.verify(&keys, rules, now).map_err(refuse)
}

fn word(error: &crate::jwt::Error) -> &'static str {
    use crate::jwt::Error;
    match error {
        Error::Malformed => "malformed",
        Error::Algorithm => "algorithm",
        Error::NoKeyId => "no_kid",
        Error::Signature | Error::Key => "signature",
        Error::Expired => "expired",
        Error::Early => "early",
        Error::Audience => "audience",
        Error::Issuer => "issuer",
    }
}

/// A key server at this address, through the API client's own HTTPS.
///
/// # Errors
/// When the address is none, or the client cannot be made.
pub fn server(base: &str, ttl: Duration) -> anyhow::Result<Keys> {
    Ok(Keys::Server(KeyServer::new(key_server(base)?, ttl)))
}

/// Says at the start who may call, loudly if that is everybody.
pub fn announce(guard: &Guard) {
    match guard {
        Guard::Open => tracing::warn!(
            "PROTECTED_API is off: whoever reaches the REST port may change groups and speak for instances"
        ),
        Guard::Tokens(Keys::None, _) => tracing::info!(
            "no public key is configured (--asap-pub-key-base-url or --asap-pub-key-file): the REST API answers 401 to all"
        ),
        Guard::Tokens(..) => {}
    }
}
