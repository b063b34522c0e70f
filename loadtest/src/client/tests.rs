use std::net::SocketAddr;

use reqwest::StatusCode;

use super::*;
use crate::stub::StubShard;

async fn stub(name: &str) -> StubShard {
    StubShard::start(name, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

#[tokio::test]
async fn every_step_names_the_shard_and_sends_the_room_as_it_stands() {
    let stub = stub("a").await;
    let room = "caf%25c3%25a9";
    let browser = Browser::new(stub.addr, room).unwrap();
    assert_eq!(browser.page().await.unwrap(), "a");
    assert_eq!(browser.config().await.unwrap(), "a");
    assert_eq!(browser.conference().await.unwrap(), "a");
    assert_eq!(browser.keep_alive().await.unwrap(), "a");

    let (mut session, shard) = BoshSession::open(browser, 1).await.unwrap();
    assert_eq!(shard, "a");
    assert_eq!(session.poll().await.unwrap(), "a");
    assert_eq!(session.close().await.unwrap(), "a");

    let (mut tunnel, shard) = Tunnel::open(stub.addr, room).await.unwrap();
    assert_eq!(shard, "a");
    tunnel.echo("who").await.unwrap();
    tunnel.echo("hello").await.unwrap();
    tunnel.close().await.unwrap();
    assert_eq!(stub.rooms_seen().into_keys().collect::<Vec<_>>(), [room]);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let stub = stub("a").await;
    let browser = Browser::new(stub.addr, "x").unwrap();

    stub.set_jitsi_header(false);
    let unnamed = browser.page().await.unwrap_err();
    assert!(matches!(unnamed, ClientError::Misnamed { claimed: None, .. }), "{unnamed}");
    stub.set_jitsi_header(true);

    stub.set_failure(Some(StatusCode::SERVICE_UNAVAILABLE));
    let refused = browser.keep_alive().await.unwrap_err();
    assert!(matches!(refused, ClientError::Status { status: StatusCode::SERVICE_UNAVAILABLE, .. }), "{refused}");
    let refused = Tunnel::open(stub.addr, "x").await.unwrap_err();
    assert_eq!(refused.to_string(), "handshake: HTTP error: 503 Service Unavailable");
    stub.set_failure(None);

    let (mut tunnel, _) = Tunnel::open(stub.addr, "x").await.unwrap();
    let (mut session, _) = BoshSession::open(browser.clone(), 1).await.unwrap();
    let addr = stub.addr;
    stub.stop().await;
    assert!(matches!(tunnel.echo("x").await, Err(ClientError::Tunnel { what: "echo", .. })));
    assert!(matches!(browser.page().await, Err(ClientError::Http { what: "page", .. })));

    // Another shard in its place does not know the session.
    let _other = StubShard::start("b", addr).await.unwrap();
    let unknown = session.poll().await.unwrap_err();
    assert_eq!(unknown.to_string(), "BOSH: session ended (item-not-found)");
}
