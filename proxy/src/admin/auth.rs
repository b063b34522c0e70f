//! Who may use `/v1`.
//!
//! With a token configured, every write needs it; reads do not, as with `/metrics`. A browser cannot be tricked into
//! sending the token, so nothing else is asked.
//!
//! Without a token the admin port is on loopback (`check` sees to that), where the danger is a browser on the same
//! machine that shows somebody else's page. Then all of `/v1` asks that the peer is on loopback, that `Host` is a
//! name of loopback (against DNS rebinding), and that a page which sent the request came from this very port.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{AdminState, api::ApiError};

/// A bearer token, kept as its hash: comparing hashes takes the same time whatever was sent.
#[derive(Clone)]
pub(super) struct Token(blake3::Hash);

impl Token {
    pub(super) fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    fn matches(&self, sent: &[u8]) -> bool {
        // `Hash`'s own equality is constant-time.
        self.0 == blake3::hash(sent)
    }
}

/// Middleware around `/v1`.
pub(super) async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Result<Response, ApiError> {
    match state.token.load().as_deref() {
        Some(token) if is_write(request.method()) => bearer(token, request.headers())?,
        Some(_) => {}
        None => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
            local(peer, request.headers())?;
        }
    }
    Ok(next.run(request).await)
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

fn bearer(token: &Token, headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    match sent.and_then(|value| value.split_at_checked(7)) {
        Some((scheme, sent)) if scheme.eq_ignore_ascii_case(b"bearer ") => match token.matches(sent.trim_ascii()) {
            true => Ok(()),
            false => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "wrong token; send the content of the file that admin.token_file names",
            )),
        },
        _ => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "changes need a token: send 'Authorization: Bearer <token>' with the content of the file that \
             admin.token_file names",
        )),
    }
}

fn local(peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |why: &str| Err(ApiError::new(StatusCode::FORBIDDEN, why));
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return refuse(
            "no token is configured, so /v1 answers on this machine only; set admin.token_file to change that",
        );
    }
    let host = match headers.get(header::HOST).map(|host| host.to_str()) {
        // HTTP/1.0; browsers always send it.
        None => None,
        Some(Ok(host)) if is_loopback_host(host) => Some(host),
        Some(_) => {
            return refuse(
                "no token is configured, so the request must be for localhost, 127.0.0.1 or [::1]; \
                 set admin.token_file to use other names",
            );
        }
    };
    let same_site = match headers.get(header::ORIGIN).map(|origin| origin.to_str()) {
        None => true,
        Some(Ok(origin)) => origin.split_once("://").is_some_and(|(_, origin)| Some(origin) == host),
        Some(Err(_)) => false,
    };
    let fetch_site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if same_site && matches!(fetch_site, None | Some(b"same-origin" | b"none")) {
        return Ok(());
    }
    refuse("refused: this request was made by a page of another origin")
}

/// `Host` without its port is a name of loopback.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(pair).collect()
    }

    fn status(result: Result<(), ApiError>) -> u16 {
        result.map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn bearer_tokens() {
        let token = Token::new("s3cret");
        let ask = |value| status(bearer(&token, &headers(&[("authorization", value)])));
        assert_eq!(ask("Bearer s3cret"), 200);
        assert_eq!(ask("bearer  s3cret"), 200);
        assert_eq!(ask("Bearer s3cre"), 403);
        assert_eq!(ask("Bearer s3cret2"), 403);
        assert_eq!(ask("Bearer "), 403);
        assert_eq!(ask("Basic s3cret"), 401);
        assert_eq!(ask("s3cret"), 401);
        assert_eq!(ask(""), 401);
        assert_eq!(status(bearer(&token, &headers(&[]))), 401);
    }

    #[test]
    fn without_a_token_only_this_machine_and_no_other_page() {
        let loopback: Option<IpAddr> = Some([127, 0, 0, 1].into());
        let ask = |pairs: &[(&'static str, &'static str)]| status(local(loopback, &headers(pairs)));
        for host in ["localhost", "LocalHost:9090", "127.0.0.1:9090", "127.1.2.3", "[::1]:9090", "[::1]"] {
            assert_eq!(ask(&[("host", host)]), 200, "{host}");
        }
        assert_eq!(ask(&[]), 200);
        for host in ["evil.example", "localhost.evil.example:9090", "10.0.0.1", "127.0.0.1.evil.example", "[::2]", ""] {
            assert_eq!(ask(&[("host", host)]), 403, "{host}");
        }
        let host = ("host", "localhost:9090");
        assert_eq!(ask(&[host, ("origin", "http://localhost:9090")]), 200);
        for origin in ["http://evil.example", "null", "http://localhost:8080", "http://localhost", "", "localhost:9090"]
        {
            assert_eq!(ask(&[host, ("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(ask(&[host, ("sec-fetch-site", "same-origin")]), 200);
        assert_eq!(ask(&[host, ("sec-fetch-site", "none")]), 200);
        assert_eq!(ask(&[host, ("sec-fetch-site", "same-site")]), 403);
        assert_eq!(ask(&[host, ("sec-fetch-site", "cross-site")]), 403);
        let from = |peer: &str| status(local(Some(peer.parse().unwrap()), &headers(&[host])));
        assert_eq!(from("::1"), 200);
        assert_eq!(from("::ffff:127.0.0.1"), 200);
        assert_eq!(from("192.0.2.1"), 403);
        assert_eq!(status(local(None, &headers(&[host]))), 403);
    }
}
