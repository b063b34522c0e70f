//! Who may call.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use controller::{
    jwt::{self, Rules},
    rest::{
        Settings,
        auth::{self, Fetch, Guard, KeyServer, Keys},
    },
};
use serde_json::{Value, json};

use crate::kit::{Answer, Kit, NODE_PEER};

const PEM: &str = include_str!("../data/jwt/signer.pub.pem");

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signed as the official sidecar signs.
pub(crate) fn sign(pem: &str, header: &Value, claims: &Value) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = ring::signature::RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn rules() -> Rules {
    Rules { audiences: vec!["jitsi-autoscaler".to_owned()], issuers: vec!["homer".to_owned(), "sidecar".to_owned()] }
}

struct Server {
    kit: Kit,
    asked: Arc<AtomicUsize>,
    up: Arc<Mutex<bool>>,
}

impl Server {
    /// A key server with one key, called `the-key`.
    async fn start() -> Self {
        let (asked, up) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(true)));
        let (count, alive) = (asked.clone(), up.clone());
        let fetch: Fetch = Arc::new(move |file| {
            count.fetch_add(1, Relaxed);
            let alive = *alive.lock().unwrap();
            Box::pin(async move {
                match (alive, file == jwt::file_of("the-key")) {
                    (false, _) => Err("no connection".to_owned()),
                    (true, true) => Ok(Some(PEM.to_owned())),
                    (true, false) => Ok(None),
                }
            })
        });
        let keys = Keys::Server(KeyServer::new(fetch, Duration::from_secs(3600)));
        let kit = Kit::with(Guard::Tokens(keys, rules()), Settings::default(), false).await;
        kit.shard().await;
        Self { kit, asked, up }
    }

    fn claims(&self) -> Value {
        json!({"iss": "sidecar", "aud": "jitsi-autoscaler", "exp": self.kit.rest.now().as_second() + 3600})
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        sign(include_str!("../data/jwt/signer.pem"), &json!({"alg": "RS256", "kid": "the-key"}), &claims)
    }

    async fn get(&self, authorization: Option<&str>) -> Answer {
        let mut request = Request::get("/groups");
        if let Some(text) = authorization {
            request = request.header(header::AUTHORIZATION, text);
        }
        self.kit.send(NODE_PEER, request.body(Body::empty()).unwrap()).await
    }

    async fn with(&self, token: &str) -> u16 {
        self.get(Some(&format!("Bearer {token}"))).await.status.as_u16()
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_good_token_opens() {
    let server = Server::start().await;
    let good = server.token(|_| {});
    assert_eq!(server.with(&good).await, 200);
    assert_eq!(server.get(Some(&format!("bearer {good}"))).await.status, 200);
    let now = server.kit.rest.now().as_second();
    for (what, token) in [
        ("expired", server.token(|claims| claims["exp"] = json!(now - 60))),
        ("without an end", server.token(|claims| claims["exp"] = Value::Null)),
        ("not yet", server.token(|claims| claims["nbf"] = json!(now + 600))),
        ("for another", server.token(|claims| claims["aud"] = json!("meet"))),
        ("by another", server.token(|claims| claims["iss"] = json!("mallory"))),
        (
            "by another key",
            sign(include_str!("../data/jwt/other.pem"), &json!({"alg": "RS256", "kid": "the-key"}), &server.claims()),
        ),
        (
            "by an unknown key",
            sign(include_str!("../data/jwt/other.pem"), &json!({"alg": "RS256", "kid": "mine"}), &server.claims()),
        ),
        ("without a key", sign(include_str!("../data/jwt/signer.pem"), &json!({"alg": "RS256"}), &server.claims())),
        ("unsigned", format!("{}.{}.", encode(&json!({"alg": "none", "kid": "the-key"})), encode(&server.claims()))),
    ] {
        assert_eq!(server.with(&token).await, 401, "{what}");
    }
    // The public key, which anybody has, taken for a shared secret.
    let text = format!("{}.{}", encode(&json!({"alg": "HS256", "kid": "the-key"})), encode(&server.claims()));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, PEM.as_bytes());
    let forged = format!("{text}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, text.as_bytes())));
    assert_eq!(server.with(&forged).await, 401);
    for header in [None, Some("Basic YTpi"), Some("Bearer"), Some("Bearer "), Some("")] {
        let answer = server.get(header).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (401, "invalid token..."), "{header:?}");
    }
    server.kit.metric(r#"roompin_controller_rest_tokens_refused_total{reason="expired"} 2"#);
    server.kit.metric(r#"roompin_controller_rest_tokens_refused_total{reason="algorithm"} 2"#);

    // What everybody may see.
    assert_eq!(server.kit.get("/health").await.status, 200);
    assert_eq!(server.kit.get("/openapi.json").await.status, 200);
    // All else is closed, sidecars too, and so is what is not there.
    for (method, path) in
        [("POST", "/sidecar/poll"), ("PUT", "/groups/meet-0-jvb/desired"), ("POST", "/groups/actions/reset")]
    {
        assert_eq!(server.kit.call(method, path, &json!({})).await.status, 401, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_server_that_is_down_is_no_open_door() {
    let server = Server::start().await;
    *server.up.lock().unwrap() = false;
    let good = server.token(|_| {});
    assert_eq!(server.with(&good).await, 503, "nobody knows whether it is good");
    assert_eq!(server.with(&good).await, 503);
    assert_eq!(server.asked.load(Relaxed), 1, "and it is not asked again at once");
    *server.up.lock().unwrap() = true;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(server.with(&good).await, 200);
    *server.up.lock().unwrap() = false;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(server.with(&good).await, 200);
    }
    assert_eq!(server.asked.load(Relaxed), 2, "a key counts for an hour");
    server.kit.metric(r#"roompin_controller_rest_key_fetches_total{result="unreachable"} 1"#);
}

#[tokio::test(start_paused = true)]
async fn the_subject_of_a_token_may_be_the_pod() {
    let server = Server::start().await;
    server.kit.pod("meet-0-jvb-0", "jvb", "10.0.0.10").await;
    let call = async |subject: &str| {
        let token = server.token(|claims| claims["sub"] = json!(subject));
        let request = Request::post("/sidecar/poll").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let body = Body::from(json!({"instanceId": "meet-0-jvb-0"}).to_string());
        server.kit.send(NODE_PEER, request.body(body).unwrap()).await.status.as_u16()
    };
    assert_eq!(call("meet-0-jvb-0").await, 200);
    assert_eq!(call("meet-0-jvb-1").await, 403);
}

#[tokio::test(start_paused = true)]
async fn keys_come_from_a_file_too_and_without_any_nobody_may_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, PEM).unwrap();
    let kit = Kit::with(Guard::Tokens(Keys::file(path), rules()), Settings::default(), false).await;
    let claims = json!({"iss": "homer", "aud": ["jitsi-autoscaler"], "exp": kit.rest.now().as_second() + 60});
    let token = sign(include_str!("../data/jwt/signer.pem"), &json!({"alg": "RS256", "kid": "any"}), &claims);
    let get = |token: String| {
        Request::get("/groups").header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap()
    };
    assert_eq!(kit.send(NODE_PEER, get(token.clone())).await.ok(), json!({"instanceGroups": []}));
    let closed = Kit::with(Guard::Tokens(Keys::None, Rules::default()), Settings::default(), false).await;
    assert_eq!(closed.send(NODE_PEER, get(token)).await.status, 401);
}

/// The real client of key servers, over a socket.
#[tokio::test]
async fn keys_are_fetched_over_http() {
    let long = "x".repeat(100_000);
    let files = axum::Router::new().route(
        "/server/{file}",
        axum::routing::get(move |axum::extract::Path(file): axum::extract::Path<String>| async move {
            match file {
                file if file == jwt::file_of("the-key") => (StatusCode::OK, PEM.to_owned()),
                file if file == jwt::file_of("long") => (StatusCode::OK, long),
                file if file == jwt::file_of("forbidden") => (StatusCode::FORBIDDEN, String::new()),
                file if file == jwt::file_of("broken") => (StatusCode::BAD_GATEWAY, String::new()),
                _ => (StatusCode::NOT_FOUND, String::new()),
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, files).await });
    let fetch = auth::key_server(&format!("http://{address}/server/")).unwrap();
    assert_eq!(fetch(jwt::file_of("the-key")).await, Ok(Some(PEM.to_owned())));
    assert_eq!(fetch(jwt::file_of("other")).await, Ok(None));
    assert_eq!(fetch(jwt::file_of("forbidden")).await, Ok(None));
    assert!(fetch(jwt::file_of("long")).await.is_err());
    assert_eq!(fetch(jwt::file_of("broken")).await, Err("the key server answers 502".to_owned()));
    server.abort();
    let _ = server.await;
    assert!(fetch(jwt::file_of("the-key")).await.is_err());
    assert!(auth::key_server("keys.example.org").is_err());
    assert!(auth::key_server("file:///etc").is_err());
}
