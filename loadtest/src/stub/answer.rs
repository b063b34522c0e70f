//! What a stub answers to each path.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    upgrade::OnUpgrade,
};
use tokio::sync::mpsc;

use super::{JITSI_HEADER, SHARD_HEADER, state::State, tunnel};

/// Largest request body read. XMPP stanzas over BOSH stay far below.
const MAX_BODY: usize = 1 << 20;

type Body = Full<Bytes>;

/// Answers one request. An accepted WebSocket handshake is passed to `tunnels`.
pub(super) async fn answer(
    request: Request<Incoming>,
    state: &State,
    tunnels: &mpsc::Sender<OnUpgrade>,
) -> Response<Body> {
    state.note(parameter(request.uri().query().unwrap_or_default(), "room"));
    let (delay, failure, health, jitsi_header) = {
        let knobs = state.knobs();
        (knobs.delay, knobs.failure, knobs.health, knobs.jitsi_header)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = match failure {
        Some(status) => plain(status, format!("{} fails as told\n", state.name())),
        None => route(request, state, health, tunnels).await,
    };
    response.headers_mut().insert(SHARD_HEADER, state.header());
    if jitsi_header {
        response.headers_mut().insert(JITSI_HEADER, state.header());
    }
    response
}

async fn route(
    request: Request<Incoming>,
    state: &State,
    health: StatusCode,
    tunnels: &mpsc::Sender<OnUpgrade>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let name = state.name();
    // A tenant stands before the endpoint, so the end of the path decides.
    match path.rsplit('/').next().unwrap_or_default() {
        "xmpp-websocket" => tunnel::accept(request, tunnels).unwrap_or_else(|refusal| *refusal),
        _ if path.starts_with("/colibri-ws/") => tunnel::accept(request, tunnels).unwrap_or_else(|refusal| *refusal),
        "http-bind" => bosh(request, state).await,
        "config.js" => {
            typed("application/javascript", format!("var config = {{ deploymentInfo: {{ shard: '{name}' }} }};\n"))
        }
        _ if matches!(path.as_str(), "/about/health" | "/_health") => {
            plain(health, if health.is_success() { "OK" } else { "NOT_OK" })
        }
        "_unlock" => plain(StatusCode::OK, "OK"),
        "v1" if path.ends_with("/conference-request/v1") => {
            typed("application/json", format!("{{\"ready\":true,\"shard\":\"{name}\"}}\n"))
        }
        "_head" => plain(StatusCode::OK, head(&request)),
        _ if request.method() == Method::GET || request.method() == Method::HEAD => page(name, &path),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "a page is only read\n"),
    }
}

/// The request as it arrived, so that a test sees what the proxy made of it.
fn head(request: &Request<Incoming>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text
}

fn page(name: &str, path: &str) -> Response<Body> {
    let path = path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    typed(
        "text/html; charset=utf-8",
        format!(
            "<!doctype html>\n<html lang=\"en\"><title>{name}</title>\n<h1>{name}</h1>\n<p>A stub shard served <code>{path}</code>.</p>\n</html>\n"
        ),
    )
}

/// BOSH as far as a client needs to find out where it sits: a session belongs to the shard that opened it, and any
/// other shard answers `item-not-found`, as Prosody does. Unlike Prosody it never holds a request.
async fn bosh(request: Request<Incoming>, state: &State) -> Response<Body> {
    let name = state.name();
    if request.method() != Method::POST {
        return typed("text/html; charset=utf-8", format!("<p>BOSH of the stub shard {name}: POST here.</p>\n"));
    }
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let body = String::from_utf8_lossy(&body);
    let attributes = match attribute(&body, "sid") {
        None => format!("sid='{}' wait='60' hold='1'", state.new_session()),
        Some(sid) if !state.knows_session(sid) => "type='terminate' condition='item-not-found'".to_owned(),
        Some(_) if attribute(&body, "type") == Some("terminate") => "type='terminate'".to_owned(),
        Some(sid) => format!("sid='{sid}'"),
    };
    typed(
        "text/xml; charset=utf-8",
        format!("<body xmlns='http://jabber.org/protocol/httpbind' from='{name}' {attributes}/>"),
    )
}

/// The first value of a query parameter, as it stands.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

/// The value of an attribute of the outermost element; enough of XML for bodies of our own clients.
pub(crate) fn attribute<'b>(body: &'b str, name: &str) -> Option<&'b str> {
    let element = &body[..body.find('>')?];
    element.split_ascii_whitespace().find_map(|word| {
        let value = word.strip_prefix(name)?.strip_prefix('=')?.trim_end_matches('/');
        let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        value[1..].strip_suffix(quote)
    })
}

/// A text response.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = typed("text/plain; charset=utf-8", text);
    *response.status_mut() = status;
    response
}

fn typed(content_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()));
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.headers_mut() = headers;
    response
}
