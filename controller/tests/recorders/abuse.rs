//! Everybody in the cluster can reach the webhooks. What they can do there, over real connections from real addresses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use controller::{
    api::JitsiShard,
    build::Webhook,
    crds,
    jwt::{self, PublicKey},
    rest::{self, Rest},
    validate::{Defaults, TokenRules},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use ring::{rand::SystemRandom, signature};
use serde_json::{Value, json};
use testkit::Harness;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};

use super::kit;

const FIRST: &str = "127.77.0.1";
const SECOND: &str = "127.77.0.2";
const PLAIN: &str = "127.77.0.3";
const STRANGER: &str = "127.77.0.9";

struct Site {
    harness: Harness,
    rest: Arc<Rest>,
    webhook: Webhook,
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn body(status: &str) -> String {
    json!({"jibriId": "x", "status": {"busyStatus": status, "health": {"healthStatus": "HEALTHY", "details": {}}}})
        .to_string()
}

/// A token as jibri signs it.
fn token(key: &str, payload: &Value) -> String {
    let file = format!("{}/tests/data/jwt/{key}.pem", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).unwrap();
    let inner: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = signature::RsaKeyPair::from_pkcs8(&STANDARD.decode(inner).unwrap()).unwrap();
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "RS256", "kid": "jibri"})), part(payload));
    let mut sum = vec![0; pair.public().modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut sum).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(sum))
}

impl Site {
    /// Two recorders and another pod, each at an address of its own.
    async fn start() -> Self {
        let harness = Harness::builder().crds(crds::definitions()).start().await;
        let webhook = Webhook::new("http://here", b"0123456789abcdef");
        let key = include_str!("../data/jwt/signer.pub.pem");
        let rules = jwt::Rules { audiences: vec!["roompin".to_owned()], issuers: vec!["jibri".to_owned()] };
        let defaults = Defaults {
            webhook: Some(webhook.clone()),
            webhook_tokens: Some(TokenRules { keys: PublicKey::all_of(key).unwrap(), rules }),
            ..Defaults::default()
        };
        let client = harness.client_as("webhook").await;
        let (rest, mut tasks) = kit::rest(client, Some(harness.namespace()), defaults, Box::new(Timestamp::now));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = rest::router(&rest).into_make_service_with_connect_info::<SocketAddr>();
        tasks.push(tokio::spawn(async move { axum::serve(listener, service).await.unwrap() }));
        let site = Self { harness, rest, webhook, address, tasks };
        site.pod("x-0-jibri-0", FIRST, true).await;
        site.pod("x-0-jibri-1", SECOND, true).await;
        site.pod("plain", PLAIN, false).await;
        site.harness
            .eventually("the watch shows them", Duration::from_secs(20), || async { site.rest.pods.state().len() >= 2 })
            .await;
        site
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.harness.client(), self.harness.namespace())
    }

    async fn pod(&self, name: &str, address: &str, recorder: bool) {
        let shards: Api<JitsiShard> = Api::namespaced(self.harness.client(), self.harness.namespace());
        let shard = json!({"apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "x-0"},
            "spec": {"domain": "meet.example.org"}});
        let shard = shards.patch("x-0", &PatchParams::apply("test").force(), &Patch::Apply(&shard)).await.unwrap();
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "c:1"}]}});
        if recorder {
            pod["metadata"]["labels"] = json!({"apps.jit.si/shard": "x-0", "app.kubernetes.io/component": "jibri",
                "app.kubernetes.io/managed-by": "roompin-controller"});
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard",
                "name": "x-0", "uid": shard.uid(), "controller": true}]);
        }
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let status =
            Patch::Merge(json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}));
        self.pods().patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    async fn connect(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// One request from an address; the status of the answer.
    async fn send(&self, from: &str, head: &str, body: &str) -> u16 {
        let mut stream = self.connect(from).await;
        let text = format!("{head}host: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        // A refusal may come before all of it is sent.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer}")).parse().unwrap()
    }

    async fn post(&self, from: &str, path: &str, status: &str) -> u16 {
        self.send(from, &format!("POST {path} HTTP/1.1\r\n"), &body(status)).await
    }

    async fn bearer(&self, from: &str, path: &str, token: &str, status: &str) -> u16 {
        self.send(from, &format!("POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n"), &body(status)).await
    }

    fn path(&self, pod: &str) -> String {
        let namespace = self.harness.namespace();
        format!("/webhook/{namespace}/{pod}/{}/v1/status", self.webhook.secret(namespace, pod))
    }

    /// What was counted, by result.
    fn counted(&self) -> BTreeMap<String, u64> {
        let text = self.rest.metrics.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("roompin_controller_webhooks_total{result=\""));
        lines
            .map(|line| line.split_once("\"} ").unwrap())
            .map(|(what, n)| (what.to_owned(), n.parse().unwrap()))
            .collect()
    }

    /// Pods with their labels and versions: what must not change.
    async fn state(&self) -> Vec<(String, Option<String>, bool)> {
        let pods = self.pods().list(&ListParams::default()).await.unwrap();
        pods.into_iter()
            .map(|pod| (pod.name_any(), pod.resource_version(), pod.metadata.deletion_timestamp.is_some()))
            .collect()
    }
}

#[tokio::test]
async fn who_is_not_the_recorder_changes_nothing() {
    let site = Site::start().await;
    let before = site.state().await;
    let (namespace, right) = (site.harness.namespace().to_owned(), site.path("x-0-jibri-0"));
    let mut wanted = BTreeMap::new();
    let mut expect = |what: &str, got: u16, status: u16| {
        assert_eq!(got, status, "{what}");
        *wanted.entry(what.to_owned()).or_insert(0) += 1;
    };
    // Another's address, with everything else right: twice, for what was looked up once is known.
    expect("address", site.post(STRANGER, &right, "EXPIRED").await, 403);
    expect("address", site.post(STRANGER, &right, "EXPIRED").await, 403);
    expect("address", site.post(SECOND, &right, "EXPIRED").await, 403);
    // The right address, and a secret that is another's, or none.
    let secret = site.webhook.secret(&namespace, "x-0-jibri-1");
    let others = format!("/webhook/{namespace}/x-0-jibri-0/{secret}/v1/status");
    expect("secret", site.post(FIRST, &others, "EXPIRED").await, 403);
    let bare = format!("/webhook/{namespace}/x-0-jibri-0/v1/status");
    expect("unauthenticated", site.post(FIRST, &bare, "EXPIRED").await, 401);
    expect("unauthenticated", site.post(FIRST, "/webhook/x-0-jibri-0/v1/status", "EXPIRED").await, 401);
    // Elsewhere, nobody, and somebody else.
    let elsewhere = right.replace(&format!("/webhook/{namespace}/"), "/webhook/kube-system/");
    expect("namespace", site.post(FIRST, &elsewhere, "EXPIRED").await, 403);
    expect("not_recorder", site.post(PLAIN, &site.path("plain"), "EXPIRED").await, 403);
    expect("no_pod", site.post(STRANGER, &site.path("nobody"), "EXPIRED").await, 404);
    // No path of ours, and sessions of which nothing follows.
    expect("path", site.post(FIRST, "/webhook/../v1/status", "EXPIRED").await, 404);
    expect("path", site.post(FIRST, &right.replace("/v1/status", "/v1/session/status"), "EXPIRED").await, 404);
    // What jibri would never send.
    let post = format!("POST {right} HTTP/1.1\r\n");
    expect("malformed", site.send(FIRST, &post, "{}").await, 400);
    expect("malformed", site.send(FIRST, &post, "\u{0}\u{1}").await, 400);
    expect("too_long", site.send(FIRST, &post, &"x".repeat(20_000)).await, 413);
    let mut slow = site.connect(FIRST).await;
    slow.write_all(format!("{post}host: x\r\ncontent-length: 100\r\n\r\n{{").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    expect("too_slow", std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap(), 408);
    for (method, status) in [("GET", 405), ("DELETE", 405)] {
        assert_eq!(site.send(FIRST, &format!("{method} {right} HTTP/1.1\r\n"), "").await, status);
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(site.send(STRANGER, &format!("{method} / HTTP/1.1\r\n"), "").await, 200, "{method}");
    }
    assert_eq!(site.counted(), wanted, "each by its reason");
    assert_eq!(site.state().await, before, "nothing is changed");

    // And the recorder itself.
    assert_eq!(site.post(FIRST, &right, "BUSY").await, 200);
    let pod = site.pods().get("x-0-jibri-0").await.unwrap();
    assert_eq!(pod.labels()["apps.jit.si/state"], "busy");
    site.harness
        .eventually("the watch shows it", Duration::from_secs(20), || async {
            let shown = site.rest.pods.state();
            shown.iter().any(|pod| pod.labels().get("apps.jit.si/state").map(String::as_str) == Some("busy"))
        })
        .await;
    // An older word that comes late does not set it free.
    assert_eq!(site.post(FIRST, &right, "IDLE").await, 200);
    assert_eq!(site.pods().get("x-0-jibri-0").await.unwrap().labels()["apps.jit.si/state"], "busy");
    assert_eq!(site.post(FIRST, &right, "EXPIRED").await, 200);
    let left = site.pods().get_opt("x-0-jibri-0").await.unwrap();
    assert!(left.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()));
    let counted = site.counted();
    assert_eq!((counted["busy"], counted["held"], counted["expired"]), (1, 1, 1));
}

#[tokio::test]
async fn a_token_is_good_for_one_pod_and_not_for_ever() {
    let site = Site::start().await;
    let now = Timestamp::now().as_second();
    let (first, second) = ("/webhook/x-0-jibri-0/v1/status", "/webhook/x-0-jibri-1/v1/status");
    let claims = |exp: i64| json!({"iss": "jibri", "aud": "roompin", "exp": exp});
    let good = token("signer", &claims(now + 3600));
    assert_eq!(site.bearer(FIRST, first, &good, "IDLE").await, 200);
    assert_eq!(site.bearer(FIRST, first, &good, "IDLE").await, 200, "jibri uses it until it is nearly over");
    let before = site.state().await;
    // Replayed by another recorder for itself, by a stranger for the first, and after its time.
    assert_eq!(site.bearer(SECOND, second, &good, "EXPIRED").await, 401);
    assert_eq!(site.bearer(SECOND, first, &good, "EXPIRED").await, 403);
    for bad in [
        token("signer", &claims(now - 60)),
        token("signer", &claims(now + 30 * 3600)),
        token("other", &claims(now + 3600)),
        token("signer", &json!({"iss": "jibri", "aud": "roompin"})),
        token("signer", &json!({"iss": "jibri", "aud": "other", "exp": now + 3600})),
        "a.b.c".to_owned(),
    ] {
        assert_eq!(site.bearer(SECOND, second, &bad, "EXPIRED").await, 401);
    }
    // A right token does not make a wrong secret right.
    let wrong = site.path("x-0-jibri-0").replace("x-0-jibri-0", "x-0-jibri-1");
    assert_eq!(site.bearer(SECOND, &wrong, &token("signer", &claims(now + 3601)), "EXPIRED").await, 403);
    assert_eq!(site.state().await, before);
    let counted = site.counted();
    for what in ["token_replayed", "token_expired", "token_lasting", "token_signature", "token", "address", "secret"] {
        assert!(counted.get(what).is_some_and(|n| *n > 0), "{what} is not in {counted:?}");
    }
}

/// Reads answers and counts them.
async fn flood(mut stream: TcpStream, requests: Arc<Vec<String>>, over: Arc<AtomicBool>, answers: Arc<AtomicU64>) {
    let batch: String = requests.iter().cycle().take(100).cloned().collect();
    let mut buffer = vec![0; 1 << 16];
    while !over.load(Relaxed) {
        stream.write_all(batch.as_bytes()).await.unwrap();
        let (mut left, mut tail) = (100, Vec::new());
        while left > 0 {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the server hung up");
            tail.extend_from_slice(&buffer[..n]);
            let found = tail.windows(9).filter(|window| *window == b"HTTP/1.1 ").count();
            left -= found;
            answers.fetch_add(found as u64, Relaxed);
            // What may be the beginning of the next one is kept.
            let keep = tail.len().min(8);
            tail.drain(..tail.len() - keep);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_of_junk_a_second_delete_nothing_and_are_counted() {
    let site = Site::start().await;
    assert_eq!(site.post(FIRST, &site.path("x-0-jibri-0"), "IDLE").await, 200);
    let before = site.state().await;
    let text = |path: &str| {
        let body = body("EXPIRED");
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let requests: Vec<String> = (0..25)
        .flat_map(|n| {
            [
                site.path("x-0-jibri-0"),
                site.path(&format!("x-0-jibri-{n}")),
                "/webhook/x-0-jibri-1/v1/status".to_owned(),
                "/webhook/a".to_owned(),
            ]
        })
        .map(|path| text(&path))
        .collect();
    let (requests, over, answers) = (Arc::new(requests), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let api_before = site.harness.double().map(|double| double.requests().len());
    let start = Instant::now();
    let mut tasks = Vec::new();
    for n in 0..4 {
        let stream = site.connect(&format!("127.77.1.{n}")).await;
        tasks.push(tokio::spawn(flood(stream, requests.clone(), over.clone(), answers.clone())));
    }
    // One that is a recorder, and means harm to another.
    let stream = site.connect(SECOND).await;
    let harm = Arc::new(vec![text(&site.path("x-0-jibri-0"))]);
    tasks.push(tokio::spawn(flood(stream, harm, over.clone(), answers.clone())));
    // Meanwhile the first goes on reporting.
    let mut slowest = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        assert_eq!(site.post(FIRST, &site.path("x-0-jibri-0"), "IDLE").await, 200);
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    over.store(true, Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let (took, answers) = (start.elapsed(), answers.load(Relaxed));
    let per_second = u64::try_from(u128::from(answers) * 1000 / took.as_millis()).unwrap();
    println!(
        "{answers} requests of junk in {took:?}, {per_second} per second; the slowest good report took {slowest:?}"
    );
    println!("{:?}", site.counted());
    assert!(per_second > 10_000 || answers > 20_000, "{per_second} per second is no flood");
    assert_eq!(site.state().await, before, "nothing is deleted, nothing is changed");
    let counted = site.counted();
    let good: u64 = ["idle", "same"].iter().filter_map(|what| counted.get(*what)).sum();
    assert_eq!(counted.values().sum::<u64>(), answers + good, "all of it is counted: {counted:?}");
    if let (Some(double), Some(before)) = (site.harness.double(), api_before) {
        let asked = double.requests().len() - before;
        assert!(asked < 100, "{asked} requests to the API");
    }
}
