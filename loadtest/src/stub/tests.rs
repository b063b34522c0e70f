use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::*;

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn get(stub: &StubShard, path: &str) -> Response {
    let http = Client::builder().no_proxy().build().unwrap();
    http.get(format!("http://{}{path}", stub.addr)).send().await.unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Sends bytes and reads until `end` was seen or the connection ends.
async fn raw(stub: &StubShard, request: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(stub.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(end) {
        if stream.read_buf(&mut answer).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn every_endpoint_answers_in_the_shards_name() {
    let stub = StubShard::start("a-1", any()).await.unwrap();
    for (path, content) in [
        ("/", "<h1>a-1</h1>"),
        ("/Caf%C3%A9", "<h1>a-1</h1>"),
        ("/tenant/room", "<h1>a-1</h1>"),
        ("/config.js?room=x", "shard: 'a-1'"),
        ("/http-bind?room=x", "a-1"),
        ("/tenant/conference-request/v1?room=x", r#""shard":"a-1""#),
        ("/about/health", "OK"),
        ("/_unlock?room=x", "OK"),
    ] {
        let response = get(&stub, path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, SHARD_HEADER), Some("a-1"), "{path}");
        assert_eq!(header(&response, JITSI_HEADER), Some("a-1"), "{path}");
        assert!(response.text().await.unwrap().contains(content), "{path}");
    }
    assert_eq!(stub.hits(), 8);
    assert_eq!(stub.rooms_seen(), BTreeMap::from([("x".to_owned(), 4)]));
}

#[tokio::test]
async fn rooms_are_kept_as_they_came() {
    let stub = StubShard::start("a", any()).await.unwrap();
    get(&stub, "/http-bind?token=t&room=caf%25c3%25a9&room=other").await;
    get(&stub, "/http-bind?room=Caf%C3%A9").await;
    assert_eq!(stub.rooms_seen().into_keys().collect::<Vec<_>>(), ["Caf%C3%A9", "caf%25c3%25a9"]);
    let head = get(&stub, "/_head?room=Caf%C3%A9").await.text().await.unwrap();
    assert!(head.starts_with("GET /_head?room=Caf%C3%A9\n") && head.contains("\nhost: 127.0.0.1:"), "{head}");
}

#[tokio::test]
async fn knobs_turn_while_it_runs() {
    let stub = StubShard::start("a", any()).await.unwrap();
    stub.set_jitsi_header(false);
    let response = get(&stub, "/").await;
    assert_eq!((header(&response, JITSI_HEADER), header(&response, SHARD_HEADER)), (None, Some("a")));

    stub.set_failure(Some(StatusCode::BAD_GATEWAY));
    let response = get(&stub, "/_unlock").await;
    assert_eq!((response.status().as_u16(), header(&response, SHARD_HEADER)), (502, Some("a")));
    stub.set_failure(None);

    stub.set_health(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&stub, "/about/health").await.status(), 503);
    assert_eq!(get(&stub, "/_unlock").await.status(), 200);

    stub.set_delay(Duration::from_millis(80));
    let before = tokio::time::Instant::now();
    get(&stub, "/").await;
    assert!(before.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn bosh_sessions_belong_to_one_shard() {
    let (a, b) = (StubShard::start("a", any()).await.unwrap(), StubShard::start("b", any()).await.unwrap());
    let http = Client::builder().no_proxy().build().unwrap();
    let post = async |stub: &StubShard, body: String| {
        let url = format!("http://{}/http-bind?room=x", stub.addr);
        http.post(url).body(body).send().await.unwrap().text().await.unwrap()
    };
    let opened = post(&a, "<body rid='1'/>".to_owned()).await;
    let sid = attribute(&opened, "sid").unwrap().to_owned();
    assert_eq!(attribute(&opened, "from"), Some("a"));

    let same = post(&a, format!("<body rid='2' sid='{sid}'/>")).await;
    assert_eq!((attribute(&same, "sid"), attribute(&same, "type")), (Some(sid.as_str()), None));
    let elsewhere = post(&b, format!("<body rid='3' sid='{sid}'/>")).await;
    assert_eq!(attribute(&elsewhere, "condition"), Some("item-not-found"));
    assert_eq!(attribute(&elsewhere, "from"), Some("b"));
}

#[tokio::test]
async fn the_handshake_is_that_of_rfc_6455() {
    let stub = StubShard::start("a", any()).await.unwrap();
    // Key and answer are the example of RFC 6455 §1.3.
    let request = "GET /t/xmpp-websocket?room=x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: foo, xmpp\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = raw(&stub, request, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    for line in [
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "sec-websocket-protocol: xmpp",
        "upgrade: websocket",
        "connection: upgrade",
        "x-stub-shard: a",
        "x-jitsi-shard: a",
    ] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line} in {answer}");
    }
    let unasked = raw(&stub, &request.replace("Sec-WebSocket-Protocol: foo, xmpp\r\n", ""), "\r\n\r\n").await;
    assert!(!unasked.to_ascii_lowercase().contains("sec-websocket-protocol"), "{unasked}");

    let keyless = raw(&stub, &request.replace("Key", "Kee"), "\r\n\r\n").await;
    assert!(keyless.starts_with("HTTP/1.1 400 "), "{keyless}");
    assert_eq!(get(&stub, "/xmpp-websocket?room=x").await.status(), 426);
}

#[tokio::test]
async fn a_tunnel_says_its_name_when_first_asked_and_echoes_the_rest() {
    let stub = StubShard::start("a", any()).await.unwrap();
    let (mut socket, _) = connect_async(format!("ws://{}/xmpp-websocket?room=x", stub.addr)).await.unwrap();
    for (sent, received) in [("who", "a"), ("who", "who"), ("<open/>", "<open/>")] {
        socket.send(Message::text(sent)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(received));
    }
    let binary = Message::binary(vec![7; 300_000]);
    socket.send(binary.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), binary);
    assert_eq!(stub.tunnels(), 1);
    socket.close(None).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn the_agent_says_its_line_and_hangs_up() {
    let options = StubOptions { agent: Some(any()), ..StubOptions::default() };
    let stub = StubShard::start_with("a", any(), options).await.unwrap();
    let ask = async || {
        let mut line = String::new();
        let mut stream = TcpStream::connect(stub.agent_addr().unwrap()).await.unwrap();
        stream.read_to_string(&mut line).await.unwrap();
        line
    };
    assert_eq!(ask().await, "up ready 100%\n");
    stub.set_agent("up drain 0%");
    assert_eq!(ask().await, "up drain 0%\n");
}

#[tokio::test]
async fn stopping_breaks_everything_off_and_frees_the_port() {
    let stub = StubShard::start("a", any()).await.unwrap();
    let addr = stub.addr;
    let (mut socket, _) = connect_async(format!("ws://{addr}/xmpp-websocket")).await.unwrap();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    stub.stop().await;

    assert!(!matches!(socket.next().await, Some(Ok(_))), "the tunnel is gone, without a goodbye");
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(addr).await.is_err());
    let again = StubShard::start("a", addr).await.unwrap();
    assert_eq!(get(&again, "/").await.status(), 200);
}

#[tokio::test]
async fn a_name_that_no_header_carries_is_refused() {
    for name in ["", "a b", "a\r\nx: y", "ä", "a'"] {
        assert!(StubShard::start(name, any()).await.is_err(), "{name:?}");
    }
}
